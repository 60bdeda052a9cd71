//! `KAFKA_SECURITY_PROTOCOL` and what belongs to it: TLS and passwords, checked at start rather than found out about by a
//! broker that does not answer.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::{env::Reader, production};

/// Settings as librdkafka names them.
pub(crate) type Settings = Vec<(&'static str, SecretString)>;

const PROTOCOL: &str = "KAFKA_SECURITY_PROTOCOL";
const CA: &str = "KAFKA_SSL_CA_LOCATION";
/// Of what proves the service, with the setting's name.
const CREDENTIALS: [(&str, &str); 3] = [
    ("KAFKA_SASL_MECHANISM", "sasl.mechanism"),
    ("KAFKA_SASL_USERNAME", "sasl.username"),
    ("KAFKA_SASL_PASSWORD", "sasl.password"),
];
const MECHANISMS: [&str; 3] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];

/// How the connection to the broker is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Protocol {
    name: &'static str,
    tls: bool,
    sasl: bool,
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol { name: "PLAINTEXT", tls: false, sasl: false },
    Protocol { name: "SSL", tls: true, sasl: false },
    Protocol { name: "SASL_PLAINTEXT", tls: false, sasl: true },
    Protocol { name: "SASL_SSL", tls: true, sasl: true },
];

/// Reads the variables; a combination that cannot work is a problem with the variable that is wrong or missing.
pub(crate) fn read(reader: &mut Reader<'_>) -> Settings {
    let known = |text: &str| PROTOCOLS.into_iter().find(|protocol| protocol.name.eq_ignore_ascii_case(text));
    let protocol = reader.with(PROTOCOL, PROTOCOLS[0], "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", known);
    let mut settings = vec![("security.protocol", protocol.name.into())];
    settings.extend(credentials(reader, protocol));
    settings.extend(authority(reader, protocol));
    settings
}

fn credentials(reader: &mut Reader<'_>, protocol: Protocol) -> Settings {
    let mut settings = Settings::new();
    for (variable, setting) in CREDENTIALS {
        match reader.optional_secret(variable) {
            Some(value) if protocol.sasl => settings.push((setting, value)),
            // Whoever sets it believes that it protects something.
            Some(_) => reader.problem(variable, &format!("needs {PROTOCOL} SASL_SSL or SASL_PLAINTEXT")),
            None if protocol.sasl => {
                reader.problem(variable, &format!("is required with {PROTOCOL} {}", protocol.name));
            }
            None => {}
        }
    }
    let value = |name| settings.iter().find(|(setting, _)| *setting == name).map(|(_, value)| value.expose_secret());
    if value("sasl.mechanism").is_some_and(|mechanism| !MECHANISMS.contains(&mechanism)) {
        reader.problem("KAFKA_SASL_MECHANISM", &format!("must be {}", MECHANISMS.join(", ")));
    }
    if let Some(password) = value("sasl.password") {
        production::check_secret(reader, "KAFKA_SASL_PASSWORD", password, production::PASSWORD_MIN);
    }
    settings
}

/// Whose certificates are believed. librdkafka would look where OpenSSL was built to look, which a container does not have.
fn authority(reader: &mut Reader<'_>, protocol: Protocol) -> Settings {
    match reader.optional(CA) {
        Some(_) if !protocol.tls => {
            reader.problem(CA, &format!("needs {PROTOCOL} SSL or SASL_SSL"));
            Settings::new()
        }
        Some(path) if !Path::new(&path).exists() => {
            reader.problem(CA, "names a file that is not there: a CA's certificate as PEM, or a directory of such");
            Settings::new()
        }
        Some(path) => vec![("ssl.ca.location", path.into())],
        None if protocol.tls => vec![("ssl.ca.location", "probe".into())],
        None => Settings::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    /// What is made of the variables, with secrets shown; or the problems.
    fn settings(variables: &[(&str, &str)]) -> Result<String, String> {
        let env: Env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&env);
        let settings = read(&mut reader);
        let shown = settings.iter().map(|(name, value)| format!("{name}={}", value.expose_secret()));
        let shown = shown.collect::<Vec<_>>().join(" ");
        reader.finish().map(|()| shown).map_err(|problems| problems.to_string())
    }

    fn scram(protocol: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![
            (PROTOCOL, protocol),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("KAFKA_SASL_USERNAME", "lms"),
            ("KAFKA_SASL_PASSWORD", "of-lms"),
        ]
    }

    #[test]
    fn what_works_becomes_librdkafkas_settings() {
        assert_eq!(settings(&[]).unwrap(), "security.protocol=PLAINTEXT");
        assert_eq!(settings(&[(PROTOCOL, "ssl")]).unwrap(), "security.protocol=SSL ssl.ca.location=probe");
        let proved = "sasl.mechanism=SCRAM-SHA-512 sasl.username=lms sasl.password=of-lms";
        assert_eq!(settings(&scram("SASL_PLAINTEXT")).unwrap(), format!("security.protocol=SASL_PLAINTEXT {proved}"));
        let own = [scram("SASL_SSL"), vec![(CA, "/")]].concat();
        assert_eq!(settings(&own).unwrap(), format!("security.protocol=SASL_SSL {proved} ssl.ca.location=/"));
    }

    #[test]
    fn what_cannot_work_is_a_problem_with_a_variable() {
        let with = |more: (&'static str, &'static str)| [scram("SASL_SSL"), vec![more]].concat();
        for (variables, expected) in [
            (vec![(PROTOCOL, "TLS")], "KAFKA_SECURITY_PROTOCOL must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
            (vec![(PROTOCOL, "SASL_SSL")], "KAFKA_SASL_USERNAME is required with KAFKA_SECURITY_PROTOCOL SASL_SSL"),
            (scram("SASL_SSL")[..3].to_vec(), "KAFKA_SASL_PASSWORD is required"),
            (scram("SSL"), "KAFKA_SASL_PASSWORD needs KAFKA_SECURITY_PROTOCOL SASL_SSL"),
            (scram("SASL_SSL")[1..].to_vec(), "KAFKA_SASL_MECHANISM needs KAFKA_SECURITY_PROTOCOL"),
            (
                with(("KAFKA_SASL_MECHANISM", "GSSAPI")),
                "KAFKA_SASL_MECHANISM must be SCRAM-SHA-512, SCRAM-SHA-256, PLAIN",
            ),
            (with((CA, "/nowhere/ca.pem")), "KAFKA_SSL_CA_LOCATION names a file that is not there"),
            (vec![(CA, "/")], "KAFKA_SSL_CA_LOCATION needs KAFKA_SECURITY_PROTOCOL SSL or SASL_SSL"),
            (with(("APP_ENV", "production")), "KAFKA_SASL_PASSWORD has fewer than 12 characters"),
        ] {
            let told = settings(&variables).unwrap_err();
            assert!(told.contains(expected), "{expected} in {told}");
            assert!(!told.contains("of-lms"), "{told}");
        }
    }
}
