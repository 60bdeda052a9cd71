//! The projections are functions of the set of events: order of arrival, repetition and the cut into batches leave no trace.
//! And what they say is what a plain reading of all events says.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use careeros_analytics::{MIGRATIONS, kpis};
use careeros_shared::{
    events::Envelope,
    testing::{self, TestDb},
};
use chrono::{DateTime, Days, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngSeed, TestRunner},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::Value;

use crate::{
    count_days, deliver,
    happenings::{Act, Happening, NOW, TENANTS, happening, tenant},
    time,
};

const CASES: u32 = 8;
const ZONES: [&str; 6] =
    ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns"];

#[derive(Debug, Clone)]
struct Case {
    happenings: Vec<Happening>,
    zone: &'static str,
    /// Which events arrive in which order; some more than once, all at least once.
    arrivals: Vec<usize>,
    /// Where batches end.
    cuts: BTreeSet<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let histories = (prop::collection::vec(happening(), 1..150), select(&ZONES[..]));
    let histories = histories.prop_flat_map(|(happenings, zone)| {
        let arrivals = Just((0..happenings.len()).collect::<Vec<_>>()).prop_shuffle();
        let again = prop::collection::vec((any::<Index>(), any::<Index>()), 0..20);
        let cuts = prop::collection::btree_set(0..160_usize, 0..20);
        (Just(happenings), Just(zone), arrivals, again, cuts)
    });
    histories.prop_map(|(happenings, zone, mut arrivals, again, cuts)| {
        for (which, place) in again {
            let event = arrivals[which.index(arrivals.len())];
            arrivals.insert(place.index(arrivals.len() + 1), event);
        }
        Case { happenings, zone, arrivals, cuts }
    })
}

/// The KPIs by a plain reading: dau, wau, mau, and MRR in cents.
fn expected(case: &Case, number: u128) -> (i64, i64, i64, i64) {
    let zone: Tz = case.zone_of(number).parse().unwrap();
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let today = day(time(NOW));
    let own = || case.happenings.iter().enumerate().filter(move |(_, happening)| happening.tenant == number);
    let users = |days: u64| {
        let active = own().filter(|(_, happening)| {
            let day = day(happening.at());
            happening.is_activity() && day <= today && day + Days::new(days) > today
        });
        i64::try_from(active.map(|(_, happening)| happening.user).collect::<BTreeSet<_>>().len()).unwrap()
    };
    let mut newest = HashMap::new();
    for (index, happening) in own().filter(|(_, happening)| day(happening.at()) <= today) {
        let at = happening.at();
        let (subscription, rank, mrr) = match happening.act {
            Act::Activate { subscription, status: "TRIAL", .. } => (subscription, 0, Decimal::ZERO),
            Act::Activate { subscription, plan, .. } => (subscription, 0, case.price(plan, at)),
            Act::Renew { subscription, mrr } => (subscription, 1, Decimal::new(mrr.into(), 2)),
            Act::Cancel { subscription } => (subscription, 2, Decimal::ZERO),
            _ => continue,
        };
        let order = (at, rank, index);
        let entry = newest.entry(subscription).or_insert((order, mrr));
        if order >= entry.0 {
            *entry = (order, mrr);
        }
    }
    let mrr: Decimal = newest.values().map(|(_, mrr)| *mrr).sum();
    (users(1), users(7), users(30), (mrr * Decimal::ONE_HUNDRED).to_i64().unwrap())
}

impl Case {
    /// The second tenant has the zone; the first has none set.
    fn zone_of(&self, tenant: u128) -> &'static str {
        if tenant == 0 { "UTC" } else { self.zone }
    }

    /// What `plan` cost a month at `at`, or first.
    fn price(&self, plan: &str, at: DateTime<Utc>) -> Decimal {
        let changes = self.happenings.iter().enumerate().filter_map(|(index, happening)| match happening.act {
            Act::Price { plan: changed, price, days } if changed == plan => {
                Some((happening.at() + TimeDelta::days(days), (happening.at(), index), price))
            }
            _ => None,
        });
        let (before, after): (Vec<_>, Vec<_>) = changes.partition(|(from, ..)| *from <= at);
        let before = before.into_iter().max();
        // Of several first ones at the same time the last that was told.
        let first = after.into_iter().min_by_key(|(from, told, _)| (*from, Reverse(*told)));
        before.or(first).map_or(Decimal::ZERO, |(_, _, price)| {
            let months = if plan == "Y" { 12 } else { 1 };
            let monthly = Decimal::new(price.into(), 2) / Decimal::from(months);
            monthly.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
        })
    }

    /// Every event once, in the order of their making, in one batch.
    fn plainly(&self) -> Vec<Vec<Envelope>> {
        vec![self.happenings.iter().enumerate().map(|(index, happening)| happening.envelope(index)).collect()]
    }

    fn as_they_arrive(&self) -> Vec<Vec<Envelope>> {
        let mut batches = vec![Vec::new()];
        for (place, index) in self.arrivals.iter().enumerate() {
            batches.last_mut().unwrap().push(self.happenings[*index].envelope(*index));
            if self.cuts.contains(&place) {
                batches.push(Vec::new());
            }
        }
        batches
    }
}

