//! Fills the eight databases by SQL on the server, in chunks, two databases at a time.
//!
//! The rows obey every constraint. Foreign keys are not looked up meanwhile, since the rows that they name are made by the
//! same rules, and commits do not wait for the disk; both are as in life again afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use anyhow::{Context as _, Result};
use careeros_auth::passwords::Passwords;
use careeros_fleet::{journey::PASSWORD, ui};
use careeros_shared::clock::Clock;
use chrono::SecondsFormat;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};

use super::population::Population;
use crate::fleet::Fleet;

const FUNCTIONS: &str = include_str!("fill/functions.sql");
/// The databases, those with the most to do first.
const DATABASES: [(&str, &str); 8] = [
    ("analytics", include_str!("fill/analytics.sql")),
    ("edu_tracker", include_str!("fill/edu_tracker.sql")),
    ("auth", include_str!("fill/auth.sql")),
    ("lms", include_str!("fill/lms.sql")),
    ("roadmap", include_str!("fill/roadmap.sql")),
    ("ai_core", include_str!("fill/ai_core.sql")),
    ("billing", include_str!("fill/billing.sql")),
    ("user_profile", include_str!("fill/user_profile.sql")),
];
/// Begins a statement's heading, which goes on `<what> for <unit>`.
const HEADING: &str = "-- fill ";
/// Units filled by one statement.
const CHUNK: i64 = 20_000;
/// Databases filled at a time.
const AT_A_TIME: usize = 2;
const TOLD: Duration = Duration::from_secs(10);

/// A statement that makes the rows of the units from `$1` to `$2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    what: &'static str,
    unit: &'static str,
    sql: &'static str,
}

/// How far it is.
#[derive(Debug)]
struct Progress {
    done: AtomicI64,
    total: i64,
    started: Instant,
    told: AtomicI64,
}

impl Progress {
    fn advance(&self, units: i64, what: &str) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        let turn = i64::try_from(self.started.elapsed().as_secs() / TOLD.as_secs()).unwrap_or(i64::MAX);
        if self.told.fetch_max(turn, Ordering::Relaxed) < turn {
            let seconds = self.started.elapsed().as_secs();
            ui::say(format_args!("  {:>3} % after {seconds} s, now {what}", done * 100 / self.total.max(1)));
        }
    }
}

/// Fills all tables, and leaves them as a server that has been running for a while has them: vacuumed and analysed.
pub(super) async fn fill(fleet: &Fleet, population: &Population) -> Result<()> {
    configure(fleet, "4", "1h").await?;
    let functions = functions(population).await?;
    let mut total = 0;
    for (_, sql) in DATABASES {
        for step in steps(sql)? {
            total += population.count(step.unit).context(step.unit)?;
        }
    }
    ui::say(format_args!("Filling the tables for {} users", population.users));
    let (done, told) = (AtomicI64::new(0), AtomicI64::new(0));
    let progress = Arc::new(Progress { done, total, told, started: Instant::now() });
    let mut queue = DATABASES.into_iter();
    let mut filling = JoinSet::new();
    loop {
        while filling.len() < AT_A_TIME
            && let Some((database, sql)) = queue.next()
        {
            let (mut connection, functions) = (fleet.connect(database).await?, functions.clone());
            let (population, progress) = (population.clone(), Arc::clone(&progress));
            filling.spawn(async move {
                let filled = fill_one(&mut connection, database, sql, &functions, &population, &progress).await;
                connection.close().await?;
                filled.context(database)
            });
        }
        match filling.join_next().await {
            Some(filled) => filled??,
            None => break,
        }
    }
    ui::say(format_args!("  filled after {} s", progress.started.elapsed().as_secs()));
    configure(fleet, "1", "5min").await
}

async fn fill_one(
    connection: &mut PgConnection,
    database: &'static str,
    sql: &'static str,
    functions: &str,
    population: &Population,
    progress: &Progress,
) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(functions.to_owned())).execute(&mut *connection).await?;
    sqlx::raw_sql(
        "set synchronous_commit = off; set session_replication_role = replica; set maintenance_work_mem = '512MB'",
    )
    .execute(&mut *connection)
    .await?;
    for Step { what, unit, sql } in steps(sql)? {
        let last = population.count(unit).context(unit)?;
        let mut first = 1;
        while first <= last {
            let end = (first + CHUNK - 1).min(last);
            sqlx::query(sql).bind(first).bind(end).execute(&mut *connection).await.context(what)?;
            progress.advance(end - first + 1, &format!("{database}: {what}"));
            first = end + 1;
        }
    }
    sqlx::raw_sql("vacuum (analyze)").execute(connection).await?;
    Ok(())
}

/// Sets how much may be written before PostgreSQL writes its tables out: filling would do so all the time.
async fn configure(fleet: &Fleet, gigabytes: &'static str, timeout: &'static str) -> Result<()> {
    let mut connection = fleet.connect("postgres").await?;
    for statement in [
        format!("alter system set max_wal_size = '{gigabytes}GB'"),
        format!("alter system set checkpoint_timeout = '{timeout}'"),
        "select pg_reload_conf()".to_owned(),
        "checkpoint".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    Ok(())
}

/// The functions that all fills use, for this population: everybody has [`PASSWORD`].
async fn functions(population: &Population) -> Result<String> {
    let passwords = Passwords::new(1);
    let turn = passwords.turn().await.context("no turn to hash a password")?;
    let hash = Passwords::hash(turn, &PASSWORD.into()).await.context("the password cannot be hashed")?;
    let now = Clock::system().now().to_rfc3339_opts(SecondsFormat::Secs, true);
    Ok(FUNCTIONS
        .replace("return :users", &format!("return {}", population.users))
        .replace("return :courses", &format!("return {}", population.courses()))
        .replace("return :events", &format!("return {}", population.events()))
        .replace(":now", &now)
        .replace(":password", &hash))
}

/// The statements of a file.
fn steps(sql: &'static str) -> Result<Vec<Step>> {
    let parts = sql.split(HEADING).skip(1);
    let step = |part: &'static str| {
        let (heading, sql) = part.split_once('\n').context("a heading without a statement")?;
        let (what, unit) = heading.rsplit_once(" for ").context("a heading without a unit")?;
        Ok(Step { what, unit, sql })
    };
    parts.map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_a_unit_that_there_is() {
        let population = Population::new(100, 1);
        for (database, sql) in DATABASES {
            let steps = steps(sql).unwrap();
            assert!(!steps.is_empty(), "{database}");
            for Step { what, unit, sql } in steps {
                assert!(population.count(unit).is_some(), "{database}: {what} for {unit}");
                assert!(sql.contains("$1") && sql.contains("$2"), "{database}: {what}");
            }
        }
    }

    #[tokio::test]
    async fn nothing_of_the_functions_is_left_open() {
        let functions = functions(&Population::new(100, 1)).await.unwrap();
        for open in [":users", ":courses", ":events", ":now", ":password"] {
            assert!(!functions.contains(open), "{open}");
        }
    }
}
