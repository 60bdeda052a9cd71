//! Activity: on which days a user was active, so that distinct users can be counted on the tenant's own days.

use std::collections::BTreeMap;

use careeros_shared::{Result, db::Tx};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::events::Origin;

/// Seconds that instants are rounded down to: the quarters of an hour, on which the midnights of all time zones lie.
const QUARTER: i64 = 15 * 60;

/// The first and last quarter of an hour in which users were active, by tenant, day of UTC and user.
///
/// In the order of the table's key, so that two writers cannot wait for each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Activity(BTreeMap<(Uuid, NaiveDate, Uuid), Span>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Activity {
    /// Adds that `user_id` was active.
    pub fn add(&mut self, origin: Origin, user_id: Uuid) {
        let at = quarter(origin.occurred_at);
        let key = (origin.tenant_id, at.date_naive(), user_id);
        let span = self.0.entry(key).or_insert(Span { first: at, last: at });
        span.first = at.min(span.first);
        span.last = at.max(span.last);
    }

    /// Widens what is stored by what was added.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into activity_days as a (tenant_id, day, user_id, first_at, last_at)
             select * from unnest($1::uuid[], $2::date[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
             on conflict on constraint activity_days_pkey do update
             set first_at = least(a.first_at, excluded.first_at), last_at = greatest(a.last_at, excluded.last_at)
             where excluded.first_at < a.first_at or excluded.last_at > a.last_at",
            &self.0.keys().map(|key| key.0).collect::<Vec<_>>(),
            &self.0.keys().map(|key| key.1).collect::<Vec<_>>(),
            &self.0.keys().map(|key| key.2).collect::<Vec<_>>(),
            &self.0.values().map(|span| span.first).collect::<Vec<_>>(),
            &self.0.values().map(|span| span.last).collect::<Vec<_>>(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

fn quarter(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(QUARTER), 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rounded_down_to_the_quarter_also_before_1970() {
        for (at, rounded) in [
            ("2026-01-06T12:14:59.999999Z", "2026-01-06T12:00:00Z"),
            ("2026-01-06T12:15:00Z", "2026-01-06T12:15:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:45:00Z"),
        ] {
            let parse = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
            assert_eq!(quarter(parse(at)), parse(rounded));
        }
    }

    #[test]
    fn a_users_day_is_one_row_however_many_events_it_has() {
        let (mut activity, tenant_id, user_id) = (Activity::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        for minute in [30, 0, 59, 31] {
            let occurred_at = format!("2026-01-06T12:{minute:02}:00Z").parse().unwrap();
            activity.add(Origin { event_id: Uuid::nil(), tenant_id, occurred_at }, user_id);
        }
        let (key, Span { first, last }) = activity.0.pop_first().unwrap();
        assert_eq!(key, (tenant_id, NaiveDate::from_ymd_opt(2026, 1, 6).unwrap(), user_id));
        assert_eq!(
            (first.to_rfc3339(), last.to_rfc3339()),
            ("2026-01-06T12:00:00+00:00".to_owned(), "2026-01-06T12:45:00+00:00".to_owned())
        );
        assert!(activity.0.is_empty());
    }
}
