//! The tables are a function of the set of events: any order of arrival, any batches, any number of deliveries.

use careeros_edu_tracker::{events::Tracker, progress};
use careeros_shared::{
    directory::Subject,
    events::Envelope,
    testing::{self, TestUser},
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};
use serde_json::Value;

use crate::{Fixture, start, story};

const SKILLS: [&str; 3] = ["rust", "sql", "go"];
const ZONES: [&str; 4] = ["America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Europe/Berlin"];
const TABLES: [&str; 7] = [
    "learners",
    "progress_logs",
    "activity_weeks",
    "lesson_skills",
    "skill_days",
    "mastery_scores",
    "productivity_metrics",
];

/// Something that happens to user `who`, or to a course, `minute`s before the clock's time.
#[derive(Debug, Clone)]
enum Happening {
    Lesson { who: usize, course: u8, lesson: u8, minutes: u32 },
    Quiz { who: usize, answers: Vec<(usize, bool)> },
    Course { who: usize, course: u8 },
    Milestone { who: usize },
    Zone { who: usize, zone: usize },
    Profile { who: usize },
    Published { course: u8, version: u32, lessons: Vec<(u8, Vec<usize>)> },
}

fn happening() -> impl Strategy<Value = Happening> {
    let skills = || prop::collection::vec(0..SKILLS.len(), 0..3);
    prop_oneof![
        4 => (0..3_usize, 0..2_u8, 0..4_u8, 0..90_u32)
            .prop_map(|(who, course, lesson, minutes)| Happening::Lesson { who, course, lesson, minutes }),
        3 => (0..3_usize, prop::collection::vec((0..SKILLS.len(), any::<bool>()), 0..5))
            .prop_map(|(who, answers)| Happening::Quiz { who, answers }),
        1 => (0..3_usize, 0..2_u8).prop_map(|(who, course)| Happening::Course { who, course }),
        1 => (0..3_usize).prop_map(|who| Happening::Milestone { who }),
        1 => (0..3_usize, 0..ZONES.len()).prop_map(|(who, zone)| Happening::Zone { who, zone }),
        1 => (0..3_usize).prop_map(|who| Happening::Profile { who }),
        2 => (0..2_u8, 1..4_u32, prop::collection::vec((0..4_u8, skills()), 1..5))
            .prop_map(|(course, version, lessons)| Happening::Published { course, version, lessons }),
    ]
}

/// What happens and when, in minutes and nanoseconds before the clock's time; an order of every event twice; and the sizes of batches.
#[derive(Debug, Clone)]
struct History {
    happenings: Vec<(Happening, i64, i64)>,
    order: Vec<usize>,
    batches: Vec<usize>,
}

fn history() -> impl Strategy<Value = History> {
    // Three weeks, and some hours by a clock that was ahead; a few of them at one instant, or as good as.
    let minutes = prop_oneof![8 => 0..30_240_i64, 2 => Just(600), 1 => -1_200..0_i64];
    let timed = (happening(), minutes, prop_oneof![4 => Just(0), 1 => 0..2_000_i64]);
    prop::collection::vec(timed, 1..60).prop_flat_map(|happenings| {
        let twice: Vec<usize> = (0..happenings.len()).chain(0..happenings.len()).collect();
        let sizes = prop::collection::vec(1..20_usize, twice.len());
        (Just(happenings), Just(twice).prop_shuffle(), sizes).prop_map(|(happenings, order, batches)| History {
            happenings,
            order,
            batches,
        })
    })
}

fn envelope(users: &[TestUser], happening: &Happening, at: DateTime<Utc>) -> Envelope {
    match happening {
        Happening::Lesson { who, course, lesson, minutes } => {
            story::lesson(&users[*who], at, *course, *lesson, *minutes)
        }
        Happening::Quiz { who, answers } => {
            let answers: Vec<_> = answers.iter().map(|(skill, correct)| (SKILLS[*skill], *correct)).collect();
            story::quiz(&users[*who], at, &answers)
        }
        Happening::Course { who, course } => story::course(&users[*who], at, *course),
        Happening::Milestone { who } => story::milestone(&users[*who], at),
        Happening::Zone { who, zone } => story::zone(&users[*who], at, ZONES[*zone]),
        Happening::Profile { who } => story::profile(&users[*who], at),
        Happening::Published { course, version, lessons } => {
            let keys = |skills: &[usize]| skills.iter().map(|skill| SKILLS[*skill]).collect::<Vec<_>>();
            let lessons: Vec<_> = lessons.iter().map(|(lesson, skills)| (*lesson, keys(skills))).collect();
            let lessons: Vec<_> = lessons.iter().map(|(lesson, skills)| (*lesson, skills.as_slice())).collect();
            story::published(at, *course, *version, &lessons)
        }
    }
}

fn events(users: &[TestUser], history: &History) -> Vec<Envelope> {
    let at = |minutes: i64, nanos| testing::start() - TimeDelta::minutes(minutes) - TimeDelta::nanoseconds(nanos);
    let of = |(happening, minutes, nanos): &(_, _, _)| envelope(users, happening, at(*minutes, *nanos));
    history.happenings.iter().map(of).collect()
}

