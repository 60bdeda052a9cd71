//! A second listener of Apache Kafka that takes nobody without TLS and a password, for tests of that: its certificate,
//! which is its own authority, its settings and its one user.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// The user.
pub const USERNAME: &str = "careeros";
/// The user's password.
pub const PASSWORD: &str = "of-a-broker-for-tests";
/// How the user is proved.
pub const MECHANISM: &str = "SCRAM-SHA-512";
/// What the certificate is for.
const HOST: &str = "localhost";
/// Of the file that only this broker reads.
const STORE_PASSWORD: &str = "of-a-store-for-tests";

/// Where the listener is and what believes it.
#[derive(Clone, Debug)]
pub struct Secured {
    port: u16,
    directory: PathBuf,
}

impl Secured {
    pub(super) fn new(directory: &Path, port: u16) -> Self {
        Self { port, directory: directory.to_owned() }
    }

    /// Makes the certificate in `directory`, unless it is there, for a listener on `port`.
    ///
    /// # Errors
    /// When Java's keytool is missing or fails.
    pub(super) async fn prepare(directory: &Path, port: u16) -> Result<Self> {
        let secured = Self::new(directory, port);
        if !secured.authority().exists() {
            let subject = ["-genkeypair", "-alias", HOST, "-dname", "CN=localhost", "-keyalg", "EC", "-validity", "30"];
            let extensions = ["-ext", "san=dns:localhost", "-ext", "bc:c"];
            secured.keytool(&[&subject[..], &extensions].concat()).await?;
            let file = secured.authority();
            let file = file.to_str().context("the data directory's path is not UTF-8")?;
            secured.keytool(&["-exportcert", "-alias", HOST, "-rfc", "-file", file]).await?;
        }
        Ok(secured)
    }

    /// What clients take as `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// The certificate that clients have to believe, as PEM.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// The listener for the broker's setting `listeners`.
    pub(super) fn listener(&self) -> String {
        format!("SECURED://127.0.0.1:{}", self.port)
    }

    /// As clients are told.
    pub(super) fn advertised(&self) -> String {
        format!("SECURED://{HOST}:{}", self.port)
    }

    /// The listener's further settings.
    pub(super) fn properties(&self) -> Result<String> {
        let store = self.store();
        let store = store.to_str().context("the data directory's path is not UTF-8")?;
        Ok(format!(
            "listener.name.secured.sasl.enabled.mechanisms={MECHANISM}\n\
             listener.name.secured.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.secured.ssl.keystore.type=PKCS12\n\
             listener.name.secured.ssl.keystore.location={store}\n\
             listener.name.secured.ssl.keystore.password={STORE_PASSWORD}\n\
             listener.name.secured.ssl.key.password={STORE_PASSWORD}\n"
        ))
    }

    /// What makes the user when the broker's storage is formatted.
    pub(super) fn user() -> [OsString; 2] {
        ["--add-scram".into(), format!("{MECHANISM}=[name={USERNAME},password={PASSWORD}]").into()]
    }

    fn store(&self) -> PathBuf {
        self.directory.join("keys.p12")
    }

    async fn keytool(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("keytool")
            .args(arguments)
            .args(["-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-keystore"])
            .arg(self.store())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run Java's keytool: run ./scripts/kafka.sh")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            bail!("Apache Kafka's certificate cannot be made ({}): {}", output.status, said.trim());
        }
        Ok(())
    }
}
