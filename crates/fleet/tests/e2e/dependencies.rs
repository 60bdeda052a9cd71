//! Whatever is away, every route answers within its deadline: what needs it by a problem, all else as ever. Readiness
//! names it, every process stays alive, and when it is back all is well again by itself.
//!
//! Each outage is one round: all routes are asked at once while it lasts.

mod model;
mod routes;
mod stage;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use careeros_fleet::services;
use futures::future::join_all;
use sqlx::Connection as _;

use self::{
    model::{Model, Mood},
    routes::{Data, Row},
    stage::{Answer, Stage},
};
use crate::{
    processes::{AI_CORE, ANALYTICS, AUTH, BILLING, EDU_TRACKER, GATEWAY, LMS, PROFILE, Processes, ROADMAP},
    requests, support,
};

/// What an answer may take beyond its deadline, on a machine that does much else.
const MARGIN: Duration = Duration::from_millis(1500);
/// How long a dead service's clients may take to say so: nothing has to be waited for.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How long readiness asks each dependency (docs/OPERATIONS.md, Health).
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon everything is well again.
const RECOVERY: Duration = Duration::from_secs(10);
/// What a completed lesson adds.
pub(crate) const MINUTES: i64 = 5;

/// How something is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// Its process is dead.
    Dead,
    /// Its process stands still: connections are taken and nothing is answered.
    Hangs,
}

/// What is away at a time.
struct Outage {
    dead: &'static [usize],
    hanging: &'static [usize],
    postgres: Option<Fault>,
    broker: Option<Fault>,
    model: Mood,
}

const NOTHING: Outage = Outage { dead: &[], hanging: &[], postgres: None, broker: None, model: Mood::Answers };

/// Every service is dead in one round and hangs in another, and no two are away in the same two rounds, so that each is
/// seen to work without each other that it does not need.
const OUTAGES: [Outage; 9] = [
    Outage { dead: &[AUTH, PROFILE], hanging: &[EDU_TRACKER], model: Mood::Refuses, ..NOTHING },
    Outage { dead: &[AI_CORE, LMS], hanging: &[AUTH], ..NOTHING },
    Outage { dead: &[ROADMAP], hanging: &[PROFILE, LMS, ANALYTICS], model: Mood::Hangs, ..NOTHING },
    Outage { dead: &[BILLING], hanging: &[AI_CORE, ROADMAP], ..NOTHING },
    Outage { dead: &[EDU_TRACKER, ANALYTICS], hanging: &[BILLING], ..NOTHING },
    Outage { postgres: Some(Fault::Dead), ..NOTHING },
    Outage { postgres: Some(Fault::Hangs), ..NOTHING },
    Outage { broker: Some(Fault::Dead), model: Mood::Fails, ..NOTHING },
    Outage { broker: Some(Fault::Hangs), model: Mood::Babbles, ..NOTHING },
];

impl Outage {
    fn name(&self) -> String {
        let names = |services: &[usize]| services.iter().map(|s| services::ALL[*s].service.name).collect::<Vec<_>>();
        let Self { dead, hanging, postgres, broker, model } = self;
        let stores = format!("PostgreSQL {postgres:?}, broker {broker:?}");
        format!("dead {:?}, hanging {:?}, {stores}, the model {model:?}", names(dead), names(hanging))
    }

    async fn begin(&self, processes: &mut Processes, model: &mut Model) {
        model.be(self.model).await;
        for service in self.dead {
            processes.kill(*service).await;
        }
        for service in self.hanging {
            processes.pause(*service);
        }
        match self.postgres {
            Some(Fault::Dead) => processes.kill_postgres().await,
            Some(Fault::Hangs) => processes.pause_postgres(),
            None => {}
        }
        match self.broker {
            Some(Fault::Dead) => processes.kill_broker().await,
            Some(Fault::Hangs) => processes.pause_broker().await,
            None => {}
        }
    }

    async fn end(&self, processes: &mut Processes, model: &mut Model) {
        model.be(Mood::Answers).await;
        for service in self.dead {
            processes.run(*service);
        }
        for service in self.hanging {
            processes.resume(*service);
        }
        match self.postgres {
            Some(Fault::Dead) => processes.restart_postgres().await,
            Some(Fault::Hangs) => processes.resume_postgres(),
            None => {}
        }
        match self.broker {
            Some(Fault::Dead) => processes.restart_broker().await,
            Some(Fault::Hangs) => processes.resume_broker().await,
            None => {}
        }
    }

    fn is_away(&self, service: usize) -> bool {
        self.dead.contains(&service) || self.hanging.contains(&service)
    }

    /// What keeps `row` from its answer: of several the one that takes longest.
    fn hits(&self, row: &Row) -> Option<Fault> {
        let any = |services: &[usize]| row.needs.iter().any(|need| services.contains(need));
        let database = self.postgres.filter(|_| row.data == Data::Needed);
        if any(self.hanging) {
            Some(Fault::Hangs)
        } else if any(self.dead) {
            Some(Fault::Dead)
        } else {
            // A client of PostgreSQL waits for it a little, however it is away.
            database.map(|_| Fault::Hangs)
        }
    }

