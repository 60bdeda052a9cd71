//! The signature of a webhook: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`.
//!
//! It is checked before anything of the body is read. There may be several `v1`, as a provider sends them while it changes
//! its secret; other schemes are passed over.

use careeros_shared::{Result, error::Error};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How many seconds the time of a signature may be away from ours; afterwards a recorded webhook cannot be sent again.
const TOLERANCE: u64 = 300;
/// More `v1` than any provider sends.
const SIGNATURES_MAX: usize = 8;

/// Checks that `header` signs `body` with one of `secrets`, about `now`.
///
/// # Errors
/// 401 otherwise, with the reason.
pub fn verify(secrets: &[SecretString], header: &str, body: &[u8], now: DateTime<Utc>) -> Result<()> {
    if secrets.is_empty() {
        return Err(Error::unauthenticated("webhooks are not configured here: BILLING_WEBHOOK_SECRETS is not set"));
    }
    if header.is_empty() {
        return Err(Error::unauthenticated("the header CareerOS-Signature is missing"));
    }
    let Signed { time, seconds, signatures } = parse(header).ok_or_else(|| {
        Error::unauthenticated("the header CareerOS-Signature is not of the form t=<unix seconds>,v1=<hex>")
    })?;
    if seconds.abs_diff(now.timestamp()) > TOLERANCE {
        return Err(Error::unauthenticated("the signature's time is more than 300 seconds away from ours"));
    }
    let genuine = secrets.iter().any(|secret| {
        signatures
            .iter()
            .any(|signature| mac(secret, time, body).is_some_and(|mac| mac.verify_slice(signature).is_ok()))
    });
    if genuine { Ok(()) } else { Err(Error::unauthenticated("the signature does not match the body")) }
}

/// What the header says.
struct Signed<'a> {
    /// The time as it was written, because that is what was signed.
    time: &'a str,
    seconds: i64,
    signatures: Vec<Vec<u8>>,
}

fn parse(header: &str) -> Option<Signed<'_>> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("t", value) if time.is_none() => time = Some(value),
            ("v1", value) if signatures.len() < SIGNATURES_MAX => signatures.push(hex::decode(value).ok()?),
            ("t" | "v1", _) => return None,
            _ => {}
        }
    }
    let time = time.filter(|time| time.bytes().all(|b| b.is_ascii_digit()))?;
    let seconds = time.parse().ok()?;
    (!signatures.is_empty()).then_some(Signed { time, seconds, signatures })
}

/// The MAC to compare with, which it does in constant time.
fn mac(secret: &SecretString, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_767_700_800;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn v1(secret: &str, time: &str, body: &[u8]) -> String {
        hex::encode(mac(&secret.into(), time, body).unwrap().finalize().into_bytes())
    }

    fn check(secrets: &[&str], header: &str, now: i64) -> Result<()> {
        let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        verify(&secrets, header, b"{}", at(now))
    }

    #[test]
    fn a_known_signature_is_accepted() {
        // printf '1767700800.{}' | openssl dgst -sha256 -hmac whsec_test
        let known = "f6025632db39026346a1217227161c918ab80fbba0a2d85054afd2b516f6808a";
        assert_eq!(v1("whsec_test", "1767700800", b"{}"), known);
        assert!(check(&["whsec_test"], &format!("t={T},v1={known}"), T).is_ok());
    }

    #[test]
    fn every_way_to_be_wrong_is_refused() {
        let good = v1("s", &T.to_string(), b"{}");
        let refused = [
            (String::new(), "missing"),
            (format!("v1={good}"), "no time"),
            (format!("t={T}"), "no signature"),
            (format!("t={T},t={T},v1={good}"), "two times"),
            (format!("t=+{T},v1={good}"), "a time with a sign"),
            ("t=99999999999999999999,v1=00".to_owned(), "a time beyond all numbers"),
            (format!("t={},v1={good}", T + 1), "another time than the signed one"),
            (format!("t={T},v1={}", &good[..62]), "a cut signature"),
            (format!("t={T},v1=zz"), "no hex"),
            (format!("t={T},v0={good}"), "another scheme"),
            (format!("t={T},v1={}", v1("s", &T.to_string(), b"{ }")), "another body's"),
            (format!("t={T},v1={}", v1("x", &T.to_string(), b"{}")), "another secret's"),
            (format!("t={T},{}", vec![format!("v1={good}"); 9].join(",")), "too many"),
        ];
        for (header, why) in refused {
            assert!(check(&["s"], &header, T).is_err(), "{why}");
        }
        assert!(check(&[], &format!("t={T},v1={good}"), T).is_err(), "no secret is set");
    }

    #[test]
    fn the_time_may_differ_by_300_seconds_either_way() {
        let header = format!("t={T},v1={}", v1("s", &T.to_string(), b"{}"));
        for (away, ok) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            assert_eq!(check(&["s"], &header, T + away).is_ok(), ok, "{away}");
        }
    }

    #[test]
    fn one_of_several_signatures_by_one_of_two_secrets_is_enough() {
        let (old, new) = (v1("old", &T.to_string(), b"{}"), v1("new", &T.to_string(), b"{}"));
        for secrets in [&["old"][..], &["new"], &["new", "old"]] {
            assert!(check(secrets, &format!("t={T}, v1={old}, v1={new}"), T).is_ok(), "{secrets:?}");
        }
        assert!(check(&["third", "old"], &format!("t={T},v1={old}"), T).is_ok());
    }
}
