//! Entitlement: whether a user may use a feature now, and why not.
//!
//! A live subscription of the user's own counts, and one of an organisation of the user's tenant; either is enough. Who has
//! neither has the free plan, from the first second. Features whose key begins with `ai.` are also bound to the plan's
//! monthly quota: for a user's own plan the user's executions count, for an organisation's those of the whole tenant.

use careeros_shared::{
    Result,
    db::Db,
    directory::Subject,
    proto::billing::{CheckEntitlementResponse, GetActiveSubscriptionResponse},
    validate::Checks,
};
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::types::Json;

use crate::{
    lifecycle::{Standing, State, Status},
    plans::{EVERYTHING, FREE_PLAN},
    usage::{month_of, next_month},
};

/// An answer holds for so small a part of what is left of a quota: who has much left need not ask each time, and nobody
/// gets far beyond a quota that many draw on at once.
const SHARE_OF_REST: i64 = 100;
/// For how many uses an answer holds at the most.
const USES_MAX: u32 = 1_000;

/// A plan that a user may draw on, by a subscription or, as everybody may, the free one without.
#[derive(Debug, Clone)]
struct Holding {
    plan_code: String,
    features: Vec<String>,
    ai_quota_monthly: Option<i64>,
    /// AI executions counted in the month.
    used: i64,
    /// Absent for the free plan without a subscription.
    subscription: Option<(Status, State)>,
}

impl Holding {
    /// Whether there is a subscription that is live at `now`. One whose end was recorded is over whatever its facts say.
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.subscription.is_some_and(|(recorded, state)| recorded.is_live() && state.status(now).is_live())
    }

    /// For how many uses of `feature` the answer holds, or why it is not included or that its quota is spent.
    fn check(&self, feature: &str, now: DateTime<Utc>) -> Result<u32, String> {
        let Self { plan_code, features, used, .. } = self;
        if !features.iter().any(|included| included == feature || included == EVERYTHING) {
            return Err(format!("the plan {plan_code} does not include {feature}"));
        }
        match self.ai_quota_monthly {
            Some(quota) if feature.starts_with("ai.") && *used >= quota => Err(format!(
                "the monthly AI quota of {quota} in the plan {plan_code} is used up; it resets on {}",
                next_month(now)
            )),
            Some(quota) if feature.starts_with("ai.") => {
                let uses = u32::try_from((quota - used) / SHARE_OF_REST).unwrap_or(USES_MAX);
                Ok(uses.clamp(1, USES_MAX))
            }
            _ => Ok(USES_MAX),
        }
    }
}

/// Whether `subject` may use `feature` at `now`.
///
/// # Errors
/// 400 where `feature` is no key; 503 where the database is away.
pub async fn check(db: &Db, subject: Subject, feature: &str, now: DateTime<Utc>) -> Result<CheckEntitlementResponse> {
    let mut checks = Checks::new();
    checks.text("featureKey", feature, 1, 128);
    checks.finish()?;
    Ok(match decide(&list(db, subject, now).await?, feature, now) {
        Ok(uses) => CheckEntitlementResponse { allowed: true, uses, ..Default::default() },
        Err(reason) => CheckEntitlementResponse { allowed: false, reason, uses: 0 },
    })
}

/// For how many uses of `feature` the answer holds, or why none of `holdings` includes it now.
fn decide(holdings: &[Holding], feature: &str, now: DateTime<Utc>) -> Result<u32, String> {
    let live = holdings.iter().filter(|holding| holding.is_live(now)).map(|holding| holding.check(feature, now));
    if let Some(best) = live.reduce(|first, other| if first.is_err() && other.is_ok() { other } else { first }) {
        return best;
    }
    let free = holdings.iter().find(|holding| holding.subscription.is_none());
    let reason = match free.map(|free| free.check(feature, now)) {
        Some(Ok(uses)) => return Ok(uses),
        Some(Err(reason)) => reason,
        None => "there is no free plan".to_owned(),
    };
    match holdings.iter().find_map(|holding| Some((holding, holding.subscription?.1))) {
        None => Err(reason),
        Some((ended, state)) => {
            let day = state.deadline().date_naive();
            Err(format!("the subscription to {} ended on {day}, and {reason}", ended.plan_code))
        }
    }
}