    /// What is wrong with the answer to `row`.
    fn fault(&self, row: &Row, answer: &Answer) -> Option<String> {
        let is_well = well(row, answer, self.model).is_none();
        let either = self.postgres.is_some() && row.data == Data::Remembered;
        let Some(fault) = self.hits(row) else {
            return if is_well || (either && is_refusal(answer)) { None } else { well(row, answer, self.model) };
        };
        let limit = if fault == Fault::Dead { AT_ONCE } else { row.deadline + MARGIN };
        if !is_refusal(answer) {
            Some(format!("{} should be refused: {answer:?}", row.name()))
        } else if fault == Fault::Dead && answer.status != 503 {
            Some(format!("{} should be 503, as nothing is waited for: {answer:?}", row.name()))
        } else {
            (answer.took > limit).then(|| format!("{} took {:?}, not {limit:?}", row.name(), answer.took))
        }
    }

    /// What the gateway's readiness has to name.
    fn unready(&self) -> BTreeSet<&'static str> {
        let services = services::ALL.iter().enumerate().skip(1);
        let concerned = services.filter(|(at, _)| self.is_away(*at) || self.store().is_some());
        concerned.map(|(_, entry)| entry.service.name).collect()
    }

    /// What the services' readiness has to name.
    fn store(&self) -> Option<&'static str> {
        self.postgres.map(|_| "database").or(self.broker.map(|_| "broker"))
    }
}

/// 503 or 504 as documented.
fn is_refusal(answer: &Answer) -> bool {
    [503, 504].contains(&answer.status)
        && answer.content_type == "application/problem+json"
        && answer.json()["status"] == answer.status
        && answer.json()["correlation_id"].is_string()
        && answer.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds))
}

