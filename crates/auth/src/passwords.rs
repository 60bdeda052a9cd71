//! Passwords: Argon2id, one at a time per processor.
//!
//! A hash takes tens of milliseconds of one processor and 19 MiB, so hashes run on blocking threads, few at once, and who
//! would wait long is sent away: a storm of logins then costs the logins time and nothing else memory or speed.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use careeros_shared::{Result, error::Error, validate::Checks};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The fewest characters of a new password.
const MIN: usize = 8;
/// The most: what is hashed is bounded, and a passphrase fits.
const MAX: usize = 128;
/// Memory of one hash in KiB, passes over it and lanes: OWASP's first recommendation for Argon2id
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// How many may wait for each one that is hashed.
const QUEUE: usize = 64;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is verified against where there is no account, so that the answer takes as long. No password is known to match.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y2FyZWVyb3Mtbm9ib2R5IQ$4u4s1XcYg1cSWGkTN2N8b8yfHqv3fZ0mJ4m0mQ6rJxk";

/// Notes whether `password` may become one, as the field `password`.
pub fn check_new(checks: &mut Checks, password: &SecretString) {
    let length = password.expose_secret().chars().count();
    checks.check("password", length >= MIN, "must have 8 characters or more");
    checks.check("password", length <= MAX, "must have 128 characters or fewer");
}

/// Notes whether `password` can be one at all, as the field `password`.
pub fn check_given(checks: &mut Checks, password: &SecretString) {
    let length = password.expose_secret().chars().count();
    checks.check("password", (1..=MAX).contains(&length), "must have 1 to 128 characters");
}

/// Hashes and verifies, a bounded number at once.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    patience: Duration,
}

/// The right to use one processor for hashing.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, and given back when dropped")] OwnedSemaphorePermit);

/// What a verification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The password is the account's.
    pub matches: bool,
    /// The hash was made with other costs than today's.
    pub outdated: bool,
}

impl Passwords {
    /// Hashes on all but one of `processors`, and at least on one.
    pub fn new(processors: usize) -> Self {
        let turns = processors.saturating_sub(1).max(1);
        Self {
            turns: Arc::new(Semaphore::new(turns)),
            queue: Arc::new(Semaphore::new(turns * QUEUE)),
            patience: PATIENCE,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// 503 where too many wait, or it takes too long.
    pub async fn turn(&self) -> Result<Turn> {
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.turns).acquire_owned()).await;
        turn.map_err(|_| busy())?.map(Turn).map_err(Error::internal)
    }

    /// The PHC string of `password` with a new salt.
    ///
    /// # Errors
    /// 500 where the hash cannot be made.
    pub async fn hash(turn: Turn, password: &SecretString) -> Result<String> {
        let (password, salt) = (password.clone(), crate::secrets::random());
        run(turn, move || hash(&password, &salt)).await?.0
    }

    /// Compares `password` with `hash`, or with nobody's. The turn is given back, for what has to happen before the next.
    ///
    /// # Errors
    /// 500 where `hash` is not a PHC string of Argon2.
    pub async fn verify(turn: Turn, password: &SecretString, hash: Option<&str>) -> Result<(Verdict, Turn)> {
        let (password, hash) = (password.clone(), hash.unwrap_or(NOBODY).to_owned());
        let (verdict, turn) = run(turn, move || verify(&password, &hash)).await?;
        Ok((verdict?, turn))
    }
}

/// Runs `work` on a blocking thread. The turn goes along: if the request is given up meanwhile, the processor is still
/// busy.
async fn run<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<(T, Turn)> {
    tokio::task::spawn_blocking(move || (work(), turn)).await.map_err(Error::internal)
}

fn argon2() -> Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).map_err(|error| Error::internal(anyhow::anyhow!("{error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &SecretString, salt: &[u8]) -> Result<String> {
    // 128 bits of salt, as RFC 9106 recommends.
    let salt = salt.get(..16).unwrap_or(salt);
    let hash = argon2()?.hash_password_with_salt(password.expose_secret().as_bytes(), salt);
    hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(anyhow::anyhow!("{error}")))
}

fn verify(password: &SecretString, hash: &str) -> Result<Verdict> {
    let argon2 = argon2()?;
    let hash = PasswordHash::new(hash).map_err(|error| Error::internal(anyhow::anyhow!("{error}")))?;
    // The costs are those of the hash.
    let matches = argon2.verify_password(password.expose_secret().as_bytes(), &hash).is_ok();
    let params = Params::try_from(&hash).map_err(|error| Error::internal(anyhow::anyhow!("{error}")))?;
    let outdated = hash.algorithm.as_str() != "argon2id" || (params.m_cost(), params.t_cost(), params.p_cost()) != COST;
    Ok(Verdict { matches, outdated })
}

fn busy() -> Error {
    Error::unavailable("too many people are logging in just now; try again in a second").with_code("login_busy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_with_todays_costs_and_its_own_salt() {
        let password = SecretString::from("correct horse");
        let first = hash(&password, &[1; 32]).unwrap();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(hash(&password, &[2; 32]).unwrap(), first);
        assert_eq!(verify(&password, &first).unwrap(), Verdict { matches: true, outdated: false });
        assert!(!verify(&"Correct horse".into(), &first).unwrap().matches);
    }

    #[test]
    fn a_hash_with_other_costs_still_verifies_and_is_outdated() {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let old = cheap.hash_password_with_salt(b"correct horse", &[1; 16]).unwrap().to_string();
        assert_eq!(verify(&"correct horse".into(), &old).unwrap(), Verdict { matches: true, outdated: true });
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_anybodys() {
        assert_eq!(verify(&"anything".into(), NOBODY).unwrap(), Verdict { matches: false, outdated: false });
    }

    #[tokio::test]
    async fn who_would_wait_behind_a_long_queue_is_sent_away() {
        let passwords = Passwords::new(2);
        let held = passwords.turn().await.unwrap();
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.turn().await.map(drop) })
            })
            .collect();
        while passwords.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let error = passwords.turn().await.unwrap_err();
        assert_eq!((error.code(), error.retry_after()), ("login_busy", Some(Duration::from_secs(1))));
        drop(held);
        for waiter in waiting {
            waiter.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let passwords = Passwords { patience: Duration::from_millis(1), ..Passwords::new(1) };
        let _held = passwords.turn().await.unwrap();
        assert_eq!(passwords.turn().await.unwrap_err().code(), "login_busy");
    }
}
