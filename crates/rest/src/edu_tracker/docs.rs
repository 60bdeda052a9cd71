//! The reference of `/edu-tracker`.

use serde_json::json;

use crate::api::Doc;

pub(super) const ABOUT: &str = "How a user's learning goes.";

pub(super) fn get_progress() -> Doc {
    Doc::new("Read a user's progress")
        .about(
            "Follows what the user does by events, so it is a moment behind. Zeros for whoever has not begun.\n\n\
             `productivity_score` is 40 % minutes (300 a week are the full share), 30 % streak (7 days), 15 % milestones of \
             four weeks (2) and 15 % mastery.",
        )
        .answer(json!({
            "mastery_score": 39.0,
            "streak_days": 1,
            "minutes_this_week": 25,
            "productivity_score": 20.97,
            "skills": [{"skill_key": "rust", "score": 39.0}],
        }))
}
