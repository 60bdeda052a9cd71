//! Certificates: proof that a course was completed, which whoever knows its verification code can look up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use careeros_shared::{
    Result,
    db::Db,
    error::{Error, OrNotFound},
    id,
    proto::lms::GetCertificateResponse,
};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// The length of a verification code: 128 bits in base64url (RFC 4648 section 5) without padding.
const CODE_LENGTH: usize = 22;

/// A certificate as it is issued where a lesson turns out to be the last one.
#[derive(Debug, Clone)]
pub struct New {
    pub(crate) id: Uuid,
    pub(crate) verification_code: String,
}

impl New {
    /// A certificate whose code holds `random`, which nobody must be able to guess.
    pub fn at(now: DateTime<Utc>, random: [u8; 16]) -> Self {
        Self { id: id::new(now), verification_code: URL_SAFE_NO_PAD.encode(random) }
    }
}

/// The certificate with `verification_code`: what for and since when, not whose, which its holder says.
///
/// # Errors
/// 404 where there is none.
pub async fn get(db: &Db, verification_code: &str) -> Result<GetCertificateResponse> {
    if !is_code(verification_code) {
        return Err(Error::not_found("certificate"));
    }
    // The code alone gives the right to see the certificate, whichever tenant it belongs to.
    let mut tx = db.begin_system().await?;
    let certificate = sqlx::query!(
        "select certificates.id, course_id, title, issued_at
         from certificates join courses on courses.id = certificates.course_id
         where verification_code = $1",
        verification_code,
    )
    .fetch_optional(&mut *tx)
    .await?
    .or_not_found("certificate")?;
    Ok(GetCertificateResponse {
        certificate_id: certificate.id.to_string(),
        course_id: certificate.course_id.to_string(),
        course_title: certificate.title,
        issued_at: certificate.issued_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        verification_code: verification_code.to_owned(),
    })
}

fn is_code(text: &str) -> bool {
    text.len() == CODE_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_holds_all_of_its_randomness_and_fits_a_path(random: [u8; 16]) {
            let code = New::at(DateTime::UNIX_EPOCH, random).verification_code;
            prop_assert!(is_code(&code));
            prop_assert_eq!(URL_SAFE_NO_PAD.decode(&code).unwrap(), random);
        }
    }
}
