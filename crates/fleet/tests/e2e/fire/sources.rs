//! What the services keep against what they told: each change has its event, each event its change, and neither twice.

use std::collections::BTreeMap;

use careeros_shared::events::{
    AiFlowExecuted, CertificateIssued, CourseCompleted, CoursePublished, EnrollmentCreated, LessonCompleted,
    MasteryScoreUpdated, MilestoneCompleted, PlanChanged, ProductivityScoreComputed, RoadmapCreated,
    RoadmapDraftGenerated, RoadmapUpdated, SkillGapAnalyzed, SkillsUpdated, StreakUpdated, SubscriptionActivated,
    UserLoggedIn, UserRegistered,
};

use super::{
    compare::{assert_among, assert_same},
    tables::Tables,
    topics::{Topics, user},
    writers::Ledger,
};
use crate::processes::Processes;

/// Rows and events of one kind, written alike.
struct Kind {
    name: &'static str,
    database: &'static str,
    rows: &'static str,
    events: fn(&Topics) -> Vec<String>,
}

/// Every change that exactly one event tells of.
const KINDS: &[Kind] = &[
    Kind {
        name: "users",
        database: "auth",
        rows: "select id::text from users",
        events: |topics| topics.of::<UserRegistered>().map(|(_, event)| event.user_id.to_string()).collect(),
    },
    Kind {
        name: "roadmaps",
        database: "roadmap",
        rows: "select id || ' ' || version from roadmaps",
        events: |topics| {
            topics.of::<RoadmapCreated>().map(|(_, e)| format!("{} {}", e.roadmap_id, e.version)).collect()
        },
    },
    Kind {
        name: "superseded roadmaps",
        database: "roadmap",
        rows: "select id || ' ' || version from roadmaps where status = 'SUPERSEDED'",
        events: |topics| {
            let superseded = topics.of::<RoadmapUpdated>().filter(|(_, event)| event.change == "superseded");
            superseded.map(|(_, event)| format!("{} {}", event.roadmap_id, event.version)).collect()
        },
    },
    Kind {
        name: "milestones",
        database: "roadmap",
        rows: "select id::text from milestones where status = 'COMPLETED'",
        events: |topics| topics.of::<MilestoneCompleted>().map(|(_, event)| event.milestone_id.to_string()).collect(),
    },
    Kind {
        name: "executions",
        database: "ai_core",
        rows: "select execution_id || ' ' || flow_name || ' ' || status from ai_outputs",
        events: |topics| {
            let events = topics.of::<AiFlowExecuted>();
            events.map(|(_, event)| format!("{} {} {}", event.execution_id, event.flow_name, event.status)).collect()
        },
    },
    Kind {
        name: "skill gaps",
        database: "ai_core",
        rows: "select execution_id::text from ai_outputs where flow_name = 'skill_gap_analysis'",
        events: |topics| topics.of::<SkillGapAnalyzed>().map(|(_, event)| event.execution_id.to_string()).collect(),
    },
    Kind {
        name: "generated roadmaps",
        database: "ai_core",
        rows: "select execution_id::text from ai_outputs where flow_name = 'roadmap_generator'",
        events: |topics| topics.of::<RoadmapDraftGenerated>().map(|(_, e)| e.execution_id.to_string()).collect(),
    },
    Kind {
        name: "enrollments",
        database: "lms",
        rows: "select user_id || ' ' || course_id from enrollments",
        events: |topics| {
            topics.of::<EnrollmentCreated>().map(|(_, e)| format!("{} {}", e.user_id, e.course_id)).collect()
        },
    },
    Kind {
        name: "completions",
        database: "lms",
        rows: "select user_id || ' ' || lesson_id || ' ' || time_spent_minutes
               from lesson_completions join enrollments on enrollments.id = enrollment_id",
        events: |topics| {
            let events = topics.of::<LessonCompleted>();
            events.map(|(_, e)| format!("{} {} {}", e.user_id, e.lesson_id, e.time_spent_minutes)).collect()
        },
    },
    Kind {
        name: "completed courses",
        database: "lms",
        rows: "select user_id || ' ' || course_id from enrollments where status = 'COMPLETED'",
        events: |topics| {
            topics.of::<CourseCompleted>().map(|(_, e)| format!("{} {}", e.user_id, e.course_id)).collect()
        },
    },
    Kind {
        name: "certificates",
        database: "lms",
        rows: "select id || ' ' || verification_code from certificates",
        events: |topics| {
            let events = topics.of::<CertificateIssued>();
            events.map(|(_, event)| format!("{} {}", event.certificate_id, event.verification_code)).collect()
        },
    },
    Kind {
        name: "courses",
        database: "lms",
        rows: "select id || ' ' || version from courses where status = 'PUBLISHED'",
        events: |topics| {
            topics.of::<CoursePublished>().map(|(_, e)| format!("{} {}", e.course_id, e.version)).collect()
        },
    },
    Kind {
        name: "subscriptions",
        database: "billing",
        rows: "select id || ' ' || user_id from subscriptions",
        events: |topics| {
            let events = topics.of::<SubscriptionActivated>();
            events.map(|(_, event)| format!("{} {}", event.subscription_id, event.user_id.unwrap())).collect()
        },
    },
    Kind {
        name: "plans",
        database: "billing",
        rows: "select code from plans",
        events: |topics| topics.of::<PlanChanged>().map(|(_, event)| event.plan_code).collect(),
    },
];

