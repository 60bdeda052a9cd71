//! Somebody who may do everything, things to do it to, and the sending of requests.

use std::time::{Duration, Instant};

use careeros_auth::operators;
use careeros_fleet::journey::{Client, PASSWORD, Person};
use careeros_shared::{clock::Clock, db::Db};
use futures::future::join_all;
use reqwest::header;
use serde_json::{Value, json};

use super::routes::{Caller, Row};
use crate::{
    malformed::signature,
    processes::{BILLING, GATEWAY, Processes},
    requests::{self, Ids},
};

/// Longer than any deadline: who waits so long has found a hang.
const HANG: Duration = Duration::from_secs(40);

/// Where requests are made from.
pub(crate) struct Stage {
    http: reqwest::Client,
    client: Client,
    gateway: String,
    webhook_secret: String,
    pub(crate) person: Person,
    milestone: String,
    subscription: String,
    ids: Ids,
}

/// What one request to each route uses; some of it can be used only once.
pub(crate) struct Props {
    pub(crate) ids: Ids,
    pub(crate) email: String,
    pub(crate) password: &'static str,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    /// The access token of a session to be ended.
    leaving: String,
    pub(crate) milestone: String,
    pub(crate) subscription: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 where there was none.
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Stage {
    pub(crate) async fn set(processes: &Processes) -> Self {
        let client = processes.client();
        let person = client.register("operator").await.unwrap();
        let auth = Db::connect_lazy(&processes.superuser_url("auth"), 1, "careeros-e2e").unwrap();
        operators::grant(&auth, Clock::system().now(), &person.email).await.unwrap();
        let person = client.log_in(&person.email).await.unwrap();
        let token = &person.token;
        let post = async |path: &str, body: Value| client.post(token, path, &body, 201).await.unwrap();
        let text = |answer: &Value, pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();

        let (finished, lesson) = client.teach(&person).await.unwrap();
        client.learn(&person, &finished, &lesson).await.unwrap();
        let enrollments = client.get(token, &format!("/lms/enrollments/{}", person.id)).await.unwrap();
        let course = post("/lms/courses", json!({"instructorId": person.id, "title": "Endless"})).await;
        let course = text(&course, "/course_id");
        let module = post(&format!("/lms/courses/{course}/modules"), json!({"title": "First"})).await;
        let module = text(&module, "/module_id");
        let lesson = json!({"title": "First", "contentType": "VIDEO"});
        post(&format!("/lms/modules/{module}/lessons"), lesson).await;
        client.call(reqwest::Method::PATCH, token, &format!("/lms/courses/{course}/publish"), None).await.unwrap();
        post("/lms/enrollments", json!({"courseId": course})).await;
        let roadmap = json!({"goalKey": "kept", "targetRole": "Engineer", "timelineWeeks": 8});
        let roadmap = text(&post("/roadmaps", roadmap).await, "/roadmap_id");
        let whole = client.get(token, &format!("/roadmaps/{roadmap}")).await.unwrap();
        let draft = text(&post("/roadmaps/drafts", json!({})).await, "/id");
        // Of so small a quota that an answer of billing holds for one use: then each use needs billing.
        let plan = json!({
            "code": "ASKED_FOR", "name": "Asked for each time", "billingInterval": "MONTH", "priceUsd": 1,
            "features": ["*"], "aiQuotaMonthly": 199
        });
        client.post(token, "/billing/plans", &plan, 200).await.unwrap();
        let plan = json!({"userId": person.id, "tenantId": person.tenant_id, "planCode": "ASKED_FOR"});
        let subscription = text(&post("/billing/subscriptions/activate", plan).await, "/subscription_id");
        let ids = [
            ("userId", person.id.clone()),
            ("tenantId", person.tenant_id.clone()),
            ("courseId", course),
            ("moduleId", module),
            ("roadmapId", roadmap),
            ("draftId", draft),
            ("verificationCode", text(&enrollments, "/items/0/verification_code")),
        ];
        Self {
            http: reqwest::Client::builder().timeout(HANG).build().unwrap(),
            gateway: processes.url(GATEWAY),
            webhook_secret: processes.variables(BILLING)["BILLING_WEBHOOK_SECRETS"].clone(),
            milestone: text(&whole, "/stages/0/milestones/0/milestone_id"),
            subscription,
            ids: ids.into(),
            person,
            client,
        }
    }

    /// What the next request to each route uses.
    pub(crate) async fn props(&self) -> anyhow::Result<Props> {
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let login = json!({"email": self.person.email, "password": PASSWORD});
            let login = self.client.post("", "/auth/login", &login, 200).await?;
            let token = |name: &str| login["tokens"][name].as_str().unwrap().to_owned();
            sessions.push((token("accessToken"), token("refreshToken")));
        }
        let open = self.client.get(&sessions[0].0, "/auth/sessions").await?;
        let current = open["items"].as_array().unwrap().iter().find(|session| session["current"] == true);
        let path = format!("/lms/modules/{}/lessons", self.ids["moduleId"]);
        let lesson = json!({"title": "Next", "contentType": "VIDEO"});
        let lesson = self.client.post(&self.person.token, &path, &lesson, 201).await?;
        let mut ids = self.ids.clone();
        ids.insert("sessionId", current.unwrap()["sessionId"].as_str().unwrap().to_owned());
        ids.insert("lessonId", lesson["lesson_id"].as_str().unwrap().to_owned());
        Ok(Props {
            ids,
            email: self.person.email.clone(),
            password: PASSWORD,
            token: self.person.token.clone(),
            refresh_token: sessions[1].1.clone(),
            leaving: sessions[2].0.clone(),
            milestone: self.milestone.clone(),
            subscription: self.subscription.clone(),
        })
    }

    /// Sends a request to each route, all at once.
    pub(crate) async fn ask_all(&self, rows: &[Row], props: &Props) -> Vec<Answer> {
        join_all(rows.iter().map(|row| self.ask(row, props))).await
    }

    async fn ask(&self, row: &Row, props: &Props) -> Answer {
        let path = requests::path_of(row.path, &props.ids);
        let mut request = self.http.request(row.method.clone(), format!("{}{path}", self.gateway));
        request = match row.caller {
            Caller::Operator => request.bearer_auth(&self.person.token),
            Caller::Leaving => request.bearer_auth(&props.leaving),
            Caller::Nobody | Caller::Provider => request,
        };
        if let Some(body) = row.body {
            let body = body(props).to_string();
            if row.caller == Caller::Provider {
                request = request.header("careeros-signature", signature(&self.webhook_secret, &body));
            }
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        answer(request).await
    }

    /// GET `url` without a token.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        answer(self.http.get(url)).await
    }

    /// The subject's minutes of learning, where they can be had.
    pub(crate) async fn minutes(&self) -> Option<i64> {
        let url = format!("{}/v1/edu-tracker/progress/{}", self.gateway, self.person.id);
        let answer = answer(self.http.get(url).bearer_auth(&self.person.token)).await;
        answer.json()["minutes_this_week"].as_i64()
    }
}

/// The answer to its end: a stream that stops half-way has none.
async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let started = Instant::now();
    let read = async {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await?;
        Ok::<_, reqwest::Error>((status, headers, body))
    };
    match read.await {
        Ok((status, headers, body)) => {
            let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            let retry_after = text(header::RETRY_AFTER).parse().ok();
            Answer { status, content_type: text(header::CONTENT_TYPE), retry_after, body, took: started.elapsed() }
        }
        Err(error) => {
            let body = format!("no answer: {error:?}");
            Answer { status: 0, content_type: String::new(), retry_after: None, body, took: started.elapsed() }
        }
    }
}
