//! Interviews: question by question towards a draft, whose roadmap AI core generates once enough is known.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Subject,
    error::{Error, Kind},
    grpc::Transport,
    id, idempotency,
    proto::{
        aicore::{ExecuteFlowRequest, ExecuteFlowResponse, ai_core_service_client::AiCoreServiceClient},
        roadmap::{RoadmapInterviewMessage, RoadmapInterviewTurnRequest, RoadmapInterviewTurnResponse},
    },
    validate::Checks,
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

mod topics;

use crate::{
    canvas::{self, MESSAGES_MAX, Message},
    drafts::{self, Draft, TEXT_MAX},
    interview::topics::{Findings, Topic},
    roadmaps::WEEKS_MAX,
};

const IN_PROGRESS: &str = "IN_PROGRESS";
const COMPLETED: &str = "COMPLETED";
/// The role until the interview has found it out.
const ANY_ROLE: &str = "professional";

/// Runs AI flows.
pub type Ai = AiCoreServiceClient<Transport>;

/// Takes the next answers of an interview of the subject's; without a draft it begins one.
///
/// AI core runs a flow on the user's behalf each time: before the interview is complete it may word the next question, in
/// the end it generates the roadmap. Nothing is stored before it has answered.
///
/// # Errors
/// 400 naming each wrong field; 404 where the subject has no such draft; 409 where the interview is complete or another
/// turn came in between; 403 where the plan does not include AI flows; 503 where AI core or the database is away.
pub async fn turn(
    db: &Db,
    ai: &Ai,
    context: &Context,
    subject: Subject,
    request: &RoadmapInterviewTurnRequest,
) -> Result<RoadmapInterviewTurnResponse> {
    let (draft_id, sent) = parse(request)?;
    idempotency::run(db, context, "roadmaps.interview", request, async |claim: idempotency::Claim| {
        let before = match draft_id {
            Some(id) => drafts::get(db, subject, id).await?,
            None => Draft::new(subject, context.now),
        };
        let known = canvas::messages(&before.interview_log_json)?;
        let log = merge(known.clone(), sent)?;
        let reply =
            if before.status == COMPLETED { None } else { Some(ask(ai, context, subject, &before, &log).await?) };
        let mut tx = db.begin(subject.tenant_id).await?;
        let response = match reply {
            Some(reply) => {
                let after = store(&mut tx, context, before, draft_id.is_some(), &log, &reply).await?;
                answer(&after, reply.next_question, Some(reply.execution_id))
            }
            None if log == known => answer(&before, String::new(), before.execution_id),
            None => {
                return Err(Error::conflict("interview_completed", "this interview is complete; begin a new one"));
            }
        };
        claim.complete(&mut tx, &response).await?;
        tx.commit().await?;
        Ok(response)
    })
    .await
}

fn parse(request: &RoadmapInterviewTurnRequest) -> Result<(Option<Uuid>, Vec<Message>)> {
    let mut checks = Checks::new();
    let given = Some(&request.draft_id).filter(|id| !id.is_empty());
    let draft_id = given.and_then(|draft_id| checks.ok(id::parse("draftId", draft_id)));
    let message =
        |each: &RoadmapInterviewMessage| Message { question: each.question.clone(), answer: each.answer.clone() };
    let messages: Vec<Message> = request.messages.iter().map(message).collect();
    canvas::check_messages(&mut checks, "messages", &messages);
    checks.finish()?;
    Ok((draft_id, messages))
}

/// The log with what was sent: clients may send the whole conversation each time or only what is new. The answer to a
/// question that was asked before replaces the one given then.
fn merge(mut log: Vec<Message>, sent: Vec<Message>) -> Result<Vec<Message>> {
    for message in sent {
        match log.iter_mut().find(|known| known.question == message.question) {
            Some(known) => known.answer = message.answer,
            None => log.push(message),
        }
    }
    if log.len() > MESSAGES_MAX {
        return Err(Error::invalid(
            "messages",
            format!("must have {MESSAGES_MAX} entries or fewer in the whole interview"),
        ));
    }
    Ok(log)
}

