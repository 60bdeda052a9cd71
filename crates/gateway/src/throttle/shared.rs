//! The counters that all gateways share, in Redis or Valkey.
//!
//! Every gateway also tells the store that it lives, so that each knows among how many the limit is to be divided when the
//! store is away.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use redis::{
    Client, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// How long a request may wait for the store; then it is counted here.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a gateway tells that it lives, and looks whether a store that was away is back.
const BEAT: Duration = Duration::from_secs(1);
/// A gateway that has been silent for so many milliseconds has ended.
const SILENCE: u64 = 10_000;
const GATEWAYS: &str = "careeros:gateways";

/// Counts a request; the client's window begins with its first.
const COUNT: &str = "local used = redis.call('incr', KEYS[1])
if used == 1 then redis.call('pexpire', KEYS[1], ARGV[1]) end
return {used, redis.call('pttl', KEYS[1])}";
/// Notes that a gateway lives; how many do. The store's clock is the only one that all of them share.
const LIVE: &str = "local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('zadd', KEYS[1], now, ARGV[1])
redis.call('zremrangebyscore', KEYS[1], '-inf', now - ARGV[2])
return redis.call('zcard', KEYS[1])";

/// The store.
#[derive(Debug)]
pub(super) struct Shared {
    connection: Connection,
    count: Script,
    live: Script,
    id: Uuid,
    away: AtomicBool,
    gateways: AtomicU32,
}

#[derive(Clone)]
struct Connection(ConnectionManager);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Shared {
    /// The store at `url` as the gateway `id` sees it; connected when first used.
    ///
    /// # Errors
    /// Where `url` is not an address.
    pub(super) fn new(url: &SecretString, id: Uuid) -> anyhow::Result<Self> {
        let client = Client::open(url.expose_secret()).context("REDIS_URL is not the address of a Redis")?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(PATIENCE));
        Ok(Self {
            connection: Connection(client.get_connection_manager_lazy(config)?),
            count: Script::new(COUNT),
            live: Script::new(LIVE),
            id,
            // Until the first sign of life.
            away: AtomicBool::new(true),
            gateways: AtomicU32::new(1),
        })
    }

    /// How many requests the client `key` has sent in its window of `window`, with this one, and how long the window still
    /// is; `None` while the store is away.
    pub(super) async fn count(&self, key: &str, window: Duration) -> Option<(u32, Duration)> {
        if self.away.load(Ordering::Relaxed) {
            return None;
        }
        let mut connection = self.connection.0.clone();
        let mut script = self.count.key(format!("careeros:throttle:{key}"));
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let counted = script.arg(window).invoke_async::<(u32, u64)>(&mut connection);
        match tokio::time::timeout(PATIENCE, counted).await {
            Ok(Ok((used, left))) => Some((used, Duration::from_millis(left))),
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(_) => self.lost("no answer in time"),
        }
    }

    /// How many gateways lived when the store was last seen; at least this one.
    pub(super) fn gateways(&self) -> u32 {
        self.gateways.load(Ordering::Relaxed).max(1)
    }

    /// Tells the store that this gateway lives, for ever.
    pub(super) async fn keep(&self) {
        loop {
            let mut connection = self.connection.0.clone();
            let mut script = self.live.key(GATEWAYS);
            script.arg(self.id.to_string()).arg(SILENCE);
            let told = tokio::time::timeout(BEAT, script.invoke_async::<u32>(&mut connection)).await;
            match told {
                Ok(Ok(gateways)) => {
                    self.gateways.store(gateways, Ordering::Relaxed);
                    if self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!(gateways, "rate limits are shared through REDIS_URL");
                    }
                }
                Ok(Err(error)) => _ = self.lost::<()>(&error.to_string()),
                Err(_) => _ = self.lost::<()>("no answer in time"),
            }
            let shared = f64::from(u8::from(!self.away.load(Ordering::Relaxed)));
            metrics::gauge!("throttle_shared", "service" => crate::SERVICE.name).set(shared);
            tokio::time::sleep(BEAT).await;
        }
    }

    fn lost<T>(&self, error: &str) -> Option<T> {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error,
                gateways = self.gateways(),
                "the store at REDIS_URL is away: this gateway allows its share of each rate limit until it is back"
            );
        }
        None
    }
}
