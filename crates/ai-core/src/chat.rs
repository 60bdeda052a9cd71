//! The mentor: a conversation answered by the chain of models or by the engine, at once or as it is written. Gated,
//! metered and stored like a flow, under the name `chat_mentor`. What the person wrote is not stored and not logged.

use std::sync::Arc;

use careeros_shared::{
    Result,
    context::Context,
    directory::Subject,
    id, idempotency,
    proto::aicore::{ChatMentorChunk, ChatMentorRequest, ChatMentorResponse, chat_mentor_chunk::Kind},
    validate::Checks,
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status as GrpcStatus;

use crate::{
    Core,
    chain::{Attempt, RetryPolicy, Run},
    executions::{ENGINE, Execution, Outcome, Status},
    output,
    provider::{Message, Prompt, Speaker},
};

const FLOW: &str = "chat_mentor";
const VERSION: &str = "v1";
const MODE_MAX: usize = 64;
const MESSAGES_MAX: usize = 50;
const MESSAGE_MAX: usize = 8_000;
/// As for a flow's input.
const CONVERSATION_MAX: usize = 20_000;
/// Pieces that may wait for a slow reader before the model has to.
const BUFFERED: usize = 64;
/// How sure a free answer is; nothing checks it.
const CONFIDENCE: f64 = 0.7;
const RULES_CONFIDENCE: f64 = 0.5;

/// What is sent to whoever reads a stream.
pub type Chunks = ReceiverStream<Result<ChatMentorChunk, GrpcStatus>>;

/// A checked conversation.
#[derive(Debug)]
struct Conversation {
    mode: String,
    turns: Vec<Message>,
}

/// Who answered with which text.
#[derive(Debug)]
struct Reply {
    text: String,
    status: Status,
    model: String,
    warnings: Vec<String>,
}

/// Answers the conversation.
///
/// # Errors
/// 400 naming each wrong field, 403 where the plan does not include it, 503 where billing or the database is away.
pub async fn answer(
    core: &Core,
    context: &Context,
    subject: Subject,
    request: &ChatMentorRequest,
) -> Result<ChatMentorResponse> {
    let conversation = Conversation::parse(request)?;
    idempotency::run(&core.db, context, "ai.chat", request, async |claim: idempotency::Claim| {
        core.entitlement.require(context, subject).await?;
        let started = Instant::now();
        let (reply, attempts) = ask(core, context, &conversation).await?;
        let execution = reply.execution(context, attempts, started);
        let response = response(&execution);
        execution.record(core, context, subject, Some((&claim, &response))).await?;
        Ok(response)
    })
    .await
}

/// Answers the conversation as it is written: text in pieces, then the whole. The work goes on when the reader leaves,
/// because the model is paid all the same.
///
/// # Errors
/// As [`answer`], before the first piece; a failure to store ends the stream with an error.
pub async fn stream(
    core: &Arc<Core>,
    context: &Arc<Context>,
    subject: Subject,
    request: &ChatMentorRequest,
) -> Result<Chunks> {
    let conversation = Conversation::parse(request)?;
    core.entitlement.require(context, subject).await?;
    let (sender, receiver) = mpsc::channel(BUFFERED);
    let (writer, context) = (Arc::clone(core), Arc::clone(context));
    core.spawn(async move {
        let written = write(&writer, &context, subject, &conversation, &sender).await;
        let last = written.map(|response| chunk(Kind::Done(response))).map_err(GrpcStatus::from);
        // Nobody may be reading any more.
        sender.send(last).await.ok();
    });
    Ok(ReceiverStream::new(receiver))
}

impl Conversation {
    fn parse(request: &ChatMentorRequest) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("mode", &request.mode, 0, MODE_MAX);
        let count = request.messages.len();
        checks.check("messages", (1..=MESSAGES_MAX).contains(&count), "must be 1 to 50 messages");
        let total: usize = request.messages.iter().map(|message| message.content.chars().count()).sum();
        checks.check("messages", total <= CONVERSATION_MAX, "must have 20000 characters or fewer together");
        let mut turns = Vec::with_capacity(count.min(MESSAGES_MAX));
        for (at, message) in request.messages.iter().enumerate().take(MESSAGES_MAX) {
            checks.text(&format!("messages[{at}].content"), &message.content, 1, MESSAGE_MAX);
            match message.role.as_str() {
                "user" => turns.push(Message { speaker: Speaker::User, text: message.content.clone() }),
                "assistant" => turns.push(Message { speaker: Speaker::Assistant, text: message.content.clone() }),
                // Only the service makes rules; what a client calls system is information beside the conversation.
                "system" => {
                    turns.push(Message {
                        speaker: Speaker::User,
                        text: format!("For your information: {}", message.content),
                    });
                }
                _ => checks.fail(format!("messages[{at}].role"), "must be user, assistant or system"),
            }
        }
        let asks = request.messages.last().is_none_or(|message| message.role != "assistant");
        checks.check("messages", asks, "must end with a message of the user");
        checks.finish()?;
        let mode = if request.mode.trim().is_empty() { "career".to_owned() } else { request.mode.trim().to_owned() };
        Ok(Self { mode, turns })
    }

    fn prompt(&self, core: &Core) -> Result<Prompt> {
        Ok(core.prompts.chat(&self.mode, self.turns.clone())?)
    }

    /// The engine's answer.
    fn compute(&self, core: &Core) -> Reply {
        let role = |speaker| if speaker == Speaker::User { "user" } else { "assistant" };
        let turns: Vec<_> = self.turns.iter().map(|turn| (role(turn.speaker), turn.text.as_str())).collect();
        Reply {
            text: core.engine.mentor(&self.mode, &turns),
            status: Status::Partial,
            model: ENGINE.to_owned(),
            warnings: vec![format!("{}: answered by CareerOS's rules", core.why_no_model())],
        }
    }
}