/// What AI core and the rules say to a log.
#[derive(Debug)]
struct Reply {
    execution_id: Uuid,
    /// Empty once the interview is complete.
    next_question: String,
    summary: String,
    target_role: String,
    /// Present once the interview is complete.
    roadmap: Option<Roadmap>,
}

/// A roadmap as it was generated.
#[derive(Debug, PartialEq, Eq)]
struct Roadmap {
    stages: Vec<String>,
    weeks: Option<i32>,
}

async fn ask(ai: &Ai, context: &Context, subject: Subject, draft: &Draft, log: &[Message]) -> Result<Reply> {
    let findings = Findings::of(log);
    let target_role = Some(draft.target_role.as_str()).filter(|role| !role.trim().is_empty());
    let target_role = target_role.unwrap_or_else(|| findings.answer(Topic::Goal));
    let target_role: String = target_role.chars().take(TEXT_MAX).collect();
    let role = if target_role.is_empty() { ANY_ROLE } else { &target_role };
    let Some(topic) = findings.next() else {
        let brief = findings.brief(role, &draft.target_grade, context.now.date_naive());
        let (execution_id, output) = execute(ai, context, subject, "roadmap_generator", &brief).await?;
        let roadmap = Roadmap::read(&output).ok_or_else(|| {
            Error::unavailable("no roadmap could be generated from these answers just now; send them again shortly")
        })?;
        let summary = output["summary"].as_str().map_or_else(|| findings.summary(), str::to_owned);
        return Ok(Reply { execution_id, next_question: String::new(), summary, target_role, roadmap: Some(roadmap) });
    };
    let input = json!({
        "targetRole": role, "interviewType": "career planning", "questions": findings.questions(),
        "answers": findings.answers(),
    });
    let (execution_id, output) = execute(ai, context, subject, "interview_simulation", &input).await?;
    let proposed = output["next_question"].as_str().unwrap_or_default();
    let next_question = findings.question(topic, proposed);
    Ok(Reply { execution_id, next_question, summary: findings.summary(), target_role, roadmap: None })
}

impl Roadmap {
    /// The roadmap in a flow's output, whose stages are titles or objects with one; `None` where it has no stage.
    fn read(output: &Value) -> Option<Self> {
        let stages = output["stages"].as_array()?;
        let titles = stages.iter().filter_map(|stage| stage.as_str().or_else(|| stage["title"].as_str()));
        let stages = drafts::stage_labels(titles);
        let weeks = output["timeline_weeks"].as_f64().filter(|weeks| *weeks >= 1.0);
        let weeks = weeks.and_then(|weeks| (1..=WEEKS_MAX).find(|&whole| f64::from(whole) >= weeks));
        (!stages.is_empty()).then_some(Self { stages, weeks })
    }
}

/// Runs a flow for the subject; its execution's id and its output.
async fn execute(
    ai: &Ai,
    context: &Context,
    subject: Subject,
    flow: &str,
    input: &impl Serialize,
) -> Result<(Uuid, Value)> {
    let request = ExecuteFlowRequest {
        meta: None,
        flow_name: flow.to_owned(),
        flow_version: String::new(),
        input_json: serde_json::to_string(input).map_err(Error::internal)?,
        user_id: subject.user_id.to_string(),
        tenant_id: subject.tenant_id.to_string(),
    };
    let response: ExecuteFlowResponse =
        ai.clone().execute_flow(context.subrequest(request)).await.map_err(refusal)?.into_inner();
    let execution_id = Uuid::try_parse(&response.execution_id).map_err(Error::internal)?;
    // An execution that failed has no output worth reading; the rules then go on without it.
    Ok((execution_id, serde_json::from_str(&response.output_json).unwrap_or_default()))
}