/// Where the newest event of each key says what its row has now.
const NEWEST: &[Kind] = &[
    Kind {
        name: "proficiencies",
        database: "user_profile",
        rows: "select user_id || ' ' || s.key || ' ' || trim_scale(proficiency)
               from user_skills join skills s on s.id = skill_id",
        events: |topics| {
            newest(topics.of::<SkillsUpdated>().map(|(_, e)| (format!("{} {}", e.user_id, e.skill_key), e.proficiency)))
        },
    },
    Kind {
        name: "mastery",
        database: "edu_tracker",
        rows: "select user_id || ' ' || skill_key || ' ' || trim_scale(score) from mastery_scores where score > 0",
        events: |topics| {
            newest(topics.of::<MasteryScoreUpdated>().map(|(_, e)| (format!("{} {}", e.user_id, e.skill_key), e.score)))
        },
    },
    Kind {
        name: "streaks",
        database: "edu_tracker",
        rows: "select user_id || ' ' || streak_days from productivity_metrics where streak_days > 0",
        events: |topics| newest(topics.of::<StreakUpdated>().map(|(_, e)| (e.user_id, e.streak_days))),
    },
    Kind {
        name: "productivity",
        database: "edu_tracker",
        rows: "select user_id || ' ' || trim_scale(productivity_score) || ' ' || weekly_minutes
               from productivity_metrics where productivity_score > 0",
        events: |topics| {
            let events = topics.of::<ProductivityScoreComputed>();
            newest(events.map(|(_, e)| (e.user_id, format!("{} {}", e.productivity_score, e.weekly_minutes))))
        },
    },
];

/// The last value of each key.
fn newest<K: ToString, V: ToString>(events: impl Iterator<Item = (K, V)>) -> Vec<String> {
    let newest: BTreeMap<_, _> = events.map(|(key, value)| (key.to_string(), value.to_string())).collect();
    newest.into_iter().map(|(key, value)| format!("{key} {value}")).collect()
}

/// Asserts that rows and events are the same.
pub(super) async fn check(processes: &Processes, topics: &Topics) {
    for kind in KINDS.iter().chain(NEWEST) {
        let mut tables = Tables::of(processes, kind.database).await;
        assert_same(&format!("rows of {} as events", kind.name), tables.texts(kind.rows).await, (kind.events)(topics));
        tables.close().await;
    }
    let mut auth = Tables::of(processes, "auth").await;
    let known = auth.texts("select id::text from users").await;
    auth.close().await;
    assert_among("users who logged in", &topics.of::<UserLoggedIn>().map(|(e, _)| user(e)).collect::<Vec<_>>(), known);
}

/// Asserts that everything that was acknowledged is there.
pub(super) async fn check_acknowledged(processes: &Processes, topics: &Topics, ledger: &Ledger) {
    for (name, things) in &ledger.things {
        let found = match *name {
            // Each of a user's values replaces the one before, so only the events have them all.
            "skills" => {
                let skills = topics.of::<SkillsUpdated>();
                skills.map(|(_, event)| format!("{} {}", event.user_id, event.proficiency)).collect()
            }
            "drafts" => rows(processes, "roadmap", "select id::text from roadmap_drafts").await,
            "subscribers" => rows(processes, "billing", "select user_id::text from subscriptions").await,
            _ => {
                let kind = KINDS.iter().find(|kind| kind.name == *name).expect("a known kind");
                rows(processes, kind.database, kind.rows).await
            }
        };
        assert_among(&format!("acknowledged {name}"), things, found);
    }
    let profiles = rows(processes, "user_profile", "select user_id || ' ' || full_name from profiles").await;
    let profiles: BTreeMap<_, u32> =
        profiles.iter().filter_map(|row| row.split_once(' ')).map(|(id, name)| (id, name.parse().unwrap())).collect();
    for ((kind, user), told) in &ledger.counters {
        let found = profiles.get(user.as_str());
        assert!(
            found.is_some_and(|found| found >= told),
            "{kind} of {user}: {told} was acknowledged, {found:?} is there"
        );
    }
}

/// Asserts that the counters which the writers put into their skills only grow, and by one: none is missing, doubled or
/// overtaken.
pub(super) fn check_order(topics: &Topics) {
    let mut counters: BTreeMap<_, f64> = BTreeMap::new();
    for (_, event) in topics.of::<SkillsUpdated>() {
        let before = counters.insert(event.user_id, event.proficiency).unwrap_or_default();
        let (user, after) = (event.user_id, event.proficiency);
        assert!((after - before - 1.0).abs() < f64::EPSILON, "the skill of {user} went from {before} to {after}");
    }
}

async fn rows(processes: &Processes, database: &'static str, sql: &str) -> Vec<String> {
    let mut tables = Tables::of(processes, database).await;
    let rows = tables.texts(sql).await;
    tables.close().await;
    rows
}
