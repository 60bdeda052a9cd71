//! Yardsticks: what PostgreSQL does at the most, by pgbench with as many clients as the load has connections: with the
//! statements that each path has run for one request, and with pgbench's own. The services are down meanwhile, so that all of
//! the machine is PostgreSQL's and its client's.

use anyhow::{Result, ensure};
use careeros_fleet::ui;
use reqwest::StatusCode;

use super::{
    Arguments, courses,
    numbered::Kind,
    path::Path,
    pgbench,
    recording::{self, Statement},
    script,
};
use crate::{
    fleet::{Fleet, Service},
    people::User,
    report::Report,
};

/// What PostgreSQL has to do for one request of a path.
#[derive(Debug)]
pub(super) struct Yardstick {
    path: Path,
    service: Service,
    statements: Vec<Statement>,
    known: script::Known,
}

impl Yardstick {
    /// Records a request of `user`; none where the path asks nothing of PostgreSQL.
    pub(super) async fn record(fleet: &Fleet, path: Path, user: &User) -> Result<Option<Self>> {
        let (Some(service), Some(database)) = (path.services().first(), path.database()) else { return Ok(None) };
        let client = fleet.client()?;
        let marks = [user.id.to_string(), user.tenant_id.to_string()];
        let statements = recording::record(fleet, database, &marks, async |attempt| {
            let (method, request, body) = path.request(user, unused(attempt));
            let request = request.trim_start_matches("/v1");
            let (status, answer) = client.call(method.parse()?, &user.token, request, body.as_ref()).await?;
            ensure!(matches!(status, StatusCode::OK | StatusCode::CREATED), "{request}: {status} {answer}");
            Ok(())
        });
        let statements = statements.await?;
        let known = known(&statements, user);
        Ok(Some(Self { path, service: *service, statements, known }))
    }
}

/// A request number far from those of load and checker.
fn unused(attempt: u64) -> u64 {
    courses::ALL_LESSONS - 1 - attempt
}

/// PostgreSQL alone, with the statements of each path, and with pgbench's own.
pub(super) async fn measure(
    fleet: &Fleet,
    yardsticks: &[Yardstick],
    arguments: &Arguments,
    report: &mut Report,
) -> Result<()> {
    let (users, clients) = (arguments.users.into(), arguments.connections);
    let size = pgbench::Size { seconds: arguments.seconds, clients };
    ui::say("Measuring pgbench --select-only");
    let selects = pgbench::select_only(fleet, size).await?;
    report.figure("pgbench --select-only", selects.rate, "transactions/s");
    for Yardstick { path, service, statements, known } in yardsticks {
        let name = path.name();
        ui::say(format_args!("Measuring PostgreSQL with the statements of {name}"));
        prepare(fleet, *path, users).await?;
        let script = script::render(statements, known, users, clients);
        let measured = pgbench::script(fleet, name, &script, fleet.database_url(*service), size).await?;
        report.figure(format!("{name}: PostgreSQL alone"), measured.rate, "transactions/s");
        report.figure(format!("{name}: PostgreSQL alone, mean time"), measured.latency, "ms");
        report.check(format!("{name}: failed transactions of the yardstick"), &0, &measured.failed);
    }
    compare(report);
    Ok(())
}

/// How near each path comes to its yardsticks.
fn compare(report: &mut Report) {
    let mut shares = Vec::new();
    for path in Path::ALL {
        let name = path.name();
        let Some(rate) = report.value(&format!("{name}: answers")) else { continue };
        let alone = format!("{name}: PostgreSQL alone");
        let yardsticks = match path {
            Path::Health => vec!["bare axum: answers".to_owned()],
            Path::Profile => vec!["pgbench --select-only".to_owned(), alone],
            Path::Flow | Path::Roadmap | Path::Lesson => vec![alone],
        };
        for yardstick in yardsticks {
            if let Some(most) = report.value(&yardstick) {
                shares.push((format!("{name}: share of {yardstick}"), 100.0 * rate / most));
            }
        }
    }
    for (name, share) in shares {
        report.figure(name, share, "%");
    }
}

/// Rows that a path's statements need about the users of the yardstick.
async fn prepare(fleet: &Fleet, path: Path, users: usize) -> Result<()> {
    let numbers = 0..users as u64;
    match path {
        Path::Lesson => courses::enrol(fleet, numbers.map(|user| (Kind::User.id(user), Kind::Tenant.id(user)))).await,
        Path::Profile => {
            let (ids, tenants): (Vec<_>, Vec<_>) =
                numbers.map(|user| (Kind::User.id(user), Kind::Tenant.id(user))).unzip();
            let mut connection = fleet.connect("user_profile").await?;
            sqlx::query(
                "insert into profiles (id, user_id, tenant_id, full_name, title, location, bio, timezone, created_at,
                                       updated_at)
                 select gen_random_uuid(), u.id, u.tenant_id, full_name, title, location, bio, timezone, now(), now()
                 from unnest($1::uuid[], $2::uuid[]) u (id, tenant_id), (select * from profiles limit 1) p",
            )
            .bind(ids)
            .bind(tenants)
            .execute(&mut connection)
            .await?;
            Ok(())
        }
        Path::Health | Path::Flow | Path::Roadmap => Ok(()),
    }
}

/// What in a recording is of its user and of its request, and what stands for it.
fn known(statements: &[Statement], user: &User) -> script::Known {
    let mut known = vec![
        (user.id.to_string(), script::id(Kind::User, ":u")),
        (user.tenant_id.to_string(), script::id(Kind::Tenant, ":u")),
    ];
    let parameters = || statements.iter().flat_map(|statement| statement.parameters.iter().flatten());
    let (all, each) = (courses::ALL_LESSONS, courses::LESSONS);
    for (kind, number) in [(Kind::Lesson, format!(":k % {all}")), (Kind::Course, format!(":k % {all} / {each}"))] {
        let prefix = kind.prefix();
        let found = parameters().find_map(|text| Some(&text[text.find(&prefix)?..][..prefix.len() + 12]));
        known.extend(found.map(|id| (id.to_owned(), script::id(kind, &number))));
    }
    // Certificates are told apart by their codes too.
    let code = parameters().find_map(|text| {
        let (_, after) = text.split_once("verification_code")?;
        let from = after.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        from.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next()
    });
    known.extend(code.map(|code| (code.to_owned(), script::id(Kind::Made, ":n"))));
    known
}
