//! What a launcher that was killed left behind in a cluster: a server that still runs, or the
//! `postmaster.pid` of one that does not. The caller holds the data directory's lock, so a server
//! found running there belongs to nobody.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Stops a server that still runs on `cluster` and removes a `postmaster.pid` without a server.
///
/// # Errors
/// When a running server does not stop in time.
pub(super) async fn clear(cluster: &Path) -> Result<()> {
    let path = cluster.join("postmaster.pid");
    let content = match fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if let Some(pid) = pid(&content).filter(|pid| runs_on(*pid, cluster)) {
        stop(pid, cluster).await?;
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn stop(pid: Pid, cluster: &Path) -> Result<()> {
    tracing::info!(pid = pid.as_raw_nonzero().get(), "stopping a PostgreSQL left by an earlier run");
    // SIGINT is PostgreSQL's fast shutdown: sessions are ended, data is written out.
    kill_process(pid, Signal::INT).context("cannot stop the PostgreSQL left by an earlier run")?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while runs_on(pid, cluster) {
        if Instant::now() > deadline {
            bail!("PostgreSQL (process {pid}) of an earlier run does not stop: end it and try again");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The process id in the text of `postmaster.pid`; its first line.
fn pid(content: &str) -> Option<Pid> {
    Pid::from_raw(content.lines().next()?.trim().parse().ok()?)
}

/// Whether `pid` is a server on `cluster`, and not another process that was given a used number.
fn runs_on(pid: Pid, cluster: &Path) -> bool {
    test_kill_process(pid).is_ok() && command_line(pid).contains(&cluster.display().to_string())
}

fn command_line(pid: Pid) -> String {
    let raw = pid.as_raw_nonzero().get();
    fs::read(format!("/proc/{raw}/cmdline")).map_or_else(
        |_no_proc| {
            let listing = Command::new("ps").args(["-o", "command=", "-p", &raw.to_string()]).output();
            listing.map(|listing| String::from_utf8_lossy(&listing.stdout).into_owned()).unwrap_or_default()
        },
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pid_file_naming_an_unrelated_process_is_removed_and_the_process_left_alone() {
        let cluster = tempfile::tempdir().unwrap();
        let file = cluster.path().join("postmaster.pid");
        fs::write(&file, format!("{}\n/elsewhere\n", std::process::id())).unwrap();
        clear(cluster.path()).await.unwrap();
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn damaged_pid_file_is_removed() {
        let cluster = tempfile::tempdir().unwrap();
        let file = cluster.path().join("postmaster.pid");
        fs::write(&file, "not a number").unwrap();
        clear(cluster.path()).await.unwrap();
        assert!(!file.exists());
    }
}
