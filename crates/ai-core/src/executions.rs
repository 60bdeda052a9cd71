//! Executions: one flow carried out for one user, by the chain of models or by the engine, and stored with its usage and
//! its events in one transaction. The input is not stored and not logged.

use std::{sync::Arc, time::Duration};

use careeros_shared::{
    Result,
    context::Context,
    directory::Subject,
    error::Error,
    events::{AiFlowExecuted, ModelCallCompleted, RoadmapDraftGenerated, SkillGapAnalyzed},
    id,
    idempotency::{self, Claim},
    outbox::Row,
    proto::aicore::{ExecuteFlowRequest, ExecuteFlowResponse},
};
use chrono::{DateTime, Utc};
use prost::Message;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Core,
    chain::{Attempt, Run},
    engine,
    flows::Flow,
    output,
    provider::Tokens,
};

pub mod record;

use record::Record;

/// The most characters of an input, serialised.
const INPUT_MAX: usize = 20_000;
/// What usage names where the deterministic engine answered.
pub(crate) const ENGINE: &str = "careeros-engine";
/// How sure a model's answer is that does not say so.
const DEFAULT_CONFIDENCE: f64 = 0.7;
/// What a backup model's answer is worth beside the primary's.
const BACKUP_DISCOUNT: f64 = 0.9;

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The primary model gave a valid output.
    Success,
    /// A fallback did.
    Partial,
    /// Nobody did.
    Failed,
}

impl Status {
    /// As in tables, events and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Partial => "PARTIAL",
            Self::Failed => "FAILED",
        }
    }
}

/// What came of carrying out a flow, before it is stored.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) output: Value,
    /// 0–1.
    pub(crate) confidence: f64,
    /// The model that answered, or the engine; empty where none did.
    pub(crate) model: String,
    pub(crate) warnings: Vec<String>,
}

/// An execution as it is stored.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) id: Uuid,
    pub(crate) flow_name: &'a str,
    pub(crate) flow_version: &'a str,
    pub(crate) outcome: Outcome,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) latency: Duration,
}

/// Carries out the flow that `request` names for the subject.
///
/// # Errors
/// 400 naming what is wrong with the input, 403 where the plan does not include it, 404 for an unknown flow, 503 where
/// billing or the database is away. That no model answers is no error.
pub async fn execute(
    core: &Core,
    context: &Context,
    subject: Subject,
    request: &ExecuteFlowRequest,
) -> Result<ExecuteFlowResponse> {
    let input = parse_input(&request.input_json)?;
    let flow = find_flow(core, context, request).await?;
    let input = check(&flow, input)?;
    idempotency::run(&core.db, context, "ai.execute", request, async |claim: Claim| {
        core.entitlement.require(context, subject).await?;
        let started = Instant::now();
        let (outcome, attempts) = carry_out(core, &flow, &input, context).await?;
        let execution = Execution {
            id: id::new(context.now),
            flow_name: &flow.name,
            flow_version: &flow.version,
            outcome,
            attempts,
            latency: started.elapsed(),
        };
        let response = execution.response();
        execution.record(core, context, subject, Some((&claim, &response))).await?;
        Ok(response)
    })
    .await
}

async fn find_flow(core: &Core, context: &Context, request: &ExecuteFlowRequest) -> Result<Arc<Flow>> {
    if request.flow_name.trim().is_empty() {
        return Err(Error::invalid("flowName", "must not be empty"));
    }
    core.flows.get(&request.flow_name, &request.flow_version, context.now).await
}

/// The input as an object of at most [`INPUT_MAX`] characters. It is measured as it is written most densely, whatever
/// blanks it came with.
fn parse_input(json: &str) -> Result<Value> {
    let mut input: Value = serde_json::from_str(json).map_err(|_| Error::invalid("input", "must be a JSON object"))?;
    if !input.is_object() {
        return Err(Error::invalid("input", "must be an object"));
    }
    if json.chars().count() > INPUT_MAX && input.to_string().chars().count() > INPUT_MAX {
        return Err(Error::invalid("input", format!("must have {INPUT_MAX} characters or fewer when serialised")));
    }
    output::strip_nul(&mut input);
    Ok(input)
}

fn check(flow: &Flow, input: Value) -> Result<Map<String, Value>> {
    let problems = flow.input.problems("input", &input);
    match input {
        Value::Object(fields) if problems.is_empty() => Ok(fields),
        _ => Err(Error::invalid_fields(problems)),
    }
}

