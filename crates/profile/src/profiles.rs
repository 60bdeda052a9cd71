//! Profiles: a user's name, title, place, text and time zone.

use std::sync::Arc;

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    directory::Subject,
    events::ProfileUpdated,
    id, outbox,
    proto::userprofile::{GetProfileResponse, UpdateProfileRequest},
    validate::Checks,
};
use chrono_tz::Tz;

/// The time zone of whoever has set none.
const DEFAULT_TIMEZONE: &str = "UTC";
/// The longest bio in characters.
const BIO_MAX: usize = 10_000;

/// What of a profile shall change; `None` keeps the value.
#[derive(Debug, Default)]
pub struct Change {
    full_name: Option<String>,
    title: Option<String>,
    location: Option<String>,
    bio: Option<String>,
    timezone: Option<Tz>,
}

impl Change {
    /// Checks a request.
    ///
    /// # Errors
    /// 400 naming each field that is too long or no time zone.
    pub fn parse(request: UpdateProfileRequest) -> Result<Self> {
        let mut checks = Checks::new();
        let fields = [
            ("fullName", &request.full_name, 255),
            ("title", &request.title, 255),
            ("location", &request.location, 128),
            ("bio", &request.bio, BIO_MAX),
        ];
        for (name, value, max) in fields {
            checks.text(name, value.as_deref().unwrap_or_default(), 0, max);
        }
        let timezone = request.timezone.map(|name| name.parse::<Tz>());
        checks.check("timezone", !matches!(timezone, Some(Err(_))), "must be an IANA time zone such as Europe/Berlin");
        checks.finish()?;
        Ok(Self {
            full_name: request.full_name,
            title: request.title,
            location: request.location,
            bio: request.bio,
            timezone: timezone.and_then(Result::ok),
        })
    }

    fn updated_fields(&self) -> Vec<String> {
        let fields = [
            ("full_name", self.full_name.is_some()),
            ("title", self.title.is_some()),
            ("location", self.location.is_some()),
            ("bio", self.bio.is_some()),
            ("timezone", self.timezone.is_some()),
        ];
        fields.into_iter().filter(|(_, sent)| *sent).map(|(name, _)| name.to_owned()).collect()
    }
}

/// The profile of each of `subjects`, of empty strings and [`DEFAULT_TIMEZONE`] where nothing is stored.
///
/// # Errors
/// 503 where the database is away.
pub async fn find(db: Db, subjects: Arc<[Subject]>) -> Result<Vec<GetProfileResponse>> {
    let (tenant_ids, user_ids) = Subject::columns(subjects.iter().copied());
    // The lateral references set the scope of one row's tenant after the other's.
    let profiles = sqlx::query_as!(
        GetProfileResponse,
        r#"select asked.user_id::text as "user_id!", coalesce(full_name, '') as "full_name!",
                  coalesce(title, '') as "title!", coalesce(location, '') as "location!", coalesce(bio, '') as "bio!",
                  coalesce(nullif(timezone, ''), $3) as "timezone!"
           from unnest((select $1::uuid[]), (select $2::uuid[])) with ordinality
               as asked(tenant_id, user_id, position)
           cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
           left join lateral (
               select * from profiles
               where tenant_id = scope.tenant_id and user_id = asked.user_id and deleted_at is null
               offset 0
           ) p on true
           order by position"#,
        &tenant_ids,
        &user_ids,
        DEFAULT_TIMEZONE,
    )
    .fetch_all(&db)
    .await?;
    Ok(profiles)
}

/// Applies `change` to the subject's profile, making it where there is none.
///
/// # Errors
/// 503 where the database is away.
pub async fn update(db: &Db, context: &Context, subject: Subject, change: &Change) -> Result<()> {
    let mut tx = db.begin(subject.tenant_id).await?;
    sqlx::query!(
        "insert into profiles as p (id, user_id, tenant_id, full_name, title, location, bio, timezone, created_at, updated_at)
         values ($1, $2, $3, coalesce($4, ''), coalesce($5, ''), coalesce($6, ''), coalesce($7, ''), coalesce($8, ''), $9, $9)
         on conflict on constraint profiles_user_id_key do update
         set full_name = coalesce($4, p.full_name), title = coalesce($5, p.title), location = coalesce($6, p.location),
             bio = coalesce($7, p.bio), timezone = coalesce($8, p.timezone), updated_at = $9",
        id::new(context.now),
        subject.user_id,
        subject.tenant_id,
        change.full_name,
        change.title,
        change.location,
        change.bio,
        change.timezone.map(|zone| zone.name().to_owned()),
        context.now,
    )
    .execute(&mut *tx)
    .await?;
    let event = ProfileUpdated {
        user_id: subject.user_id,
        updated_fields: change.updated_fields(),
        timezone: change.timezone.map(|zone| zone.name().to_owned()),
    };
    outbox::publish(&mut tx, context, subject, &event).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = UpdateProfileRequest {
            full_name: Some("x".repeat(256)),
            location: Some("x".repeat(129)),
            timezone: Some("Mars/Olympus".into()),
            ..UpdateProfileRequest::default()
        };
        let error = Change::parse(request).unwrap_err();
        let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["fullName", "location", "timezone"]);
    }
}
