//! PostgreSQL's own load generator.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;
use tokio::process::Command;

use crate::fleet::Fleet;

/// A hundred thousand accounts a unit.
const SCALE: &str = "10";
const DATABASE: &str = "pgbench";

/// What pgbench has measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// Transactions a second.
    pub(super) rate: f64,
    /// In milliseconds.
    pub(super) latency: f64,
    /// Transactions that failed.
    pub(super) failed: u64,
}

impl Measured {
    fn parse(output: &str) -> Option<Self> {
        let number = |name: &str| {
            let value = output.lines().find_map(|line| line.trim().strip_prefix(name))?;
            value.split_whitespace().next()?.parse::<f64>().ok()
        };
        let failed = output.lines().find_map(|line| line.strip_prefix("number of failed transactions: "));
        let failed = failed.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Some(Self { rate: number("tps = ")?, latency: number("latency average = ")?, failed: failed.unwrap_or(0) })
    }
}

/// How long and with how many clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) seconds: u32,
    pub(super) clients: u32,
}

/// Selects of one row by its key, pgbench's own; the database for it is made here.
pub(super) async fn select_only(fleet: &Fleet, size: Size) -> Result<Measured> {
    let mut connection = fleet.connect("postgres").await?;
    sqlx::raw_sql(AssertSqlSafe(format!("create database {DATABASE}"))).execute(&mut connection).await?;
    let url = fleet.superuser_url(DATABASE);
    pgbench(fleet, &["--initialize", "--quiet", "--scale", SCALE, &url]).await?;
    run(fleet, &["--select-only"], &url, size).await
}

/// The transactions of a script, as whoever `url` names.
pub(super) async fn script(fleet: &Fleet, name: &str, script: &str, url: &str, size: Size) -> Result<Measured> {
    let path = fleet.directory().join(format!("{name}.pgbench"));
    std::fs::write(&path, script)?;
    let path = path.to_str().context("the directory for the data has an odd name")?;
    run(fleet, &["--file", path, "--define", "i=0"], url, size).await
}

async fn run(fleet: &Fleet, what: &[&str], url: &str, size: Size) -> Result<Measured> {
    let (seconds, clients) = (size.seconds.to_string(), size.clients.to_string());
    let how = ["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client", &clients, "--time", &seconds];
    let output = pgbench(fleet, &[&how[..], what, &[url]].concat()).await?;
    Measured::parse(&output).with_context(|| format!("pgbench has measured nothing: {output}"))
}

async fn pgbench(fleet: &Fleet, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(fleet.postgres_program("pgbench"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("cannot run pgbench: install PostgreSQL's own contrib package")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {}", complaints.chars().take(2000).collect::<String>());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_has_measured_is_read() {
        let output = "pgbench (15.14)\nnumber of transactions actually processed: 100\n\
            number of failed transactions: 3 (0.100%)\nlatency average = 1.593 ms\ninitial connection time = 9.1 ms\n\
            tps = 20083.25 (without initial connection time)\n";
        let expected = Measured { rate: 20_083.25, latency: 1.593, failed: 3 };
        assert_eq!(Measured::parse(output), Some(expected));
        assert_eq!(Measured::parse("pgbench (15.14)"), None);
    }
}
