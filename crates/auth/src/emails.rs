//! E-mail addresses, in the one spelling by which accounts are found.

use std::fmt;

use careeros_shared::{Result, error::Error};

/// The longest address in characters (RFC 5321, section 4.5.3.1.3, less the angle brackets).
const MAX: usize = 254;
/// The longest part before the `@` (RFC 5321, section 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// The longest label of a domain (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;
/// What may stand in a local part besides letters, digits and single dots (`atext` of RFC 5322, section 3.2.3).
const ATOM: &str = "!#$%&'*+-/=?^_`{|}~";

/// An address, trimmed and in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads the address in the field `email`.
    ///
    /// Quoted local parts and address literals are refused although RFC 5322 has them: nobody's mailbox is named so, and
    /// they are where spellings of one mailbox multiply. An internationalised domain is given in its ASCII form.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn parse(text: &str) -> Result<Self> {
        let email = text.trim().to_ascii_lowercase();
        if email.len() > MAX {
            return Err(Error::invalid("email", format!("must have {MAX} characters or fewer")));
        }
        let well_formed = email.split_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
        if well_formed {
            Ok(Self(email))
        } else {
            Err(Error::invalid("email", "must be an e-mail address such as ada@example.com"))
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    /// Addresses are personal data and stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

fn is_local(local: &str) -> bool {
    let atom = |atom: &str| !atom.is_empty() && atom.chars().all(|c| c.is_ascii_alphanumeric() || ATOM.contains(c));
    local.len() <= LOCAL_MAX && local.split('.').all(atom)
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A top-level domain has no digits alone, which tells a name from an IPv4 address.
    let top = domain.rsplit('.').next().unwrap_or_default();
    domain.contains('.') && domain.split('.').all(label) && top.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        assert_eq!(Email::parse(" Ada.Lovelace+Work@Example.COM\n").unwrap().as_str(), "ada.lovelace+work@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@{}.com", "a".repeat(64), "b.".repeat(100));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@@example.com",
            "ada@exa mple.com",
            "a b@example.com",
            ".ada@example.com",
            "ada.@example.com",
            "a..b@example.com",
            "ada@-example.com",
            "ada@example-.com",
            "ada@.com",
            "ada@example.",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "\"a b\"@example.com",
            "ada@example.com,b@x.com",
            "ädä@example.com",
            "ada@exämple.com",
            "a\0b@example.com",
            "ada\r\n@example.com",
            &long,
            &format!("{}@example.com", "a".repeat(65)),
            &format!("a@{}.com", "b".repeat(64)),
        ] {
            assert_eq!(Email::parse(text).unwrap_err().fields()[0].field, "email", "{text:?}");
        }
    }

    #[test]
    fn the_log_does_not_show_it() {
        assert!(!format!("{:?}", Email::parse("ada@example.com").unwrap()).contains("ada"));
    }

    proptest! {
        #[test]
        fn reading_it_again_changes_nothing(text in "[ ]{0,2}[A-Za-z0-9+]{1,8}(\\.[a-z]{1,4})?@[A-Za-z0-9]{1,8}\\.[A-Za-z]{2,4}[ ]{0,2}") {
            let once = Email::parse(&text).unwrap();
            prop_assert_eq!(&Email::parse(once.as_str()).unwrap(), &once);
            prop_assert_eq!(Email::parse(&text.to_ascii_uppercase()).unwrap(), once);
        }

        #[test]
        fn whatever_is_accepted_can_be_stored(text in "\\PC{0,40}@?\\PC{0,40}") {
            if let Ok(email) = Email::parse(&text) {
                let email = email.as_str();
                prop_assert!(email.is_ascii() && (3..=254).contains(&email.len()));
                prop_assert_eq!(email, email.to_lowercase());
            }
        }
    }
}
