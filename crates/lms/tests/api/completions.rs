use std::sync::Arc;

use careeros_lms::{
    certificates,
    completions::{self, Completion},
};
use careeros_shared::{
    context::Context,
    directory::Subject,
    proto::lms::CompleteLessonRequest,
    testing::{Answer, TestUser},
};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{School, completion, text, with, without};

async fn post(school: &School, body: Value) -> Answer {
    school.service.post(&school.pupil.token, "/lms/lessons/complete", body).await
}

#[tokio::test]
async fn the_last_lesson_completes_the_course_and_brings_a_certificate() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 3).await;
    let learner = &school.stranger;
    school.enroll(learner, &course_id).await;

    let mut progress = Vec::new();
    for lesson_id in &lessons {
        school.clock.advance(TimeDelta::minutes(1));
        let answer = school.complete(learner, &course_id, lesson_id).await.expect(200);
        assert_eq!(answer.json, json!({"ok": true}));
        let enrollment = school.enrollments(learner).await.remove(0);
        progress.push((text(&enrollment["status"]), enrollment["progress_percent"].as_f64().unwrap()));
    }
    let expected = [("ACTIVE", 33.33), ("ACTIVE", 66.67), ("COMPLETED", 100.0)];
    assert_eq!(progress, expected.map(|(status, percent)| (status.to_owned(), percent)));

    let outbox = school.db.outbox().await;
    let events: Vec<_> = outbox.iter().filter(|(_, key, _)| *key == learner.id.to_string()).collect();
    let topics: Vec<_> = events.iter().map(|(topic, _, _)| topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "careeros.lms.enrollment-created.v1",
            "careeros.lms.lesson-completed.v1",
            "careeros.lms.lesson-completed.v1",
            "careeros.lms.lesson-completed.v1",
            "careeros.lms.course-completed.v1",
            "careeros.lms.certificate-issued.v1",
        ]
    );
    let ids: std::collections::HashSet<_> = events.iter().map(|(_, _, event)| event.event_id).collect();
    assert_eq!(ids.len(), events.len());
    for (_, _, event) in &events {
        assert_eq!(event.tenant_id, learner.tenant_id.to_string());
        assert_eq!(event.user_id.as_deref(), Some(learner.id.to_string().as_str()));
    }
    // Closed: other teams refuse any field more or less.
    assert_eq!(
        events[1].2.payload,
        json!({
            "lesson_id": lessons[0], "course_id": course_id, "user_id": learner.id,
            "completed_at": "2026-01-06T12:01:00Z", "time_spent_minutes": 25,
        })
    );
    assert_eq!(
        events[4].2.payload,
        json!({"user_id": learner.id, "course_id": course_id, "completed_at": "2026-01-06T12:03:00Z"})
    );

    let code = text(&school.enrollments(learner).await[0]["verification_code"]);
    let issued = &events[5].2.payload;
    assert_eq!(issued["verification_code"], json!(code));
    let certificate = school.service.get("", &format!("/lms/certificates/{code}")).await.expect(200);
    assert_eq!(
        certificate.json,
        json!({
            "certificate_id": issued["certificate_id"], "course_id": course_id, "course_title": "Rust",
            "issued_at": "2026-01-06T12:03:00.000000Z", "verification_code": code,
        })
    );
}

#[tokio::test]
async fn a_certificate_is_found_by_its_code_alone() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Ours", "TENANT", 1).await;
    school.enroll(&school.pupil, &course_id).await;
    school.complete(&school.pupil, &course_id, &lessons[0]).await.expect(200);
    let code = text(&school.enrollments(&school.pupil).await[0]["verification_code"]);
    for token in ["", &school.stranger.token, "not-a-token"] {
        let found = school.service.get(token, &format!("/lms/certificates/{code}")).await.expect(200);
        assert!(!found.text.contains(&school.pupil.id.to_string()));
    }
    let flipped: String = code.chars().rev().collect();
    for unknown in [flipped.as_str(), "x", "%00", &code[1..], &"a".repeat(10_000)] {
        school.service.get("", &format!("/lms/certificates/{unknown}")).await.expect(404);
    }
}