/// What is wrong with an answer to `row` while all that it needs is there, whatever the model does.
fn well(row: &Row, answer: &Answer, model: Mood) -> Option<String> {
    let limit = row.deadline + MARGIN;
    let whole = match row.path {
        "/ai/flows/execute" => {
            let by_the_model = model == Mood::Answers;
            let body = answer.json();
            let warned = body["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
            body["status"] == if by_the_model { "SUCCESS" } else { "PARTIAL" } && (by_the_model || warned)
        }
        "/ai/chat/stream" => answer.body.contains("event: done"),
        _ => true,
    };
    let is_well = (200..300).contains(&answer.status) && whole && answer.took <= limit;
    (!is_well).then(|| format!("{} should succeed: {answer:?}", row.name()))
}

/// The names that a readiness report calls unready; everything where there is no report.
fn named(answer: &Answer) -> BTreeSet<String> {
    let report = answer.json();
    let dependencies = report["dependencies"].as_object().into_iter().flatten();
    dependencies.filter(|(_, state)| *state != "ok").map(|(name, _)| name.clone()).collect()
}

/// A fleet under test.
struct Scene {
    processes: Processes,
    model: Model,
    stage: Stage,
    rows: Vec<Row>,
    /// The learner's minutes: those of lessons that were said to be completed, and of those that may have been.
    minutes: std::ops::RangeInclusive<i64>,
}

impl Scene {
    async fn new() -> Self {
        let model = Model::start().await;
        let variables = [
            ("THROTTLE_LIMIT", "1000000".to_owned()),
            ("OPENAI_BASE_URL", model.base_url()),
            ("OPENAI_TIMEOUT", "2s".to_owned()),
            ("OPENAI_DEADLINE", "5s".to_owned()),
        ];
        let processes = Processes::start_with(&variables).await;
        let stage = Stage::set(&processes).await;
        // `Stage::set` has finished one course.
        Self { processes, model, stage, rows: routes::all(), minutes: 25..=25 }
    }

    /// Notes what the answer to a completed lesson says.
    fn count(&mut self, answers: &[Answer]) {
        let at = self.rows.iter().position(|row| row.path == "/lms/lessons/complete").unwrap();
        let (mut sure, mut possible) = (*self.minutes.start(), *self.minutes.end());
        possible += MINUTES;
        if answers[at].status == 200 {
            sure += MINUTES;
        }
        self.minutes = sure..=possible;
    }

    /// Every route while `outage` lasts, and everything after it; what was wrong.
    async fn play(&mut self, outage: &Outage) -> Vec<String> {
        let props = self.stage.props().await.unwrap();
        outage.begin(&mut self.processes, &mut self.model).await;
        let (answers, mut faults) = tokio::join!(self.stage.ask_all(&self.rows, &props), self.look(outage));
        self.count(&answers);
        faults.extend(self.rows.iter().zip(&answers).filter_map(|(row, answer)| outage.fault(row, answer)));
        let returned = Instant::now();
        outage.end(&mut self.processes, &mut self.model).await;
        let returned = if outage.postgres == Some(Fault::Dead) || outage.broker == Some(Fault::Dead) {
            // What counts is when they listen again.
            Instant::now()
        } else {
            returned
        };
        faults.extend(self.recover(returned).await);
        faults
    }

    /// Readiness and liveness of every process.
    async fn look(&self, outage: &Outage) -> Vec<String> {
        let looks = (0..services::ALL.len()).filter(|service| !outage.is_away(*service)).map(async |service| {
            let name = services::ALL[service].service.name;
            let url = self.processes.url(service);
            let (live, ready) = (format!("{url}/health/live"), format!("{url}/health/ready"));
            let (live, ready) = tokio::join!(self.stage.get(&live), self.stage.get(&ready));
            let mut faults = Vec::new();
            if live.status != 200 || live.took > AT_ONCE {
                faults.push(format!("{name} is not alive: {live:?}"));
            }
            let found = named(&ready);
            let is_named = if service == GATEWAY {
                found.iter().map(String::as_str).eq(outage.unready())
            } else {
                outage.store().map_or(found.is_empty(), |store| found.contains(store))
            };
            let status = if found.is_empty() { 200 } else { 503 };
            if !is_named || ready.status != status || ready.took > PATIENCE + MARGIN {
                faults.push(format!("{name}'s readiness should name the culprit: {ready:?}"));
            }
            faults
        });
        join_all(looks).await.concat()
    }

    /// Asks everything again and again until all is well; what is not after [`RECOVERY`].
    async fn recover(&mut self, returned: Instant) -> Vec<String> {
        loop {
            let faults = self.unwell().await;
            if faults.is_empty() {
                eprintln!("    well again after {:.1?}", returned.elapsed());
                return faults;
            }
            if returned.elapsed() > RECOVERY {
                return faults.into_iter().map(|fault| format!("10 s after its return: {fault}")).collect();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What is not as it should be while nothing is away.
    async fn unwell(&mut self) -> Vec<String> {
        let mut faults = self.look(&NOTHING).await;
        if !faults.is_empty() {
            return faults;
        }
        match self.stage.props().await {
            Ok(props) => {
                let answers = self.stage.ask_all(&self.rows, &props).await;
                self.count(&answers);
                faults.extend(self.rows.iter().zip(&answers).filter_map(|(row, a)| well(row, a, Mood::Answers)));
            }
            Err(error) => faults.push(format!("{error:#}")),
        }
        if faults.is_empty() { self.missing_events().await } else { faults }
    }

    /// What has not arrived of the events that were written.
    async fn missing_events(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for database in services::ALL.iter().filter_map(|entry| entry.database) {
            let url = self.processes.superuser_url(database.name);
            let url = secrecy::ExposeSecret::expose_secret(&url);
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            let waiting: i64 =
                sqlx::query_scalar("select count(*) from outbox").fetch_one(&mut connection).await.unwrap();
            if waiting > 0 {
                faults.push(format!("{waiting} events wait in the outbox of {}", database.name));
            }
        }
        match self.stage.minutes().await {
            Some(minutes) if self.minutes.contains(&minutes) => {}
            minutes => faults.push(format!("{minutes:?} minutes are counted, not {:?}", self.minutes)),
        }
        faults
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_every_route_answers_in_time_and_all_is_well_when_it_is_back() {
    let _machine = support::alone().await;
    let mut scene = Scene::new().await;
    let mut faults = scene.recover(Instant::now()).await;
    assert!(faults.is_empty(), "before anything is away:\n{}", faults.join("\n"));
    for outage in &OUTAGES {
        let started = Instant::now();
        let name = outage.name();
        eprintln!("  {name}");
        faults.extend(scene.play(outage).await.into_iter().map(|fault| format!("{name}: {fault}")));
        eprintln!("    {:.1?}", started.elapsed());
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    scene.processes.stop().await;
}

#[test]
fn no_route_is_left_out_of_the_outages() {
    let names = ["userId", "tenantId", "courseId", "lessonId", "draftId", "roadmapId"];
    let known = requests::all(&names.map(|name| (name, String::new())).into());
    let known = known.iter().map(|route| format!("{} {}", route.method, route.path));
    let known: BTreeSet<_> = known.chain(["POST /billing/webhooks".to_owned()]).collect();
    assert_eq!(routes::all().iter().map(Row::name).collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_service_is_dead_once_and_hangs_once_and_no_two_always_together() {
    let mut rounds = BTreeSet::new();
    for service in 1..services::ALL.len() {
        let away = |kind: fn(&Outage) -> &'static [usize]| {
            let rounds = OUTAGES.iter().enumerate().filter(|(_, outage)| kind(outage).contains(&service));
            let rounds: Vec<_> = rounds.map(|(at, _)| at).collect();
            assert_eq!(rounds.len(), 1, "{}", services::ALL[service].service.name);
            rounds[0]
        };
        let (dead, hanging) = (away(|outage| outage.dead), away(|outage| outage.hanging));
        assert_ne!(dead, hanging);
        assert!(rounds.insert([dead.min(hanging), dead.max(hanging)]));
    }
    for mood in [Mood::Refuses, Mood::Hangs, Mood::Fails, Mood::Babbles] {
        let seen = |outage: &Outage| outage.model == mood && !outage.is_away(AI_CORE) && !outage.is_away(BILLING);
        assert!(OUTAGES.iter().any(seen), "{mood:?} is not seen while flows can be executed");
    }
}
