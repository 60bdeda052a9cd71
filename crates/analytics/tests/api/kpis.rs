//! Who sees which KPIs, and how users are counted.

use careeros_shared::{
    context::Context,
    identity::Role,
    proto::analytics::{GetKpiSnapshotRequest, analytics_service_client::AnalyticsServiceClient},
    testing::{self, TestUser},
};
use rust_decimal::{Decimal, dec};
use serde_json::json;

use crate::{Fixture, count_days, projections, time};

#[tokio::test]
async fn an_unknown_tenant_has_zeros_and_every_field_is_a_number() {
    let fixture = Fixture::start().await;
    assert_eq!(
        fixture.kpis("2026-01-06T12:00:00Z").await,
        json!({"dau": 0, "wau": 0, "mau": 0, "mrr_usd": 0.0, "churn_risk_score": 0.0, "ai_cost_usd": 0.0, "ai_runs": 0})
    );
}

#[tokio::test]
async fn only_the_tenants_admin_and_operators_see_its_kpis() {
    let fixture = Fixture::start().await;
    let path = format!("/analytics/kpi/{}", fixture.tenant);
    let get = async |token: &str| fixture.service.get(token, &path).await;
    let user = |tenant, roles: &[Role]| TestUser::new(tenant, roles).token;

    get(&fixture.admin.token).await.expect(200);
    get(&user(testing::id(), &[Role::Operator])).await.expect(200);
    get("").await.expect(401);
    get("no-token").await.expect(401);
    get(&user(fixture.tenant, &[Role::Student, Role::Instructor])).await.expect(403);
    let elsewhere = user(testing::id(), &[Role::Admin]);
    let theirs = get(&elsewhere).await.expect(403);
    let nobodys = format!("/analytics/kpi/{}", testing::id());
    let nobodys = fixture.service.get(&elsewhere, &nobodys).await.expect(403);
    assert_eq!(theirs.json["detail"], nobodys.json["detail"]);

    let bad = fixture.service.get(&fixture.admin.token, "/analytics/kpi/42").await.expect(400);
    assert_eq!(bad.fields(), ["tenantId"]);
}

