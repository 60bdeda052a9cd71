//! A server that stands still: its connections stay open and nothing answers.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::crash::working_in;

/// Stops `postmaster` and every process that works in `cluster` where it stands (SIGSTOP).
///
/// The postmaster goes first, so that it starts no more of them. Does nothing where there is no `/proc`.
pub(super) fn pause(postmaster: &Child, cluster: &Path) {
    if let Some(pid) = postmaster.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        let _gone = kill_process(pid, Signal::STOP);
    }
    let mut stopped = BTreeSet::new();
    loop {
        let found: Vec<_> =
            working_in(cluster).into_iter().filter(|pid| stopped.insert(pid.as_raw_nonzero())).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _gone = kill_process(pid, Signal::STOP);
        }
    }
}

/// Lets them go on (SIGCONT).
pub(super) fn resume(cluster: &Path) {
    for pid in working_in(cluster) {
        let _gone = kill_process(pid, Signal::CONT);
    }
}