/// AI core's refusals are the caller's to know, but fields of its input are not the caller's fields.
fn refusal(status: tonic::Status) -> Error {
    let error = Error::from(status);
    if matches!(error.kind(), Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::Unprocessable) {
        Error::internal(error)
    } else {
        error
    }
}

/// Stores the draft with its longer log, and with the roadmap where one was generated. `before` is what AI core was asked
/// about, and `exists` whether it is stored already.
async fn store(
    tx: &mut Tx,
    context: &Context,
    before: Draft,
    exists: bool,
    log: &[Message],
    reply: &Reply,
) -> Result<Draft> {
    let mut draft = before.clone();
    if exists {
        let owner = Subject { user_id: before.user_id, tenant_id: before.tenant_id };
        draft = drafts::lock(tx, owner, before.id).await?;
        if draft.interview_log_json != before.interview_log_json || draft.status != before.status {
            return Err(Error::conflict(
                "draft_changed",
                "another turn of this interview came in between; send it again",
            ));
        }
    }
    draft.interview_log_json = serde_json::to_string(log).map_err(Error::internal)?;
    IN_PROGRESS.clone_into(&mut draft.status);
    draft.summary.clone_from(&reply.summary);
    draft.target_role.clone_from(&reply.target_role);
    draft.updated_at = context.now;
    if let Some(roadmap) = &reply.roadmap {
        let prefix = reply.execution_id.to_string();
        COMPLETED.clone_into(&mut draft.status);
        draft.roadmap_nodes_json = canvas::add_nodes(&draft.roadmap_nodes_json, &prefix, &roadmap.stages)?;
        draft.timeline_weeks = roadmap.weeks;
        draft.execution_id = Some(reply.execution_id);
        drafts::take_over(tx, reply.execution_id).await?;
    }
    if exists {
        draft.update(tx).await?;
    } else {
        draft.insert(tx).await?;
    }
    Ok(draft)
}

fn answer(draft: &Draft, next_question: String, execution_id: Option<Uuid>) -> RoadmapInterviewTurnResponse {
    RoadmapInterviewTurnResponse {
        draft_id: draft.id.to_string(),
        next_question,
        status: draft.status.clone(),
        summary: draft.summary.clone(),
        ai_execution_id: execution_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(question: &str, answer: &str) -> Message {
        Message { question: question.to_owned(), answer: answer.to_owned() }
    }

    #[test]
    fn sending_the_whole_conversation_or_only_what_is_new_is_the_same() {
        let first = vec![said("a", "1")];
        let whole = merge(first.clone(), vec![said("a", "1"), said("b", "2")]).unwrap();
        let new = merge(first, vec![said("b", "2")]).unwrap();
        assert_eq!(whole, new);
        assert_eq!(merge(whole, vec![said("a", "3")]).unwrap(), [said("a", "3"), said("b", "2")]);
    }

    #[test]
    fn an_interview_does_not_grow_for_ever() {
        let many = |from: usize, to: usize| (from..to).map(|n| said(&n.to_string(), "x")).collect::<Vec<_>>();
        let error = merge(many(0, MESSAGES_MAX), many(MESSAGES_MAX, MESSAGES_MAX + 1)).unwrap_err();
        assert_eq!(error.fields()[0].field, "messages");
    }

    #[test]
    fn stages_are_read_as_titles_or_as_objects() {
        let read = |output: Value| Roadmap::read(&output);
        let expected = Roadmap { stages: vec!["A".into(), "B".into()], weeks: Some(9) };
        assert_eq!(
            read(json!({"stages": ["A", {"title": " B ", "order": 2}, " "], "timeline_weeks": 8.5})),
            Some(expected)
        );
        assert_eq!(read(json!({"stages": []})), None);
        assert_eq!(read(Value::Null), None);
        let odd = read(json!({"stages": ["A"], "timeline_weeks": "long"}));
        assert_eq!(odd, Some(Roadmap { stages: vec!["A".into()], weeks: None }));
    }
}
