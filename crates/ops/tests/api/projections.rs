//! Each service's projection is rebuilt while the service runs and events keep coming, and is then what the events say.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use careeros_ops::rebuild::{Options, Report, Task};
use careeros_shared::{
    boot::Boot,
    clock::Clock,
    consumer::{self, Handler},
    events::{
        AiFlowExecuted, CourseCompleted, CoursePublished, LessonCompleted, MilestoneCompleted, PlanChanged,
        ProfileUpdated, PublishedLesson, RoadmapDraftGenerated, SkillGapAnalyzed, SkillsUpdated, SubscriptionActivated,
        SubscriptionCanceled, UserRegistered,
    },
    projection::Projection,
    testing::{TestDb, eventually},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, migrate::Migrator, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Bench, Sent, ago, number, sent};

/// Events before the rebuild begins.
const HISTORY: u64 = 600;

/// A service and how its projection is put to the test.
pub(crate) struct Case<H, F> {
    pub(crate) projection: Projection,
    pub(crate) migrations: &'static Migrator,
    pub(crate) handler: H,
    pub(crate) run: F,
    /// The event of a number; the same number always means the same.
    pub(crate) event: fn(u64) -> Sent,
    /// Spoils the live tables.
    pub(crate) corrupt: &'static str,
}

/// Makes a role that is no superuser the owner of everything in the database, as in production.
pub(crate) async fn owner(db: &TestDb) -> PgConnectOptions {
    sqlx::raw_sql(
        "do $$
         begin
             perform pg_advisory_xact_lock(4712);
             create role ops_test_owner login password 'ops_test_owner';
         exception when duplicate_object then null;
         end $$;
         do $$
         declare
             thing record;
         begin
             execute format('alter database %I owner to ops_test_owner', current_database());
             execute 'alter schema public owner to ops_test_owner';
             for thing in select oid::regclass as name from pg_class
                          where relnamespace = 'public'::regnamespace and relkind = 'r' loop
                 execute format('alter table %s owner to ops_test_owner', thing.name);
             end loop;
             for thing in select oid::regprocedure as name from pg_proc
                          where pronamespace = 'public'::regnamespace loop
                 execute format('alter function %s owner to ops_test_owner', thing.name);
             end loop;
         end $$",
    )
    .execute(&db.admin)
    .await
    .unwrap();
    (*db.admin.connect_options()).clone().username("ops_test_owner").password("ops_test_owner")
}

/// The rows of the projection's tables, without what differs between two runs: made-up ids and times of computation.
pub(crate) async fn snapshot(db: &TestDb, projection: &Projection) -> BTreeMap<&'static str, Vec<Value>> {
    let mut tables = BTreeMap::new();
    for table in projection.tables {
        let sql = format!(
            "select to_jsonb(t) - array['id', 'computed_at', 'counted'] from {table} t order by (to_jsonb(t) - array['id', 'computed_at', 'counted'])::text collate \"C\""
        );
        tables.insert(*table, sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&db.admin).await.unwrap());
    }
    tables
}

pub(crate) async fn rebuild<H: Handler + Clone, F>(
    bench: &Bench,
    owner: &PgConnectOptions,
    case: &Case<H, F>,
    options: Options,
) -> anyhow::Result<Report> {
    let task = Task {
        broker: bench.ops.clone(),
        owner: owner.clone(),
        projection: case.projection,
        migrations: case.migrations,
        handler: case.handler.clone(),
    };
    task.run(options, &CancellationToken::new()).await
}

pub(crate) async fn applied(db: &TestDb, count: u64) {
    let sql = "select count(*) from inbox";
    eventually("the consumer has caught up", async || number(db, sql).await == i64::try_from(count).unwrap()).await;
}

/// What a database holds to which the events come by another way.
async fn expected<H: Handler + Clone, F>(case: &Case<H, F>, events: &[Sent]) -> BTreeMap<&'static str, Vec<Value>> {
    let db = TestDb::new(case.migrations).await;
    let envelopes: Vec<_> = events.iter().rev().map(|sent| sent.envelope.clone()).collect();
    for batch in envelopes.chunks(97) {
        consumer::apply(&db, case.projection.group, &case.handler, batch).await.unwrap();
    }
    snapshot(&db, &case.projection).await
}

/// Asks again and again how many rows the tables have, until `done`; the least that was seen of each.
async fn least_rows(db: &TestDb, projection: &Projection, done: &AtomicBool) -> BTreeMap<&'static str, i64> {
    let mut least = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        for table in projection.tables {
            let sql = format!("select count(*) from {table}");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&db.admin).await.unwrap();
            let entry = least.entry(*table).or_insert(rows);
            *entry = rows.min(*entry);
        }
    }
    least
}