/// The subscription that `subject` draws on at `now`, the own one before an organisation's.
///
/// # Errors
/// 503 where the database is away.
pub async fn subscription(db: &Db, subject: Subject, now: DateTime<Utc>) -> Result<GetActiveSubscriptionResponse> {
    let holdings = list(db, subject, now).await?;
    let live = holdings.into_iter().find(|holding| holding.is_live(now));
    let Some((plan_code, (_, state))) = live.and_then(|live| Some((live.plan_code, live.subscription?))) else {
        return Ok(GetActiveSubscriptionResponse {
            plan_code: "FREE".to_owned(),
            status: "INACTIVE".to_owned(),
            ..Default::default()
        });
    };
    let end = state.period_end.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let (renew_at, ends_at) = if state.cancel_at_period_end { (String::new(), end) } else { (end, String::new()) };
    Ok(GetActiveSubscriptionResponse { plan_code, status: state.status(now).as_str().to_owned(), renew_at, ends_at })
}

/// A row of [`list`]; the columns of a subscription are all there or all missing.
struct Row {
    plan_code: String,
    features: Json<Vec<String>>,
    ai_quota_monthly: Option<i64>,
    used: i64,
    status: Option<Status>,
    standing: Option<Standing>,
    current_period_end: Option<DateTime<Utc>>,
    cancel_at_period_end: Option<bool>,
    period_known_at: Option<DateTime<Utc>>,
    payment_known_at: Option<DateTime<Utc>>,
}

impl From<Row> for Holding {
    fn from(row: Row) -> Self {
        let facts = (row.status, row.standing, row.current_period_end, row.cancel_at_period_end);
        let subscription = match facts {
            (Some(status), Some(standing), Some(period_end), Some(cancel_at_period_end)) => {
                let (period_known_at, payment_known_at) = (row.period_known_at, row.payment_known_at);
                let state = State {
                    cancel_at_period_end,
                    period_known_at,
                    payment_known_at,
                    ..State::new(standing, period_end)
                };
                Some((status, state))
            }
            _ => None,
        };
        Self {
            plan_code: row.plan_code,
            features: row.features.0,
            ai_quota_monthly: row.ai_quota_monthly,
            used: row.used,
            subscription,
        }
    }
}

