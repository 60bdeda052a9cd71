use axum::{body::Body, http::Request};
use careeros_shared::testing::{Answer, TestUser};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{School, text, with, without};

#[tokio::test]
async fn a_course_goes_from_draft_to_published() {
    let school = School::new().await;
    let (service, token) = (&school.service, &school.instructor.token);
    let body =
        json!({"instructorId": school.instructor.id, "title": "Rust", "description": "From zero", "priceUsd": 19.99});
    let created = service.post(token, "/lms/courses", body).await.expect(201);
    assert_eq!(created.json["status"], "DRAFT");
    let course_id = text(&created.json["course_id"]);
    let publish = format!("/lms/courses/{course_id}/publish");

    let module_id = school.module(&course_id).await;
    let empty = service.patch(token, &publish, json!({})).await.expect(409);
    assert_eq!(empty.json["code"], "course_without_lessons");

    let path = format!("/lms/modules/{module_id}/lessons");
    let lesson = json!({
        "title": "Ownership", "contentType": "VIDEO", "durationMinutes": 12, "skillKeys": ["rust", "memory", "rust"],
    });
    let lesson_id = text(&service.post(token, &path, lesson).await.expect(201).json["lesson_id"]);
    // With or without a body, and as often as one likes.
    assert_eq!(service.patch(token, &publish, json!({})).await.expect(200).json, json!({"ok": true}));
    let bare = Request::patch(&publish).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    assert_eq!(service.send(bare).await.expect(200).json, json!({"ok": true}));

    let course = service.get("", &format!("/lms/courses/{course_id}")).await.expect(200);
    assert_eq!(
        course.json,
        json!({
            "course_id": course_id, "title": "Rust", "instructor_id": school.instructor.id, "is_published": true,
            "description": "From zero", "price_usd": "19.99", "visibility": "PUBLIC",
            "modules": [{
                "module_id": module_id, "title": "Basics", "module_order": 1,
                "lessons": [{
                    "lesson_id": lesson_id, "title": "Ownership", "content_type": "VIDEO", "duration_minutes": 12,
                    "lesson_order": 1, "skill_keys": ["rust", "memory"],
                }],
            }],
        })
    );

    let outbox = school.db.outbox().await;
    let [(topic, key, event)] = outbox.as_slice() else { panic!("one event, not {outbox:?}") };
    assert_eq!((topic.as_str(), key), ("careeros.lms.course-published.v1", &course_id));
    assert_eq!(event.tenant_id, school.instructor.tenant_id.to_string());
    assert_eq!(
        event.payload,
        json!({
            "course_id": course_id, "version": 1,
            "lessons": [{"lesson_id": lesson_id, "skill_keys": ["rust", "memory"]}],
        })
    );
}

#[tokio::test]
async fn publishing_at_once_from_many_sides_is_announced_once() {
    let school = School::new().await;
    let course_id = school.draft("Rust", "PUBLIC").await;
    let module_id = school.module(&course_id).await;
    school.lesson(&module_id, &[]).await;
    let path = format!("/lms/courses/{course_id}/publish");
    let publish = || school.service.patch(&school.instructor.token, &path, json!({}));
    let answers = tokio::join!(publish(), publish(), publish(), publish());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        answer.expect(200);
    }
    assert_eq!(school.db.event_types().await, ["CoursePublished"]);
}

#[tokio::test]
async fn who_sees_a_course_depends_on_status_and_visibility() {
    let school = School::new().await;
    let public_draft = school.draft("Public draft", "PUBLIC").await;
    let tenant_draft = school.draft("Tenant draft", "TENANT").await;
    let (public, _) = school.course("Public", "PUBLIC", 1).await;
    let (tenant, _) = school.course("Tenant", "TENANT", 1).await;
    // Who looks; the statuses of the public draft, the tenant's draft, the public course, the tenant's course.
    let expectations = [
        ("nobody", "", [404, 404, 200, 404]),
        ("instructor", &school.instructor.token, [200, 200, 200, 200]),
        ("colleague", &school.colleague.token, [404, 404, 200, 200]),
        ("admin", &school.admin.token, [200, 200, 200, 200]),
        ("pupil", &school.pupil.token, [404, 404, 200, 200]),
        ("stranger", &school.stranger.token, [404, 404, 200, 404]),
        ("foreign admin", &school.foreign_admin.token, [404, 404, 200, 404]),
        ("operator", &school.operator.token, [200, 200, 200, 200]),
    ];
    for (who, token, statuses) in expectations {
        for (course_id, status) in [&public_draft, &tenant_draft, &public, &tenant].into_iter().zip(statuses) {
            let answer = school.service.get(token, &format!("/lms/courses/{course_id}")).await;
            assert_eq!(answer.status.as_u16(), status, "{who}: {}", answer.text);
            if status == 200 && [&public, &tenant].contains(&course_id) {
                assert_eq!(answer.json["modules"][0]["lessons"].as_array().unwrap().len(), 1, "{who}");
            }
        }
    }
    school.service.get("", &format!("/lms/courses/{}", Uuid::from_u128(0x404))).await.expect(404);
    school.service.get("not-a-token", &format!("/lms/courses/{public}")).await.expect(401);
    assert_eq!(school.service.get("", "/lms/courses/42").await.expect(400).fields(), ["courseId"]);
}

async fn make(school: &School, caller: &TestUser, owner: &TestUser) -> Answer {
    let body = json!({"instructorId": owner.id, "title": "Rust"});
    school.service.post(&caller.token, "/lms/courses", body).await
}

