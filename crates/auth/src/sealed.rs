//! What must be in the database and not readable from a copy of it: sealed with ChaCha20-Poly1305.

use careeros_shared::{Result, error::Error};
use chacha20poly1305::{
    ChaCha20Poly1305, Nonce,
    aead::{Aead, KeyInit, Payload},
};

use crate::secrets::random;

/// A nonce of 12 bytes and a ciphertext.
pub type Sealed = Vec<u8>;

const NONCE: usize = 12;

/// Seals and opens.
#[derive(Clone)]
pub struct Seal(ChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Seals with `key`.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// Seals `plain` for the row `label`, so that it opens as no other row's.
    ///
    /// # Errors
    /// 500 where it cannot be sealed.
    pub fn close(&self, plain: &[u8], label: &str) -> Result<Sealed> {
        let mut nonce = [0; NONCE];
        // A few keys a year under one sealing key: random nonces do not meet.
        nonce.copy_from_slice(&random()[..NONCE]);
        let payload = Payload { msg: plain, aad: label.as_bytes() };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::internal(anyhow::anyhow!("a secret cannot be sealed")))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed for the row `label`; `None` where it was sealed with another key, for another row, or changed.
    pub fn open(&self, sealed: &Sealed, label: &str) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>()?;
        self.0.decrypt(&Nonce::from(*nonce), Payload { msg: ciphertext, aad: label.as_bytes() }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_row_open_what_is_unchanged() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.close(b"private", "row").unwrap();
        assert_eq!(seal.open(&sealed, "row").as_deref(), Some(b"private".as_slice()));
        assert!(!sealed.windows(7).any(|window| window == b"private"));
        assert_eq!(Seal::new(&[2; 32]).open(&sealed, "row"), None);
        assert_eq!(seal.open(&sealed, "another"), None);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(seal.open(&changed, "row"), None, "byte {position}");
        }
        assert_eq!(seal.open(&vec![0; 5], "row"), None);
    }
}
