//! Courses: what they are made of and looked at as.

use std::str::FromStr;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Subject,
    error::{Error, OrNotFound},
    id, idempotency,
    proto::lms::{CreateCourseRequest, CreateCourseResponse, GetCourseResponse, Lesson, Module},
    validate::Checks,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{access::Viewer, instructors};

/// The status of a course that can be taken.
pub(crate) const PUBLISHED: &str = "PUBLISHED";
const DRAFT: &str = "DRAFT";

/// The longest description in characters.
const DESCRIPTION_MAX: usize = 10_000;

/// Whom a course is for once it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The users of every tenant.
    Public,
    /// The users of the course's own tenant.
    Tenant,
}

impl Visibility {
    /// As in the table and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Tenant => "TENANT",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "PUBLIC" => Some(Self::Public),
            "TENANT" => Some(Self::Tenant),
            _ => None,
        }
    }
}

/// A course as it is to be made.
#[derive(Debug)]
pub struct New {
    price_usd: Decimal,
    visibility: Visibility,
}

impl New {
    /// Checks a request.
    ///
    /// # Errors
    /// 400 naming each wrong field.
    pub fn parse(request: &CreateCourseRequest) -> Result<Self> {
        let mut checks = Checks::new();
        if !request.instructor_id.is_empty() {
            checks.ok(id::parse("instructorId", &request.instructor_id));
        }
        checks.text("title", &request.title, 1, 255);
        checks.text("description", &request.description, 0, DESCRIPTION_MAX);
        let price_usd = parse_price(&request.price_usd);
        checks.check("priceUsd", price_usd.is_some(), "must be from 0 to 99999999.99 with at most 2 decimals");
        let visibility = Visibility::parse(&request.visibility);
        checks.check("visibility", visibility.is_some(), "must be PUBLIC or TENANT");
        checks.finish()?;
        Ok(Self { price_usd: price_usd.unwrap_or_default(), visibility: visibility.unwrap_or(Visibility::Public) })
    }
}

/// A price in USD; nothing is free of charge.
fn parse_price(text: &str) -> Option<Decimal> {
    if text.is_empty() {
        return Some(Decimal::ZERO);
    }
    let price = Decimal::from_str(text).ok()?.normalize();
    let max = Decimal::new(9_999_999_999, 2);
    (price.scale() <= 2 && (Decimal::ZERO..=max).contains(&price)).then_some(price)
}

/// A price as it goes over the wire, with both its decimals.
pub(crate) fn price_text(price: Decimal) -> String {
    format!("{price:.2}")
}

/// Makes a draft that `owner` owns.
///
/// # Errors
/// 503 where the database is away.
pub async fn create(
    db: &Db,
    context: &Context,
    owner: Subject,
    request: &CreateCourseRequest,
    new: &New,
) -> Result<CreateCourseResponse> {
    idempotency::run(db, context, "lms.courses", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(owner.tenant_id).await?;
        let instructor_id = instructors::ensure(&mut tx, owner, context.now).await?;
        let course_id = id::new(context.now);
        sqlx::query!(
            "insert into courses
                 (id, tenant_id, instructor_id, owner_id, title, description, price_usd, visibility, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            course_id,
            owner.tenant_id,
            instructor_id,
            owner.user_id,
            request.title,
            request.description,
            new.price_usd,
            new.visibility.as_str(),
            context.now,
        )
        .execute(&mut *tx)
        .await?;
        let created = CreateCourseResponse { course_id: course_id.to_string(), status: DRAFT.to_owned() };
        claim.complete(&mut tx, &created).await?;
        tx.commit().await?;
        Ok(created)
    })
    .await
}

/// A course with its modules and lessons.
///
/// # Errors
/// 404 where there is none that the viewer may see: a draft is for its owner and the tenant's ADMIN, a TENANT course for
/// the tenant.
pub async fn get(db: &Db, viewer: Viewer, course_id: Uuid) -> Result<GetCourseResponse> {
    let mut tx = if viewer.sees_all_tenants { db.begin_system().await? } else { db.begin(viewer.tenant_id).await? };
    let course = sqlx::query!(
        "select owner_id, title, description, price_usd, visibility, status from courses
         where id = $1 and deleted_at is null
             and ($2 or tenant_id = $3 or (status = 'PUBLISHED' and visibility = 'PUBLIC'))",
        course_id,
        viewer.sees_all_tenants,
        viewer.tenant_id,
    )
    .fetch_optional(&mut *tx)
    .await?
    .or_not_found("course")?;
    let is_published = course.status == PUBLISHED;
    if !is_published && !viewer.sees_drafts && course.owner_id != viewer.user_id {
        return Err(Error::not_found("course"));
    }
    Ok(GetCourseResponse {
        course_id: course_id.to_string(),
        title: course.title,
        instructor_id: course.owner_id.to_string(),
        is_published,
        description: course.description,
        price_usd: price_text(course.price_usd),
        visibility: course.visibility,
        modules: list_modules(&mut tx, course_id).await?,
    })
}

/// The modules of a course that may be seen, each with its lessons, in their order.
async fn list_modules(tx: &mut Tx, course_id: Uuid) -> Result<Vec<Module>> {
    let rows = sqlx::query!(
        r#"select modules.id as module_id, modules.title as module_title, module_order,
                  lessons.id as "lesson_id?", lessons.title as "lesson_title?", content_type as "content_type?",
                  duration_minutes as "duration_minutes?", lesson_order as "lesson_order?", skill_keys as "skill_keys?"
           from modules left join lessons on lessons.module_id = modules.id
           where modules.course_id = $1
           order by module_order, lesson_order"#,
        course_id,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut modules: Vec<Module> = Vec::new();
    for row in rows {
        let module_id = row.module_id.to_string();
        if modules.last().is_none_or(|last| last.module_id != module_id) {
            let (title, module_order) = (row.module_title, row.module_order);
            modules.push(Module { module_id, title, module_order, lessons: Vec::new() });
        }
        if let (Some(module), Some(lesson_id)) = (modules.last_mut(), row.lesson_id) {
            module.lessons.push(Lesson {
                lesson_id: lesson_id.to_string(),
                title: row.lesson_title.unwrap_or_default(),
                content_type: row.content_type.unwrap_or_default(),
                duration_minutes: row.duration_minutes.unwrap_or_default(),
                lesson_order: row.lesson_order.unwrap_or_default(),
                skill_keys: row.skill_keys.unwrap_or_default(),
            });
        }
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_price_in_cents_is_kept_exactly(cents in 0_i64..=9_999_999_999) {
            let price = Decimal::new(cents, 2);
            prop_assert_eq!(parse_price(&price.to_string()), Some(price));
        }
    }

    #[test]
    fn a_price_is_not_negative_not_rounded_and_not_too_large() {
        for text in ["-0.01", "0.001", "100000000", "1e400", "free", "NaN", "19.990000000000000001"] {
            assert_eq!(parse_price(text), None, "{text}");
        }
        assert_eq!(parse_price("19.9000"), Some(Decimal::new(1990, 2)));
        assert_eq!(parse_price(""), Some(Decimal::ZERO));
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = CreateCourseRequest {
            instructor_id: "me".into(),
            title: " ".into(),
            description: "x".repeat(DESCRIPTION_MAX + 1),
            price_usd: "-1".into(),
            visibility: "SECRET".into(),
            ..CreateCourseRequest::default()
        };
        let error = New::parse(&request).unwrap_err();
        let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["instructorId", "title", "description", "priceUsd", "visibility"]);
    }
}
