//! Every path of the journey, asked through the gateway by one client after the other: what it takes where nothing waits.

mod requests;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use careeros_fleet::journey::{Client, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use self::requests::{PATHS, Path};
use super::population::{HEAVY, LARGE_ADMIN, Population};
use crate::{
    fleet::{Fleet, Service},
    report::Report,
    times::percentiles,
};

/// Requests of a path before those that count.
const WARM_UP: usize = 10;
const SHARES: [f64; 2] = [0.5, 0.99];
const NAMES: [&str; 2] = ["p50", "p99"];

/// A request and what its answer has to be.
struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    expected: &'static [u16],
}

/// A user of the tables with what requests need to know.
#[derive(Debug, Default, Clone)]
struct Actor {
    id: String,
    tenant_id: String,
    email: String,
    token: String,
    refresh_token: String,
    is_admin: bool,
    /// A course to enrol in, and its first lesson.
    course: String,
    lesson: String,
    /// Of somebody who has completed a course.
    verification_code: String,
    /// Somebody's, who pays.
    subscription: String,
    /// What came out of earlier paths.
    roadmap: String,
    milestone: String,
    draft: String,
    cursor: String,
}

/// What the answers are asked with.
struct Asking<'a> {
    http: reqwest::Client,
    gateway: String,
    webhooks: &'a Client,
    admin: Actor,
    heavy: Actor,
}

/// Measures all paths, in the order in which a user would walk them.
pub(super) async fn measure(fleet: &Fleet, population: &Population, requests: u32, report: &mut Report) -> Result<()> {
    // Nobody who pays: some paths begin a subscription. Small sizes have fewer users than requests.
    let count = usize::try_from(requests)? + WARM_UP;
    let numbers = population.draw(count, |number| number % 10 == 5 || number == LARGE_ADMIN);
    let mut actors = actors(fleet, population, &numbers).await?;
    let webhooks = fleet.client()?;
    let mut asking = Asking {
        http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?,
        gateway: fleet.url(Service::Gateway),
        webhooks: &webhooks,
        admin: Actor { email: email(LARGE_ADMIN), ..Actor::default() },
        heavy: Actor { email: email(HEAVY), ..Actor::default() },
    };
    for special in [&mut asking.admin, &mut asking.heavy] {
        let body = json!({"email": special.email, "password": PASSWORD});
        let url = format!("{}/v1/auth/login", asking.gateway);
        let answer: Value = asking.http.post(url).json(&body).send().await?.error_for_status()?.json().await?;
        requests::logged_in(special, &answer);
    }
    for path in PATHS {
        let mut times = Vec::new();
        for (number, actor) in actors.iter_mut().filter(|actor| (path.is_for)(actor)).enumerate() {
            let took = asking.ask(path, actor).await.with_context(|| path.name)?;
            if number >= WARM_UP {
                times.push(took.as_secs_f64() * 1e3);
            }
        }
        // A small catalogue has no later page.
        for (name, value) in NAMES.iter().zip(percentiles(times, SHARES).into_iter().flatten()) {
            report.figure(format!("{}: {name}", path.name), value, "ms");
        }
    }
    Ok(())
}

impl Asking<'_> {
    async fn ask(&self, path: &Path, actor: &mut Actor) -> Result<Duration> {
        let request = (path.request)(self, actor);
        if request.path == requests::WEBHOOKS {
            let started = Instant::now();
            self.webhooks.webhook(&request.body.unwrap_or_default(), 200).await?;
            return Ok(started.elapsed());
        }
        let url = format!("{}/v1{}", self.gateway, request.path);
        let mut sent = self.http.request(request.method, url);
        let token = &path.by.map_or(&*actor, |who| who(self)).token;
        if !token.is_empty() {
            sent = sent.bearer_auth(token);
        }
        if let Some(body) = &request.body {
            sent = sent.json(body);
        }
        let started = Instant::now();
        let response = sent.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let took = started.elapsed();
        let is_expected = request.expected.iter().any(|code| StatusCode::from_u16(*code).ok() == Some(status));
        ensure!(is_expected, "{} was answered {status} {text}", request.path);
        (path.keep)(actor, &serde_json::from_str(&text)?);
        Ok(took)
    }
}

fn email(number: i64) -> String {
    format!("user-{number}@example.com")
}

/// What is known of the users before they log in.
async fn actors(fleet: &Fleet, population: &Population, numbers: &[i64]) -> Result<Vec<Actor>> {
    let mut lms = fleet.connect("lms").await?;
    let courses: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "select bench.course_id(c), bench.lesson_id(c, 0), bench.verification_code(greatest(n / 10 * 10, 10))
         from unnest($1::bigint[]) with ordinality u(n, position), bench.course_of(n + 10) c order by position",
    )
    .bind(numbers)
    .fetch_all(&mut lms)
    .await?;
    let mut billing = fleet.connect("billing").await?;
    let subscriptions: Vec<Uuid> = sqlx::query_scalar(
        "select bench.id('subscription', s, bench.moment(s, bench.users()))
         from unnest($1::bigint[]) with ordinality u(n, position), lateral (select n / 50 * 50 + 15) t(s) order by position",
    )
    .bind(numbers.iter().map(|number| (*number).min(population.users - 50)).collect::<Vec<_>>())
    .fetch_all(&mut billing)
    .await?;
    let known = numbers.iter().zip(courses).zip(subscriptions);
    let actor =
        |((number, (course, lesson, verification_code)), subscription): ((&i64, (Uuid, Uuid, String)), Uuid)| Actor {
            email: email(*number),
            is_admin: number % 2 == 0 || number % 100 == 1,
            course: course.to_string(),
            lesson: lesson.to_string(),
            verification_code,
            subscription: subscription.to_string(),
            ..Actor::default()
        };
    Ok(known.map(actor).collect())
}
