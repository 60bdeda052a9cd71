//! Completed lessons: each counts once, moves the enrollment on, and the last one completes the course.

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    directory::Subject,
    error::Error,
    events::{CertificateIssued, CourseCompleted, LessonCompleted},
    id, idempotency, outbox,
    proto::{common::Ack, lms::CompleteLessonRequest},
    validate::Checks,
};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::certificates;

/// The most time that can be reported for a lesson: a day.
const MINUTES_MAX: i32 = 1440;

const OK: Ack = Ack { ok: true, message: String::new() };

/// A lesson that the subject says to have completed.
#[derive(Debug)]
struct Completion {
    course_id: Uuid,
    lesson_id: Uuid,
    time_spent_minutes: i32,
}

impl Completion {
    fn parse(request: &CompleteLessonRequest) -> Result<Self> {
        let mut checks = Checks::new();
        let course_id = checks.ok(id::parse("courseId", &request.course_id));
        let lesson_id = checks.ok(id::parse("lessonId", &request.lesson_id));
        checks.range("timeSpentMinutes", request.time_spent_minutes, 0..=MINUTES_MAX);
        checks.finish()?;
        Ok(Self {
            course_id: course_id.unwrap_or_default(),
            lesson_id: lesson_id.unwrap_or_default(),
            time_spent_minutes: request.time_spent_minutes,
        })
    }

    /// What is published, in this order: the first where the lesson counts, the others where it was the course's last.
    fn events(&self, context: &Context, subject: Subject, certificate: &certificates::New) -> Result<[outbox::Row; 3]> {
        let (user_id, course_id, completed_at) = (subject.user_id, self.course_id, context.now);
        let time_spent_minutes = self.time_spent_minutes.unsigned_abs();
        let lesson =
            LessonCompleted { lesson_id: self.lesson_id, course_id, user_id, completed_at, time_spent_minutes };
        let course = CourseCompleted { user_id, course_id, completed_at };
        let issued = CertificateIssued {
            user_id,
            course_id,
            certificate_id: certificate.id,
            verification_code: certificate.verification_code.clone(),
        };
        Ok([
            outbox::Row::new(context, subject, &lesson)?,
            outbox::Row::new(context, subject, &course)?,
            outbox::Row::new(context, subject, &issued)?,
        ])
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
    context: &Context,
    subject: Subject,
    request: &CompleteLessonRequest,
    certificate: &certificates::New,
) -> Result<Ack> {
    let completion = Completion::parse(request)?;
    if context.idempotency_key.is_none() {
        // The statement is a transaction of its own and says itself whose rows it sees: one round trip.
        if insert(db, context, subject, &completion, certificate).await? {
            db.wake_relay();
        }
        return Ok(OK);
    }
    idempotency::run(db, context, "lms.lessons.complete", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(subject.tenant_id).await?;
        let counts = insert(&mut *tx, context, subject, &completion, certificate).await?;
        claim.complete(&mut tx, &OK).await?;
        tx.commit().await?;
        if counts {
            db.wake_relay();
        }
        Ok(OK)
    })
    .await
}

/// Stores the completion with all that follows from it; whether it counts, that is, is the first one.
async fn insert(
    executor: impl PgExecutor<'_>,
    context: &Context,
    subject: Subject,
    completion: &Completion,
    certificate: &certificates::New,
) -> Result<bool> {
    let events = completion.events(context, subject, certificate)?;
    let (mut ids, mut topics, mut keys, mut headers, mut values) = (vec![], vec![], vec![], vec![], vec![]);
    for event in events {
        ids.push(event.event_id);
        topics.push(event.topic.to_owned());
        keys.push(event.key);
        headers.push(event.headers);
        values.push(event.value);
    }
    let outcome = sqlx::query_file!(
        "src/completions/insert.sql",
        subject.tenant_id,
        subject.user_id,
        completion.course_id,
        completion.lesson_id,
        completion.time_spent_minutes,
        context.now,
        certificate.id,
        certificate.verification_code,
        &ids,
        &topics,
        &keys,
        &headers,
        &values,
    )
    .fetch_one(executor)
    .await?;
    if !outcome.has_lesson {
        return Err(Error::not_found("lesson"));
    }
    if !outcome.is_enrolled {
        return Err(Error::conflict("not_enrolled", "enrol in the course before completing its lessons"));
    }
    Ok(outcome.counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = CompleteLessonRequest {
            course_id: "42".into(),
            lesson_id: String::new(),
            time_spent_minutes: MINUTES_MAX + 1,
            ..CompleteLessonRequest::default()
        };
        let error = Completion::parse(&request).unwrap_err();
        let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["courseId", "lessonId", "timeSpentMinutes"]);
    }
}