#[tokio::test]
async fn another_service_may_ask_and_has_to_say_for_whom() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.seen("2026-01-06T11:00:00Z", testing::id())]).await;
    let mut client = AnalyticsServiceClient::new(fixture.service.transport.clone());
    let mut get = async |tenant_id: &str, context: Context| {
        let request = GetKpiSnapshotRequest { meta: None, tenant_id: tenant_id.to_owned() };
        client.get_kpi_snapshot(context.request(request)).await
    };
    let internal = || Context::internal(testing::start());
    let tenant = fixture.tenant.to_string();
    assert_eq!(get(&tenant, internal()).await.unwrap().into_inner().dau, 1);
    assert_eq!(get("", internal()).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn daily_users_are_distinct_users_and_not_a_sum() {
    let fixture = Fixture::start().await;
    let (ada, bob) = (testing::id(), testing::id());
    let mut events: Vec<_> = (0..24).map(|hour| fixture.seen(&format!("2026-01-06T{hour:02}:10:00Z"), ada)).collect();
    events.push(fixture.seen("2026-01-06T09:00:00Z", bob));
    events.push(fixture.seen("2026-01-05T09:00:00Z", bob));
    fixture.deliver(&events).await;
    let kpis = fixture.kpis("2026-01-06T23:50:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["wau"], &kpis["mau"]), (&json!(2), &json!(2), &json!(2)));
}

#[tokio::test]
async fn a_large_tenant_is_answered_with_what_was_counted_last_and_on_a_new_day_counted_again() {
    let fixture = Fixture::start().await;
    let users: Vec<_> = (0..1001).map(|_| testing::id()).collect();
    fixture.deliver(&users.iter().map(|user| fixture.seen("2026-01-06T09:00:00Z", *user)).collect::<Vec<_>>()).await;
    let ran = |at: &str, cost: Decimal| fixture.event(at, Some(users[0]), &projections::flow("f", "SUCCESS", cost));
    fixture.deliver(&[ran("2026-01-06T09:00:00Z", dec!(0.25))]).await;
    assert_eq!(fixture.kpis("2026-01-06T10:00:00Z").await["dau"], 1001, "it was never counted before");
    count_days(&fixture.db, time("2026-01-06T10:00:00Z")).await;

    fixture.deliver(&[fixture.seen("2026-01-06T10:30:00Z", testing::id())]).await;
    fixture.deliver(&[ran("2026-01-06T10:30:00Z", dec!(0.5))]).await;
    let kpis = fixture.kpis("2026-01-06T11:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["ai_runs"], &kpis["ai_cost_usd"]), (&json!(1001), &json!(1), &json!(0.25)));
    count_days(&fixture.db, time("2026-01-06T11:00:00Z")).await;
    let kpis = fixture.kpis("2026-01-06T11:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["ai_runs"], &kpis["ai_cost_usd"]), (&json!(1002), &json!(2), &json!(0.75)));

    let kpis = fixture.kpis("2026-01-07T00:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["wau"]), (&json!(0), &json!(1002)));
}

#[tokio::test]
async fn windows_are_1_7_and_30_days_ending_today() {
    let fixture = Fixture::start().await;
    let times = [
        "2026-01-31T00:00:00Z",
        "2026-01-30T23:59:59Z",
        "2026-01-25T00:00:00Z",
        "2026-01-24T23:59:59Z",
        "2026-01-02T00:00:00Z",
        "2026-01-01T23:59:59Z",
    ];
    fixture.deliver(&times.map(|at| fixture.seen(at, testing::id()))).await;
    let kpis = fixture.kpis("2026-01-31T12:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["wau"], &kpis["mau"]), (&json!(1), &json!(3), &json!(5)));
    // Two of the five were not seen for a week.
    assert_eq!(kpis["churn_risk_score"], json!(0.4));
}

#[tokio::test]
async fn a_day_begins_at_the_tenants_midnight() {
    let fixture = Fixture::start().await;
    let (late, early) = (testing::id(), testing::id());
    // Kathmandu is 5:45 ahead of UTC: its 6 January is from 18:15 on the 5th to 18:15 on the 6th.
    fixture.deliver(&[fixture.seen("2026-01-06T18:14:59Z", late), fixture.seen("2026-01-06T18:15:00Z", early)]).await;
    assert_eq!(fixture.kpis("2026-01-06T19:00:00Z").await["dau"], 2);
    fixture.set_time_zone("Asia/Kathmandu").await.unwrap();
    assert_eq!(fixture.kpis("2026-01-06T18:10:00Z").await["dau"], 1);
    assert_eq!(fixture.kpis("2026-01-06T18:15:00Z").await["dau"], 1);
    assert_eq!(fixture.kpis("2026-01-06T18:15:00Z").await["wau"], 2);
    // West of UTC, and on the day of 25 hours at the end of summer time.
    fixture.set_time_zone("America/New_York").await.unwrap();
    let user = testing::id();
    fixture.deliver(&[fixture.seen("2026-11-01T04:00:00Z", user)]).await;
    assert_eq!(fixture.kpis("2026-11-02T04:59:59Z").await["dau"], 1);
    assert_eq!(fixture.kpis("2026-11-02T05:00:00Z").await["dau"], 0);
}

#[tokio::test]
async fn a_time_zone_that_does_not_exist_is_refused() {
    let fixture = Fixture::start().await;
    assert!(fixture.set_time_zone("Mars/Olympus").await.is_err());
    fixture.set_time_zone("Europe/Berlin").await.unwrap();
}

#[tokio::test]
async fn tenants_do_not_see_each_others_users_money_or_usage() {
    let fixture = Fixture::start().await;
    fixture.deliver(&projections::one_of_each(fixture.tenant, testing::id(), testing::start())).await;
    let own = fixture.kpis("2026-01-06T12:00:00Z").await;
    assert_eq!((&own["dau"], &own["mrr_usd"], &own["ai_runs"]), (&json!(1), &json!(29.0), &json!(1)));
    let other = fixture.kpis_of(testing::id(), "2026-01-06T12:00:00Z").await;
    assert!(other.as_object().unwrap().values().all(|value| value.as_f64() == Some(0.0)), "{other}");
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let fixture = Fixture::start().await;
    fixture.deliver(&projections::one_of_each(fixture.tenant, testing::id(), testing::start())).await;
    count_days(&fixture.db, testing::start()).await;
    fixture.set_time_zone("Europe/Berlin").await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.columns
         where table_schema = 'public' and column_name = 'tenant_id' order by 1",
    )
    .fetch_all(&fixture.db.admin)
    .await
    .unwrap();
    assert_eq!(tables.len(), 9, "{tables:?}");
    for table in tables {
        let sql = format!("select count(*) from {table}");
        let count = async |connection: &mut sqlx::PgConnection| -> i64 {
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_one(connection).await.unwrap()
        };
        assert!(count(&mut fixture.db.begin(fixture.tenant).await.unwrap()).await > 0, "{table}");
        assert_eq!(count(&mut fixture.db.begin(testing::id()).await.unwrap()).await, 0, "{table}");
        assert_eq!(count(&mut fixture.db.connect().await.unwrap()).await, 0, "{table}");
    }
}
