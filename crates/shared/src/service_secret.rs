//! What services prove themselves to each other by: one secret, or two while it is being changed.
//!
//! The first is sent and makes what is new, both are accepted. Whoever sends the old one is understood by whoever has it
//! at all, so `old` → `old,new` → `new,old` → `new` can be rolled out step by step without a refused call: neighbouring
//! steps always accept what the other sends.

use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use crate::{env::Reader, production};

const NAME: &str = "SERVICE_SHARED_SECRET";
/// The shortest secret in characters; production asks for more.
const MIN: usize = 16;

/// `SERVICE_SHARED_SECRET`.
#[derive(Debug, Clone)]
pub struct ServiceSecret {
    current: SecretString,
    other: Option<SecretString>,
}

impl ServiceSecret {
    /// Reads the variable, which has to be set.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let text = reader.required(NAME, "16 or more visible ASCII characters, the same in every service");
        let Some(secret) = Self::parse(&text) else {
            if !text.is_empty() {
                let expects = "must be one secret or two, comma-separated, each of 16 or more visible ASCII characters";
                reader.problem(NAME, expects);
            }
            return Self { current: SecretString::default(), other: None };
        };
        let name = if secret.other.is_some() { "SERVICE_SHARED_SECRET: one of them" } else { NAME };
        for each in secret.all() {
            production::check_secret(reader, name, each.expose_secret(), production::SECRET_MIN);
        }
        secret
    }

    /// Reads one secret, or two with a comma between; `None` where one of them is not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let fit = |secret: &&str| secret.len() >= MIN && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let mut secrets = text.split(',').map(str::trim);
        let current = secrets.next().filter(fit)?.into();
        let other = match secrets.next() {
            Some(other) => Some(Some(other).filter(fit)?.into()),
            None => None,
        };
        secrets.next().is_none().then_some(Self { current, other })
    }

    /// The one that is sent and makes what is new.
    pub fn current(&self) -> &SecretString {
        &self.current
    }

    /// Those that are accepted, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.current).chain(&self.other)
    }

    /// Whether `sent` is one of them. The time it takes does not tell which, or how much of it was right.
    pub(crate) fn accepts(&self, sent: &[u8]) -> bool {
        let matches = |secret: &SecretString| sent.ct_eq(secret.expose_secret().as_bytes());
        self.all().map(matches).fold(Choice::from(0), |any, one| any | one).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    const OLD: &str = "the-old-one-of-two";
    const NEW: &str = "the-new-one-of-two";

    fn parse(text: &str) -> ServiceSecret {
        ServiceSecret::parse(text).unwrap()
    }

    fn problems(variables: &[(&str, &str)]) -> String {
        let env: Env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&env);
        ServiceSecret::read(&mut reader);
        reader.finish().map_or_else(|problems| problems.to_string(), |()| String::new())
    }

    #[test]
    fn one_or_two_secrets_are_read_and_the_first_is_current() {
        let secrets = |text| -> Vec<_> { parse(text).all().map(|s| s.expose_secret().to_owned()).collect() };
        assert_eq!(secrets(OLD), [OLD]);
        assert_eq!(secrets("the-new-one-of-two, the-old-one-of-two"), [NEW, OLD]);
        assert_eq!(parse("the-new-one-of-two,the-old-one-of-two").current().expose_secret(), NEW);
    }

    #[test]
    fn each_has_to_be_fit() {
        for text in ["", "too-short", "with spaces in the middle", "fünfzehn-und-mehr", ",", "the-old-one-of-two,"] {
            assert!(ServiceSecret::parse(text).is_none(), "{text}");
        }
        for second in ["short", "the-new-one-of-two,one-more-than-there-may-be"] {
            assert!(ServiceSecret::parse(&format!("{OLD},{second}")).is_none(), "{second}");
        }
    }

    #[test]
    fn both_are_accepted_and_nothing_else() {
        let secret = parse("the-new-one-of-two,the-old-one-of-two");
        for (sent, accepted) in [(OLD, true), (NEW, true), ("", false), ("the-old-one-of-tw", false), ("x", false)] {
            assert_eq!(secret.accepts(sent.as_bytes()), accepted, "{sent}");
        }
        assert!(!secret.accepts(b"the-new-one-of-two,the-old-one-of-two"));
        assert!(!parse(OLD).accepts(NEW.as_bytes()));
    }

    #[test]
    fn each_step_of_a_rotation_accepts_what_its_neighbours_send() {
        let steps = [OLD, "the-old-one-of-two,the-new-one-of-two", "the-new-one-of-two,the-old-one-of-two", NEW];
        for neighbours in steps.windows(2) {
            for (from, to) in [(0, 1), (1, 0)] {
                let (from, to) = (parse(neighbours[from]), parse(neighbours[to]));
                assert!(to.accepts(from.current().expose_secret().as_bytes()), "{neighbours:?}");
            }
        }
    }

    #[test]
    fn problems_name_the_variable_and_show_no_secret() {
        assert!(problems(&[]).contains("SERVICE_SHARED_SECRET is required: 16 or more"));
        let text = problems(&[(NAME, "the-old-one-of-two,short")]);
        assert!(text.contains("SERVICE_SHARED_SECRET must be one secret or two"), "{text}");
        assert!(!text.contains("the-old") && !text.contains("short,"), "{text}");
    }

    #[test]
    fn production_asks_more_of_each() {
        const FIT: &str = "4b1f0c9e7a6d52384b1f0c9e7a6d5238";
        let told = |secret: &str| problems(&[("APP_ENV", "production"), (NAME, secret)]);
        assert_eq!(told(FIT), "");
        assert_eq!(told(&format!("{FIT},8325d6a7e9c0f1b48325d6a7e9c0f1b4")), "");
        for secret in [format!("{FIT},{OLD}"), format!("{OLD},{FIT}")] {
            assert!(
                told(&secret).contains("SERVICE_SHARED_SECRET: one of them has fewer than 32"),
                "{}",
                told(&secret)
            );
        }
    }
}
