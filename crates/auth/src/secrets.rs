//! What the service derives from its shared secret, and the opaque tokens that it hands out.
//!
//! Derivation is HKDF (RFC 5869) with HMAC-SHA256: one extraction from the configured secret, then one keyed hash for each
//! purpose, whose parts are prefixed by their lengths so that no two inputs read alike.
//!
//! While the configured secret is being changed there are two roots: the first makes what is new, and what either has made
//! is recognised, so that a request repeated meanwhile gets its first answer from whichever process it reaches.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use careeros_shared::service_secret::ServiceSecret;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The block of SHA-256 in bytes: how long a key of HMAC is once padded.
const BLOCK: usize = 64;
/// The extraction's salt.
const SALT: &[u8] = b"careeros-auth/1";

/// The roots that everything is derived from.
#[derive(Debug, Clone)]
pub struct Secrets {
    current: Root,
    other: Option<Root>,
}

impl Secrets {
    /// Extracts the roots from the secret that all services share.
    pub fn new(shared: &ServiceSecret) -> Self {
        Self { current: Root::new(shared.current()), other: shared.all().nth(1).map(Root::new) }
    }

    /// The root of what is new.
    pub fn current(&self) -> &Root {
        &self.current
    }

    /// All roots, the current one first.
    pub fn roots(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.current).chain(&self.other)
    }

    /// What makes the secrets of an answer, from each root, the current one first: random, or with an idempotency key a
    /// function of the key and of `proof`, which only who asks again can repeat. So a repeated request gets the same answer
    /// and nothing secret is stored for it.
    pub fn makers(&self, idempotency_key: Option<&str>, proof: &str) -> Vec<Maker> {
        let seed = |root: &Root| match idempotency_key {
            Some(key) => root.derive("seed", &[key.as_bytes(), proof.as_bytes()]),
            None => random(),
        };
        self.roots().map(|root| Maker { root: root.clone(), seed: seed(root) }).collect()
    }
}

/// One of the roots.
#[derive(Clone)]
pub struct Root([u8; BLOCK]);

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root(…)")
    }
}

impl Root {
    fn new(secret: &SecretString) -> Self {
        Self(padded(&mac(&padded(SALT), &[secret.expose_secret().as_bytes()])))
    }

    /// 256 bits that only a holder of the root can tell for `purpose` and `parts`.
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let lengths: Vec<_> = parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
        let purpose_length = (purpose.len() as u64).to_be_bytes();
        let mut message: Vec<&[u8]> = vec![&purpose_length, purpose.as_bytes()];
        for (length, part) in lengths.iter().zip(parts) {
            message.extend([length.as_slice(), part]);
        }
        mac(&self.0, &message)
    }

    /// The refresh token that follows `spent`. With an idempotency key it is a function of both, so that a lost answer can
    /// be made again.
    pub fn successor(&self, spent: &Opaque, idempotency_key: Option<&str>) -> Opaque {
        Opaque(match idempotency_key {
            Some(key) => self.derive("successor", &[&spent.0, key.as_bytes()]),
            None => random(),
        })
    }
}

/// Makes the secrets of one answer.
pub struct Maker {
    root: Root,
    seed: [u8; 32],
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker(…)")
    }
}

impl Maker {
    /// The root that it derives from.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The token for the row `id`.
    pub fn token(&self, id: uuid::Uuid) -> Opaque {
        Opaque(self.root.derive("token", &[&self.seed, id.as_bytes()]))
    }

    /// Stands for `text` in the fingerprint of a request, and says by which root the answer was made. A bare hash of a
    /// password would be guessed from a copy of the database, this one only with the root.
    pub fn veil(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.root.derive("veil", &[text.as_bytes()]))
    }
}

/// A token that means nothing but to whoever keeps its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque([u8; 32]);

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opaque(…)")
    }
}