/// What `subject` may draw on: the own subscription (the live one, else the last one that ended), those of the tenant's
/// organisations, and the free plan. One round trip.
async fn list(db: &Db, subject: Subject, now: DateTime<Utc>) -> Result<Vec<Holding>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select h.code as "plan_code!", h.features_json as "features!: Json<Vec<String>>",
                  h.ai_quota_monthly as "ai_quota_monthly?", coalesce(h.used, 0) as "used!",
                  h.status as "status?: Status", h.standing as "standing?: Standing",
                  h.current_period_end as "current_period_end?", h.cancel_at_period_end as "cancel_at_period_end?",
                  h.period_known_at as "period_known_at?", h.payment_known_at as "payment_known_at?"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select p.code, p.features_json, p.ai_quota_monthly, s.*,
                      (select executions from ai_usage
                       where tenant_id = scope.tenant_id and holder_id = s.holder_id and month = $3) as used
               from (
                   (select 1 as rank, plan_id, $2::uuid as holder_id, status, standing, current_period_end,
                           cancel_at_period_end, period_known_at, payment_known_at
                    from subscriptions
                    where tenant_id = scope.tenant_id and user_id = $2
                    order by status in ('TRIAL', 'ACTIVE', 'PAST_DUE') desc, created_at desc
                    limit 1)
                   union all
                   (select 2, plan_id, scope.tenant_id, status, standing, current_period_end,
                           cancel_at_period_end, period_known_at, payment_known_at
                    from subscriptions
                    where tenant_id = scope.tenant_id and organization_id is not null
                          and status in ('TRIAL', 'ACTIVE', 'PAST_DUE')
                    order by created_at)
                   union all
                   select 3, id, $2, null, null, null, null, null, null from plans where code = $4
               ) s
               join plans p on p.id = s.plan_id
               offset 0
           ) h
           order by h.rank"#,
        subject.tenant_id,
        subject.user_id,
        month_of(now),
        FREE_PLAN,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Holding::from).collect())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-06T12:00:00Z".parse().unwrap()
    }

    fn holding(plan_code: &str, features: &[&str], quota: Option<i64>, used: i64) -> Holding {
        let features = features.iter().map(|&key| key.to_owned()).collect();
        Holding { plan_code: plan_code.to_owned(), features, ai_quota_monthly: quota, used, subscription: None }
    }

    fn subscribed(holding: Holding, recorded: Status, days_left: i64) -> Holding {
        let state = State::new(Standing::Active, now() + TimeDelta::days(days_left));
        Holding { subscription: Some((recorded, state)), ..holding }
    }

    fn free(used: i64) -> Holding {
        holding(FREE_PLAN, &["ai.flow.execute"], Some(50), used)
    }

    #[test]
    fn the_quota_binds_ai_features_alone() {
        let plan = holding("P", &["ai.flow.execute", "roadmap.regenerate"], Some(3), 3);
        let plan = [subscribed(plan, Status::Active, 5)];
        let reason = decide(&plan, "ai.flow.execute", now()).unwrap_err();
        assert_eq!(reason, "the monthly AI quota of 3 in the plan P is used up; it resets on 2026-02-01");
        assert_eq!(decide(&plan, "roadmap.regenerate", now()), Ok(USES_MAX));
    }

    #[test]
    fn an_answer_holds_for_a_small_part_of_what_is_left() {
        for (quota, used, uses) in
            [(Some(50), 0, 1), (Some(50), 49, 1), (Some(10_000), 5_000, 50), (Some(i64::MAX), 0, USES_MAX)]
        {
            let plan = [subscribed(holding("P", &["*"], quota, used), Status::Active, 5)];
            assert_eq!(decide(&plan, "ai.flow.execute", now()), Ok(uses), "{used} of {quota:?}");
        }
    }

    #[test]
    fn a_star_includes_everything_and_no_quota_is_no_limit() {
        let plan = [subscribed(holding("P", &["*"], None, 1_000_000), Status::Active, 5)];
        for feature in ["ai.flow.execute", "lms.instructor.revenue_dashboard", "never.heard.of"] {
            assert_eq!(decide(&plan, feature, now()), Ok(USES_MAX));
        }
    }

    #[test]
    fn a_live_plan_stands_alone_without_the_free_one_behind_it() {
        let plan = [subscribed(holding("P", &["analytics.advanced"], None, 0), Status::Active, 5), free(0)];
        assert!(decide(&plan, "ai.flow.execute", now()).is_err());
    }

    #[test]
    fn what_one_of_two_live_plans_includes_is_included() {
        let own = subscribed(holding("OWN", &["ai.flow.execute"], Some(1), 1), Status::Active, 5);
        let organizations = subscribed(holding("ORG", &["*"], Some(9), 8), Status::Active, 5);
        let both = [own.clone(), organizations.clone(), free(1)];
        assert_eq!(decide(&both, "ai.flow.execute", now()), Ok(1));
        let spent = [own, Holding { used: 9, ..organizations }, free(1)];
        assert!(decide(&spent, "ai.flow.execute", now()).unwrap_err().contains("OWN"));
    }

    #[test]
    fn an_ended_subscription_leaves_the_free_plan_and_is_named() {
        for (recorded, days_left) in [(Status::Active, 0), (Status::Active, -3), (Status::Canceled, 3)] {
            let ended = subscribed(holding("PREMIUM", &["*"], None, 0), recorded, days_left);
            let holdings = [ended, free(0)];
            assert_eq!(decide(&holdings, "ai.flow.execute", now()), Ok(1));
            let reason = decide(&holdings, "roadmap.regenerate", now()).unwrap_err();
            assert!(reason.starts_with("the subscription to PREMIUM ended on 2026-01-0"), "{reason}");
            assert!(reason.ends_with("the plan FREEMIUM does not include roadmap.regenerate"), "{reason}");
        }
    }
}