/// Everything that the tables say. Only an AI usage's own id is made on arrival.
async fn contents(db: &TestDb) -> Vec<Value> {
    sqlx::query_scalar(
        "select jsonb_build_array('funnel', to_jsonb(t)) from funnel_events t
         union all select jsonb_build_array('activity', to_jsonb(t)) from activity_days t
         union all select jsonb_build_array('ai', to_jsonb(t) - 'id') from ai_usage_analytics t
         union all select jsonb_build_array('subscription', to_jsonb(t)) from subscription_events t
         union all select jsonb_build_array('price', to_jsonb(t)) from plan_prices t
         union all select jsonb_build_array('kpi', to_jsonb(t)) from kpi_daily t
         union all select jsonb_build_array('open', to_jsonb(t)) from kpi_open t
         union all select jsonb_build_array('now', to_jsonb(t)) from kpi_now t
         order by 1",
    )
    .fetch_all(&db.admin)
    .await
    .unwrap()
}

/// Starts over with `case`'s time zones and applies `batches`; the days are counted in between, too. What the tables say
/// then, and a day later, when nothing is left that a clock was ahead with.
async fn apply(db: &TestDb, case: &Case, batches: &[Vec<Envelope>]) -> [Vec<Value>; 2] {
    let tables = "truncate inbox, tenant_settings, funnel_events, activity_days, ai_usage_analytics,
                  subscription_events, plan_prices, kpi_daily, kpi_open, kpi_now, kpi_changes";
    sqlx::query(tables).execute(&db.admin).await.unwrap();
    sqlx::query("insert into tenant_settings values ($1, $2)")
        .bind(tenant(1))
        .bind(case.zone)
        .execute(&db.admin)
        .await
        .unwrap();
    for (number, batch) in batches.iter().enumerate() {
        deliver(db, batch).await;
        if number == batches.len() / 2 {
            count_days(db, time(NOW)).await;
        }
    }
    count_days(db, time(NOW)).await;
    let now = contents(db).await;
    count_days(db, time(NOW) + TimeDelta::days(1)).await;
    let noted: i64 = sqlx::query_scalar("select count(*) from kpi_changes").fetch_one(&db.admin).await.unwrap();
    assert_eq!(noted, 0, "all is counted");
    [now, contents(db).await]
}

#[test]
fn arrival_leaves_no_trace_and_the_kpis_are_those_of_a_plain_reading() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (once, shuffled) = runtime.block_on(async { (TestDb::new(&MIGRATIONS).await, TestDb::new(&MIGRATIONS).await) });
    let rng_seed = RngSeed::Fixed(testing::seed());
    let mut runner = TestRunner::new(Config { cases: CASES, rng_seed, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&case(), |case| {
        runtime.block_on(async {
            let expected_contents = apply(&once, &case, &case.plainly()).await;
            prop_assert_eq!(apply(&shuffled, &case, &case.as_they_arrive()).await, expected_contents);
            for number in 0..TENANTS {
                let kpis = kpis::get(&shuffled, tenant(number), time(NOW)).await.unwrap();
                let cents = Decimal::try_from(kpis.mrr_usd * 100.0).unwrap().round().to_i64().unwrap();
                prop_assert_eq!((kpis.dau, kpis.wau, kpis.mau, cents), expected(&case, number));
            }
            Ok(())
        })
    });
    runtime.block_on(async {
        once.admin.close().await;
        shuffled.admin.close().await;
    });
    checked.unwrap();
}
