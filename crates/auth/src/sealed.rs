//! What must be in the database and not readable from a copy of it: sealed with ChaCha20-Poly1305, under the first of the
//! keys at hand, and opened with any.

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
pub struct Seal {
    current: ChaCha20Poly1305,
    others: Vec<ChaCha20Poly1305>,
}

/// What was sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// As it was.
    pub plain: Vec<u8>,
    /// Whether the key that it was sealed with is another than would be taken now.
    pub outdated: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("outdated", &self.outdated).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Seals with `key`, and opens with `others` too.
    pub fn new(key: &[u8; 32], others: &[[u8; 32]]) -> Self {
        let cipher = |key: &[u8; 32]| ChaCha20Poly1305::new(key.into());
        Self { current: cipher(key), others: others.iter().map(cipher).collect() }
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
        let sealed = self.current.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::internal(anyhow::anyhow!("a secret cannot be sealed")))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed for the row `label`; `None` where it was sealed with none of the keys, for another row, or changed.
    pub fn open(&self, sealed: &Sealed, label: &str) -> Option<Opened> {
        let (nonce, msg) = sealed.split_first_chunk::<NONCE>()?;
        let with = |cipher: &ChaCha20Poly1305| {
            cipher.decrypt(&Nonce::from(*nonce), Payload { msg, aad: label.as_bytes() }).ok()
        };
        let current = with(&self.current).map(|plain| Opened { plain, outdated: false });
        current.or_else(|| self.others.iter().find_map(with).map(|plain| Opened { plain, outdated: true }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_row_open_what_is_unchanged() {
        let seal = Seal::new(&[1; 32], &[]);
        let sealed = seal.close(b"private", "row").unwrap();
        assert_eq!(seal.open(&sealed, "row"), Some(Opened { plain: b"private".into(), outdated: false }));
        assert!(!sealed.windows(7).any(|window| window == b"private"));
        assert_eq!(Seal::new(&[2; 32], &[]).open(&sealed, "row"), None);
        assert_eq!(seal.open(&sealed, "another"), None);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(seal.open(&changed, "row"), None, "byte {position}");
        }
        assert_eq!(seal.open(&vec![0; 5], "row"), None);
    }

    #[test]
    fn a_key_that_was_replaced_opens_and_does_not_seal() {
        let (old, both) = (Seal::new(&[1; 32], &[]), Seal::new(&[2; 32], &[[1; 32]]));
        let sealed = old.close(b"private", "row").unwrap();
        assert_eq!(both.open(&sealed, "row"), Some(Opened { plain: b"private".into(), outdated: true }));
        assert_eq!(both.open(&sealed, "another"), None);
        let renewed = both.close(b"private", "row").unwrap();
        assert_eq!(both.open(&renewed, "row").map(|opened| opened.outdated), Some(false));
        assert_eq!(old.open(&renewed, "row"), None);
        assert!(!format!("{:?}", both.open(&sealed, "row")).contains("112"), "the first byte of what was sealed");
    }
}