/// All tables without the ids that are made on arrival.
async fn tables(edu: &Fixture) -> Vec<Value> {
    let mut tables = Vec::new();
    for table in TABLES {
        let rows = format!(
            "select coalesce(jsonb_agg(r order by r::text), '[]') from (select to_jsonb(t) - 'id' r from {table} t) t"
        );
        tables.push(sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(&edu.db.admin).await.unwrap());
    }
    tables
}

/// What everybody is told now, in two days, and in nine.
async fn answers(edu: &Fixture, users: &[TestUser]) -> Vec<progress::Progress> {
    let mut answers = Vec::new();
    for user in users {
        let subject = Subject { user_id: user.id, tenant_id: user.tenant_id };
        for days in [0, 2, 9] {
            let now = edu.clock.now() + TimeDelta::days(days);
            answers.push(progress::get(&edu.db, subject, now).await.unwrap());
        }
    }
    answers
}

/// Forgets everything.
async fn start_over(edu: &Fixture) {
    let truncate = format!("truncate inbox, outbox, {}", TABLES.join(", "));
    sqlx::query(sqlx::AssertSqlSafe(truncate)).execute(&edu.db.admin).await.unwrap();
}

async fn check(calm: &Fixture, wild: &Fixture, users: &[TestUser], history: History) -> TestCaseResult {
    start_over(calm).await;
    start_over(wild).await;
    let events = events(users, &history);
    let mut chronological: Vec<_> = events.clone();
    chronological.sort_by_key(|event| (event.occurred_at, event.event_id));
    for event in &chronological {
        calm.deliver(std::slice::from_ref(event)).await.unwrap();
    }
    let mut order = history.order.iter().map(|index| events[*index].clone()).peekable();
    for size in history.batches {
        let batch: Vec<_> = order.by_ref().take(size).collect();
        wild.deliver(&batch).await.unwrap();
        if order.peek().is_none() {
            break;
        }
    }
    let expected = tables(calm).await;
    prop_assert_eq!(&tables(wild).await, &expected);
    prop_assert_eq!(answers(wild, users).await, answers(calm, users).await);
    // Even a consumer group without any memory counts nothing twice.
    let tracker = Tracker { clock: wild.clock.clone() };
    testing::deliver(&wild.db, "another-group", tracker, &events).await.unwrap();
    prop_assert_eq!(&tables(wild).await, &expected);
    Ok(())
}

#[test]
fn neither_order_nor_batches_nor_repetitions_matter() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let users = [TestUser::student(), TestUser::student(), TestUser::student()];
    let (calm, wild) = runtime.block_on(async { (start(&[]).await, start(&[]).await) });
    let rng_seed = RngSeed::Fixed(testing::seed());
    let config = Config { cases: 24, max_shrink_iters: 60, rng_seed, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner.run(&history(), |history| runtime.block_on(check(&calm, &wild, &users, history))).unwrap();
}

#[tokio::test]
async fn a_redelivered_event_counts_once() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    let batch = [story::lesson(&ada, now, 1, 1, 25), story::quiz(&ada, now, &[("rust", true)])];
    edu.deliver(&batch).await.unwrap();
    let (once, published) = (tables(&edu).await, edu.db.outbox().await.len());
    edu.deliver(&batch).await.unwrap();
    edu.deliver(&[batch[0].clone(), batch[0].clone()]).await.unwrap();
    assert_eq!(tables(&edu).await, once);
    assert_eq!(edu.db.outbox().await.len(), published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_at_the_same_time_lose_nothing() {
    let users = [TestUser::student(), TestUser::student()];
    let (calm, wild) = (start(&[]).await, start(&[]).await);
    let mut lanes: [Vec<Envelope>; 4] = Default::default();
    for round in 0..40_u8 {
        let at = calm.clock.now() - TimeDelta::hours(i64::from(40 - round) * 7);
        for (index, user) in users.iter().enumerate() {
            lanes[0].push(story::lesson(user, at, round % 3, round % 5, 10));
            lanes[1].push(story::quiz(user, at, &[("rust", round % 2 == 0), ("sql", true)]));
            lanes[2].push(story::zone(user, at, ZONES[(usize::from(round) + index) % ZONES.len()]));
        }
        let (version, lessons) = (u32::from(round / 3) + 1, [(round % 5, ["rust", "go"]), (round % 4, ["sql", "go"])]);
        let lessons = lessons.each_ref().map(|(lesson, skills)| (*lesson, skills.as_slice()));
        lanes[3].push(story::published(at, round % 3, version, &lessons));
    }
    calm.deliver(&lanes.concat()).await.unwrap();
    let deliver = async |lane: &[Envelope]| {
        for batch in lane.chunks(2) {
            wild.deliver(batch).await.unwrap();
        }
    };
    let [lessons, quizzes, zones, courses] = &lanes;
    tokio::join!(deliver(lessons), deliver(quizzes), deliver(zones), deliver(courses));
    assert_eq!(tables(&wild).await, tables(&calm).await);
}
