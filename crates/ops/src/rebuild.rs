//! Makes a consumer group's projection anew from the beginning of its topics, while its service keeps serving and applying.
//!
//! The events are applied by the service's own handler to tables of their own, in the schema `rebuild` ([`shadow`],
//! [`feed`]). When these have caught up, the group's consumers are held for a moment, the last events are applied, and one
//! transaction puts the new rows in the place of the old ones ([`swap`]). Until it commits, nothing of the live tables has
//! changed; whoever reads them sees the old rows or the new ones.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use careeros_shared::{clock::Clock, consumer::Handler, projection::Projection};
use clap::ValueEnum;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, migrate::Migrator, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, Partition},
    output::{Table, count, say, thousands},
    settings::Settings,
};

mod feed;
mod shadow;
mod swap;

pub use feed::Failed;
pub use swap::Replaced;

/// The advisory lock's key, held by one rebuild of a database at a time: "rebuild" in ASCII.
const LOCK: i64 = 0x72_6562_7569_6c64;
/// Failed records that are shown.
const FAILED_SHOWN: usize = 20;

/// The groups whose projections can be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are the services' names")]
pub enum Group {
    #[value(name = careeros_edu_tracker::events::GROUP)]
    EduTracker,
    #[value(name = careeros_analytics::events::GROUP)]
    Analytics,
    #[value(name = careeros_billing::usage::GROUP)]
    Billing,
    #[value(name = careeros_roadmap::ai_updates::GROUP)]
    Roadmap,
}

/// How it is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Compares, and replaces nothing.
    pub dry_run: bool,
    /// Goes on where events that the live tables contain can no longer be applied.
    pub skip_failed: bool,
}

/// What is rebuilt, of what and by what.
#[derive(Debug)]
pub struct Task<H> {
    /// Where the events are.
    pub broker: Broker,
    /// The database, as the owner of its tables.
    pub owner: PgConnectOptions,
    /// What the group keeps.
    pub projection: Projection,
    /// The service's migrations.
    pub migrations: &'static Migrator,
    /// The service's handler.
    pub handler: H,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The group.
    pub group: &'static str,
    /// Whether nothing was replaced.
    pub dry_run: bool,
    /// Records read.
    pub records: u64,
    /// Records that repeat another one's event.
    pub duplicates: u64,
    /// How long all of it took, in milliseconds.
    pub millis: u128,
    /// How long the group's consumers were held, in milliseconds.
    pub held_millis: u128,
    /// The tables.
    pub tables: Vec<Replaced>,
    /// Records that the handler refuses.
    pub failed: Vec<Failed>,
}

impl Group {
    /// Rebuilds the group's projection with the databases and the broker of `settings`.
    ///
    /// # Errors
    /// Where a setting is missing, and those of [`Task::run`].
    pub async fn rebuild(self, settings: &Settings, options: Options, stop: &CancellationToken) -> Result<Report> {
        match self {
            Self::EduTracker => {
                let handler = careeros_edu_tracker::events::Tracker { clock: Clock::system() };
                let (projection, migrations) =
                    (careeros_edu_tracker::events::PROJECTION, &careeros_edu_tracker::MIGRATIONS);
                task(settings, projection, migrations, handler, "EDU_TRACKER_MIGRATION_DATABASE_URL")?
                    .run(options, stop)
                    .await
            }
            Self::Analytics => {
                let handler = careeros_analytics::events::Projections;
                let (projection, migrations) =
                    (careeros_analytics::events::PROJECTION, &careeros_analytics::MIGRATIONS);
                task(settings, projection, migrations, handler, "ANALYTICS_MIGRATION_DATABASE_URL")?
                    .run(options, stop)
                    .await
            }
            Self::Billing => {
                let handler = careeros_billing::usage::Usage;
                let (projection, migrations) = (careeros_billing::usage::PROJECTION, &careeros_billing::MIGRATIONS);
                task(settings, projection, migrations, handler, "BILLING_MIGRATION_DATABASE_URL")?
                    .run(options, stop)
                    .await
            }
            Self::Roadmap => {
                let handler = careeros_roadmap::ai_updates::AiUpdates;
                let (projection, migrations) =
                    (careeros_roadmap::ai_updates::PROJECTION, &careeros_roadmap::MIGRATIONS);
                task(settings, projection, migrations, handler, "ROADMAP_MIGRATION_DATABASE_URL")?
                    .run(options, stop)
                    .await
            }
        }
    }
}

fn task<H: Handler>(
    settings: &Settings,
    projection: Projection,
    migrations: &'static Migrator,
    handler: H,
    variable: &'static str,
) -> Result<Task<H>> {
    let owner = settings.owned_database(variable)?;
    Ok(Task { broker: Broker::new(settings.kafka()?), owner, projection, migrations, handler })
}