/// Asks the models and, where none gives a valid output, the engine.
async fn carry_out(
    core: &Core,
    flow: &Flow,
    input: &Map<String, Value>,
    context: &Context,
) -> Result<(Outcome, Vec<Attempt>)> {
    let Run { answer, attempts } = if core.chain.is_empty() {
        Run { answer: None, attempts: Vec::new() }
    } else {
        let prompt = core.prompts.flow(&flow.name, &flow.prompt_version, &flow.output.document, input)?;
        let models = if flow.fallback.backup_models { usize::MAX } else { 1 };
        let question = core.question(&prompt, core.limits.budget(), context);
        core.chain.run(question, flow.retry, models, |text| accept(flow, text)).await
    };
    let outcome = match answer {
        Some(answer) => {
            let (output, confidence) = answer.value;
            let backup = || format!("answered by the backup model {}: the primary gave no valid answer", answer.model);
            Outcome {
                status: if answer.primary { Status::Success } else { Status::Partial },
                output,
                confidence: if answer.primary { confidence } else { confidence * BACKUP_DISCOUNT },
                warnings: if answer.primary { Vec::new() } else { vec![backup()] },
                model: answer.model,
            }
        }
        None => compute(core, flow, input, context.now)?,
    };
    Ok((outcome, attempts))
}

/// A model's text as a valid output, with how sure the model is.
fn accept(flow: &Flow, text: &str) -> Option<(Value, f64)> {
    let mut output = Value::Object(output::object(text)?);
    let stated = output["confidence"].as_f64().filter(|confidence| (0.0..=1.0).contains(confidence));
    if !flow.output.accepts(&output) {
        // A schema that allows no further fields does not allow the one that is asked for besides.
        output.as_object_mut()?.shift_remove("confidence")?;
        if !flow.output.accepts(&output) {
            return None;
        }
    }
    Some((output, stated.unwrap_or(DEFAULT_CONFIDENCE)))
}

/// The engine's answer, or the failure of the execution.
fn compute(core: &Core, flow: &Flow, input: &Map<String, Value>, now: DateTime<Utc>) -> Result<Outcome> {
    let computed = match flow.engine.filter(|_| flow.fallback.engine) {
        Some(known) => Some(core.engine.answer(known, input, now.date_naive()).map_err(Error::internal)?),
        None => None,
    };
    let why = core.why_no_model();
    Ok(match computed.filter(|answer| flow.output.accepts(&answer.output)) {
        Some(engine::Answer { output, confidence, warnings }) => Outcome {
            status: Status::Partial,
            output,
            confidence,
            model: ENGINE.to_owned(),
            warnings: std::iter::once(format!("{why}: computed by CareerOS's rules")).chain(warnings).collect(),
        },
        None => Outcome {
            status: Status::Failed,
            output: Value::Object(Map::new()),
            confidence: 0.0,
            model: String::new(),
            warnings: vec![format!("{why}, and the rules do not know this flow")],
        },
    })
}

