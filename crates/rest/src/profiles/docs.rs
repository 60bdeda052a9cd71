//! The reference of `/profiles`.

use serde_json::json;

use crate::api::{Doc, samples::USER};

pub(super) const ABOUT: &str = "A user's profile and skills.";

pub(super) fn get_profile() -> Doc {
    Doc::new("Read a profile").about("Empty strings where nothing is stored yet; the time zone is then `UTC`.").answer(
        json!({
            "user_id": USER,
            "full_name": "Ada Lovelace",
            "title": "Analyst",
            "location": "London",
            "bio": "",
            "timezone": "Europe/London",
        }),
    )
}

pub(super) fn update_profile() -> Doc {
    Doc::new("Change a profile")
        .about("All fields are optional; those not sent keep their values.")
        .request(json!({
            "fullName": "Ada Lovelace", "title": "Analyst", "location": "London", "timezone": "Europe/London"
        }))
        .answer(json!({"ok": true}))
}

pub(super) fn upsert_skill() -> Doc {
    Doc::new("Add a skill or change its proficiency")
        .about("A skill is known by its key; sending the same key again changes it.")
        .request(json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 45}))
        .answer(json!({"ok": true}))
        .idempotent()
}

pub(super) fn list_skills() -> Doc {
    Doc::new("List skills")
        .about("All of them, the best first.")
        .answer(json!({"skills": [{"skill_key": "rust", "score": 45.0}]}))
}