impl<H: Handler> Task<H> {
    /// Rebuilds, or compares only.
    ///
    /// # Errors
    /// One sentence saying what to do; the live tables are then as they were.
    pub async fn run(&self, options: Options, stop: &CancellationToken) -> Result<Report> {
        let started = Instant::now();
        let partitions = self.broker.partitions(self.projection.topics).await?;
        refuse_expired(&partitions)?;
        let mut session = shadow::connect(&self.owner).await?;
        let alone: bool =
            sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut session).await?;
        if !alone {
            bail!("another rebuild of this database is running: wait for its end");
        }
        let worked = tokio::select! {
            worked = self.work(&mut session, &partitions, options) => worked,
            () = stop.cancelled() => {
                bail!("stopped: the live tables are as they were; the next run removes what this one has made")
            }
        };
        let report = match worked {
            // Nothing may interrupt a commit: its outcome would not be known.
            Ok(report) => {
                let commit = execute(&mut session, "commit").await;
                commit.context("it is not known whether the swap was committed: compare by --dry-run")?;
                report
            }
            Err(error) => {
                drop(execute(&mut session, "rollback").await);
                drop(shadow::remove(&mut session).await);
                return Err(error.context("the live tables are as they were"));
            }
        };
        shadow::remove(&mut session).await.context("it is done, but the schema rebuild is left: drop it by hand")?;
        drop(session.close().await);
        Ok(Report { millis: started.elapsed().as_millis(), ..report })
    }

    /// All up to the commit, which is left to do.
    async fn work(&self, session: &mut PgConnection, partitions: &[Partition], options: Options) -> Result<Report> {
        let db = shadow::create(session, self).await?;
        let mut feed = feed::Feed::open(self, db, partitions)?;
        feed.catch_up().await?;
        execute(session, "begin; set local app.tenant_id = '*'").await?;
        let (tables, held) = if options.dry_run {
            feed.refuse_losses(session, options.skip_failed).await?;
            (swap::compare(session, &self.projection).await?, Duration::ZERO)
        } else {
            swap::lock(session, &self.projection).await?;
            let held = Instant::now();
            feed.drain_to_now().await?;
            feed.refuse_losses(session, options.skip_failed).await?;
            (swap::replace(session, &self.projection, &feed.failed_ids()).await?, held.elapsed())
        };
        Ok(Report {
            group: self.projection.group,
            dry_run: options.dry_run,
            records: feed.records,
            duplicates: feed.duplicates,
            millis: 0,
            held_millis: held.as_millis(),
            tables,
            failed: feed.failed,
        })
    }
}

/// Refuses where the first records of a partition are gone: what they brought would be lost.
fn refuse_expired(partitions: &[Partition]) -> Result<()> {
    let expired: Vec<_> = partitions
        .iter()
        .filter(|partition| partition.low > 0)
        .map(|Partition { topic, number, low, .. }| format!("{topic}/{number} begins at {}", thousands(*low)))
        .collect();
    if !expired.is_empty() {
        bail!(
            "records have expired, and a rebuild would lose what they brought: {}; set retention.ms of the topics to -1 so \
             that no more expire, and restore the database from a backup instead",
            expired.join(", ")
        );
    }
    if partitions.is_empty() {
        say("None of the topics exists yet.");
    }
    Ok(())
}

/// Runs a statement made of names that the code or the database's catalog holds.
async fn execute(session: &mut PgConnection, sql: &str) -> Result<u64> {
    let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await;
    Ok(result.with_context(|| format!("PostgreSQL refuses: {sql}"))?.rows_affected())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(u64::try_from(self.millis).unwrap_or(u64::MAX)).as_secs_f64();
        let records = format!("{} records, {} of them repeated", thousands(self.records), thousands(self.duplicates));
        if self.dry_run {
            writeln!(f, "{} would be rebuilt from {records}. Nothing was changed.", self.group)?;
        } else {
            let held = self.held_millis;
            writeln!(
                f,
                "{} is rebuilt from {records}, in {seconds:.1} s; consumers were held for {held} ms.",
                self.group
            )?;
        }
        let mut tables = Table::new(&["table", "rows before", "rows after", "difference"]);
        for Replaced { table, before, after } in &self.tables {
            tables.row([
                (*table).to_owned(),
                thousands(*before),
                thousands(*after),
                thousands(i128::from(*after) - i128::from(*before)),
            ]);
        }
        write!(f, "\n{tables}")?;
        if !self.failed.is_empty() {
            let failed = count(self.failed.len(), "record");
            writeln!(f, "\n{failed} could not be applied (careeros-ops dlq list has those that consumers met):")?;
            let mut table = Table::new(&["record", "error"]);
            for Failed { place, error, .. } in self.failed.iter().take(FAILED_SHOWN) {
                table.row([place.to_string(), error.clone()]);
            }
            write!(f, "{table}")?;
            let more = self.failed.len().saturating_sub(FAILED_SHOWN);
            if more > 0 {
                writeln!(f, "and {} more; --json lists all", count(more, "record"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_records_are_refused_by_name() {
        let partition = |number, low| Partition { topic: "t".to_owned(), number, low, high: 2000 };
        assert!(refuse_expired(&[partition(0, 0), partition(1, 0)]).is_ok());
        let error = refuse_expired(&[partition(0, 0), partition(1, 1500)]).unwrap_err().to_string();
        assert!(error.contains("t/1 begins at 1,500") && !error.contains("t/0"), "{error}");
    }

    #[test]
    fn every_group_of_the_contract_can_be_rebuilt() {
        let names: Vec<_> = Group::value_variants()
            .iter()
            .map(|group| group.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        assert_eq!(names, crate::lag::GROUPS.map(|projection| projection.group));
    }
}