#[tokio::test]
async fn the_same_lesson_sixteen_times_at_once_counts_once() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 2).await;
    school.enroll(&school.pupil, &course_id).await;
    let answers = join_all((0..16).map(|_| school.complete(&school.pupil, &course_id, &lessons[0]))).await;
    for answer in answers {
        answer.expect(200);
    }
    assert_eq!(school.count("LessonCompleted").await, 1);
    assert_eq!(school.enrollments(&school.pupil).await[0]["progress_percent"], 50.0);
    // Not later either, whatever time is reported then.
    let later = with(completion(&school.pupil, &course_id, &lessons[0]), "timeSpentMinutes", json!(90));
    post(&school, later).await.expect(200);
    assert_eq!(school.count("LessonCompleted").await, 1);
    let minutes: Vec<i32> = sqlx::query_scalar("select time_spent_minutes from lesson_completions")
        .fetch_all(&school.db.admin)
        .await
        .unwrap();
    assert_eq!(minutes, [25]);
}

#[tokio::test]
async fn all_lessons_at_once_complete_the_course_once() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 8).await;
    school.enroll(&school.pupil, &course_id).await;
    let twice = lessons.iter().chain(&lessons);
    for answer in join_all(twice.map(|lesson| school.complete(&school.pupil, &course_id, lesson))).await {
        answer.expect(200);
    }
    for (event, count) in [("LessonCompleted", 8), ("CourseCompleted", 1), ("CertificateIssued", 1)] {
        assert_eq!(school.count(event).await, count, "{event}");
    }
    // The order on the topic: a course is completed after its lessons.
    let types = school.db.event_types().await;
    assert_eq!(types[types.len() - 2..], ["CourseCompleted", "CertificateIssued"]);
    let stored: (String, i32, f64) =
        sqlx::query_as("select status, completed_lessons, progress_percent::float8 from enrollments")
            .fetch_one(&school.db.admin)
            .await
            .unwrap();
    assert_eq!(stored, ("COMPLETED".to_owned(), 8, 100.0));
}

#[tokio::test]
async fn a_course_that_grows_after_its_completion_stays_completed() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    school.enroll(&school.pupil, &course_id).await;
    school.complete(&school.pupil, &course_id, &lessons[0]).await.expect(200);
    let before = school.enrollments(&school.pupil).await;
    let module_id = school.module(&course_id).await;
    let added = [school.lesson(&module_id, &[]).await, school.lesson(&module_id, &[]).await];
    for lesson_id in &added {
        school.complete(&school.pupil, &course_id, lesson_id).await.expect(200);
        assert_eq!(school.enrollments(&school.pupil).await, before);
    }
    assert_eq!(school.count("LessonCompleted").await, 3);
    assert_eq!(school.count("CourseCompleted").await, 1);
    assert_eq!(school.count("CertificateIssued").await, 1);
}

#[tokio::test]
async fn what_cannot_be_completed() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    let (other_course, other_lessons) = school.course("Go", "PUBLIC", 1).await;
    let (_, hidden_lessons) = school.course("Ours", "TENANT", 1).await;
    let pupil = &school.pupil;
    let answer = school.complete(pupil, &course_id, &lessons[0]).await.expect(409);
    assert_eq!(answer.json["code"], "not_enrolled");
    school.enroll(pupil, &course_id).await;
    school.complete(pupil, &course_id, &other_lessons[0]).await.expect(404);
    school.complete(pupil, &other_course, &lessons[0]).await.expect(404);
    school.complete(pupil, &course_id, &hidden_lessons[0]).await.expect(404);
    school.complete(pupil, &course_id, &Uuid::from_u128(0x404).to_string()).await.expect(404);
    school.complete(pupil, &Uuid::from_u128(0x404).to_string(), &lessons[0]).await.expect(404);
    // One who may not know of the course is not told that it takes an enrollment.
    let (hidden, hidden_lessons) = school.course("Ours too", "TENANT", 1).await;
    school.complete(&school.stranger, &hidden, &hidden_lessons[0]).await.expect(404);
    assert_eq!(school.count("LessonCompleted").await, 0);
    let stored: i64 =
        sqlx::query_scalar("select count(*) from lesson_completions").fetch_one(&school.db.admin).await.unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn the_token_decides_who_completes() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    school.enroll(&school.pupil, &course_id).await;
    let body = completion(&school.pupil, &course_id, &lessons[0]);
    let path = "/lms/lessons/complete";
    school.service.post("", path, body.clone()).await.expect(401);
    for other in [&school.stranger, &school.colleague, &school.foreign_admin] {
        school.service.post(&other.token, path, body.clone()).await.expect(403);
    }
    let elsewhere = with(body.clone(), "tenantId", json!(school.stranger.tenant_id));
    post(&school, elsewhere).await.expect(403);
    assert_eq!(school.count("LessonCompleted").await, 0);
    school.service.post(&school.admin.token, path, body.clone()).await.expect(200);
    // Left out, both are filled from the token.
    post(&school, without(without(body, "userId"), "tenantId")).await.expect(200);
    assert_eq!(school.count("LessonCompleted").await, 1);
}

