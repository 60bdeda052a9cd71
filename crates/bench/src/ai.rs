//! `careeros-bench ai`: what gateway and AI core add to a model's own time, at an even rate of requests whatever the answers
//! take, and whether a streamed answer is passed on as it comes. The model is a server of this program.

mod streams;

use std::time::Duration;

use anyhow::{Context as _, Result};
use careeros_fleet::ui;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    common::Common,
    fleet::{Fleet, Options, Service},
    pace,
    people::{self, User},
    report::Report,
    servers::{self, Server, model},
    times::Times,
};

/// Each may run as many flows as everybody together.
const USERS: usize = 20;
/// For how long a way is used before it is measured.
const WARM_UP: usize = 2;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is measured, and with how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Requests a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// For how long each way is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// Answers that are streamed at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    streams: u16,
}

/// How a model is asked.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    Chat,
    Flow,
}

/// Where the ways begin, and who goes them.
struct Place {
    http: reqwest::Client,
    model: String,
    gateway: String,
    users: Vec<User>,
}

/// Measures, and says in `report` whether everything was right meanwhile.
pub(crate) async fn run(arguments: &Arguments, common: &Common, report: &mut Report) -> Result<()> {
    report.size("ai: requests/s", arguments.rate.into());
    report.size("ai: streams", arguments.streams.into());
    let model = Server::start(servers::Kind::Model).await?;
    ui::say("Starting PostgreSQL, the broker and nine services that have a model");
    let variables = vec![
        ("LOG_LEVEL", "info".to_owned()),
        ("OPENAI_BASE_URL", format!("{}/v1", model.url)),
        ("OPENAI_MODEL", model::NAME.to_owned()),
    ];
    let mut fleet = Fleet::start(&Options { variables, ..common.options()? }).await?;
    fleet.run(&Service::ALL).await?;
    let place = Place {
        http: reqwest::Client::builder().timeout(PATIENCE).build()?,
        model: format!("{}/v1/chat/completions", model.url),
        gateway: fleet.url(Service::Gateway),
        users: people::make(&fleet, USERS).await?,
    };
    let alone = measure(Way::Direct, &place, arguments, report).await?;
    for way in [Way::Chat, Way::Flow] {
        let times = measure(way, &place, arguments, report).await?;
        times.above(alone).figures(&format!("{}: added by gateway and AI core", way.name()), report);
    }
    ui::say(format_args!("Measuring {} streamed answers at once", arguments.streams));
    streams::measure(&place, arguments.streams, report).await?;
    fleet.end().await
}

/// How long answers take.
async fn measure(way: Way, place: &Place, arguments: &Arguments, report: &mut Report) -> Result<Times> {
    let (name, rate) = (way.name(), arguments.rate);
    ui::say(format_args!("Measuring {name}: {rate} requests/s for {} s", arguments.seconds));
    let a_second = usize::try_from(rate)?;
    let request = |number| way.request(place, number);
    pace::send(rate, a_second * WARM_UP, request, way.check()).await?;
    let sent = pace::send(rate, a_second * usize::from(arguments.seconds), request, way.check()).await?;
    report.check(format!("{name}: wrong answers"), &"", &sent.failures);
    report.figure(format!("{name}: requests"), sent.rate, "requests/s");
    let times = Times::of(sent.times).with_context(|| format!("{name}: {}", sent.failures))?;
    times.figures(&format!("{name}: time to an answer"), report);
    Ok(times)
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "ai, the model alone",
            Self::Chat => "ai, chat",
            Self::Flow => "ai, flow",
        }
    }

    fn request(self, place: &Place, number: usize) -> RequestBuilder {
        let user = &place.users[number % place.users.len()];
        let post = |path: &str, body: &Value| {
            place.http.post(format!("{}/v1/ai/{path}", place.gateway)).bearer_auth(&user.token).json(body)
        };
        match self {
            Self::Direct => place.http.post(&place.model).json(&completion(false)),
            Self::Chat => post("chat", &conversation(user)),
            Self::Flow => post("flows/execute", &user.flow()),
        }
    }

    /// Whether an answer is the model's own and a whole one.
    fn check(self) -> fn(&Value) -> bool {
        match self {
            Self::Direct => {
                |answer| answer.pointer("/choices/0/message/content").is_some_and(|text| text == model::TEXT)
            }
            Self::Chat => |answer| answer["message"] == model::TEXT && answer["model"] == model::NAME,
            Self::Flow => |answer| answer["status"] == "SUCCESS" && answer["warnings"] == json!([]),
        }
    }
}

/// What the model is asked directly.
fn completion(stream: bool) -> Value {
    json!({"model": model::NAME, "messages": messages(), "stream": stream})
}

/// What the mentor is asked.
fn conversation(user: &User) -> Value {
    json!({"userId": user.id, "tenantId": user.tenant_id, "messages": messages()})
}

fn messages() -> Value {
    json!([{"role": "user", "content": "How do I find two hours a week?"}])
}
