//! Apache Kafka as one process on this machine (broker and controller in one, without `ZooKeeper`), from the jars that
//! `scripts/kafka.sh` fetches: its settings, the formatting of its storage and the command that runs it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::net::Port;

mod secured;

pub use secured::{MECHANISM, PASSWORD, Secured, USERNAME};

/// Names the folder with the jars; without it, `.kafka` here or in a folder above.
const HOME: &str = "CAREEROS_KAFKA_HOME";
const FOLDER: &str = ".kafka";
/// Of the one node; Kafka wants 16 bytes in base64.
const CLUSTER: &str = "Y2FyZWVyb3MtbG9jYWwtMQ";
const HEAP: &str = "-Xmx512m";
/// A broker that was killed is let in again when its old session is over: by Kafka's default after 9 s.
const SESSION_TIMEOUT_MS: u32 = 2_000;
const HEARTBEAT_MS: u32 = 250;

/// Writes the settings of a broker on `port` into `directory` and formats its storage, unless it is there. Where it also
/// listens with TLS and passwords.
///
/// # Errors
/// When Kafka or Java is missing, or the storage cannot be formatted.
pub(crate) async fn prepare(directory: &Path, port: u16) -> Result<Secured> {
    // The controller's port is for the broker itself.
    let controller = Port::Any.number("Apache Kafka's controller").await?;
    let secured = Port::Any.number("Apache Kafka's listener with TLS").await?;
    let secured = Secured::prepare(directory, secured).await?;
    fs::write(settings(directory), properties(directory, port, controller, &secured)?)?;
    fs::write(directory.join("log4j2.yaml"), LOGGING)?;
    let output = Command::new("java")
        .args(options(directory)?)
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", CLUSTER, "--config"])
        .arg(settings(directory))
        .args(Secured::user())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run java: run ./scripts/kafka.sh")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("Apache Kafka's storage cannot be formatted ({}): {}", output.status, said.trim());
    }
    Ok(secured)
}

/// The program and the arguments of a server on `directory`.
///
/// # Errors
/// When Kafka is missing.
pub(crate) fn server(directory: &Path) -> Result<(PathBuf, Vec<OsString>)> {
    let mut arguments = options(directory)?;
    arguments.extend(["kafka.Kafka".into(), settings(directory).into_os_string()]);
    Ok(("java".into(), arguments))
}

fn options(directory: &Path) -> Result<Vec<OsString>> {
    let jars = jars()?;
    let mut logging = OsString::from("-Dlog4j2.configurationFile=");
    logging.push(directory.join("log4j2.yaml"));
    // The serial collector and one compiler tier leave a small machine to what is tested.
    let machine = [HEAP, "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];
    let mut options: Vec<OsString> = machine.into_iter().map(Into::into).collect();
    options.extend([logging, "-cp".into(), jars.join("*").into_os_string()]);
    Ok(options)
}

fn settings(directory: &Path) -> PathBuf {
    directory.join("server.properties")
}

/// The folder with Kafka's jars.
fn jars() -> Result<PathBuf> {
    let home = if let Some(home) = env::var_os(HOME) {
        PathBuf::from(home)
    } else {
        let here = env::current_dir()?;
        let found = here.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir());
        found.context("Apache Kafka is not here: run ./scripts/kafka.sh")?
    };
    let jars = home.join("jars");
    if jars.is_dir() { Ok(jars) } else { bail!("Apache Kafka is not in {}: run ./scripts/kafka.sh", home.display()) }
}

fn properties(directory: &Path, port: u16, controller: u16, secured: &Secured) -> Result<String> {
    let logs = directory.join("records");
    let logs = logs.to_str().context("the data directory's path is not UTF-8")?;
    let (listener, advertised, properties) = (secured.listener(), secured.advertised(), secured.properties()?);
    Ok(format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},{listener},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},{advertised}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         {properties}\
         broker.session.timeout.ms={SESSION_TIMEOUT_MS}\n\
         broker.heartbeat.interval.ms={HEARTBEAT_MS}\n\
         log.dirs={logs}\n\
         log.retention.ms=-1\n\
         log.retention.bytes=-1\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         offsets.topic.num.partitions=8\n\
         transaction.state.log.num.partitions=1\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         log.cleaner.dedupe.buffer.size=16777216\n"
    ))
}

/// Log4j writes what matters to the process's output, which its starter keeps in a file.
const LOGGING: &str = "\
Configuration:
  status: warn
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: \"[%d] %p %m (%c)%n\"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        - ref: out
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_the_ports_and_keep_every_record() {
        let secured = Secured::new(Path::new("/data"), 9094);
        let text = properties(Path::new("/data"), 9092, 9093, &secured).unwrap();
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:9092,SECURED://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093",
            "advertised.listeners=PLAINTEXT://127.0.0.1:9092,SECURED://localhost:9094",
            "listener.name.secured.ssl.keystore.location=/data/keys.p12",
            "log.dirs=/data/records",
            "log.retention.ms=-1",
            "auto.create.topics.enable=false",
            "offsets.topic.replication.factor=1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
