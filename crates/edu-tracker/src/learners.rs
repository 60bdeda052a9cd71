//! Learners: whose row is locked while their progress is written, and in which time zone their days are counted.

use std::collections::{BTreeMap, BTreeSet};

use careeros_shared::{Result, db::Tx, directory::Subject, error::Error};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

/// Somebody who learns, locked for the transaction.
#[derive(Debug, Clone, Copy)]
pub struct Learner {
    /// The user with the tenant.
    pub subject: Subject,
    /// Where their days begin; UTC until they have said.
    pub zone: Tz,
    /// The change that set the zone: when it was made, and the event's id between changes of the same instant.
    set_by: Option<(DateTime<Utc>, Uuid)>,
}

/// A learner has set a time zone.
#[derive(Debug, Clone, Copy)]
pub struct ZoneChange {
    /// The learner's tenant.
    pub tenant_id: Uuid,
    /// The learner.
    pub user_id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// When it was set.
    pub at: DateTime<Utc>,
    /// The zone from then on.
    pub zone: Tz,
}

/// Makes the rows of `users` (with their tenants) where they are missing, and locks them in the order of their ids.
///
/// # Errors
/// 400 where a user is known as another tenant's.
pub async fn lock(tx: &mut Tx, users: &BTreeMap<Uuid, Uuid>) -> Result<BTreeMap<Uuid, Learner>> {
    let (user_ids, tenant_ids): (Vec<_>, Vec<_>) = users.iter().map(|(user, tenant)| (*user, *tenant)).unzip();
    sqlx::query!(
        "insert into learners (user_id, tenant_id)
         select user_id, tenant_id from unnest($1::uuid[], $2::uuid[]) as u(user_id, tenant_id) order by user_id
         on conflict on constraint learners_pkey do nothing",
        &user_ids,
        &tenant_ids,
    )
    .execute(&mut **tx)
    .await?;
    let rows = sqlx::query!(
        "select user_id, tenant_id, timezone, timezone_at, timezone_event_id
         from learners where user_id = any($1) order by user_id for update",
        &user_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            if users.get(&row.user_id) != Some(&row.tenant_id) {
                return Err(Error::invalid("tenant_id", "is not the one that the user belongs to"));
            }
            let zone = zone(&row.timezone)?;
            let subject = Subject { user_id: row.user_id, tenant_id: row.tenant_id };
            Ok((row.user_id, Learner { subject, zone, set_by: row.timezone_at.zip(row.timezone_event_id) }))
        })
        .collect()
}

/// Applies `changes` to `learners`: the latest change that was ever made decides. Returns who has another zone now, whose
/// days therefore begin at other instants.
///
/// # Errors
/// 503 where the database is away.
pub async fn set_zones(
    tx: &mut Tx,
    learners: &mut BTreeMap<Uuid, Learner>,
    changes: &[ZoneChange],
) -> Result<BTreeSet<Uuid>> {
    let before: BTreeMap<Uuid, Tz> = learners.iter().map(|(user_id, learner)| (*user_id, learner.zone)).collect();
    let mut changed = BTreeSet::new();
    for change in changes {
        if let Some(learner) = learners.get_mut(&change.user_id)
            && learner.set_by < Some((change.at, change.event_id))
        {
            learner.set_by = Some((change.at, change.event_id));
            learner.zone = change.zone;
            changed.insert(change.user_id);
        }
    }
    let set: Vec<_> = changed.iter().filter_map(|user_id| learners.get(user_id)).collect();
    if set.is_empty() {
        return Ok(BTreeSet::new());
    }
    sqlx::query!(
        "update learners l set timezone = n.timezone, timezone_at = n.set_at, timezone_event_id = n.event_id
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[]) as n(user_id, timezone, set_at, event_id)
         where l.user_id = n.user_id",
        &set.iter().map(|learner| learner.subject.user_id).collect::<Vec<_>>(),
        &set.iter().map(|learner| learner.zone.name().to_owned()).collect::<Vec<_>>(),
        &set.iter().filter_map(|learner| learner.set_by).map(|(at, _)| at).collect::<Vec<_>>(),
        &set.iter().filter_map(|learner| learner.set_by).map(|(_, event_id)| event_id).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    let moved = |user_id: &Uuid| learners.get(user_id).map(|learner| learner.zone) != before.get(user_id).copied();
    changed.retain(moved);
    Ok(changed)
}

/// The zone of a stored name.
///
/// # Errors
/// 500 where this build's time zone data no longer has it.
pub fn zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|error: chrono_tz::ParseError| Error::internal(error))
}