async fn survives<H, F, R>(case: Case<H, F>) -> (Bench, TestDb)
where
    H: Handler + Clone,
    F: Fn(Boot) -> R,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let bench = Bench::start().await;
    let db = TestDb::new(case.migrations).await;
    let owner = owner(&db).await;
    let service = bench.service(&db, &case.run).await;
    let mut events: Vec<_> = (0..HISTORY).map(case.event).collect();
    for event in &events {
        bench.send_event(event).await;
    }
    applied(&db, HISTORY).await;
    let sound = snapshot(&db, &case.projection).await;
    sqlx::raw_sql(case.corrupt).execute(&db.admin).await.unwrap();
    let spoilt = snapshot(&db, &case.projection).await;
    for (table, rows) in &sound {
        assert!(!rows.is_empty(), "{table}");
        assert_ne!(rows, &spoilt[table], "{table} is not spoilt");
    }

    let compared = rebuild(&bench, &owner, &case, Options { dry_run: true, skip_failed: false }).await.unwrap();
    assert_eq!(snapshot(&db, &case.projection).await, spoilt, "a dry run changes nothing");
    for table in &compared.tables {
        assert_eq!((table.before, table.after), (spoilt[table.table].len() as u64, sound[table.table].len() as u64));
    }

    let done = AtomicBool::new(false);
    let rebuilding = async {
        let report = rebuild(&bench, &owner, &case, Options::default()).await;
        done.store(true, Ordering::Relaxed);
        report.unwrap()
    };
    let sending = async {
        let mut later = Vec::new();
        while !done.load(Ordering::Relaxed) {
            later.push((case.event)(HISTORY + later.len() as u64));
            bench.send_event(&later[later.len() - 1]).await;
        }
        later
    };
    let (report, later, least) = tokio::join!(rebuilding, sending, least_rows(&db, &case.projection, &done));
    assert!(report.records >= HISTORY && report.failed.is_empty(), "{report}");
    assert!(least.values().all(|rows| *rows > 0), "a reader saw an empty table: {least:?}");

    events.extend(later);
    applied(&db, events.len() as u64).await;
    let (live, expected) = (snapshot(&db, &case.projection).await, expected(&case, &events).await);
    for (table, rows) in expected {
        assert_eq!(live[table], rows, "{table}");
    }
    assert_eq!(number(&db, "select count(*) from pg_namespace where nspname = 'rebuild'").await, 0);

    // With nothing going on, a rebuild is without any trace.
    let before = snapshot(&db, &case.projection).await;
    eventually("all is published", async || number(&db, "select count(*) from outbox").await == 0).await;
    let report = rebuild(&bench, &owner, &case, Options::default()).await.unwrap();
    assert!(report.tables.iter().all(|table| table.before == table.after), "{report}");
    assert_eq!(snapshot(&db, &case.projection).await, before);
    assert_eq!(number(&db, "select count(*) from outbox").await, 0, "what was published once is not published again");
    service.stop().await;
    (bench, db)
}