#[tokio::test]
async fn bad_input_is_named() {
    let school = School::new().await;
    let id = Uuid::from_u128(0x404).to_string();
    let valid = completion(&school.pupil, &id, &id);
    for (field, body) in [
        ("userId", with(valid.clone(), "userId", json!("me"))),
        ("tenantId", with(valid.clone(), "tenantId", json!("us"))),
        ("courseId", without(valid.clone(), "courseId")),
        ("courseId", with(valid.clone(), "courseId", json!("42"))),
        ("lessonId", without(valid.clone(), "lessonId")),
        ("lessonId", with(valid.clone(), "lessonId", json!("42"))),
        ("timeSpentMinutes", without(valid.clone(), "timeSpentMinutes")),
        ("timeSpentMinutes", with(valid.clone(), "timeSpentMinutes", json!(-1))),
        ("timeSpentMinutes", with(valid.clone(), "timeSpentMinutes", json!(1441))),
        ("timeSpentMinutes", with(valid.clone(), "timeSpentMinutes", json!(1.5))),
        ("timeSpentMinutes", with(valid.clone(), "timeSpentMinutes", json!("5"))),
        ("timeSpentMinutes", with(valid.clone(), "timeSpentMinutes", json!(5_000_000_000_i64))),
        ("score", with(valid.clone(), "score", json!(1))),
    ] {
        let answer = post(&school, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_completes_the_course_once() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    school.enroll(&school.pupil, &course_id).await;
    let body = completion(&school.pupil, &course_id, &lessons[0]);
    for _ in 0..2 {
        let path = "/lms/lessons/complete";
        school.service.post_once(&school.pupil.token, path, "k", body.clone()).await.expect(200);
    }
    let types = school.db.event_types().await;
    assert_eq!(types[2..], ["LessonCompleted", "CourseCompleted", "CertificateIssued"]);
}

#[tokio::test]
async fn a_completion_that_cannot_publish_its_event_is_not_stored() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    school.enroll(&school.pupil, &course_id).await;
    sqlx::query("alter table outbox add constraint full_check check (topic not like '%certificate%')")
        .execute(&school.db.admin)
        .await
        .unwrap();
    school.complete(&school.pupil, &course_id, &lessons[0]).await.expect(500);
    let enrollment = school.enrollments(&school.pupil).await.remove(0);
    assert_eq!((&enrollment["status"], &enrollment["progress_percent"]), (&json!("ACTIVE"), &json!(0.0)));
    assert_eq!(school.count("LessonCompleted").await, 0);
    sqlx::query("alter table outbox drop constraint full_check").execute(&school.db.admin).await.unwrap();
    school.complete(&school.pupil, &course_id, &lessons[0]).await.expect(200);
    assert_eq!(school.count("CertificateIssued").await, 1);
}

/// What a subject says to have completed, as it is stored together with others'.
fn said(school: &School, number: u8, subject: Subject, course_id: &str, lesson_id: &str) -> Completion {
    let context = Context::internal(school.clock.now());
    let request = CompleteLessonRequest {
        course_id: course_id.to_owned(),
        lesson_id: lesson_id.to_owned(),
        time_spent_minutes: number.into(),
        ..CompleteLessonRequest::default()
    };
    Completion::parse(&context, subject, &request, certificates::New::at(context.now, [number; 16])).unwrap()
}

#[tokio::test]
async fn lessons_of_many_are_stored_together_and_tenants_stay_apart() {
    let school = School::new().await;
    let (public, lessons) = school.course("Rust", "PUBLIC", 3).await;
    let (ours, own_lessons) = school.course("Ours", "TENANT", 1).await;
    let (pupil, stranger) = (&school.pupil, &school.stranger);
    for learner in [pupil, stranger] {
        school.enroll(learner, &public).await;
    }
    school.enroll(pupil, &ours).await;
    let before = school.db.outbox().await.len();

    let of = |user: &TestUser| Subject { user_id: user.id, tenant_id: user.tenant_id };
    let elsewhere = Subject { tenant_id: stranger.tenant_id, ..of(pupil) };
    let nowhere = Uuid::nil().to_string();
    let together = [
        (of(pupil), &public, &lessons[0], 200),
        (of(stranger), &public, &lessons[0], 200),
        // Another tenant's course is hidden, whoever's lesson is stored before.
        (of(stranger), &ours, &own_lessons[0], 404),
        (of(pupil), &public, &lessons[1], 200),
        // Twice in one statement.
        (of(pupil), &public, &lessons[0], 200),
        // A user whose enrollment belongs to another tenant.
        (elsewhere, &public, &lessons[2], 409),
        (of(pupil), &public, &lessons[2], 200),
        (of(&school.admin), &public, &lessons[0], 409),
        (of(pupil), &ours, &own_lessons[0], 200),
        (of(pupil), &public, &nowhere, 404),
    ];
    let all: Arc<[_]> =
        (1..).zip(&together).map(|(n, (who, course, lesson, _))| said(&school, n, *who, course, lesson)).collect();
    let outcomes = completions::create_all(school.db.clone(), Arc::clone(&all)).await.unwrap();
    for (number, (outcome, (.., expected))) in outcomes.iter().zip(&together).enumerate() {
        let status = outcome.answer().map_or_else(|error| error.kind().http_status().as_u16(), |_| 200);
        assert_eq!(status, *expected, "{number}");
    }

    let progress = async |user: &TestUser| {
        let listed = school.enrollments(user).await;
        let state = |course_id: &str| {
            let found = listed.iter().find(|enrollment| enrollment["course_id"] == course_id).unwrap();
            (text(&found["status"]), found["progress_percent"].as_f64().unwrap())
        };
        state(&public)
    };
    assert_eq!(progress(pupil).await, ("COMPLETED".to_owned(), 100.0));
    assert_eq!(progress(stranger).await, ("ACTIVE".to_owned(), 33.33));
    // In the order in which they were said, each course and its certificate after its last lesson.
    let outbox = school.db.outbox().await;
    let told: Vec<_> = outbox[before..]
        .iter()
        .map(|(_, key, event)| {
            assert_eq!(event.tenant_id == stranger.tenant_id.to_string(), *key == stranger.id.to_string());
            (event.event_type.as_str(), event.payload["time_spent_minutes"].as_i64())
        })
        .collect();
    let lesson = |number| ("LessonCompleted", Some(number));
    let completed = [("CourseCompleted", None), ("CertificateIssued", None)];
    let expected: Vec<_> = [lesson(1), lesson(2), lesson(4), lesson(7)]
        .into_iter()
        .chain(completed)
        .chain([lesson(9)])
        .chain(completed)
        .collect();
    assert_eq!(told, expected);

    // Once more, all of it: nothing counts again.
    completions::create_all(school.db.clone(), all).await.unwrap();
    assert_eq!(school.db.outbox().await.len(), outbox.len());
    assert_eq!(progress(stranger).await, ("ACTIVE".to_owned(), 33.33));
}

#[tokio::test]
async fn a_lesson_that_cannot_be_stored_keeps_no_other_from_it() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 8).await;
    school.enroll(&school.pupil, &course_id).await;
    sqlx::query("alter table lesson_completions add constraint unlucky_check check (time_spent_minutes <> 13)")
        .execute(&school.db.admin)
        .await
        .unwrap();
    let answers = join_all((10..).zip(&lessons).map(async |(minutes, lesson_id)| {
        let body = with(completion(&school.pupil, &course_id, lesson_id), "timeSpentMinutes", json!(minutes));
        (minutes, post(&school, body).await)
    }))
    .await;
    for (minutes, answer) in answers {
        answer.expect(if minutes == 13 { 500 } else { 200 });
    }
    assert_eq!(school.count("LessonCompleted").await, 7);
    assert_eq!(school.enrollments(&school.pupil).await[0]["progress_percent"], 87.5);
}