impl Opaque {
    /// Reads what [`Opaque::reveal`] wrote; `None` where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The token as its holder gets it: 43 characters of base64url.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is stored of it: SHA-256 in hex.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// 256 bits of the operating system's randomness, by way of its seeded generator.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn mac(key: &[u8; BLOCK], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new(key.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A key of HMAC as RFC 2104 pads it.
fn padded(key: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SECRET: &str = "a-secret-for-tests-only";

    fn secrets(text: &str) -> Secrets {
        Secrets::new(&careeros_shared::testing::service_secret(text))
    }

    fn root() -> Root {
        secrets(SECRET).current().clone()
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_keyed_hash_is_hmac_sha256() {
        let tag = mac(&padded(b"Jefe"), &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn without_a_key_every_token_is_another() {
        let (root, spent) = (root(), Opaque(random()));
        assert_ne!(root.successor(&spent, None), root.successor(&spent, None));
        let token = || secrets(SECRET).makers(None, "password")[0].token(Uuid::nil());
        assert_ne!(token(), token());
    }

    #[test]
    fn a_first_token_depends_on_key_proof_row_and_secret() {
        let id = Uuid::from_u128(1);
        let token = |secret, key, proof, id| secrets(secret).makers(Some(key), proof)[0].token(id);
        let first = token(SECRET, "k", "p", id);
        assert_eq!(token(SECRET, "k", "p", id), first);
        for different in [
            token(SECRET, "k2", "p", id),
            token(SECRET, "k", "p2", id),
            token(SECRET, "k", "p", Uuid::from_u128(2)),
            token("another-secret-for-tests", "k", "p", id),
        ] {
            assert_ne!(different, first);
        }
    }

    #[test]
    fn of_two_secrets_each_makes_what_it_made_alone_and_the_first_what_is_new() {
        let makers = |secret| secrets(secret).makers(Some("k"), "p");
        let tokens =
            |secret| -> Vec<_> { makers(secret).iter().map(|maker| maker.token(Uuid::nil()).reveal()).collect() };
        let (old, new) = (tokens(SECRET), tokens("another-secret-for-tests"));
        assert_eq!(tokens("another-secret-for-tests,a-secret-for-tests-only"), [new, old].concat());
        assert_ne!(makers(SECRET)[0].veil("x"), makers("another-secret-for-tests")[0].veil("x"));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let text = format!("{:?} {:?} {:?}", root(), secrets(SECRET).makers(None, ""), Opaque([65; 32]));
        assert_eq!(text, "Root(…) [Maker(…)] Opaque(…)");
    }

    proptest! {
        #[test]
        fn a_token_survives_being_written(bytes in any::<[u8; 32]>()) {
            let token = Opaque(bytes);
            prop_assert_eq!(token.reveal().len(), 43);
            prop_assert_eq!(Opaque::parse(&token.reveal()), Some(token.clone()));
            prop_assert!(!token.hash().contains(&token.reveal()));
        }

        #[test]
        fn anything_else_is_no_token(text in "\\PC{0,60}") {
            if let Some(token) = Opaque::parse(&text) {
                prop_assert_eq!(token.reveal(), text);
            }
        }

        #[test]
        fn a_successor_is_a_function_of_token_and_key(
            a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), k in "[ -~]{1,20}", l in "[ -~]{1,20}"
        ) {
            let root = root();
            let of = |token, key: &str| root.successor(&Opaque(token), Some(key));
            prop_assert_eq!(of(a, &k), of(a, &k));
            prop_assert_eq!(of(a, &k) == of(b, &l), (a, &k) == (b, &l));
        }

        #[test]
        fn parts_cannot_be_shifted_into_each_other(a in "[ -~]{1,10}", b in "[ -~]{1,10}") {
            let root = root();
            let joined = format!("{a}{b}");
            prop_assert_ne!(
                root.derive("p", &[a.as_bytes(), b.as_bytes()]),
                root.derive("p", &[joined.as_bytes(), b""])
            );
        }
    }
}
