//! Load on one path, and whether everything is right meanwhile and afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result};
use careeros_fleet::ui;
use tokio::sync::watch;

use super::{
    Arguments,
    checker::{Checker, Found},
    load::{Load, Loaded, Requests},
    path::Path,
    summary::OTHERS,
};
use crate::{
    drain::drained,
    fleet::{Fleet, Service},
    memory::{self, Memory},
    people::User,
    process,
    processor::{self, Spent},
    report::Report,
    servers::{self, Server},
};

/// The most that this machine answers by axum.
pub(super) async fn bare(arguments: &Arguments, report: &mut Report) -> Result<()> {
    ui::say("Measuring a bare axum handler");
    let server = Server::start(servers::Kind::Bare).await?;
    let directory = tempfile::tempdir()?;
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned();
    let requests = Requests { firsts: vec![request], seconds: vec![String::new()] };
    let mut load = Load::new(&server.url, directory.path(), &requests, arguments.connections)?;
    load.run(arguments.warm_up).await?;
    let processes: Vec<_> = server.pid().map(|pid| ("the server", pid)).into_iter().collect();
    let before = spent(&processes);
    let loaded = load.run(arguments.seconds).await?;
    figures("bare axum", &loaded, processor::between(&before, spent(&processes)), report);
    Ok(())
}

/// A path under load, with all that has to be right meanwhile and afterwards; the memory at the end of the load.
pub(super) async fn path(
    fleet: &Fleet,
    path: Path,
    arguments: &Arguments,
    users: &[User],
    checkers: &[User],
    report: &mut Report,
) -> Result<Memory> {
    let url = fleet.url(Service::Gateway);
    let stored = counted(fleet, path).await?;
    let checker = Checker::new(path, url.clone(), checkers.to_vec()).await?;
    let (done, until) = watch::channel(false);
    let checking = tokio::spawn(checker.run(until));
    let mut load = Load::new(&url, fleet.directory(), &path.requests(users), arguments.connections)?;
    let warm_up = load.run(arguments.warm_up).await?;
    let before = spent(&fleet.processes());
    let loaded = load.run(arguments.seconds).await?;
    let spent = processor::between(&before, spent(&fleet.processes()));
    let memory = memory::all(fleet);
    done.send_replace(true);
    let found = checking.await?;
    let name = path.name();
    figures(name, &loaded, by_part(path, spent), report);
    report.check(format!("{name}: failed requests"), &0, &(warm_up.failed() + loaded.failed()));
    report.check(format!("{name}: wrong answers under load"), &"", &found.complaint());
    check_stored(fleet, path, stored, &[warm_up, loaded], &found, report).await?;
    Ok(memory)
}

/// The processor time so far of `processes` and of `wrk`.
fn spent(processes: &[(&'static str, u32)]) -> Spent {
    let mut spent = processor::now(processes);
    spent.extend(process::ended().map(|time| ("wrk", time)));
    spent
}

/// The same with the services that have no part in a path as one.
fn by_part(path: Path, spent: Spent) -> Spent {
    let is_other = |name: &str| {
        let takes_part = |service: &Service| *service == Service::Gateway || path.services().contains(service);
        Service::ALL.iter().any(|service| service.name() == name && !takes_part(service))
    };
    let (others, mut parts): (Spent, Spent) = spent.into_iter().partition(|(name, _)| is_other(name));
    if !others.is_empty() {
        parts.push((OTHERS, others.into_iter().map(|(_, time)| time).sum::<Duration>()));
    }
    parts
}

fn figures(name: &str, loaded: &Loaded, spent: Spent, report: &mut Report) {
    report.figure(format!("{name}: answers"), loaded.rate(), "requests/s");
    loaded.times().figures(&format!("{name}: time to an answer"), report);
    for (process, time) in spent {
        let each = processor::each(time, loaded.good());
        report.figure(format!("{name}: processor time of {process}"), each, "µs/request");
    }
}

/// What a path has stored so far: rows, and events on the topic.
async fn counted(fleet: &Fleet, path: Path) -> Result<Option<(u64, u64)>> {
    let (Some(stored), Some(database)) = (path.stored(), path.database()) else { return Ok(None) };
    drained(fleet).await?;
    let rows: i64 = sqlx::query_scalar(stored.count).fetch_one(&mut fleet.connect(database).await?).await?;
    let ends = fleet.topics()?.ends([stored.topic]).await?;
    Ok(Some((rows.unsigned_abs(), ends.count())))
}

/// Everything that was answered is stored, once, whole, and with its event.
async fn check_stored(
    fleet: &Fleet,
    path: Path,
    before: Option<(u64, u64)>,
    runs: &[Loaded],
    found: &Found,
    report: &mut Report,
) -> Result<()> {
    let (Some(stored), Some(database), Some(before)) = (path.stored(), path.database(), before) else { return Ok(()) };
    let after = counted(fleet, path).await?.context("nothing is counted")?;
    let (rows, events) = (after.0 - before.0, after.1 - before.1);
    // The last requests of a run are not waited for: they may be stored or not.
    let least = found.right + runs.iter().map(Loaded::good).sum::<u64>();
    let most = found.right + runs.iter().map(|run| run.sent).sum::<u64>();
    let name = path.name();
    report.check(format!("{name}: stored (answered {least}, sent {most})"), &rows.clamp(least, most), &rows);
    report.check(format!("{name}: events on the topic"), &rows, &events);
    let mut connection = fleet.connect(database).await?;
    for (what, one, other) in stored.equal {
        let expected: Option<i64> = sqlx::query_scalar(*one).fetch_one(&mut connection).await?;
        let found: Option<i64> = sqlx::query_scalar(*other).fetch_one(&mut connection).await?;
        report.check(format!("{name}: {what}"), &expected.unwrap_or_default(), &found.unwrap_or_default());
    }
    Ok(())
}
