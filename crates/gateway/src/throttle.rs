//! The rate limit: so many requests of one client in a window.
//!
//! A request with a valid token counts for its user, any other for its address. A client's window begins with its first
//! request, so that the limit is exact: no more than `THROTTLE_LIMIT` requests pass in any window.
//!
//! With `REDIS_URL` all gateways share the counts. While that store is away, each counts for itself and allows its share.

mod shared;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use careeros_shared::{clock::Clock, context::Context, error::Error, id, identity::Caller};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use self::shared::Shared;
use crate::config::Config;

/// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>: the policy and what is left of it.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");
/// Clients remembered at a time; beyond that the least used are forgotten.
const CLIENTS: u64 = 200_000;

/// Who a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    User(Uuid),
    Address(IpAddr),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Address(ip) => write!(f, "address:{ip}"),
        }
    }
}

impl Who {
    fn of(context: &Context) -> Self {
        match context.caller() {
            Ok(Caller::User(user)) => Self::User(user.id),
            _ => Self::Address(network(context.client.ip.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))),
        }
    }
}

/// The address, or for IPv6 its /64: one subscriber has all of that.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[derive(Debug)]
struct Window {
    ends: DateTime<Utc>,
    used: AtomicU32,
}

/// Counts the requests of each client.
#[derive(Debug, Clone)]
pub struct Throttle {
    clock: Clock,
    limit: u32,
    window: TimeDelta,
    windows: moka::sync::Cache<Who, Arc<Window>>,
    shared: Option<Arc<Shared>>,
}

/// What is left to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    allowed: bool,
    remaining: u32,
    resets_in: Duration,
}

impl Throttle {
    /// With the limit of `config`.
    ///
    /// # Errors
    /// Where `REDIS_URL` is not an address.
    pub fn new(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let window = TimeDelta::from_std(config.throttle_window).unwrap_or(TimeDelta::MAX);
        let windows = moka::sync::Cache::builder().max_capacity(CLIENTS).time_to_live(config.throttle_window).build();
        let shared = match &config.redis_url {
            Some(url) => Some(Arc::new(Shared::new(url, id::new(clock.now()))?)),
            None => None,
        };
        Ok(Self { clock, limit: config.throttle_limit, window, windows, shared })
    }

    /// How many gateways count together, as far as this one knows.
    pub fn gateways(&self) -> u32 {
        self.shared.as_ref().map_or(1, |shared| shared.gateways())
    }

    /// Takes part in the shared counting, for ever; completes at once where there is none.
    pub async fn keep(self) {
        if let Some(shared) = self.shared {
            shared.keep().await;
        }
    }

    /// Counts a request of `who`.
    async fn count(&self, who: Who) -> Standing {
        let Some(shared) = &self.shared else { return self.count_here(who, self.limit) };
        match shared.count(&who.to_string(), self.window.to_std().unwrap_or_default()).await {
            Some((used, resets_in)) => Standing::of(used, self.limit, resets_in),
            None => self.count_here(who, (self.limit / shared.gateways()).max(1)),
        }
    }

    fn count_here(&self, who: Who, limit: u32) -> Standing {
        let now = self.clock.now();
        let open = || Arc::new(Window { ends: now + self.window, used: AtomicU32::new(0) });
        let over = |window: &Arc<Window>| window.ends <= now;
        let window = self.windows.entry(who).or_insert_with_if(open, over).into_value();
        let used = window.used.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Standing::of(used, limit, (window.ends - now).to_std().unwrap_or_default())
    }
}

impl Standing {
    fn of(used: u32, limit: u32, resets_in: Duration) -> Self {
        Self { allowed: used <= limit, remaining: limit.saturating_sub(used), resets_in }
    }
}

/// Lets a request pass that is within its client's limit, and says in the answer what is left.
pub async fn limit(State(throttle): State<Arc<Throttle>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let context = match Context::from_request_parts(&mut parts, &()).await {
        Ok(context) => context,
        Err(error) => return error.into_response(),
    };
    let standing = throttle.count(Who::of(&context)).await;
    parts.extensions.insert(context);
    let mut response = if standing.allowed {
        next.run(Request::from_parts(parts, body)).await
    } else {
        metrics::counter!("throttled_requests_total", "service" => crate::SERVICE.name).increment(1);
        let message = format!("more than {} requests in {} s", throttle.limit, throttle.window.num_seconds());
        Error::too_many_requests(message, standing.resets_in).into_response()
    };
    let seconds = standing.resets_in.as_millis().div_ceil(1000);
    for (name, value) in [
        (POLICY, format!("\"default\";q={};w={}", throttle.limit, throttle.window.num_seconds())),
        (REMAINING, format!("\"default\";r={};t={seconds}", standing.remaining)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use careeros_shared::{env::Env, env::Reader, testing};

    use super::*;

    fn throttle(clock: &Clock) -> Throttle {
        let env: Env = [("THROTTLE_LIMIT".to_owned(), "3".to_owned())].into_iter().collect();
        Throttle::new(&Config::read(&mut Reader::new(&env)), clock.clone()).unwrap()
    }

    #[tokio::test]
    async fn the_window_is_sixty_seconds_and_not_milliseconds() {
        let clock = testing::clock();
        let throttle = throttle(&clock);
        let who = Who::User(Uuid::nil());
        for allowed in [true, true, true, false] {
            assert_eq!(throttle.count(who).await.allowed, allowed);
        }
        clock.advance(TimeDelta::milliseconds(59_999));
        assert!(!throttle.count(who).await.allowed);
        clock.advance(TimeDelta::milliseconds(1));
        assert!(throttle.count(who).await.allowed);
    }

    #[tokio::test]
    async fn clients_do_not_use_up_each_others_limit() {
        let throttle = throttle(&testing::clock());
        let first = Who::Address(network("2001:db8::1".parse().unwrap()));
        let neighbour = Who::Address(network("2001:db8::2".parse().unwrap()));
        let other = Who::Address(network("2001:db8:0:1::1".parse().unwrap()));
        for _ in 0..3 {
            throttle.count(first).await;
        }
        assert!(!throttle.count(neighbour).await.allowed, "the same /64 is the same client");
        assert!(throttle.count(other).await.allowed);
    }
}
