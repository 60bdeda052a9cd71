//! Whether answers are right under load: the same requests at a modest rate over connections of its own, the whole of each
//! answer compared with what it has to be.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{sync::watch, time::MissedTickBehavior};
use uuid::Uuid;

use super::path::{Path, ROLE, STAGES, WEEKS};
use crate::people::{FLOW, User};

/// Requests a second.
const RATE: u32 = 50;

/// Asks for as long as there is load.
#[derive(Debug, Clone)]
pub(super) struct Checker {
    path: Path,
    gateway: String,
    http: reqwest::Client,
    users: Vec<User>,
    /// The answer to the first request, for what is the same in all.
    model: Value,
    asked: u64,
}

/// What a checker has found.
#[derive(Debug, Default, Clone)]
pub(super) struct Found {
    /// Requests that were answered as they should be.
    pub(super) right: u64,
    /// The first that was not, and how many.
    pub(super) wrong: Option<(String, u64)>,
}

impl Found {
    /// What was wrong in one line; nothing where nothing was.
    pub(super) fn complaint(&self) -> String {
        let said = |(first, count): &(String, u64)| format!("{count} wrong answers, the first: {first}");
        self.wrong.as_ref().map(said).unwrap_or_default()
    }
}

impl Checker {
    /// Asks once while nothing else happens; that answer is the model of those to come.
    pub(super) async fn new(path: Path, gateway: String, users: Vec<User>) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut checker = Self { path, gateway, http, users, model: Value::Null, asked: 0 };
        let (user, answer) = checker.ask().await?;
        checker.model.clone_from(&answer);
        checker.check(&user, &answer).await.context("before there was any load")?;
        Ok(checker)
    }

    /// Asks at an even rate until `done` is said; the requests asked from the beginning on count.
    pub(super) async fn run(mut self, mut done: watch::Receiver<bool>) -> Found {
        let mut found = Found { right: 1, wrong: None };
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = done.changed() => return found,
                _ = ticks.tick() => {}
            }
            let checked = match self.ask().await {
                Ok((user, answer)) => self.check(&user, &answer).await,
                Err(error) => Err(error),
            };
            match checked {
                Ok(()) => found.right += 1,
                Err(error) => found.wrong.get_or_insert_with(|| (format!("{error:#}"), 0)).1 += 1,
            }
        }
    }

    async fn ask(&mut self) -> Result<(User, Value)> {
        let users = self.users.len() as u64;
        let user = self.users[usize::try_from(self.asked % users)?].clone();
        let (method, path, body) = self.path.request(&user, self.asked / users);
        self.asked += 1;
        let mut request = self.http.request(method.parse()?, format!("{}{path}", self.gateway));
        request = request.bearer_auth(&user.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Ok((user, answer(request).await?))
    }

    async fn check(&self, user: &User, answer: &Value) -> Result<()> {
        let mut expected = self.model.clone();
        match self.path {
            // They have a time of their own.
            Path::Health => expected["timestamp"] = answer["timestamp"].clone(),
            Path::Profile => expected = user.stored_profile(),
            Path::Flow => {
                ensure!(answer["flow_name"] == FLOW && answer["status"] == "PARTIAL", "another flow: {answer}");
                expected["execution_id"] = id(answer, "execution_id")?;
            }
            Path::Roadmap => {
                expected = json!({"roadmap_id": id(answer, "roadmap_id")?, "version": 1, "status": "ACTIVE"});
                self.check_roadmap(user, answer).await?;
            }
            Path::Lesson => expected = json!({"ok": true}),
        }
        ensure!(*answer == expected, "{answer} instead of {expected}");
        Ok(())
    }

    /// The whole roadmap is there at once, and it is the user's.
    async fn check_roadmap(&self, user: &User, answer: &Value) -> Result<()> {
        let url = format!("{}/v1/roadmaps/{}", self.gateway, answer["roadmap_id"].as_str().unwrap_or_default());
        let whole = self::answer(self.http.get(url).bearer_auth(&user.token)).await?;
        let titles: Vec<_> = whole["stages"].as_array().into_iter().flatten().map(|stage| &stage["title"]).collect();
        let is_whole = whole["user_id"] == user.id.to_string()
            && whole["target_role"] == ROLE
            && whole["timeline_weeks"] == WEEKS
            && titles == STAGES;
        ensure!(is_whole, "not the roadmap that {} has made: {whole}", user.id);
        Ok(())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().path().to_owned());
    let text = answer.text().await?;
    ensure!([StatusCode::OK, StatusCode::CREATED].contains(&status), "{url}: {status} {text}");
    serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
}

fn id(answer: &Value, field: &str) -> Result<Value> {
    let id: Uuid = answer[field].as_str().unwrap_or_default().parse().with_context(|| format!("{answer}"))?;
    Ok(json!(id))
}
