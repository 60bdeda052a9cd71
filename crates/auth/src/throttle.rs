//! How many failed logins an account and an address may have, counted in PostgreSQL so that it holds over all replicas.
//!
//! Failures are charged by the generic cell rate algorithm: each moves `charged_until` on by the limit's interval, and an
//! attempt is refused while that lies more than the burst ahead. So a refusal ends within one interval of the last failure,
//! and whoever attacks an account cannot keep its owner out for long. Nor at all where the owner is known: an address with
//! a live session of the account answers only for the failures of that address.

use std::{net::IpAddr, time::Duration};

use careeros_shared::{
    Result,
    db::{Db, Tx},
    error::Error,
    sweep,
};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::emails::Email;

/// So many failures at once, and one more each `interval`.
#[derive(Debug, Clone, Copy)]
struct Limit {
    burst: i32,
    interval: TimeDelta,
}

const ACCOUNT: Limit = Limit { burst: 5, interval: TimeDelta::seconds(60) };
/// Wider, because a school or an office shares one address.
const ADDRESS: Limit = Limit { burst: 50, interval: TimeDelta::seconds(10) };

impl Limit {
    /// How long until the next attempt, given up to when failures are charged; zero where it may be now.
    fn wait(self, charged_until: DateTime<Utc>, now: DateTime<Utc>) -> TimeDelta {
        (charged_until - now - self.interval * (self.burst - 1)).max(TimeDelta::zero())
    }

    /// Up to when failures are charged after one more. Never so far that the wait exceeds the interval, also where several
    /// attempts were under way at once.
    fn charge(self, charged_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
        (charged_until.unwrap_or(now).max(now) + self.interval).min(now + self.interval * self.burst)
    }
}

/// Who tries to log in as whom.
#[derive(Debug)]
pub struct Attempt {
    account: String,
    address: String,
    ip: Option<String>,
}

impl Attempt {
    /// An attempt at the account of `email` from `ip`. Whether there is such an account makes no difference.
    pub fn new(email: &Email, ip: Option<IpAddr>) -> Self {
        Self {
            // Hashed, so that whatever was typed is not kept.
            account: hex::encode(Sha256::digest(email.as_str())),
            address: ip.map_or_else(|| "unknown".to_owned(), network),
            ip: ip.map(|ip| ip.to_string()),
        }
    }

    /// Checks that it may be made.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub async fn check(&self, db: &Db, email: &Email, now: DateTime<Utc>) -> Result<()> {
        let charged = sqlx::query!(
            r#"select (select charged_until from login_failures where scope = 'account' and subject = $1) as account,
                      (select charged_until from login_failures where scope = 'address' and subject = $2) as address"#,
            self.account,
            self.address,
        )
        .fetch_one(db)
        .await?;
        let wait =
            |limit: Limit, charged: Option<DateTime<Utc>>| charged.map_or_else(TimeDelta::zero, |c| limit.wait(c, now));
        let (account, address) = (wait(ACCOUNT, charged.account), wait(ADDRESS, charged.address));
        if address > TimeDelta::zero() {
            return Err(refused(address));
        }
        if account > TimeDelta::zero() && !self.is_from_home(db, email, now).await? {
            return Err(refused(account));
        }
        Ok(())
    }

    /// Charges a failure to account and address.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn fail(&self, db: &Db, now: DateTime<Utc>) -> Result<()> {
        for (scope, subject, limit) in [("account", &self.account, ACCOUNT), ("address", &self.address, ADDRESS)] {
            // The same as `Limit::charge`, under the row's lock.
            sqlx::query!(
                "insert into login_failures as f (scope, subject, charged_until) values ($1, $2, $3)
                 on conflict on constraint login_failures_pkey do update
                 set charged_until = least(greatest(f.charged_until, $4) + ($3 - $4), $5)",
                scope,
                subject,
                limit.charge(None, now),
                now,
                now + limit.interval * limit.burst,
            )
            .execute(db)
            .await?;
        }
        Ok(())
    }

    /// Forgets the account's failures; the address's stay, or an attacker would clear them by an account of their own.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn succeed(&self, tx: &mut Tx) -> Result<()> {
        sqlx::query!("delete from login_failures where scope = 'account' and subject = $1", self.account)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn is_from_home(&self, db: &Db, email: &Email, now: DateTime<Utc>) -> Result<bool> {
        let Some(ip) = &self.ip else { return Ok(false) };
        let mut tx = db.begin_system().await?;
        let known = sqlx::query_scalar!(
            r#"select exists (
                   select from sessions join users on users.id = sessions.user_id
                   where users.email = $1 and sessions.ip_address = $2::text::inet
                     and sessions.revoked_at is null and sessions.expires_at > $3
               ) as "known!""#,
            email.as_str(),
            ip,
            now,
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(known)
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 one, all of which one customer line has.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn refused(wait: TimeDelta) -> Error {
    // Rounded up: a client that waits exactly so long must get through.
    let wait = wait.to_std().unwrap_or_default();
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Error::too_many_requests("too many failed logins; wait a little and try again", wait).with_code("login_throttled")
}

/// Deletes what no longer counts.
///
/// # Errors
/// 503 where the database is away.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let delete = || {
        sqlx::query!(
            "delete from login_failures where ctid = any(array(
                 select ctid from login_failures where charged_until < $1
                 order by charged_until limit $2 for update skip locked))",
            now,
            sweep::BATCH,
        )
    };
    sweep::all(db, delete).await
}

#[cfg(test)]
mod tests {
    use careeros_shared::testing;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_account_has_five_tries_at_once_and_one_a_minute_after() {
        let mut now = testing::start();
        let mut charged = None;
        for _ in 0..5 {
            assert_eq!(charged.map_or(TimeDelta::zero(), |c| ACCOUNT.wait(c, now)), TimeDelta::zero());
            charged = Some(ACCOUNT.charge(charged, now));
        }
        assert_eq!(ACCOUNT.wait(charged.unwrap(), now), TimeDelta::seconds(60));
        now += TimeDelta::seconds(60);
        assert_eq!(ACCOUNT.wait(charged.unwrap(), now), TimeDelta::zero());
        charged = Some(ACCOUNT.charge(charged, now));
        assert_eq!(ACCOUNT.wait(charged.unwrap(), now), TimeDelta::seconds(60));
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let network_of = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(network_of("2001:db8:1:2:3::4"), network_of("2001:db8:1:2:ffff::1"));
        assert_ne!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:3::1"));
        assert_eq!(network_of("::ffff:192.0.2.1"), network_of("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn nobody_is_kept_out_for_longer_than_one_interval(gaps in prop::collection::vec(0_i64..200, 1..80)) {
            let mut now = testing::start();
            let mut charged = None;
            for gap in gaps {
                now += TimeDelta::seconds(gap);
                // Failures are charged whether or not they were allowed, as a race would have it.
                charged = Some(ACCOUNT.charge(charged, now));
                prop_assert!(ACCOUNT.wait(charged.unwrap(), now) <= ACCOUNT.interval);
            }
        }

        #[test]
        fn guesses_are_bounded_over_any_span(gaps in prop::collection::vec(0_i64..30, 1..200)) {
            let start = testing::start();
            let (mut now, mut charged, mut allowed) = (start, None, 0_i64);
            for gap in gaps {
                now += TimeDelta::seconds(gap);
                if charged.is_none_or(|c| ACCOUNT.wait(c, now) == TimeDelta::zero()) {
                    allowed += 1;
                    charged = Some(ACCOUNT.charge(charged, now));
                }
            }
            prop_assert!(allowed <= 5 + (now - start).num_seconds() / 60);
        }
    }
}
