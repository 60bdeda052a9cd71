//! Enrollments: which courses a user takes and how far they are. They belong to the learner's tenant, which for a public
//! course need not be the course's.

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    directory::Subject,
    error::{Error, OrNotFound},
    events::EnrollmentCreated,
    id, idempotency, outbox,
    page::{Page, Position},
    proto::lms::{EnrollRequest, EnrollResponse, EnrollmentSummary, ListEnrollmentsRequest, ListEnrollmentsResponse},
};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::courses::PUBLISHED;

/// Enrols the subject in a course. Where they are already, nothing changes. A course with a price can be taken without
/// paying it: the contract has no way to buy one yet.
///
/// # Errors
/// 404 for a course that the subject may not see, 409 for a draft of the subject's tenant.
pub async fn create(db: &Db, context: &Context, subject: Subject, request: &EnrollRequest) -> Result<EnrollResponse> {
    let course_id = id::parse("courseId", &request.course_id)?;
    idempotency::run(db, context, "lms.enrollments", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(subject.tenant_id).await?;
        let status = sqlx::query_scalar!(
            "select status from courses
             where id = $1 and deleted_at is null
                 and (tenant_id = $2 or (status = 'PUBLISHED' and visibility = 'PUBLIC'))",
            course_id,
            subject.tenant_id,
        )
        .fetch_optional(&mut *tx)
        .await?
        .or_not_found("course")?;
        if status != PUBLISHED {
            return Err(Error::conflict("course_not_published", "the course is a draft and cannot be taken yet"));
        }
        let inserted = sqlx::query!(
            "insert into enrollments (id, user_id, course_id, tenant_id, enrolled_at) values ($1, $2, $3, $4, $5)
             on conflict on constraint enrollments_user_id_course_id_key do nothing",
            id::new(context.now),
            subject.user_id,
            course_id,
            subject.tenant_id,
            context.now,
        )
        .execute(&mut *tx)
        .await?;
        let created = inserted.rows_affected() == 1;
        if created {
            let event = EnrollmentCreated { user_id: subject.user_id, course_id };
            outbox::publish(&mut tx, context, subject, &event).await?;
        }
        let enrolled = EnrollResponse { ok: true, created };
        claim.complete(&mut tx, &enrolled).await?;
        tx.commit().await?;
        Ok(enrolled)
    })
    .await
}

/// The status of the subject's enrollment in a course, ACTIVE or COMPLETED.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_status(db: &Db, subject: Subject, course_id: Uuid) -> Result<Option<String>> {
    let status = sqlx::query_scalar!(
        r#"select e.status as "status!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select status from enrollments
               where tenant_id = scope.tenant_id and user_id = $2 and course_id = $3
               offset 0
           ) e"#,
        subject.tenant_id,
        subject.user_id,
        course_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(status)
}

#[derive(Debug)]
struct Enrollment {
    id: Uuid,
    course_id: Uuid,
    course_title: String,
    status: String,
    progress_percent: f64,
    enrolled_at: DateTime<Utc>,
    verification_code: Option<String>,
}

impl From<Enrollment> for EnrollmentSummary {
    fn from(enrollment: Enrollment) -> Self {
        Self {
            enrollment_id: enrollment.id.to_string(),
            course_id: enrollment.course_id.to_string(),
            course_title: enrollment.course_title,
            status: enrollment.status,
            progress_percent: enrollment.progress_percent,
            enrolled_at: enrollment.enrolled_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            verification_code: enrollment.verification_code,
        }
    }
}

/// A page of the subject's enrollments, newest first.
///
/// # Errors
/// 400 naming `cursor` or `limit`.
pub async fn list(db: &Db, subject: Subject, request: &ListEnrollmentsRequest) -> Result<ListEnrollmentsResponse> {
    let page = Page::parse(&request.cursor, request.limit)?;
    let rows = sqlx::query_as!(
        Enrollment,
        r#"select e.id as "id!", e.course_id as "course_id!", e.course_title as "course_title!", e.status as "status!",
                  e.progress_percent as "progress_percent!", e.enrolled_at as "enrolled_at!",
                  e.verification_code as "verification_code?"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select enrollments.id, enrollments.course_id, coalesce(courses.title, '') as course_title,
                      enrollments.status, progress_percent::float8 as progress_percent, enrolled_at, verification_code
               from enrollments
               left join courses on courses.id = enrollments.course_id
               left join certificates
                   on certificates.user_id = enrollments.user_id and certificates.course_id = enrollments.course_id
               where enrollments.tenant_id = scope.tenant_id and enrollments.user_id = $2
                   and ($3::timestamptz is null or (enrolled_at, enrollments.id) < ($3, $4))
               order by enrolled_at desc, enrollments.id desc limit $5
               offset 0
           ) e
           order by e.enrolled_at desc, e.id desc"#,
        subject.tenant_id,
        subject.user_id,
        page.after.map(|after| after.time),
        page.after.map(|after| after.id),
        page.fetch(),
    )
    .fetch_all(db)
    .await?;
    let (rows, next_cursor) = page.cut(rows, |row| Position { time: row.enrolled_at, id: row.id });
    Ok(ListEnrollmentsResponse { items: rows.into_iter().map(EnrollmentSummary::from).collect(), next_cursor })
}
