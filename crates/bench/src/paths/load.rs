//! Load by `wrk`: as many requests as are answered, over a fixed number of connections.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::{report::rate, times::Times};

const SCRIPT: &str = include_str!("load.lua");
/// Separates the parts of requests in a file; it is in no request.
const SEPARATOR: &str = "\u{1e}";
/// What the script's line begins with.
const MARK: &str = "careeros-bench ";
/// After this an answer counts as missing, in seconds.
const TIMEOUT: &str = "5s";

/// Requests as they go over the wire: number `i` is `firsts[i % firsts.len()]` and then
/// `seconds[i / firsts.len() % seconds.len()]`.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) firsts: Vec<String>,
    pub(super) seconds: Vec<String>,
}

/// What `wrk` has measured.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
pub(super) struct Loaded {
    /// Requests sent, of which the last were not waited for.
    pub(super) sent: u64,
    /// Requests answered, whatever the answer.
    pub(super) answered: u64,
    microseconds: u64,
    p50: f64,
    p99: f64,
    max: f64,
    /// Answers with a status of 400 or more.
    refused: u64,
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
}

impl Loaded {
    fn parse(output: &str) -> Result<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix(MARK));
        let line = line.with_context(|| format!("wrk has measured nothing: {output}"))?;
        serde_json::from_str(line).with_context(|| format!("wrk says {line}"))
    }

    /// Requests that were answered as they should be.
    pub(super) fn good(&self) -> u64 {
        self.answered.saturating_sub(self.refused)
    }

    /// Requests that were refused or got no answer.
    pub(super) fn failed(&self) -> u64 {
        self.refused + self.connect + self.read + self.write + self.timeout
    }

    /// Good answers a second.
    pub(super) fn rate(&self) -> f64 {
        rate(self.good(), Duration::from_micros(self.microseconds.max(1)))
    }

    /// The times to an answer.
    pub(super) fn times(&self) -> Times {
        let [p50, p99, max] = [self.p50, self.p99, self.max].map(|microseconds| microseconds / 1e3);
        Times { p50, p99, max }
    }
}

/// A server under load.
#[derive(Debug)]
pub(super) struct Load<'a> {
    url: &'a str,
    directory: &'a Path,
    connections: u32,
    sent: u64,
}

impl<'a> Load<'a> {
    /// Prepares to send `requests` to the server at `url`; `directory` is for files.
    pub(super) fn new(url: &'a str, directory: &'a Path, requests: &Requests, connections: u32) -> Result<Self> {
        fs::write(directory.join("load.lua"), SCRIPT)?;
        fs::write(directory.join("firsts"), requests.firsts.join(SEPARATOR))?;
        fs::write(directory.join("seconds"), requests.seconds.join(SEPARATOR))?;
        Ok(Self { url, directory, connections, sent: 0 })
    }

    /// Sends requests for so many seconds, following on those of the run before.
    pub(super) async fn run(&mut self, seconds: u32) -> Result<Loaded> {
        let mut command = Command::new("wrk");
        command.args(["--threads", "1", "--timeout", TIMEOUT, "--script", "load.lua"]);
        command.arg("--connections").arg(self.connections.to_string()).arg("--duration").arg(format!("{seconds}s"));
        command.arg(self.url).args(["--", "firsts", "seconds"]).arg(self.sent.to_string());
        command.current_dir(self.directory).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("cannot run wrk: install it, on Debian by  apt-get install wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {said}{}", String::from_utf8_lossy(&output.stderr));
        let loaded = Loaded::parse(&said)?;
        self.sent += loaded.sent;
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 8s test @ http://127.0.0.1:1\n  1 threads and 32 connections\nRequests/sec:  9.99\n\
        careeros-bench {\"sent\":2032,\"answered\":2000,\"microseconds\":500000,\"p50\":1500,\"p99\":9000,\"max\":12000,\
        \"refused\":2,\"connect\":0,\"read\":1,\"write\":0,\"timeout\":3}\n";

    #[test]
    fn what_wrk_has_measured_is_read() {
        let loaded = Loaded::parse(OUTPUT).unwrap();
        assert_eq!((loaded.good(), loaded.failed()), (1998, 6));
        assert_eq!(loaded.times(), Times { p50: 1.5, p99: 9.0, max: 12.0 });
        assert!((loaded.rate() - 3996.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_that_has_measured_nothing_is_an_error() {
        assert!(Loaded::parse("unable to connect to 127.0.0.1:1").unwrap_err().to_string().contains("unable"));
    }
}
