//! A cluster (PostgreSQL's word for a data directory), the programs that fit it, and the account they
//! run as.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::account::Account;
use super::binaries::Binaries;
use super::{Options, SUPERUSER};

/// The cluster of a data directory.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    directory: PathBuf,
    binaries: Binaries,
    account: Option<Account>,
}

impl Cluster {
    /// Finds the cluster of the launcher's data directory `data`, and programs that fit it.
    pub(super) fn of(data: &Path) -> Result<Self> {
        let account = Account::required()?;
        let directory = match &account {
            Some(account) => account.cluster(data)?,
            None => data.join("postgres"),
        };
        let binaries = Binaries::find(&directory, major(&directory)?)?;
        Ok(Self { directory, binaries, account })
    }

    /// Where its data is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Creates the cluster unless it is there. It is made beside its place and moved there when it is
    /// complete, so that an interrupted start leaves nothing half-made behind.
    pub(super) async fn ensure(&self, password: &SecretString, durable: bool) -> Result<()> {
        if major(&self.directory)?.is_some() {
            return Ok(());
        }
        let draft = self.directory.with_extension("new");
        remove(&draft)?;
        DirBuilder::new().mode(0o700).create(&draft)?;
        let mut password_file = NamedTempFile::new()?;
        password_file.write_all(password.expose_secret().as_bytes())?;
        if let Some(account) = &self.account {
            account.own(&draft)?;
            account.own(password_file.path())?;
        }
        let mut command = self.command("initdb", &draft);
        command.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"]);
        command.args(["--locale", if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" }]);
        command.arg("--pwfile").arg(password_file.path());
        if !durable {
            command.arg("--no-sync");
        }
        let output = command.kill_on_drop(true).output().await.context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        remove(&self.directory)?;
        fs::rename(&draft, &self.directory).context("cannot move the new cluster to its place")
    }

    /// Starts a server on it.
    pub(super) fn serve(&self, port: u16, options: Options) -> Result<Child> {
        let log = File::create(self.log()).context("cannot write PostgreSQL's log")?;
        let settings = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("port", &port.to_string()),
            ("max_connections", &options.max_connections.to_string()),
            // The one thing that only a crash of the machine needs: what a killed server has written, the system keeps. Its
            // commits have to be written before they are told, and a page that it was killed in the middle of mended.
            ("fsync", if options.durable { "on" } else { "off" }),
        ];
        let mut command = self.command("postgres", &self.directory);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // Its own process group: Ctrl-C on the terminal reaches this process, which ends PostgreSQL
        // after everything that uses it.
        command.process_group(0).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot run postgres")
    }

    /// The path of a program of the installation.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.binaries.program(name)
    }

    /// The server's log; beside the cluster rather than in it, where this process may write whoever
    /// the server runs as.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn command(&self, program: &str, directory: &Path) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        command.arg("-D").arg(directory).current_dir(directory).stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some(account) = &self.account {
            account.run(&mut command);
        }
        command
    }
}

/// The major version of the cluster in `directory`, or none where there is no complete one.
fn major(directory: &Path) -> Result<Option<u32>> {
    let file = directory.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(version) => {
            let version = version.trim().parse();
            version.map(Some).with_context(|| format!("{} is not a version", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
