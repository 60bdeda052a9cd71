//! Rebuilds that cannot be done, and what they leave behind.

use std::collections::BTreeMap;

use careeros_ops::rebuild::{Options, Task};
use careeros_shared::{
    Error, Result,
    boot::Boot,
    consumer::Handler,
    db::Tx,
    events::{AiFlowExecuted, Envelope, Event},
    projection::Projection,
    testing::{TestDb, eventually},
};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Bench, Running, number,
    projections::{Case, Service, applied, billing, owner, rebuild, snapshot},
};

const EVENTS: u64 = 60;

/// Billing with events that it has applied, and with spoilt tables.
struct Scene {
    bench: Bench,
    db: TestDb,
    owner: PgConnectOptions,
    service: Running,
    spoilt: BTreeMap<&'static str, Vec<Value>>,
}

impl Scene {
    async fn start() -> Self {
        let (bench, case) = (Bench::start().await, billing());
        let db = TestDb::new(case.migrations).await;
        let owner = owner(&db).await;
        let service = bench.service(&db, case.run).await;
        for number in 0..EVENTS {
            bench.send_event(&(case.event)(number)).await;
        }
        applied(&db, EVENTS).await;
        sqlx::raw_sql(case.corrupt).execute(&db.admin).await.unwrap();
        let spoilt = snapshot(&db, &case.projection).await;
        Self { bench, db, owner, service, spoilt }
    }

    async fn is_untouched(&self) {
        assert_eq!(snapshot(&self.db, &billing().projection).await, self.spoilt);
    }

    async fn leaves_no_schema(&self) {
        assert_eq!(number(&self.db, "select count(*) from pg_namespace where nspname = 'rebuild'").await, 0);
    }

    async fn refuses<H: Handler + Clone>(&self, case: Case<H, fn(Boot) -> Service>) -> String {
        let error = rebuild(&self.bench, &self.owner, &case, Options::default()).await.unwrap_err();
        self.is_untouched().await;
        format!("{error:#}")
    }

    /// The consumer goes on, and a rebuild after all that works.
    async fn recovers(self) {
        let case = billing();
        self.bench.send_event(&(case.event)(EVENTS)).await;
        applied(&self.db, EVENTS + 1).await;
        let report = rebuild(&self.bench, &self.owner, &case, Options::default()).await.unwrap();
        assert_eq!((report.records, report.failed.len()), (EVENTS + 1, 0));
        assert_ne!(snapshot(&self.db, &case.projection).await, self.spoilt);
        self.leaves_no_schema().await;
        self.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_at_the_very_end_has_changed_nothing() {
    let scene = Scene::start().await;
    let projection = Projection { afterwards: &["select 1 / 0"], ..billing().projection };
    let message = scene.refuses(Case { projection, ..billing() }).await;
    assert!(message.contains("the live tables are as they were") && message.contains("division by zero"), "{message}");
    scene.leaves_no_schema().await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_stopped_or_killed_has_changed_nothing_and_the_next_one_cleans_up() {
    let scene = Scene::start().await;
    sqlx::raw_sql("create schema rebuild; create table rebuild.inbox (left_over int)")
        .execute(&mut PgConnection::connect_with(&scene.owner).await.unwrap())
        .await
        .unwrap();
    let case = billing();
    let task = Task {
        broker: scene.bench.ops.clone(),
        owner: scene.owner.clone(),
        projection: case.projection,
        migrations: case.migrations,
        handler: case.handler,
    };
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = task.run(Options::default(), &stop).await.unwrap_err().to_string();
    assert!(stopped.contains("stopped: the live tables are as they were"), "{stopped}");
    scene.is_untouched().await;
    let unlocked = "select count(*) from pg_locks where locktype = 'advisory' and granted
                    and database = (select oid from pg_database where datname = current_database())
                    and (classid::bigint << 32) + objid::bigint = x'72656275696c64'::bigint";
    eventually("the session has ended", async || number(&scene.db, unlocked).await == 0).await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_rebuild_runs_and_only_as_the_owner() {
    let scene = Scene::start().await;
    let mut other = PgConnection::connect_with(&scene.owner).await.unwrap();
    sqlx::query("select pg_advisory_lock(x'72656275696c64'::bigint)").execute(&mut other).await.unwrap();
    let message = scene.refuses(billing()).await;
    assert!(message.contains("another rebuild"), "{message}");
    other.close().await.unwrap();

    let service: PgConnectOptions = scene.db.url.parse().unwrap();
    let error = rebuild(&scene.bench, &service, &billing(), Options::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("careeros_test does not own the tables"), "{error:#}");
    scene.recovers().await;
}

/// Billing's handler with a fault: it refuses one execution.
#[derive(Clone)]
struct Faulty(Uuid);

impl Handler for Faulty {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        for event in events {
            if event.payload::<AiFlowExecuted>()?.execution_id == self.0 {
                return Err(Error::internal(anyhow::anyhow!("cannot count this one")));
            }
        }
        careeros_billing::usage::Usage.apply(tx, events).await
    }
}

fn faulty(execution_id: Uuid) -> Case<Faulty, fn(Boot) -> Service> {
    let Case { projection, migrations, handler: _, run, event, corrupt } = billing();
    Case { projection, migrations, handler: Faulty(execution_id), run, event, corrupt }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_applied_any_more_are_left_out_only_on_demand() {
    let scene = Scene::start().await;
    let lost = (0..EVENTS).map(billing().event).find_map(|sent| {
        let flow = sent.envelope.payload::<AiFlowExecuted>().unwrap();
        (flow.status == "SUCCESS").then_some(flow.execution_id)
    });
    let lost = lost.unwrap();
    let message = scene.refuses(faulty(lost)).await;
    assert!(message.contains("cannot count this one") && message.contains("--skip-failed"), "{message}");

    let options = Options { dry_run: false, skip_failed: true };
    let report = rebuild(&scene.bench, &scene.owner, &faulty(lost), options).await.unwrap();
    assert_eq!((report.failed.len(), report.failed[0].place.topic.as_str()), (1, AiFlowExecuted::TOPIC));
    assert!(report.to_string().contains("1 record could not be applied"), "{report}");
    let metered: Vec<Uuid> =
        sqlx::query_scalar("select execution_id from metered_executions").fetch_all(&scene.db.admin).await.unwrap();
    assert!(!metered.is_empty() && !metered.contains(&lost));
    // It is not in the inbox any more, so that replaying it applies it.
    assert_eq!(number(&scene.db, "select count(*) from inbox").await, i64::try_from(EVENTS).unwrap() - 1);
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_reported_and_does_not_stop_a_rebuild() {
    let scene = Scene::start().await;
    scene.bench.send(AiFlowExecuted::TOPIC, "somebody", "{ not json").await;
    let report = rebuild(&scene.bench, &scene.owner, &billing(), Options::default()).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].event_id, None);
    assert_ne!(snapshot(&scene.db, &billing().projection).await, scene.spoilt);
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_its_migrations_is_refused() {
    let scene = Scene::start().await;
    sqlx::query("delete from _sqlx_migrations where version = 101").execute(&scene.db.admin).await.unwrap();
    let message = scene.refuses(billing()).await;
    assert!(message.contains("apply-migrations"), "{message}");
    scene.service.stop().await;
}
