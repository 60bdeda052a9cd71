//! What the fleet costs that has nothing to do: processor time and memory of every process.

use std::time::{Duration, Instant};

use anyhow::Result;
use careeros_fleet::{databases, ui};

use crate::{fleet::Fleet, memory, processor, report::Report};

/// Until what the last work has left behind is done, such as lingering fetches.
const SETTLE: Duration = Duration::from_secs(5);

/// Lets `time` pass and measures what it took.
pub(super) async fn measure(fleet: &Fleet, time: Duration, report: &mut Report) -> Result<()> {
    // What PostgreSQL would do within minutes because of the work before belongs to that work.
    for database in databases::NAMES {
        sqlx::raw_sql("vacuum analyze").execute(&mut fleet.connect(database).await?).await?;
    }
    sqlx::raw_sql("checkpoint").execute(&mut fleet.connect("postgres").await?).await?;
    tokio::time::sleep(SETTLE).await;
    let (started, before) = (Instant::now(), processor::now(&fleet.processes()));
    tokio::time::sleep(time).await;
    let (took, after) = (started.elapsed(), processor::now(&fleet.processes()));
    if after.is_empty() {
        ui::say("This system does not tell processor time and memory by /proc");
        return Ok(());
    }
    let share = |spent: Duration| 100.0 * spent.as_secs_f64() / took.as_secs_f64();
    let spent = processor::between(&before, after);
    let total = spent.iter().map(|(_, time)| *time).sum();
    for (name, time) in spent {
        report.figure(format!("idle: processor time of {name}"), share(time), "% of one");
    }
    report.figure("idle: processor time of all", share(total), "% of one");
    memory::figures("idle", memory::all(fleet), report);
    Ok(())
}