impl Execution<'_> {
    fn response(&self) -> ExecuteFlowResponse {
        ExecuteFlowResponse {
            execution_id: self.id.to_string(),
            status: self.outcome.status.as_str().to_owned(),
            output_json: self.outcome.output.to_string(),
            confidence: self.outcome.confidence,
            flow_name: self.flow_name.to_owned(),
            flow_version: self.flow_version.to_owned(),
            warnings: self.outcome.warnings.clone(),
        }
    }

    /// What all calls used together.
    pub(crate) fn tokens(&self) -> Tokens {
        self.attempts.iter().fold(Tokens::default(), |sum, attempt| Tokens {
            prompt: sum.prompt.saturating_add(attempt.tokens.prompt),
            completion: sum.completion.saturating_add(attempt.tokens.completion),
        })
    }

    fn cost(&self) -> Decimal {
        self.attempts.iter().map(|attempt| attempt.cost).sum()
    }

    /// Stores the execution with what it has to tell, and with `answer` where a repetition of the request is to get it.
    pub(crate) async fn record<R: Message>(
        &self,
        core: &Core,
        context: &Context,
        subject: Subject,
        answer: Option<(&Claim, &R)>,
    ) -> Result<()> {
        let record = self.to_record(context, subject)?;
        match answer.filter(|_| context.idempotency_key.is_some()) {
            None => core.records.submit(record).await?,
            Some((claim, response)) => {
                let mut tx = core.db.begin(subject.tenant_id).await?;
                record::insert(&mut *tx, &[record]).await?;
                claim.complete(&mut tx, response).await?;
                tx.commit().await?;
            }
        }
        core.db.wake_relay();
        self.report();
        Ok(())
    }

    fn to_record(&self, context: &Context, subject: Subject) -> Result<Record> {
        let tokens = self.tokens();
        Ok(Record {
            subject,
            created_at: context.now,
            id: id::new(context.now),
            conversation_id: id::new(context.now),
            execution_id: self.id,
            flow_name: self.flow_name.to_owned(),
            flow_version: self.flow_version.to_owned(),
            output: self.outcome.output.to_string(),
            status: self.outcome.status.as_str(),
            confidence: self.outcome.confidence,
            warnings: Value::from(self.outcome.warnings.as_slice()),
            model: self.outcome.model.clone(),
            prompt_tokens: i64::try_from(tokens.prompt).unwrap_or(i64::MAX),
            completion_tokens: i64::try_from(tokens.completion).unwrap_or(i64::MAX),
            cost: self.cost(),
            latency_ms: i64::try_from(self.latency.as_millis()).unwrap_or(i64::MAX),
            events: self.events(context, subject)?,
        })
    }

    /// What is told of the execution, in this order: each call, the whole, and what follows for others.
    fn events(&self, context: &Context, subject: Subject) -> Result<Vec<Row>> {
        let mut events = Vec::with_capacity(self.attempts.len() + 2);
        for (number, attempt) in (1..).zip(&self.attempts) {
            let called = ModelCallCompleted {
                execution_id: self.id,
                attempt: number,
                model: attempt.model.clone(),
                outcome: attempt.outcome.to_owned(),
                latency_ms: millis(attempt.latency),
                prompt_tokens: attempt.tokens.prompt,
                completion_tokens: attempt.tokens.completion,
                cost_usd: attempt.cost,
            };
            events.push(Row::new(context, subject, &called)?);
        }
        let tokens = self.tokens();
        let executed = AiFlowExecuted {
            execution_id: self.id,
            flow_name: self.flow_name.to_owned(),
            flow_version: self.flow_version.to_owned(),
            status: self.outcome.status.as_str().to_owned(),
            latency_ms: millis(self.latency),
            prompt_tokens: Some(tokens.prompt),
            completion_tokens: Some(tokens.completion),
            total_cost_usd: self.cost(),
        };
        events.push(Row::new(context, subject, &executed)?);
        let known = engine::Flow::from_name(self.flow_name).filter(|_| self.outcome.status != Status::Failed);
        match known {
            Some(engine::Flow::SkillGapAnalysis) => events.push(Row::new(context, subject, &self.skill_gap())?),
            Some(engine::Flow::RoadmapGenerator) => events.push(Row::new(context, subject, &self.roadmap_draft())?),
            _ => {}
        }
        Ok(events)
    }

    fn skill_gap(&self) -> SkillGapAnalyzed {
        let output = &self.outcome.output;
        SkillGapAnalyzed {
            execution_id: self.id,
            missing_skills: texts(&output["missing_skills"]),
            priority_order: texts(&output["priority_order"]),
        }
    }

    fn roadmap_draft(&self) -> RoadmapDraftGenerated {
        let output = &self.outcome.output;
        let stages = output["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
        RoadmapDraftGenerated {
            execution_id: self.id,
            stages: stages.iter().filter_map(|stage| stage["title"].as_str()).map(str::to_owned).collect(),
            timeline_weeks: output["timeline_weeks"].as_f64().and_then(|weeks| weeks.to_i32()).unwrap_or_default(),
        }
    }

    /// Logs and counts the execution, without what was asked or answered.
    fn report(&self) {
        let (status, flow) = (self.outcome.status.as_str(), self.flow_name.to_owned());
        let labels = [("service", crate::SERVICE.name.to_owned()), ("flow", flow), ("status", status.to_owned())];
        metrics::counter!("ai_flow_executions_total", &labels).increment(1);
        for attempt in &self.attempts {
            attempt.count(self.flow_name);
        }
        tracing::info!(
            execution.id = %self.id,
            flow.name = self.flow_name,
            execution.status = status,
            model = self.outcome.model,
            calls = self.attempts.len(),
            latency_ms = millis(self.latency),
            "executed a flow"
        );
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_an_object_of_limited_size_however_it_is_spaced() {
        for json in ["", "nonsense", "[]", "\"text\"", "null", "{\"a\":"] {
            assert_eq!(parse_input(json).unwrap_err().fields()[0].field, "input", "{json}");
        }
        let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "ä".repeat(length - 8));
        assert!(parse_input(&of_length(INPUT_MAX)).is_ok());
        assert!(parse_input(&of_length(INPUT_MAX + 1)).is_err());
        assert!(parse_input(&format!("{}{}", " ".repeat(INPUT_MAX), of_length(100))).is_ok());
    }

    #[test]
    fn nul_characters_of_pdf_readers_are_dropped() {
        assert_eq!(parse_input(r#"{"text": "a\u0000b"}"#).unwrap()["text"], "ab");
    }
}
