//! The main journey, walked over REST as a client would: the demo shows it, the end-to-end tests hold it to its answers.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use careeros_shared::{clock::Clock, id};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

/// How long an event may take to show in a projection.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// More AI runs than the free plan has in a month.
const RUNS: usize = 120;

/// A client of one gateway.
#[derive(Debug)]
pub struct Client {
    gateway: String,
    http: reqwest::Client,
    webhook_secret: SecretString,
    say: fn(&str),
}

/// Somebody who has registered.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// The user's tenant.
    pub tenant_id: String,
    /// The access token.
    pub token: String,
    /// The address to log in with.
    pub email: String,
}

/// What a journey made, for whoever wants to look for its traces.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the id of what its name says")]
pub struct Traces {
    pub learner: Person,
    pub instructor: Person,
    pub roadmap_id: String,
    pub course_id: String,
}

/// The password of everybody in the journey.
pub const PASSWORD: &str = "correct horse battery staple";

impl Client {
    /// A client of `gateway` that signs webhooks with `webhook_secret` and tells each step by `say`.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(gateway: &str, webhook_secret: SecretString, say: fn(&str)) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { gateway: gateway.to_owned(), http, webhook_secret, say })
    }

    /// Walks from registration to a spent quota.
    ///
    /// # Errors
    /// The first answer that is not the expected one.
    pub async fn walk(&self) -> Result<Traces> {
        let learner = self.register("learner").await?;
        self.profile(&learner).await?;
        let roadmap_id = self.plan(&learner).await?;
        let instructor = self.register("instructor").await?;
        let (course_id, lesson_id) = self.teach(&instructor).await?;
        self.learn(&learner, &course_id, &lesson_id).await?;
        self.progress(&learner).await?;
        self.pay(&learner).await?;
        self.measure(&learner).await?;
        self.spend_quota().await?;
        Ok(Traces { learner, instructor, roadmap_id, course_id })
    }

    /// Registers somebody and logs in.
    ///
    /// # Errors
    /// The first answer that is not the expected one.
    pub async fn register(&self, role: &str) -> Result<Person> {
        self.title(&format!("Register and log in: {role}"));
        let email = format!("{role}-{}@example.com", id::new(Clock::system().now()).simple());
        let body = json!({"email": email, "password": PASSWORD});
        self.post("", "/auth/register", &body, 201).await?;
        self.log_in(&email).await
    }

    /// Logs in somebody who has registered.
    ///
    /// # Errors
    /// Where the answer is not the expected one.
    pub async fn log_in(&self, email: &str) -> Result<Person> {
        let body = json!({"email": email, "password": PASSWORD});
        let answer = self.post("", "/auth/login", &body, 200).await?;
        Ok(Person {
            id: text(&answer, "/userId")?,
            tenant_id: text(&answer, "/tenantId")?,
            token: text(&answer, "/tokens/accessToken")?,
            email: email.to_owned(),
        })
    }

    async fn profile(&self, person: &Person) -> Result<()> {
        self.title("Describe profile and two skills");
        let path = format!("/profiles/{}", person.id);
        let profile =
            json!({"fullName": "Ada Lovelace", "title": "Analyst", "location": "London", "timezone": "Europe/London"});
        self.send(Method::PUT, &person.token, &path, Some(&profile), 200).await?;
        for (key, proficiency) in [("rust", 45), ("sql", 70)] {
            let skill = json!({"skillKey": key, "skillName": key, "proficiency": proficiency});
            self.post(&person.token, &format!("{path}/skills"), &skill, 200).await?;
        }
        let stored = self.get(&person.token, &path).await?;
        ensure!(stored["full_name"] == "Ada Lovelace", "the profile is not the one that was sent: {stored}");
        let skills = self.get(&person.token, &format!("{path}/skills")).await?;
        ensure!(skills["skills"].as_array().is_some_and(|s| s.len() == 2), "not two skills: {skills}");
        Ok(())
    }

    /// Gap, roadmap draft, roadmap with dates, first milestone; the roadmap's id.
    async fn plan(&self, person: &Person) -> Result<String> {
        self.title("Analyse the skill gap");
        let input = json!({"targetRole": "Backend Engineer", "currentSkills": ["Rust", "SQL"], "weeklyHours": 8});
        let gap = self.flow(person, "skill_gap_analysis", &input).await?;
        ensure!(gap["missing_skills"].as_array().is_some_and(|s| !s.is_empty()), "no missing skills: {gap}");
        self.title("Generate a roadmap and make it the active one");
        let draft = self.flow(person, "roadmap_generator", &input).await?;
        let stages: Vec<_> = draft["stages"].as_array().into_iter().flatten().filter_map(stage_title).collect();
        ensure!(!stages.is_empty(), "a roadmap without stages: {draft}");
        let body = json!({
            "userId": person.id, "tenantId": person.tenant_id, "goalKey": "backend-engineer",
            "targetRole": "Backend Engineer", "timelineWeeks": draft["timeline_weeks"], "stageTitles": stages
        });
        let roadmap = self.post(&person.token, "/roadmaps", &body, 201).await?;
        let id = text(&roadmap, "/roadmap_id")?;
        let active = self.get(&person.token, &format!("/roadmaps/active/{}", person.id)).await?;
        ensure!(active["roadmap_id"] == id && active["status"] == "ACTIVE", "not the active roadmap: {active}");
        self.title("Complete the first milestone");
        let whole = self.get(&person.token, &format!("/roadmaps/{id}")).await?;
        let milestone = text(&whole, "/stages/0/milestones/0/milestone_id")?;
        ensure!(whole.pointer("/stages/0/start_date").is_some_and(Value::is_string), "a stage without dates: {whole}");
        let body = json!({"milestoneId": milestone, "tenantId": person.tenant_id, "userId": person.id});
        self.send(Method::PATCH, &person.token, "/roadmaps/milestones/complete", Some(&body), 200).await?;
        Ok(id)
    }

    /// Creates, fills and publishes a course; its id and its lesson's.
    ///
    /// # Errors
    /// The first answer that is not the expected one.
    pub async fn teach(&self, person: &Person) -> Result<(String, String)> {
        self.title("An instructor creates, fills and publishes a course");
        let body = json!({"instructorId": person.id, "title": "Rust services", "description": "From nothing to a service.", "priceUsd": 0});
        let course = text(&self.post(&person.token, "/lms/courses", &body, 201).await?, "/course_id")?;
        let module = self
            .post(&person.token, &format!("/lms/courses/{course}/modules"), &json!({"title": "Basics"}), 201)
            .await?;
        let path = format!("/lms/modules/{}/lessons", text(&module, "/module_id")?);
        let lesson =
            json!({"title": "Ownership", "contentType": "VIDEO", "durationMinutes": 30, "skillKeys": ["rust"]});
        let lesson = text(&self.post(&person.token, &path, &lesson, 201).await?, "/lesson_id")?;
        self.send(Method::PATCH, &person.token, &format!("/lms/courses/{course}/publish"), None, 200).await?;
        Ok((course, lesson))
    }

    /// Enrols and completes a lesson in 25 minutes.
    ///
    /// # Errors
    /// The first answer that is not the expected one.
    pub async fn learn(&self, person: &Person, course_id: &str, lesson_id: &str) -> Result<()> {
        self.title("The learner enrols and completes a lesson");
        let body = json!({"userId": person.id, "courseId": course_id, "tenantId": person.tenant_id});
        self.post(&person.token, "/lms/enrollments", &body, 201).await?;
        let body = json!({
            "userId": person.id, "tenantId": person.tenant_id, "courseId": course_id, "lessonId": lesson_id, "timeSpentMinutes": 25
        });
        self.post(&person.token, "/lms/lessons/complete", &body, 200).await?;
        Ok(())
    }

    async fn progress(&self, person: &Person) -> Result<()> {
        self.title("Progress shows minutes, streak and mastery");
        self.eventually(person, &format!("/edu-tracker/progress/{}", person.id), |progress| {
            progress["minutes_this_week"] == 25
                && progress["streak_days"] == 1
                && progress["mastery_score"].as_f64().is_some_and(|score| score > 0.0)
        })
        .await
    }

    async fn pay(&self, person: &Person) -> Result<()> {
        self.title("A signed webhook activates a paid plan");
        let body = json!({
            "eventType": "subscription.activated", "eventId": format!("evt_{}", id::new(Clock::system().now()).simple()),
            "payload": {"user_id": person.id, "tenant_id": person.tenant_id, "plan_code": "PREMIUM"}
        });
        self.webhook(&body, 200).await?;
        let subscription = self.get(&person.token, &format!("/billing/subscription/{}", person.id)).await?;
        ensure!(
            subscription["plan_code"] == "PREMIUM" && subscription["status"] == "ACTIVE",
            "the plan is not active: {subscription}"
        );
        Ok(())
    }

    async fn measure(&self, person: &Person) -> Result<()> {
        self.title("The tenant's KPI shows activity and revenue");
        self.eventually(person, &format!("/analytics/kpi/{}", person.tenant_id), |kpi| {
            kpi["dau"] == 1 && kpi["wau"] == 1 && kpi["mrr_usd"].as_f64().is_some_and(|mrr| mrr > 0.0)
        })
        .await?;
        let usage = self.get(&person.token, &format!("/ai/usage/{}", person.id)).await?;
        ensure!(usage["requests_count"].as_u64().is_some_and(|count| count >= 2), "AI usage is missing: {usage}");
        Ok(())
    }

    /// A new user of the free plan runs flows until it says no.
    async fn spend_quota(&self) -> Result<()> {
        let person = self.register("guest").await?;
        self.title("A quota that runs out blocks with a clear reason");
        let body = json!({
            "userId": person.id, "tenantId": person.tenant_id, "flowName": "productivity_advisor", "input": {"weeklyMinutes": 90}
        });
        for run in 0..RUNS {
            let (status, answer) = self.call(Method::POST, &person.token, "/ai/flows/execute", Some(&body)).await?;
            match status {
                StatusCode::OK => {}
                StatusCode::FORBIDDEN if answer["blocked"] == true => {
                    (self.say)(&format!("  after {run} runs: {}", answer["reason"].as_str().unwrap_or_default()));
                    return Ok(());
                }
                _ => bail!("{status} {answer}"),
            }
        }
        bail!("the free plan's quota was never spent")
    }

    async fn flow(&self, person: &Person, name: &str, input: &Value) -> Result<Value> {
        let body = json!({"userId": person.id, "tenantId": person.tenant_id, "flowName": name, "input": input});
        let answer = self.post(&person.token, "/ai/flows/execute", &body, 200).await?;
        ensure!(answer["status"] == "SUCCESS" || answer["status"] == "PARTIAL", "the flow failed: {answer}");
        Ok(serde_json::from_str(&text(&answer, "/output_json")?)?)
    }

    /// Sends a webhook as the payment provider would.
    ///
    /// # Errors
    /// Where the status is not `expected`.
    pub async fn webhook(&self, body: &Value, expected: u16) -> Result<Value> {
        let raw = body.to_string();
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.webhook_secret.expose_secret().as_bytes())?;
        mac.update(format!("{time}.{raw}").as_bytes());
        let signature = format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()));
        let request = self.http.post(format!("{}/v1/billing/webhooks", self.gateway));
        let request = request.header("careeros-signature", signature).header("content-type", "application/json");
        let response = request.body(raw).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        (self.say)(&format!("  POST /v1/billing/webhooks  {status}  {}", short(&answer)));
        ensure!(status.as_u16() == expected, "the webhook was answered {status}: {answer}");
        Ok(answer)
    }

    /// POST, expecting a status.
    ///
    /// # Errors
    /// Where it is another.
    pub async fn post(&self, token: &str, path: &str, body: &Value, expected: u16) -> Result<Value> {
        self.send(Method::POST, token, path, Some(body), expected).await
    }

    /// GET, expecting 200.
    ///
    /// # Errors
    /// Where it is another status.
    pub async fn get(&self, token: &str, path: &str) -> Result<Value> {
        self.send(Method::GET, token, path, None, 200).await
    }

    async fn send(
        &self,
        method: Method,
        token: &str,
        path: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> Result<Value> {
        let (status, answer) = self.call(method.clone(), token, path, body).await?;
        (self.say)(&format!("  {method} /v1{path}  {}  {}", status.as_u16(), short(&answer)));
        ensure!(status.as_u16() == expected, "{method} /v1{path} was answered {status}, not {expected}: {answer}");
        Ok(answer)
    }

    /// Any request; the status and the JSON of its answer.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn call(
        &self,
        method: Method,
        token: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let url = format!("{}/v1{path}", self.gateway);
        let mut request = self.http.request(method, &url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{url} does not answer; is the fleet running?"))?;
        Ok((response.status(), response.json().await.unwrap_or(Value::Null)))
    }

    /// Asks until the answer is as expected: a projection follows its events.
    ///
    /// # Errors
    /// Where it is not within 20 s.
    pub async fn eventually(&self, person: &Person, path: &str, expected: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.call(Method::GET, &person.token, path, None).await?;
            if status == StatusCode::OK && expected(&answer) {
                (self.say)(&format!("  GET /v1{path}  200  {}", short(&answer)));
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "GET /v1{path} still answers {status} {answer}");
            tokio::time::sleep(POLL).await;
        }
    }

    fn title(&self, title: &str) {
        (self.say)(&format!("\n{title}"));
    }
}

/// A stage is an object with a title, or its title.
fn stage_title(stage: &Value) -> Option<String> {
    stage.as_str().or_else(|| stage["title"].as_str()).map(str::to_owned)
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the answer has no {pointer}: {value}"))
}

/// An answer on one line, without its tokens.
fn short(answer: &Value) -> String {
    let mut shown = answer.clone();
    for pointer in ["/tokens/accessToken", "/tokens/refreshToken"] {
        if let Some(token) = shown.pointer_mut(pointer) {
            *token = "…".into();
        }
    }
    let text = shown.to_string();
    if text.chars().count() <= 160 { text } else { text.chars().take(159).chain(['…']).collect() }
}
