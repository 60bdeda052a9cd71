//! The projections are functions of the set of events: order of arrival, repetition and the cut into batches leave no trace.
//! And what they say is what a plain reading of all events says.

use std::collections::{BTreeSet, HashMap};

use careeros_analytics::{MIGRATIONS, kpis};
use careeros_shared::{
    events::{
        AiFlowExecuted, Envelope, LessonCompleted, PlanChanged, StreakUpdated, SubscriptionActivated,
        SubscriptionCanceled, SubscriptionRenewed, UserRegistered,
    },
    testing::{self, TestDb},
};
use chrono::{DateTime, Days, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::Value;
use uuid::Uuid;

use crate::{activity, count_days, deliver, time};

const CASES: u32 = 16;
const TENANTS: u128 = 2;
const ZONES: [&str; 6] =
    ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns"];
const PLANS: [&str; 2] = ["P", "Y"];
/// After the change to summer time in London and before the one back in Chatham.
const NOW: &str = "2026-03-31T12:00:00Z";

#[derive(Debug, Clone)]
enum Act {
    Register,
    Skill,
    Lesson,
    Streak,
    Flow { name: &'static str, cost: u32 },
    Activate { subscription: u128, plan: &'static str, status: &'static str },
    Renew { subscription: u128, mrr: u32 },
    Cancel { subscription: u128 },
    Price { plan: &'static str, price: u32 },
}

/// Something that happened `quarters` of an hour before [`NOW`] and a few seconds.
#[derive(Debug, Clone)]
struct Happening {
    tenant: u128,
    user: u128,
    quarters: i64,
    act: Act,
}

#[derive(Debug, Clone)]
struct Case {
    happenings: Vec<Happening>,
    zone: &'static str,
    /// Which events arrive in which order; some more than once, all at least once.
    arrivals: Vec<usize>,
    /// Where batches end.
    cuts: BTreeSet<usize>,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Register),
        4 => Just(Act::Skill),
        2 => Just(Act::Lesson),
        1 => Just(Act::Streak),
        2 => (select(&["a", "b"][..]), 0..500_000_u32).prop_map(|(name, cost)| Act::Flow { name, cost }),
        2 => (0..4_u128, select(&PLANS[..]), select(&["ACTIVE", "TRIAL", "PAST_DUE"][..]))
            .prop_map(|(subscription, plan, status)| Act::Activate { subscription, plan, status }),
        1 => (0..4_u128, 0..50_000_u32).prop_map(|(subscription, mrr)| Act::Renew { subscription, mrr }),
        1 => (0..4_u128).prop_map(|subscription| Act::Cancel { subscription }),
        1 => (select(&PLANS[..]), 0..50_000_u32).prop_map(|(plan, price)| Act::Price { plan, price }),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    // Half of it within the last two days, where midnights matter.
    let quarters = prop_oneof![0..200_i64, 0..3_100_i64];
    (0..TENANTS, 0..3_u128, quarters, act()).prop_map(|(tenant, user, quarters, act)| Happening {
        tenant,
        user,
        quarters,
        act,
    })
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

impl Happening {
    fn at(&self) -> DateTime<Utc> {
        time(NOW) - TimeDelta::minutes(15 * self.quarters) - TimeDelta::seconds(7)
    }

    /// The event, whose id is the same in every run; of two at the same time the later has the greater.
    fn envelope(&self, index: usize) -> Envelope {
        let (user_id, at) = (Uuid::from_u128(100 * (self.tenant + 1) + self.user), self.at());
        let tenant_id = tenant(self.tenant);
        let subscription_of = |number: u128| Uuid::from_u128(1000 * (self.tenant + 1) + number);
        let of = |user| (tenant_id, user, at);
        let user = of(Some(user_id));
        let mut envelope = match self.act.clone() {
            Act::Register => {
                wrap(user, &UserRegistered { user_id, email: String::new(), registered_at: at, default_role: None })
            }
            Act::Skill => wrap(user, &activity(user_id)),
            Act::Lesson => wrap(
                user,
                &LessonCompleted {
                    lesson_id: user_id,
                    course_id: user_id,
                    user_id,
                    completed_at: at,
                    time_spent_minutes: 1,
                },
            ),
            Act::Streak => wrap(user, &StreakUpdated { user_id, streak_days: 1 }),
            Act::Flow { name, cost } => wrap(
                user,
                &AiFlowExecuted {
                    total_cost_usd: Decimal::new(cost.into(), 6),
                    ..crate::projections::flow(name, "SUCCESS", Decimal::ZERO)
                },
            ),
            Act::Activate { subscription, plan, status } => wrap(
                user,
                &SubscriptionActivated {
                    subscription_id: subscription_of(subscription),
                    user_id: Some(user_id),
                    organization_id: None,
                    plan_code: plan.into(),
                    activated_at: at,
                    status: status.into(),
                },
            ),
            Act::Renew { subscription, mrr } => wrap(
                of(None),
                &SubscriptionRenewed {
                    subscription_id: subscription_of(subscription),
                    user_id: None,
                    plan_code: "P".into(),
                    current_period_end: at,
                    mrr_usd: Decimal::new(mrr.into(), 2),
                },
            ),
            Act::Cancel { subscription } => wrap(
                of(None),
                &SubscriptionCanceled {
                    subscription_id: subscription_of(subscription),
                    user_id: None,
                    plan_code: "P".into(),
                    canceled_at: at,
                    mrr_usd: Decimal::ONE,
                },
            ),
            Act::Price { plan, price } => wrap(
                of(None),
                &PlanChanged {
                    plan_code: plan.into(),
                    price_usd: Decimal::new(price.into(), 2),
                    billing_interval: if plan == "Y" { "YEAR" } else { "MONTH" }.into(),
                    effective_at: at,
                },
            ),
        };
        envelope.event_id = Uuid::from_u128(1_000_000 + index as u128);
        envelope
    }
}

fn wrap<E: careeros_shared::events::Event>(
    (tenant_id, user_id, at): (Uuid, Option<Uuid>, DateTime<Utc>),
    event: &E,
) -> Envelope {
    testing::envelope(tenant_id, user_id, at, event)
}

fn tenant(number: u128) -> Uuid {
    Uuid::from_u128(10 + number)
}

/// The KPIs by a plain reading: dau, wau, mau, and MRR in cents.
fn expected(case: &Case, number: u128) -> (i64, i64, i64, i64) {
    let zone: Tz = case.zone_of(number).parse().unwrap();
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let today = day(time(NOW));
    let own = || case.happenings.iter().enumerate().filter(move |(_, happening)| happening.tenant == number);
    let users = |days: u64| {
        let active = own().filter(|(_, happening)| {
            matches!(happening.act, Act::Register | Act::Skill | Act::Lesson | Act::Flow { .. })
                && day(happening.at()) + Days::new(days) > today
        });
        i64::try_from(active.map(|(_, happening)| happening.user).collect::<BTreeSet<_>>().len()).unwrap()
    };
    let mut newest = HashMap::new();
    for (index, happening) in own() {
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
            Act::Price { plan: changed, price } if changed == plan => Some((happening.at(), index, price)),
            _ => None,
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_unstable();
        let before = changes.iter().rfind(|(from, ..)| *from <= at).copied();
        // Of several first ones at the same time the last.
        let first = changes.iter().rfind(|(from, ..)| Some(*from) == changes.first().map(|first| first.0)).copied();
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
         union all select jsonb_build_array('change', to_jsonb(t)) from kpi_changes t
         order by 1",
    )
    .fetch_all(&db.admin)
    .await
    .unwrap()
}

/// Starts over with `case`'s time zones and applies `batches`; the days are counted in between, too.
async fn apply(db: &TestDb, case: &Case, batches: &[Vec<Envelope>]) -> Vec<Value> {
    let tables = "truncate inbox, tenant_settings, funnel_events, activity_days, ai_usage_analytics,
                  subscription_events, plan_prices, kpi_daily, kpi_open, kpi_changes";
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
    contents(db).await
}

#[test]
fn arrival_leaves_no_trace_and_the_kpis_are_those_of_a_plain_reading() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (once, shuffled) = runtime.block_on(async { (TestDb::new(&MIGRATIONS).await, TestDb::new(&MIGRATIONS).await) });
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
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
