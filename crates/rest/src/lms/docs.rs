//! The reference of `/lms`.

use careeros_shared::error::Kind;
use serde_json::json;

use crate::api::{
    Doc,
    samples::{COURSE, LESSON, MODULE, USER, VERIFICATION_CODE},
};

pub(super) const ABOUT: &str = "Courses and their catalogue, enrollments, completed lessons, certificates. INSTRUCTOR, ADMIN \
                                and OPERATOR make courses; a course can be changed by who owns it, by an ADMIN of its tenant \
                                and by an OPERATOR. For others of the tenant a draft is 404 and a published course 403; \
                                another tenant's course is 404.";

const NO_COURSE: &str = "course not found";

pub(super) fn create_course() -> Doc {
    Doc::new("Make a course")
        .about("The course is a draft until it is published.")
        .request(json!({
            "instructorId": USER, "title": "Rust services", "description": "From nothing to a service.", "priceUsd": "19.90"
        }))
        .answer(json!({"course_id": COURSE, "status": "DRAFT"}))
        .idempotent()
}

pub(super) fn list_courses() -> Doc {
    Doc::new("Search the catalogue")
        .about("The published courses, newest first; with a token also those of the caller's tenant.")
        .answer(json!({
            "items": [{
                "course_id": COURSE,
                "title": "Rust services",
                "description": "From nothing to a service.",
                "instructor_id": USER,
                "is_published": true,
                "price_usd": "19.90",
                "visibility": "PUBLIC",
                "published_at": "2026-11-23T06:48:19.819058Z",
            }],
            "next_cursor": "AAZg6_qyEjIBogcppQ9ySKa0NJ7aDs1R",
        }))
        .token_optional()
}

pub(super) fn get_course() -> Doc {
    Doc::new("Read a course")
        .about(
            "With its modules and lessons. Drafts and courses of a tenant only for those who may see them, else 404.",
        )
        .answer(json!({
            "course_id": COURSE,
            "title": "Rust services",
            "instructor_id": USER,
            "is_published": true,
            "description": "From nothing to a service.",
            "price_usd": "19.90",
            "visibility": "PUBLIC",
            "modules": [{
                "module_id": MODULE,
                "title": "Basics",
                "module_order": 1,
                "lessons": [{
                    "lesson_id": LESSON,
                    "title": "Ownership",
                    "content_type": "VIDEO",
                    "duration_minutes": 30,
                    "lesson_order": 1,
                    "skill_keys": ["rust"],
                }],
            }],
        }))
        .token_optional()
        .missing(NO_COURSE)
}

pub(super) fn publish_course() -> Doc {
    Doc::new("Publish a course")
        .about("No body. Publishing again changes nothing.")
        .answer(json!({"ok": true}))
        .missing(NO_COURSE)
        .fails(Kind::Conflict, "course_without_lessons", "a course needs a lesson before it can be published")
}

pub(super) fn create_module() -> Doc {
    Doc::new("Add a module to a course")
        .about("It comes last where no order is sent. A published course can get further ones.")
        .request(json!({"title": "Basics", "moduleOrder": 1}))
        .answer(json!({"module_id": MODULE}))
        .idempotent()
        .missing(NO_COURSE)
        .fails(Kind::Conflict, "module_order_taken", "the course has a module with moduleOrder 1 already")
}

pub(super) fn create_lesson() -> Doc {
    Doc::new("Add a lesson to a module")
        .about("It comes last where no order is sent. A published course can get further ones.")
        .request(json!({"title": "Ownership", "contentType": "VIDEO", "durationMinutes": 30, "skillKeys": ["rust"]}))
        .answer(json!({"lesson_id": LESSON}))
        .idempotent()
        .missing("module not found")
        .fails(Kind::Conflict, "lesson_order_taken", "the module has a lesson with lessonOrder 1 already")
}

pub(super) fn enroll() -> Doc {
    Doc::new("Enrol in a course")
        .about(
            "200 where the user was enrolled before. A course with a price can be taken too: there is no way to buy one yet.",
        )
        .request(json!({"courseId": COURSE}))
        .answer(json!({"ok": true}))
        .idempotent()
        .missing(NO_COURSE)
        .fails(Kind::Conflict, "course_not_published", "the course is a draft and cannot be taken yet")
}

pub(super) fn list_enrollments() -> Doc {
    Doc::new("List a user's enrollments")
        .about("Newest first. `verification_code` is the certificate's, null until the course is completed.")
        .answer(json!({
            "items": [{
                "enrollment_id": "01a20729-a705-76a5-b223-74467ca609b7",
                "course_id": COURSE,
                "course_title": "Rust services",
                "status": "COMPLETED",
                "progress_percent": 100.0,
                "enrolled_at": "2026-11-23T06:48:19.973352Z",
                "verification_code": VERIFICATION_CODE,
            }],
            "next_cursor": "",
        }))
}

pub(super) fn complete_lesson() -> Doc {
    Doc::new("Complete a lesson")
        .about(
            "The same lesson counts once. The course's last lesson completes the course and brings a certificate. 404 where \
             the course has no such lesson.",
        )
        .request(json!({"courseId": COURSE, "lessonId": LESSON, "timeSpentMinutes": 25}))
        .answer(json!({"ok": true}))
        .idempotent()
        .missing("lesson not found")
        .fails(Kind::Conflict, "not_enrolled", "enrol in the course before completing its lessons")
}

pub(super) fn get_certificate() -> Doc {
    Doc::new("Check a certificate")
        .about("Public: whoever has the code can check it. It names the course and not the person.")
        .answer(json!({
            "certificate_id": "01a20729-a72d-750e-97c5-93105dbce5de",
            "course_id": COURSE,
            "course_title": "Rust services",
            "issued_at": "2026-11-23T06:48:20.013280Z",
            "verification_code": VERIFICATION_CODE,
        }))
        .missing("certificate not found")
}
