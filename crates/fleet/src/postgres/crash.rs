//! Ending a server as a crash of all its processes would: nothing is said to clients, nothing is written out.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Kills `postmaster` and every process that works in `cluster`.
///
/// The postmaster goes first, so that it starts no more of them. Where there is no `/proc` the others are left to notice
/// by themselves that it is gone; a new server waits for that.
///
/// # Errors
/// When one of them does not end.
pub(super) async fn kill(postmaster: &mut Child, cluster: &Path) -> Result<()> {
    postmaster.kill().await?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let left = working_in(cluster);
        if left.is_empty() {
            return Ok(());
        }
        for pid in &left {
            // One that has ended meanwhile is as good as killed.
            let _gone = kill_process(*pid, Signal::KILL);
        }
        if Instant::now() > deadline {
            bail!("processes of PostgreSQL do not end: {left:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The processes whose working directory is `cluster`, as that of each of PostgreSQL's is.
pub(super) fn working_in(cluster: &Path) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_cluster =
        processes.filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == cluster));
    of_cluster.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
}
