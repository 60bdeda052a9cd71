//! `kpi_daily` as reports read it.

use std::time::Duration;

use careeros_analytics::{daily, platform};
use careeros_shared::testing;
use serde_json::{Value, json};

use crate::{Fixture, count_days, rows, time};

async fn table(fixture: &Fixture) -> Vec<Value> {
    rows(
        &fixture.db,
        "select jsonb_build_array(day, dau, wau, mau, mrr_usd, churn_risk_score) from kpi_daily order by day",
    )
    .await
}

#[tokio::test]
async fn a_row_says_what_the_api_says() {
    let fixture = Fixture::start().await;
    fixture
        .deliver(&crate::projections::one_of_each(fixture.tenant, testing::id(), time("2026-01-06T09:00:00Z")))
        .await;
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    assert_eq!(table(&fixture).await, [json!(["2026-01-06", 1, 1, 1, 29.00, 0.0000])]);
    let kpis = fixture.kpis("2026-01-06T12:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["mrr_usd"]), (&json!(1), &json!(29.0)));
}

#[tokio::test]
async fn the_platform_is_the_sum_of_its_tenants() {
    let fixture = Fixture::start().await;
    for tenant in [fixture.tenant, testing::id()] {
        let events = crate::projections::one_of_each(tenant, testing::id(), time("2026-01-06T09:00:00Z"));
        fixture.deliver(&events).await;
    }
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    let platform = platform::measure(&fixture.db).await.unwrap();
    assert_eq!(platform.active_users, [("day", 2), ("week", 2), ("month", 2)]);
    assert!((platform.mrr_usd - 58.0).abs() < 1e-9, "{platform:?}");
}

#[tokio::test]
async fn every_day_gets_a_row_without_events_until_nothing_counts() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.seen("2026-01-01T09:00:00Z", testing::id())]).await;
    // The process was away in between, too.
    for now in ["2026-01-01T10:00:00Z", "2026-01-02T00:00:00Z", "2026-01-09T10:00:00Z", "2026-03-01T10:00:00Z"] {
        count_days(&fixture.db, time(now)).await;
    }
    let table = table(&fixture).await;
    assert_eq!(table.len(), 30);
    assert_eq!(table[0], json!(["2026-01-01", 1, 1, 1, 0.00, 0.0000]));
    assert_eq!(table[6], json!(["2026-01-07", 0, 1, 1, 0.00, 0.0000]));
    assert_eq!(table[29], json!(["2026-01-30", 0, 0, 1, 0.00, 1.0000]));
    assert!(rows(&fixture.db, "select to_jsonb(o) from kpi_open o").await.is_empty());
    assert!(rows(&fixture.db, "select to_jsonb(c) from kpi_changes c").await.is_empty());
}

#[tokio::test]
async fn a_round_ends_while_tenants_change_all_the_time() {
    let fixture = Fixture::start().await;
    let admin = &fixture.db.admin;
    // Whoever is taken to be counted is noted again at once, and there are more than a step takes.
    for sql in [
        "create function note_again() returns trigger language plpgsql as $$
         begin insert into kpi_changes values (old.tenant_id, old.since); return null; end $$",
        "create trigger note_again after delete on kpi_changes for each row execute function note_again()",
        "insert into kpi_changes select gen_random_uuid(), '2026-01-05' from generate_series(1, 250)",
    ] {
        sqlx::query(sql).execute(admin).await.unwrap();
    }
    let round = daily::round(&fixture.db, &fixture.clock);
    tokio::time::timeout(Duration::from_secs(30), round).await.expect("it ends").unwrap();
    assert_eq!(rows(&fixture.db, "select to_jsonb(c) from kpi_changes c").await.len(), 250);
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_told_counts_when_its_day_comes() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.seen("2026-01-08T09:00:00Z", testing::id())]).await;
    for now in ["2026-01-06T12:00:00Z", "2026-01-07T12:00:00Z"] {
        count_days(&fixture.db, time(now)).await;
        assert!(table(&fixture).await.is_empty(), "{now}");
    }
    count_days(&fixture.db, time("2026-01-08T00:00:01Z")).await;
    assert_eq!(table(&fixture).await, [json!(["2026-01-08", 1, 1, 1, 0.00, 0.0000])]);
    assert!(rows(&fixture.db, "select to_jsonb(c) from kpi_changes c").await.is_empty());
}

#[tokio::test]
async fn a_late_event_changes_the_days_that_it_concerns() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.seen("2026-01-06T09:00:00Z", testing::id())]).await;
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    fixture.deliver(&[fixture.seen("2026-01-04T09:00:00Z", testing::id())]).await;
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    assert_eq!(
        table(&fixture).await,
        [
            json!(["2026-01-04", 1, 1, 1, 0.00, 0.0000]),
            json!(["2026-01-05", 0, 1, 1, 0.00, 0.0000]),
            json!(["2026-01-06", 1, 2, 2, 0.00, 0.0000]),
        ]
    );
}

#[tokio::test]
async fn another_time_zone_moves_the_days() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.seen("2026-01-05T20:00:00Z", testing::id())]).await;
    let now = time("2026-01-06T12:00:00Z");
    count_days(&fixture.db, now).await;
    let first = async || table(&fixture).await[0][0].clone();
    assert_eq!(first().await, "2026-01-05");
    fixture.set_time_zone("Asia/Tokyo").await.unwrap();
    count_days(&fixture.db, now).await;
    assert_eq!(first().await, "2026-01-06");
    // The day in Tokyo begins at 15:00 UTC.
    count_days(&fixture.db, time("2026-01-06T15:00:00Z")).await;
    assert_eq!(table(&fixture).await.last().unwrap()[0], "2026-01-07");
    fixture.set_time_zone("UTC").await.unwrap();
    count_days(&fixture.db, now).await;
    assert_eq!(first().await, "2026-01-05");
}

#[tokio::test]
async fn a_past_of_years_is_counted_in_steps() {
    let fixture = Fixture::start().await;
    let user = testing::id();
    fixture.deliver(&[fixture.seen("2024-01-10T09:00:00Z", user), fixture.seen("2026-01-06T09:00:00Z", user)]).await;
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    let table = table(&fixture).await;
    assert_eq!(table.len(), 31);
    assert_eq!(
        (&table[0][0], &table[29][0], &table[30][0]),
        (&json!("2024-01-10"), &json!("2024-02-08"), &json!("2026-01-06"))
    );
}

#[tokio::test]
async fn only_one_process_counts_and_the_consumer_does_not_wait_for_it() {
    let fixture = Fixture::start().await;
    let user = testing::id();
    fixture.deliver(&[fixture.seen("2026-01-06T09:00:00Z", user)]).await;
    let mut other = fixture.db.begin_system().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(x'6b70696461696c79'::bigint)").execute(&mut *other).await.unwrap();
    // The other process is in the middle of it.
    sqlx::query("delete from kpi_changes").execute(&mut *other).await.unwrap();
    count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
    assert!(table(&fixture).await.is_empty());
    fixture.deliver(&[fixture.seen("2026-01-06T10:00:00Z", user)]).await;
    drop(other);
    let counted = async || {
        count_days(&fixture.db, time("2026-01-06T12:00:00Z")).await;
        !table(&fixture).await.is_empty()
    };
    testing::eventually("the other process's lock is gone", counted).await;
}
