//! What the consumers keep against the events on the topics: each was applied, and none twice.

use std::collections::{BTreeMap, BTreeSet};

use careeros_shared::events::{
    AiFlowExecuted, CourseCompleted, LessonCompleted, MilestoneCompleted, PlanChanged, QuizSubmitted, RoadmapCreated,
    RoadmapDraftGenerated, SkillGapAnalyzed, SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed,
    UserRegistered,
};

use super::{
    compare::assert_same,
    tables::Tables,
    topics::{Topics, user},
};
use crate::processes::Processes;

/// Asserts that the projections are what the events make of them.
pub(super) async fn check(processes: &Processes, topics: &Topics) {
    check_analytics(&mut Tables::of(processes, "analytics").await, topics).await;
    check_usage(&mut Tables::of(processes, "billing").await, topics).await;
    check_progress(&mut Tables::of(processes, "edu_tracker").await, topics).await;
    check_drafts(&mut Tables::of(processes, "roadmap").await, topics).await;
}

async fn check_analytics(tables: &mut Tables, topics: &Topics) {
    let steps = [
        ("activation.signup", topics.ids::<UserRegistered>().collect::<Vec<_>>()),
        ("activation.roadmap_created", topics.ids::<RoadmapCreated>().collect()),
        ("activation.lesson_completed", topics.ids::<LessonCompleted>().collect()),
        ("conversion.subscription_activated", topics.ids::<SubscriptionActivated>().collect()),
        ("engagement.ai_flow", topics.ids::<AiFlowExecuted>().collect()),
    ];
    for (step, events) in steps {
        let rows = tables.texts(&format!("select id::text from funnel_events where funnel_step = '{step}'")).await;
        assert_same(&format!("the funnel's {step}"), events, rows);
    }

    let mut runs = BTreeMap::new();
    for (envelope, event) in topics.of::<AiFlowExecuted>() {
        let (count, cost) = runs.entry((user(envelope), event.flow_name)).or_insert((0, rust_decimal::Decimal::ZERO));
        *count += 1;
        *cost += event.total_cost_usd;
    }
    let runs =
        runs.into_iter().map(|((user, flow), (count, cost))| format!("{user} {flow} {count} {}", cost.normalize()));
    let sql = "select user_id || ' ' || flow_name || ' ' || total_runs || ' ' || trim_scale(total_cost_usd)
               from ai_usage_analytics";
    assert_same("analytics' AI usage", runs, tables.texts(sql).await);

    let subscriptions = topics.ids::<SubscriptionActivated>().chain(topics.ids::<SubscriptionRenewed>());
    let subscriptions = subscriptions.chain(topics.ids::<SubscriptionCanceled>());
    let rows = tables.texts("select id::text from subscription_events").await;
    assert_same("subscription events", subscriptions, rows);
    assert_same("prices", topics.ids::<PlanChanged>(), tables.texts("select id::text from plan_prices").await);
}

async fn check_usage(tables: &mut Tables, topics: &Topics) {
    let executed = || topics.of::<AiFlowExecuted>().filter(|(_, event)| event.status != "FAILED");
    let ids = executed().map(|(_, event)| event.execution_id.to_string()).collect::<BTreeSet<_>>();
    let rows = tables.texts("select execution_id::text from metered_executions").await;
    assert_same("metered executions", ids, rows);

    let mut used: BTreeMap<_, u32> = BTreeMap::new();
    for (envelope, _) in executed() {
        let month = envelope.occurred_at.format("%Y-%m").to_string();
        *used.entry((user(envelope), month.clone())).or_default() += 1;
        *used.entry((envelope.tenant_id.clone(), month)).or_default() += 1;
    }
    let used = used.into_iter().map(|((holder, month), count)| format!("{holder} {month} {count}"));
    let sql = "select holder_id || ' ' || to_char(month, 'YYYY-MM') || ' ' || executions from ai_usage";
    assert_same("billing's AI usage", used, tables.texts(sql).await);
}

async fn check_progress(tables: &mut Tables, topics: &Topics) {
    let lessons = topics.of::<LessonCompleted>();
    let lessons = lessons.map(|(envelope, event)| format!("{} {}", envelope.event_id, event.time_spent_minutes));
    let sql = "select source_event_id || ' ' || trim_scale(metric_value) from progress_logs
               where metric_key = 'lesson_minutes'";
    assert_same("logged lessons", lessons, tables.texts(sql).await);

    for (source, events) in [
        ("CourseCompleted", topics.ids::<CourseCompleted>().collect::<Vec<_>>()),
        ("MilestoneCompleted", topics.ids::<MilestoneCompleted>().collect()),
        ("QuizSubmitted", topics.ids::<QuizSubmitted>().collect()),
    ] {
        let sql =
            format!("select distinct source_event_id::text from progress_logs where source_event_type = '{source}'");
        assert_same(&format!("logged {source}"), events, tables.texts(&sql).await);
    }

    let mut weeks: BTreeMap<_, (u32, u32)> = BTreeMap::new();
    for (envelope, event) in topics.of::<LessonCompleted>() {
        weeks.entry(user(envelope)).or_default().0 += event.time_spent_minutes;
    }
    for (envelope, _) in topics.of::<MilestoneCompleted>() {
        weeks.entry(user(envelope)).or_default().1 += 1;
    }
    // A lesson may take no time; whoever did nothing else may have a row or none.
    let weeks = weeks.into_iter().filter(|(_, (minutes, milestones))| minutes + milestones > 0);
    let weeks = weeks.map(|(user, (minutes, milestones))| format!("{user} {minutes} {milestones}"));
    let sql = "select user_id || ' ' || sum(minutes) || ' ' || sum(milestones) from activity_weeks
               group by user_id having sum(minutes) + sum(milestones) > 0";
    assert_same("minutes and milestones", weeks, tables.texts(sql).await);
}

async fn check_drafts(tables: &mut Tables, topics: &Topics) {
    let drafts = topics.of::<RoadmapDraftGenerated>().map(|(_, event)| event.execution_id.to_string());
    let sql = "select execution_id::text from roadmap_drafts where execution_id is not null";
    assert_same("generated drafts", drafts, tables.texts(sql).await);

    let mut gaps = BTreeMap::new();
    for (envelope, event) in topics.of::<SkillGapAnalyzed>() {
        let found = (envelope.occurred_at, event.execution_id);
        let newest = gaps.entry(user(envelope)).or_insert(found);
        *newest = found.max(*newest);
    }
    let gaps = gaps.into_iter().map(|(user, (_, execution))| format!("{user} {execution}"));
    assert_same("skill gaps", gaps, tables.texts("select user_id || ' ' || execution_id from skill_gaps").await);
}