/// A number's random-looking companion below `bound`.
fn pick(number: u64, salt: u64, bound: u64) -> u64 {
    let mixed = (number ^ (salt << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % bound
}

fn flow(number: u64, status: &str) -> AiFlowExecuted {
    AiFlowExecuted {
        execution_id: Uuid::from_u128(1_000_000 + u128::from(number)),
        flow_name: ["a", "b"][usize::from(number.is_multiple_of(2))].to_owned(),
        flow_version: "v1".to_owned(),
        status: status.to_owned(),
        latency_ms: 5,
        prompt_tokens: Some(10),
        completion_tokens: None,
        total_cost_usd: rust_decimal::Decimal::new(i64::try_from(pick(number, 1, 1000)).unwrap(), 3),
    }
}

fn whose(number: u64) -> (u128, i64) {
    (100 + u128::from(pick(number, 2, 20)), i64::try_from(pick(number, 3, 30 * 24 * 60)).unwrap())
}

fn billing_event(number: u64) -> Sent {
    let (user, minutes) = whose(number);
    sent(user, minutes, &flow(number, ["SUCCESS", "PARTIAL", "FAILED"][usize::try_from(pick(number, 4, 3)).unwrap()]))
}

pub(crate) fn billing() -> Case<careeros_billing::usage::Usage, fn(Boot) -> Service> {
    Case {
        projection: careeros_billing::usage::PROJECTION,
        migrations: &careeros_billing::MIGRATIONS,
        handler: careeros_billing::usage::Usage,
        run: |boot| Box::pin(careeros_billing::run(boot)),
        event: billing_event,
        corrupt: "delete from metered_executions where execution_id::text like '%1';
                  update ai_usage set executions = executions + 1000 where holder_id::text like '%5';
                  delete from ai_usage where holder_id::text like '%6'",
    }
}

pub(crate) type Service = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

#[tokio::test(flavor = "multi_thread")]
async fn what_billing_has_metered_is_rebuilt() {
    survives(billing()).await;
}

fn roadmap_event(number: u64) -> Sent {
    let (user, minutes) = whose(number);
    let execution_id = Uuid::from_u128(1_000_000 + u128::from(number));
    let skill = |salt| format!("skill-{}", pick(number, salt, 10));
    if number.is_multiple_of(5) {
        let stages = vec!["Learn".to_owned(), "Build".to_owned()];
        return sent(user, minutes, &RoadmapDraftGenerated { execution_id, stages, timeline_weeks: 12 });
    }
    let missing_skills = vec![skill(5), skill(6)];
    sent(user, minutes, &SkillGapAnalyzed { execution_id, priority_order: missing_skills.clone(), missing_skills })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_skill_gaps_of_roadmap_are_rebuilt_and_drafts_stay_as_their_users_left_them() {
    let case = Case {
        projection: careeros_roadmap::ai_updates::PROJECTION,
        migrations: &careeros_roadmap::MIGRATIONS,
        handler: careeros_roadmap::ai_updates::AiUpdates,
        run: |boot| -> Service { Box::pin(careeros_roadmap::run(boot)) },
        event: roadmap_event,
        corrupt: "update skill_gaps set missing_skills = '{moon}' where user_id::text like '%1';
                  delete from skill_gaps where user_id::text like '%2';
                  update roadmap_drafts set title = 'Mine';
                  delete from roadmap_drafts where id = (select min(id::text)::uuid from roadmap_drafts)",
    };
    let (_bench, db) = survives(case).await;
    // The draft that its user has deleted is not made again.
    let missing = "select count(*) from generate_series(0, 599, 5) n
                   where not exists (select from roadmap_drafts where execution_id::text like '%' || to_hex(1000000 + n))";
    assert_eq!(number(&db, missing).await, 1);
    let history = i64::try_from(HISTORY / 5).unwrap();
    assert_eq!(number(&db, "select count(*) from roadmap_drafts where title = 'Mine'").await, history - 1);
}

fn lesson(number: u64, user: u128, minutes: i64) -> LessonCompleted {
    LessonCompleted {
        lesson_id: Uuid::from_u128(3_000_000 + u128::from(pick(number, 7, 12))),
        course_id: Uuid::from_u128(2_000_000 + u128::from(pick(number, 7, 12) % 3)),
        user_id: Uuid::from_u128(user),
        completed_at: ago(minutes),
        time_spent_minutes: u32::try_from(pick(number, 8, 60)).unwrap(),
    }
}

fn learning_event(number: u64) -> Sent {
    let (user, minutes) = whose(number);
    let user_id = Uuid::from_u128(user);
    match pick(number, 9, 20) {
        0 => {
            let course = pick(number, 10, 3);
            let lessons = (0..12).filter(|lesson| lesson % 3 == course).map(|lesson| PublishedLesson {
                lesson_id: Uuid::from_u128(3_000_000 + u128::from(lesson)),
                skill_keys: vec![format!("skill-{}", (lesson + number) % 5)],
            });
            let course_id = Uuid::from_u128(2_000_000 + u128::from(course));
            let version = u32::try_from(number).unwrap() + 1;
            sent(user, minutes, &CoursePublished { course_id, version, lessons: lessons.collect() })
        }
        1 => {
            let timezone = Some(["Europe/Berlin", "UTC"][usize::from(number.is_multiple_of(2))].to_owned());
            sent(user, minutes, &ProfileUpdated { user_id, updated_fields: vec!["timezone".to_owned()], timezone })
        }
        2 => {
            let course_id = Uuid::from_u128(2_000_000 + u128::from(pick(number, 10, 3)));
            sent(user, minutes, &CourseCompleted { user_id, course_id, completed_at: ago(minutes) })
        }
        3 => {
            let (milestone_id, roadmap_id) = (Uuid::from_u128(4_000_000 + u128::from(number)), Uuid::from_u128(user));
            sent(user, minutes, &MilestoneCompleted { milestone_id, roadmap_id, completed_at: ago(minutes) })
        }
        _ => sent(user, minutes, &lesson(number, user, minutes)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_edu_tracker_knows_is_rebuilt() {
    survives(Case {
        projection: careeros_edu_tracker::events::PROJECTION,
        migrations: &careeros_edu_tracker::MIGRATIONS,
        handler: careeros_edu_tracker::events::Tracker { clock: Clock::system() },
        run: |boot| -> Service { Box::pin(careeros_edu_tracker::run(boot)) },
        event: learning_event,
        corrupt: "update learners set timezone = 'Asia/Kathmandu';
                  delete from progress_logs where recorded_at < now() - interval '20 days';
                  update activity_weeks set minutes = minutes + 1;
                  update lesson_skills set skill_keys = '{moon}';
                  update skill_days set lessons = lessons + 5;
                  update mastery_scores set score = 1;
                  delete from productivity_metrics where user_id::text like '%1'",
    })
    .await;
}

fn any_event(number: u64) -> Sent {
    let (user, minutes) = whose(number);
    let user_id = Uuid::from_u128(user);
    let subscription_id = Uuid::from_u128(5_000_000 + u128::from(pick(number, 12, 8)));
    let plan_code = ["P", "Q"][usize::from(number.is_multiple_of(2))].to_owned();
    match pick(number, 11, 7) {
        0 => {
            let registered = UserRegistered {
                user_id,
                email: "a@example.com".to_owned(),
                registered_at: ago(minutes),
                default_role: None,
            };
            sent(user, minutes, &registered)
        }
        1 => sent(user, minutes, &flow(number, "SUCCESS")),
        2 => sent(user, minutes, &lesson(number, user, minutes)),
        3 => {
            let activated = SubscriptionActivated {
                subscription_id,
                user_id: Some(user_id),
                organization_id: None,
                plan_code,
                activated_at: ago(minutes),
                status: "ACTIVE".to_owned(),
            };
            sent(user, minutes, &activated)
        }
        4 => {
            let canceled = SubscriptionCanceled {
                subscription_id,
                user_id: Some(user_id),
                plan_code,
                canceled_at: ago(minutes),
                mrr_usd: 0.into(),
            };
            sent(user, minutes, &canceled)
        }
        5 => {
            let price_usd = pick(number, 13, 100).into();
            let (billing_interval, effective_at) = ("MONTH".to_owned(), ago(minutes));
            sent(user, minutes, &PlanChanged { plan_code, price_usd, billing_interval, effective_at })
        }
        _ => sent(user, minutes, &SkillsUpdated { user_id, skill_key: "rust".to_owned(), proficiency: 1.0 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_analytics_counts_is_rebuilt_and_its_days_are_counted_again() {
    let (bench, db) = survives(Case {
        projection: careeros_analytics::events::PROJECTION,
        migrations: &careeros_analytics::MIGRATIONS,
        handler: careeros_analytics::events::Projections,
        run: |boot| -> Service { Box::pin(careeros_analytics::run(boot)) },
        event: any_event,
        // The tenant 9 does not exist: nothing but these rows knows it.
        corrupt: "update funnel_events set funnel_step = 'moon' where user_id::text like '%1';
                  delete from activity_days where day < current_date - 10;
                  update ai_usage_analytics set total_runs = total_runs + 7;
                  delete from subscription_events where kind = 'CANCELED';
                  update plan_prices set price_usd = price_usd + 1000;
                  insert into activity_days (tenant_id, day, user_id, first_at, last_at)
                      select '00000000-0000-0000-0000-000000000009', current_date - 20, gen_random_uuid(), at, at
                      from (select (current_date - 20)::timestamp at time zone 'UTC' as at) t;
                  insert into kpi_daily (day, tenant_id, dau, wau, mau, mrr_usd, churn_risk_score)
                      values (current_date - 20, '00000000-0000-0000-0000-000000000009', 1, 1, 1, 0, 0),
                             (current_date - 200, '00000000-0000-0000-0000-000000000001', 99, 99, 99, 0, 0);
                  update kpi_daily set dau = 77",
    })
    .await;
    let service = bench.service(&db, careeros_analytics::run).await;
    eventually("the noted days are counted", async || number(&db, "select count(*) from kpi_changes").await == 0).await;
    let wrong = "select count(*)
                 from (select distinct tenant_id from kpi_daily) t
                 cross join generate_series(current_date - 250, current_date, interval '1 day') d
                 cross join lateral kpi_on(t.tenant_id, d::date) kpi
                 full join kpi_daily k on k.tenant_id = t.tenant_id and k.day = d::date
                 where (coalesce(k.dau, 0), coalesce(k.mau, 0), coalesce(k.mrr_usd, 0)) is distinct from
                       (coalesce(kpi.dau, 0), coalesce(kpi.mau, 0), coalesce(kpi.mrr_usd, 0))";
    eventually("every day is right", async || number(&db, wrong).await == 0).await;
    assert!(number(&db, "select count(*) from kpi_daily").await > 20);
    service.stop().await;
}
