//! The reference of `/ai`.

use serde_json::{Value, json};

use crate::api::Doc;

pub(super) const ABOUT: &str = "AI flows, the mentor, usage. Flows and chat need the feature `ai.flow.execute` in the user's \
                                plan and a monthly quota that is not spent; users without a subscription have those of \
                                FREEMIUM. Every flow and every chat answer that is not FAILED counts as one. Months are \
                                those of UTC. What is sent is not stored.";

const EXECUTION: &str = "01a20729-9efc-747e-a348-84b6c98b697c";

fn answered() -> Value {
    json!({
        "message": "SQL: about 40 hours of study to work with it unaided.",
        "model": "careeros-engine",
        "prompt_tokens": 0,
        "completion_tokens": 0,
    })
}

fn question() -> Value {
    json!({"messages": [{"role": "user", "content": "How do I learn SQL?"}]})
}

pub(super) fn list_flows() -> Doc {
    Doc::new("List flows").about("The active flows with their JSON Schemas (2020-12).").answer(json!({
        "items": [{
            "flow_name": "skill_gap_analysis",
            "flow_version": "v1",
            "input_schema": {"type": "object", "properties": {"targetRole": {"type": "string"}}},
            "output_schema": {"type": "object", "required": ["current_skills", "missing_skills", "priority_order"]},
        }],
    }))
}

pub(super) fn execute_flow() -> Doc {
    Doc::new("Run a flow")
        .about(
            "Five flows are there from the start: `skill_gap_analysis`, `roadmap_generator`, `interview_simulation`, \
             `resume_analysis`, `productivity_advisor`, all of version `v1`. Every input field may be left out: the answer is \
             then less sure, and `warnings` says why. `output_json` is a string that holds JSON.",
        )
        .request(json!({
            "flowName": "skill_gap_analysis",
            "input": {"targetRole": "Backend Engineer", "currentSkills": ["Rust", {"skill": "SQL", "proficiency": 40}]},
        }))
        .answer(json!({
            "execution_id": EXECUTION,
            "status": "PARTIAL",
            "output_json": "{\"current_skills\":[\"rust\"],\"missing_skills\":[\"sql\"],\"priority_order\":[\"sql\"]}",
            "confidence": 0.8,
            "flow_name": "skill_gap_analysis",
            "flow_version": "v1",
            "warnings": ["no language model is configured: computed by CareerOS's rules"],
        }))
        .idempotent()
        .needs_entitlement()
        .missing("flow not found")
}

pub(super) fn chat() -> Doc {
    Doc::new("Ask the mentor")
        .about("A conversation; the last message is the one to answer.")
        .request(question())
        .answer(answered())
        .idempotent()
        .needs_entitlement()
}

pub(super) fn stream_chat() -> Doc {
    let stream = format!(
        "event: delta\ndata: {}\n\nevent: done\ndata: {}\n\n",
        json!({"text": answered()["message"]}),
        answered()
    );
    Doc::new("Ask the mentor, answered as it is written")
        .about(
            "Server-sent events: `delta` with `{\"text\"}` as often as needed, then `done` with what `/ai/chat` answers. Lines \
             that begin with `:` keep the connection open. What is wrong before the first piece is an ordinary problem with \
             its status; later, the stream ends with `event: error` and `{\"code\", \"detail\"}`. A stream lasts two minutes \
             at the most. A client that leaves ends it; what was written until then counts.\n\nIn browsers use `fetch` and \
             read the body; `EventSource` sends neither POST nor headers.",
        )
        .request(question())
        .answer(stream.into())
        .needs_entitlement()
}

pub(super) fn get_usage() -> Doc {
    Doc::new("Read a user's AI usage")
        .about("All of the user's flows and chats so far.")
        .answer(json!({"requests_count": 7, "prompt_tokens": 0, "completion_tokens": 0, "total_cost_usd": 0.0}))
}
