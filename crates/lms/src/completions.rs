//! Completed lessons: each counts once, moves the enrollment on, and the last one completes the course.

use std::sync::Arc;

use careeros_shared::{
    Result,
    batch::Batch,
    context::Context,
    db::Db,
    directory::Subject,
    error::Error,
    events::{CertificateIssued, CourseCompleted, LessonCompleted},
    id, idempotency, outbox,
    proto::{common::Ack, lms::CompleteLessonRequest},
    validate::Checks,
};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::certificates;

/// The most time that can be reported for a lesson: a day.
const MINUTES_MAX: i32 = 1440;

const OK: Ack = Ack { ok: true, message: String::new() };

/// A lesson that the subject says to have completed.
#[derive(Debug, Clone)]
pub struct Completion {
    subject: Subject,
    course_id: Uuid,
    lesson_id: Uuid,
    time_spent_minutes: i32,
    completed_at: DateTime<Utc>,
    certificate: certificates::New,
    events: [outbox::Row; 3],
}

impl Completion {
    /// Checks a request; the last lesson of a course brings `certificate`.
    ///
    /// # Errors
    /// 400 naming each wrong field.
    pub fn parse(
        context: &Context,
        subject: Subject,
        request: &CompleteLessonRequest,
        certificate: certificates::New,
    ) -> Result<Self> {
        let mut checks = Checks::new();
        let course_id = checks.ok(id::parse("courseId", &request.course_id));
        let lesson_id = checks.ok(id::parse("lessonId", &request.lesson_id));
        checks.range("timeSpentMinutes", request.time_spent_minutes, 0..=MINUTES_MAX);
        checks.finish()?;
        let (course_id, lesson_id) = (course_id.unwrap_or_default(), lesson_id.unwrap_or_default());
        let (user_id, completed_at) = (subject.user_id, context.now);
        let time_spent_minutes = request.time_spent_minutes;
        let lesson = LessonCompleted {
            lesson_id,
            course_id,
            user_id,
            completed_at,
            time_spent_minutes: time_spent_minutes.unsigned_abs(),
        };
        let course = CourseCompleted { user_id, course_id, completed_at };
        let issued = CertificateIssued {
            user_id,
            course_id,
            certificate_id: certificate.id,
            verification_code: certificate.verification_code.clone(),
        };
        let events = [
            outbox::Row::new(context, subject, &lesson)?,
            outbox::Row::new(context, subject, &course)?,
            outbox::Row::new(context, subject, &issued)?,
        ];
        Ok(Self { subject, course_id, lesson_id, time_spent_minutes, completed_at, certificate, events })
    }
}

/// What became of a lesson that somebody says to have completed.
#[derive(Debug)]
pub struct Outcome {
    has_lesson: bool,
    is_enrolled: bool,
    /// Whether it is the first time.
    counts: bool,
}

impl Outcome {
    /// The answer to whoever says so.
    ///
    /// # Errors
    /// 404 where the course has no such lesson or is hidden, 409 where the subject is not enrolled.
    pub fn answer(&self) -> Result<Ack> {
        if !self.has_lesson {
            return Err(Error::not_found("lesson"));
        }
        if !self.is_enrolled {
            return Err(Error::conflict("not_enrolled", "enrol in the course before completing its lessons"));
        }
        Ok(OK)
    }
}

/// Notes that the subject has completed a lesson. Only the first time counts; the last lesson of a course brings
/// `certificate`.
///
/// # Errors
/// 400 naming each wrong field, 404 where the course has no such lesson or is hidden, 409 where the subject is not
/// enrolled.
pub async fn create(
    db: &Db,
    together: &Batch<Completion, Outcome>,
    context: &Context,
    subject: Subject,
    request: &CompleteLessonRequest,
    certificate: certificates::New,
) -> Result<Ack> {
    let completion = Completion::parse(context, subject, request, certificate)?;
    if context.idempotency_key.is_none() {
        return together.submit(completion).await?.answer();
    }
    idempotency::run(db, context, "lms.lessons.complete", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(subject.tenant_id).await?;
        let outcomes = insert(&mut *tx, std::slice::from_ref(&completion)).await?;
        outcomes.iter().try_for_each(|outcome| outcome.answer().map(drop))?;
        claim.complete(&mut tx, &OK).await?;
        tx.commit().await?;
        db.wake_relay();
        Ok(OK)
    })
    .await
}

/// Stores `completions` in one transaction and says what became of each.
///
/// # Errors
/// 503 where the database is away; nothing is stored then.
pub async fn create_all(db: Db, completions: Arc<[Completion]>) -> Result<Vec<Outcome>> {
    let outcomes = insert(&db, &completions).await?;
    if outcomes.iter().any(|outcome| outcome.counts) {
        db.wake_relay();
    }
    Ok(outcomes)
}

async fn insert(executor: impl PgExecutor<'_>, completions: &[Completion]) -> Result<Vec<Outcome>> {
    let (tenant_ids, user_ids) = Subject::columns(completions.iter().map(|completion| completion.subject));
    let events: outbox::Columns = completions.iter().flat_map(|completion| completion.events.clone()).collect();
    let outcomes = sqlx::query_file_as!(
        Outcome,
        "src/completions/insert.sql",
        &tenant_ids,
        &user_ids,
        &completions.iter().map(|completion| completion.course_id).collect::<Vec<_>>(),
        &completions.iter().map(|completion| completion.lesson_id).collect::<Vec<_>>(),
        &completions.iter().map(|completion| completion.time_spent_minutes).collect::<Vec<_>>(),
        &completions.iter().map(|completion| completion.completed_at).collect::<Vec<_>>(),
        &completions.iter().map(|completion| completion.certificate.id).collect::<Vec<_>>(),
        &completions.iter().map(|completion| completion.certificate.verification_code.clone()).collect::<Vec<_>>(),
        &events.event_ids,
        &events.topics,
        &events.keys,
        &events.headers,
        &events.values,
        &events.created_at,
    )
    .fetch_all(executor)
    .await?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use careeros_shared::testing;

    use super::*;

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = CompleteLessonRequest {
            course_id: "42".into(),
            lesson_id: String::new(),
            time_spent_minutes: MINUTES_MAX + 1,
            ..CompleteLessonRequest::default()
        };
        let (context, nobody) = (Context::internal(testing::start()), Uuid::nil());
        let subject = Subject { user_id: nobody, tenant_id: nobody };
        let certificate = certificates::New::at(context.now, [0; 16]);
        let error = Completion::parse(&context, subject, &request, certificate).unwrap_err();
        let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["courseId", "lessonId", "timeSpentMinutes"]);
    }
}
