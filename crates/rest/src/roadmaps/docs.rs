//! The reference of `/roadmaps`.

use careeros_shared::error::Kind;
use serde_json::{Value, json};

use crate::api::{
    Doc,
    samples::{DRAFT, MILESTONE, ROADMAP, TENANT, USER},
};

pub(super) const ABOUT: &str = "Roadmaps with their stages and milestones, drafts of roadmaps, and the interview that leads \
                                to one. A roadmap is the user's own; an ADMIN's reach is the tenant, an OPERATOR's \
                                everything.";

const NO_ROADMAP: &str = "roadmap not found";
const NO_DRAFT: &str = "draft not found";

fn draft() -> Value {
    json!({
        "id": DRAFT,
        "user_id": USER,
        "tenant_id": TENANT,
        "title": "My way",
        "target_role": "Data Engineer",
        "target_grade": "",
        "status": "DRAFT",
        "interview_log_json": "[]",
        "roadmap_nodes_json": "[{\"id\":\"n1\",\"label\":\"SQL\",\"progress\":0,\"x\":0,\"y\":0}]",
        "canvas_viewport_json": "{\"x\":0,\"y\":0,\"scale\":1}",
        "created_at": "2026-11-23T06:48:19.224350Z",
        "updated_at": "2026-11-23T06:48:19.224350Z",
        "timeline_weeks": null,
    })
}

pub(super) fn create_roadmap() -> Doc {
    Doc::new("Make a roadmap")
        .about(
            "The weeks begin today (UTC) and are divided evenly among the stages. A stage has a milestone for each 28 days \
             begun, 6 at the most. An active roadmap to the same goal becomes `SUPERSEDED`, and the new one gets the next \
             version.",
        )
        .request(json!({"goalKey": "backend-engineer", "targetRole": "Backend Engineer", "timelineWeeks": 4}))
        .answer(json!({"roadmap_id": ROADMAP, "version": 1, "status": "ACTIVE"}))
        .idempotent()
}

pub(super) fn get_active_roadmap() -> Doc {
    Doc::new("Read a user's active roadmap")
        .about("The newest active one. Where there is none, `status` is `NOT_FOUND`, the id empty and the version 0.")
        .answer(json!({"roadmap_id": ROADMAP, "version": 1, "status": "ACTIVE"}))
}

pub(super) fn get_roadmap() -> Doc {
    Doc::new("Read a roadmap")
        .about("With its stages and milestones, and the skills that the user lacked for the goal.")
        .answer(json!({
            "roadmap_id": ROADMAP,
            "user_id": USER,
            "goal_key": "backend-engineer",
            "target_role": "Backend Engineer",
            "version": 1,
            "status": "ACTIVE",
            "timeline_weeks": 4,
            "stages": [{
                "stage_id": "01a20729-a186-70cd-a797-4ea39ad55475",
                "stage_order": 1,
                "title": "Foundation",
                "start_date": "2026-11-23",
                "end_date": "2026-11-29",
                "status": "PENDING",
                "milestones": [{
                    "milestone_id": MILESTONE,
                    "title": "Foundation: finished",
                    "due_date": "2026-11-29",
                    "completed_at": null,
                    "status": "PENDING",
                }],
            }],
            "created_at": "2026-11-23T06:48:18.566856Z",
            "updated_at": "2026-11-23T06:48:18.566856Z",
            "skills": [{"skill_key": "networking", "target_proficiency": 70.0}],
        }))
        .missing(NO_ROADMAP)
}

pub(super) fn recalculate() -> Doc {
    Doc::new("Plan what is left anew from today")
        .about("No body. Finished stages keep their dates; a roadmap that is not active stays as it is.")
        .answer(json!({"ok": true}))
        .missing(NO_ROADMAP)
}

pub(super) fn complete_milestone() -> Doc {
    Doc::new("Complete a milestone")
        .about(
            "The last milestone of a stage completes the stage, the last of all the roadmap. Again: nothing changes.",
        )
        .request(json!({"milestoneId": MILESTONE}))
        .answer(json!({"ok": true}))
        .missing("milestone not found")
}

pub(super) fn take_turn() -> Doc {
    Doc::new("Take a turn of the interview")
        .about(
            "Asks until a roadmap can be made. Begin without `draftId` and with no messages or what is known; then send the \
             answer to `next_question` with the `draftId`, either only the new pair or the whole conversation. `status` is \
             `COMPLETED` and `next_question` empty when the draft has its roadmap, at the latest after ten answers. Each turn \
             runs one AI flow and counts against the quota.",
        )
        .request(json!({
            "messages": [{"question": "What is your goal?", "answer": "I want to become a data engineer"}]
        }))
        .answer(json!({
            "draft_id": "01a20729-a305-703b-8d97-006bac981d90",
            "next_question": "Which skills and what experience do you bring for it already?",
            "status": "IN_PROGRESS",
            "summary": "Goal: I want to become a data engineer",
            "ai_execution_id": "01a20729-a3ee-7661-bce4-704516d61e77",
        }))
        .idempotent()
        .needs_entitlement()
        .missing(NO_DRAFT)
        .fails(Kind::Conflict, "interview_completed", "this interview is complete; begin a new one")
        .fails(Kind::Conflict, "draft_changed", "another turn came in between; send it again")
}

pub(super) fn create_draft() -> Doc {
    Doc::new("Make a draft")
        .about("All fields are optional. The answer's `_json` fields are strings that hold JSON as it was sent.")
        .request(json!({
            "title": "My way",
            "targetRole": "Data Engineer",
            "roadmapNodes": [{"id": "n1", "label": "SQL", "progress": 0, "x": 0, "y": 0}],
        }))
        .answer(draft())
        .idempotent()
}

pub(super) fn page_drafts() -> Doc {
    Doc::new("List a user's drafts")
        .about("Newest first. On the service's own port a bare array.")
        .answer(json!({"items": [draft()], "next_cursor": ""}))
}

pub(super) fn list_drafts() -> Doc {
    Doc::new("List a user's drafts").about("Newest first.").answer(json!([draft()]))
}

pub(super) fn update_canvas() -> Doc {
    Doc::new("Change a draft's canvas")
        .about("Nodes that are not sent stay.")
        .request(json!({
            "canvasViewport": {"x": 0, "y": 0, "scale": 1},
            "roadmapNodes": [{"id": "n1", "label": "SQL", "progress": 50, "x": 0, "y": 0}],
        }))
        .answer(draft())
        .missing(NO_DRAFT)
}