#[tokio::test]
async fn who_may_make_a_course_and_for_whom() {
    let school = School::new().await;
    let (instructor, pupil) = (&school.instructor, &school.pupil);
    let body = json!({"instructorId": pupil.id, "title": "Rust"});
    school.service.post("", "/lms/courses", body).await.expect(401);
    make(&school, pupil, pupil).await.expect(403);
    make(&school, instructor, &school.colleague).await.expect(403);
    make(&school, &school.admin, &school.stranger).await.expect(403);
    make(&school, &school.foreign_admin, instructor).await.expect(403);
    let created = make(&school, &school.admin, instructor).await.expect(201);
    let path = format!("/lms/courses/{}", text(&created.json["course_id"]));
    let course = school.service.get(&instructor.token, &path).await.expect(200);
    assert_eq!(course.json["instructor_id"], json!(instructor.id));
    // The second course finds the instructor of the first.
    make(&school, instructor, instructor).await.expect(201);
    let instructors: i64 =
        sqlx::query_scalar("select count(*) from instructors").fetch_one(&school.db.admin).await.unwrap();
    assert_eq!(instructors, 1);
}

#[tokio::test]
async fn only_owner_and_admin_may_change_a_course() {
    let school = School::new().await;
    let draft = school.draft("Draft", "PUBLIC").await;
    let draft_module = school.module(&draft).await;
    school.lesson(&draft_module, &[]).await;
    let (published, _) = school.course("Published", "PUBLIC", 1).await;
    let module_of_published = school.module(&published).await;
    let expectations = [
        ("nobody", "", 401, 401),
        ("pupil", school.pupil.token.as_str(), 403, 403),
        ("colleague", &school.colleague.token, 404, 403),
        ("stranger", &school.stranger.token, 403, 403),
        ("foreign admin", &school.foreign_admin.token, 404, 404),
        ("admin", &school.admin.token, 201, 201),
        ("operator", &school.operator.token, 201, 201),
    ];
    for (who, token, on_draft, on_published) in expectations {
        for (course_id, module_id, status) in
            [(&draft, &draft_module, on_draft), (&published, &module_of_published, on_published)]
        {
            let module = (format!("/lms/courses/{course_id}/modules"), json!({"title": who}));
            let lesson = (format!("/lms/modules/{module_id}/lessons"), json!({"title": who, "contentType": "QUIZ"}));
            for (path, body) in [module, lesson] {
                let answer = school.service.post(token, &path, body).await;
                assert_eq!(answer.status.as_u16(), status, "{who} {path}: {}", answer.text);
            }
            if status != 201 {
                let answer = school.service.patch(token, &format!("/lms/courses/{course_id}/publish"), json!({})).await;
                assert_eq!(answer.status.as_u16(), status, "{who}: {}", answer.text);
            }
        }
    }
    let publish = format!("/lms/courses/{draft}/publish");
    school.service.patch(&school.admin.token, &publish, json!({})).await.expect(200);
}

#[tokio::test]
async fn bad_input_is_named_and_makes_nothing() {
    let school = School::new().await;
    let valid = json!({"instructorId": school.instructor.id, "title": "Rust"});
    let bad = [
        ("instructorId", without(valid.clone(), "instructorId")),
        ("instructorId", with(valid.clone(), "instructorId", json!("me"))),
        ("title", without(valid.clone(), "title")),
        ("title", with(valid.clone(), "title", json!(" "))),
        ("title", with(valid.clone(), "title", json!("x".repeat(256)))),
        ("title", with(valid.clone(), "title", json!("a\u{0}b"))),
        ("title", with(valid.clone(), "title", json!(7))),
        ("description", with(valid.clone(), "description", json!("x".repeat(10_001)))),
        ("description", with(valid.clone(), "description", json!("a\u{0}b"))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!(-0.01))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!("-1"))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!(0.001))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!(1e300))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!("free"))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!(""))),
        ("priceUsd", with(valid.clone(), "priceUsd", json!(true))),
        ("visibility", with(valid.clone(), "visibility", json!("SECRET"))),
        ("status", with(valid.clone(), "status", json!("PUBLISHED"))),
    ];
    for (field, body) in bad {
        let answer = school.service.post(&school.instructor.token, "/lms/courses", body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let made: i64 = sqlx::query_scalar("select count(*) from courses").fetch_one(&school.db.admin).await.unwrap();
    assert_eq!(made, 0);
}

#[tokio::test]
async fn a_price_is_kept_to_the_cent() {
    let school = School::new().await;
    let prices = [
        (Value::Null, "0.00"),
        (json!(0), "0.00"),
        (json!(19), "19.00"),
        (json!(0.1), "0.10"),
        (json!(99_999_999.99), "99999999.99"),
        (json!("1234567.89"), "1234567.89"),
    ];
    for (price, stored) in prices {
        let body = json!({"instructorId": school.instructor.id, "title": "Rust", "priceUsd": price});
        let created = school.service.post(&school.instructor.token, "/lms/courses", body).await.expect(201);
        let path = format!("/lms/courses/{}", text(&created.json["course_id"]));
        let course = school.service.get(&school.instructor.token, &path).await.expect(200);
        assert_eq!(course.json["price_usd"], stored);
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_makes_one_course() {
    let school = School::new().await;
    let body = json!({"instructorId": school.instructor.id, "title": "Rust"});
    let post = |body| school.service.post_once(&school.instructor.token, "/lms/courses", "k-1", body);
    let first = post(body.clone()).await.expect(201);
    assert_eq!(post(body).await.expect(201).json, first.json);
    post(json!({"instructorId": school.instructor.id, "title": "Go"})).await.expect(422);
    let made: i64 = sqlx::query_scalar("select count(*) from courses").fetch_one(&school.db.admin).await.unwrap();
    assert_eq!(made, 1);
}
