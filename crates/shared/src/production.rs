//! What production refuses although development allows it: secrets that somebody made up, and a database role that
//! row-level security does not bind.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{Connection, PgConnection};

use crate::env::Reader;

/// A secret of fewer characters that signs or admits can be guessed without anybody noticing.
pub const SECRET_MIN: usize = 32;
/// A password of fewer characters can be guessed even where the server counts the tries.
pub(crate) const PASSWORD_MIN: usize = 12;
/// A random secret has more different characters than this even where it is written in hexadecimal.
const DIFFERENT_MIN: usize = 8;
/// Words that a random secret does not contain by chance.
const WORDS: [&str; 8] = ["secret", "password", "change", "example", "careeros", "postgres", "develop", "testing"];
/// How long the database may take to say what the role may do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Notes that the secret of at least `min` characters in the variable `name` is not fit for production, where this is
/// production.
pub fn check_secret(reader: &mut Reader<'_>, name: &str, secret: &str, min: usize) {
    if reader.is_production()
        && let Some(problem) = secret_problem(secret, min)
    {
        reader.problem(name, &format!("{problem}; make one for production with  openssl rand -hex 32"));
    }
}

fn secret_problem(secret: &str, min: usize) -> Option<String> {
    let lower = secret.to_lowercase();
    if let Some(word) = WORDS.iter().find(|word| lower.contains(**word)) {
        return Some(format!("contains the word {word}"));
    }
    if secret.chars().count() < min {
        return Some(format!("has fewer than {min} characters"));
    }
    let different = secret.chars().collect::<BTreeSet<_>>().len();
    (different < DIFFERENT_MIN).then(|| "repeats a few characters".to_owned())
}

/// Why the role of the database at `url` is not one for a service. Nothing where the database does not answer: readiness
/// asks again.
pub(crate) async fn role_problem(url: &str) -> Option<String> {
    let asked = async {
        let mut connection = PgConnection::connect(url).await?;
        unbound(&mut connection).await
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?
}

/// Why row-level security does not bind the role that `connection` has.
///
/// # Errors
/// Where the database is away.
pub(crate) async fn unbound(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let (role, superuser, bypasses, owns): (String, bool, bool, bool) = sqlx::query_as(
        "select r.rolname::text, r.rolsuper, r.rolbypassrls,
                exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where n.nspname = 'public' and c.relkind = 'r' and pg_has_role(r.oid, c.relowner, 'usage'))
         from pg_roles r where r.rolname = current_user",
    )
    .fetch_one(connection)
    .await?;
    let reason = match (superuser, bypasses, owns) {
        (true, ..) => "is a superuser",
        (_, true, _) => "bypasses row-level security",
        (.., true) => "owns the tables",
        _ => return Ok(None),
    };
    Ok(Some(format!("names the role {role}, which {reason}: use the service's own role (docs/OPERATIONS.md)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_random_secrets_are_fit() {
        for secret in ["", "short", "a-secret-for-tests-only-and-long-enough", "00000000000000000000000000000000000"] {
            assert!(secret_problem(secret, SECRET_MIN).is_some(), "{secret}");
        }
        assert_eq!(secret_problem("4b1f0c9e7a6d52384b1f0c9e7a6d5238", SECRET_MIN), None);
        assert_eq!(secret_problem("q3Vx0bYJm6v1ZtN8sKfR2uWcE7yHgLpD", SECRET_MIN), None);
    }
}