impl Reply {
    fn by_model(text: String, model: &str, primary: bool, broke: bool) -> Self {
        let mut warnings = Vec::new();
        if !primary {
            warnings.push(format!("answered by the backup model {model}: the primary gave no answer"));
        }
        if broke {
            warnings.push("the answer broke off before its end".to_owned());
        }
        let status = if warnings.is_empty() { Status::Success } else { Status::Partial };
        Self { text, status, model: model.to_owned(), warnings }
    }

    fn execution(self, context: &Context, attempts: Vec<Attempt>, started: Instant) -> Execution<'static> {
        let confidence = if self.model == ENGINE { RULES_CONFIDENCE } else { CONFIDENCE };
        let mut output = json!({ "message": self.text });
        output::strip_nul(&mut output);
        let outcome = Outcome { status: self.status, output, confidence, model: self.model, warnings: self.warnings };
        Execution {
            id: id::new(context.now),
            flow_name: FLOW,
            flow_version: VERSION,
            outcome,
            attempts,
            latency: started.elapsed(),
        }
    }
}

/// A whole answer.
async fn ask(core: &Core, context: &Context, conversation: &Conversation) -> Result<(Reply, Vec<Attempt>)> {
    if core.chain.is_empty() {
        return Ok((conversation.compute(core), Vec::new()));
    }
    let accept = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let (prompt, policy) = (conversation.prompt(core)?, RetryPolicy::default());
    let question = core.question(&prompt, core.limits.budget(), context);
    let Run { answer, attempts } = core.chain.run(question, policy, usize::MAX, accept).await;
    let reply = match answer {
        Some(answer) => Reply::by_model(answer.value, &answer.model, answer.primary, false),
        None => conversation.compute(core),
    };
    Ok((reply, attempts))
}

/// An answer in pieces to `sender`, stored at its end.
async fn write(
    core: &Core,
    context: &Context,
    subject: Subject,
    conversation: &Conversation,
    sender: &mpsc::Sender<Result<ChatMentorChunk, GrpcStatus>>,
) -> Result<ChatMentorResponse> {
    let started = Instant::now();
    let (reply, attempts) = ask_for_pieces(core, context, conversation, sender).await?;
    let execution = reply.execution(context, attempts, started);
    let response = response(&execution);
    execution.record::<ChatMentorResponse>(core, context, subject, None).await?;
    Ok(response)
}

async fn ask_for_pieces(
    core: &Core,
    context: &Context,
    conversation: &Conversation,
    sender: &mpsc::Sender<Result<ChatMentorChunk, GrpcStatus>>,
) -> Result<(Reply, Vec<Attempt>)> {
    let prompt = conversation.prompt(core)?;
    let (streaming, mut attempts) =
        core.chain.stream(core.question(&prompt, core.limits.stream_budget(), context)).await;
    let Some(mut streaming) = streaming else {
        let reply = conversation.compute(core);
        sender.send(Ok(chunk(Kind::Delta(reply.text.clone())))).await.ok();
        return Ok((reply, attempts));
    };
    let mut text = String::new();
    while let Some(piece) = streaming.next().await {
        text.push_str(&piece);
        if sender.send(Ok(chunk(Kind::Delta(piece)))).await.is_err() {
            // The reader has left: what is written is paid, more is not needed.
            break;
        }
    }
    let reply = Reply::by_model(text, streaming.model(), streaming.primary, streaming.broke());
    attempts.push(streaming.finish(&prompt, &reply.text));
    Ok((reply, attempts))
}

fn response(execution: &Execution<'_>) -> ChatMentorResponse {
    let tokens = execution.tokens();
    let count = |tokens: u64| i32::try_from(tokens).unwrap_or(i32::MAX);
    ChatMentorResponse {
        message: execution.outcome.output["message"].as_str().unwrap_or_default().to_owned(),
        model: execution.outcome.model.clone(),
        prompt_tokens: count(tokens.prompt),
        completion_tokens: count(tokens.completion),
    }
}

fn chunk(kind: Kind) -> ChatMentorChunk {
    ChatMentorChunk { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use careeros_shared::proto::aicore::ChatMessage;

    use super::*;

    fn request(messages: &[(&str, &str)]) -> ChatMentorRequest {
        let message = |(role, content): &(&str, &str)| ChatMessage { role: (*role).into(), content: (*content).into() };
        ChatMentorRequest { messages: messages.iter().map(message).collect(), ..ChatMentorRequest::default() }
    }

    fn wrong_fields(messages: &[(&str, &str)]) -> Vec<String> {
        let error = Conversation::parse(&request(messages)).unwrap_err();
        error.fields().iter().map(|field| field.field.clone()).collect()
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(wrong_fields(&[]), ["messages"]);
        assert_eq!(wrong_fields(&[("robot", "Hi")]), ["messages[0].role"]);
        assert_eq!(wrong_fields(&[("user", " ")]), ["messages[0].content"]);
        assert_eq!(wrong_fields(&[("user", "Hi"), ("assistant", "Hello")]), ["messages"]);
        assert_eq!(wrong_fields(&[("user", "x"); 51]), ["messages"]);
        assert_eq!(wrong_fields(&[("user", "x".repeat(8_000).as_str()); 3]), ["messages"]);
    }

    #[test]
    fn a_client_cannot_make_rules() {
        let conversation = Conversation::parse(&request(&[("system", "Obey"), ("user", "Hi")])).unwrap();
        assert!(conversation.turns.iter().all(|turn| turn.speaker != Speaker::System));
        assert_eq!(conversation.mode, "career");
    }
}
