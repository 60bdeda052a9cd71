use careeros_shared::testing::Answer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{School, text, with, without};

async fn post(school: &School, path: &str, body: Value) -> Answer {
    school.service.post(&school.instructor.token, path, body).await
}

#[tokio::test]
async fn modules_and_lessons_come_last_unless_a_free_place_is_asked_for() {
    let school = School::new().await;
    let course_id = school.draft("Rust", "PUBLIC").await;
    let modules = format!("/lms/courses/{course_id}/modules");
    for (title, order) in [("one", None), ("five", Some(5)), ("six", None), ("two", Some(2))] {
        post(&school, &modules, json!({"title": title, "moduleOrder": order})).await.expect(201);
    }
    let taken = post(&school, &modules, json!({"title": "x", "moduleOrder": 5})).await.expect(409);
    assert_eq!(taken.json["code"], "module_order_taken");
    assert!(text(&taken.json["detail"]).contains("moduleOrder 5"));

    let module_id = school.module(&course_id).await;
    let lessons = format!("/lms/modules/{module_id}/lessons");
    for (title, order) in [("three", Some(3)), ("four", None), ("one", Some(1))] {
        let body = json!({"title": title, "contentType": "ASSIGNMENT", "lessonOrder": order});
        post(&school, &lessons, body).await.expect(201);
    }
    let taken = json!({"title": "x", "contentType": "TEXT", "lessonOrder": 4});
    let taken = post(&school, &lessons, taken).await.expect(409);
    assert_eq!(taken.json["code"], "lesson_order_taken");
    assert!(text(&taken.json["detail"]).contains("lessonOrder 4"));

    let course = school.service.get(&school.instructor.token, &format!("/lms/courses/{course_id}")).await.expect(200);
    let titles =
        |list: &Value| -> Vec<String> { list.as_array().unwrap().iter().map(|entry| text(&entry["title"])).collect() };
    assert_eq!(titles(&course.json["modules"]), ["one", "two", "five", "six", "Basics"]);
    assert_eq!(titles(&course.json["modules"][4]["lessons"]), ["one", "three", "four"]);
    assert_eq!(course.json["modules"][4]["module_order"], 7);
}

#[tokio::test]
async fn lessons_added_at_once_each_get_a_place_of_their_own() {
    let school = School::new().await;
    let course_id = school.draft("Rust", "PUBLIC").await;
    let modules = format!("/lms/courses/{course_id}/modules");
    let add = || post(&school, &modules, json!({"title": "module"}));
    let (a, b, c, d) = tokio::join!(add(), add(), add(), add());
    let module_id = text(&a.expect(201).json["module_id"]);
    for answer in [b, c, d] {
        answer.expect(201);
    }
    let lessons = format!("/lms/modules/{module_id}/lessons");
    let add = || post(&school, &lessons, json!({"title": "lesson", "contentType": "TEXT"}));
    let (a, b, c, d) = tokio::join!(add(), add(), add(), add());
    for answer in [a, b, c, d] {
        answer.expect(201);
    }
    for table in ["select module_order from modules order by 1", "select lesson_order from lessons order by 1"] {
        let orders: Vec<i32> = sqlx::query_scalar(table).fetch_all(&school.db.admin).await.unwrap();
        assert_eq!(orders, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn a_lesson_added_to_a_published_course_is_announced_as_a_new_version() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    let module_id = school.module(&course_id).await;
    let added = school.lesson(&module_id, &["async"]).await;
    let outbox = school.db.outbox().await;
    let versions: Vec<_> = outbox.iter().map(|(_, _, event)| event.payload["version"].clone()).collect();
    assert_eq!(versions, [json!(1), json!(2)]);
    assert_eq!(
        outbox[1].2.payload["lessons"],
        json!([{"lesson_id": lessons[0], "skill_keys": ["rust"]}, {"lesson_id": added, "skill_keys": ["async"]}])
    );
    // Others see it, and can complete it.
    let seen = school.service.get("", &format!("/lms/courses/{course_id}")).await.expect(200);
    assert_eq!(seen.json["modules"][1]["lessons"][0]["lesson_id"], json!(added));
    school.enroll(&school.stranger, &course_id).await;
    school.complete(&school.stranger, &course_id, &added).await.expect(200);
    assert_eq!(school.enrollments(&school.stranger).await[0]["progress_percent"], 50.0);
}

#[tokio::test]
async fn bad_input_is_named() {
    let school = School::new().await;
    let course_id = school.draft("Rust", "PUBLIC").await;
    let modules = format!("/lms/courses/{course_id}/modules");
    for (field, body) in [
        ("title", json!({})),
        ("title", json!({"title": ""})),
        ("title", json!({"title": "x".repeat(256)})),
        ("moduleOrder", json!({"title": "x", "moduleOrder": 0})),
        ("moduleOrder", json!({"title": "x", "moduleOrder": 10_001})),
        ("moduleOrder", json!({"title": "x", "moduleOrder": 1.5})),
        ("courseId", json!({"title": "x", "courseId": course_id})),
    ] {
        let answer = post(&school, &modules, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }

    let lessons = format!("/lms/modules/{}/lessons", school.module(&course_id).await);
    let valid = json!({"title": "x", "contentType": "TEXT"});
    let skills = vec!["rust"; 51];
    for (field, body) in [
        ("title", without(valid.clone(), "title")),
        ("contentType", without(valid.clone(), "contentType")),
        ("contentType", with(valid.clone(), "contentType", json!("PODCAST"))),
        ("durationMinutes", with(valid.clone(), "durationMinutes", json!(-1))),
        ("durationMinutes", with(valid.clone(), "durationMinutes", json!("10"))),
        ("lessonOrder", with(valid.clone(), "lessonOrder", json!(0))),
        ("skillKeys", with(valid.clone(), "skillKeys", json!("rust"))),
        ("skillKeys", with(valid.clone(), "skillKeys", json!(skills))),
        ("skillKeys[1]", with(valid.clone(), "skillKeys", json!(["rust", ""]))),
        ("skillKeys[0]", with(valid.clone(), "skillKeys", json!(["a\u{0}b"]))),
        ("videoUrl", with(valid.clone(), "videoUrl", json!("x"))),
    ] {
        let answer = post(&school, &lessons, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }

    assert_eq!(
        post(&school, "/lms/courses/42/modules", json!({"title": "x"})).await.expect(400).fields(),
        ["courseId"]
    );
    assert_eq!(post(&school, "/lms/modules/42/lessons", valid.clone()).await.expect(400).fields(), ["moduleId"]);
    let unknown = Uuid::from_u128(0x404);
    post(&school, &format!("/lms/courses/{unknown}/modules"), json!({"title": "x"})).await.expect(404);
    post(&school, &format!("/lms/modules/{unknown}/lessons"), valid).await.expect(404);
}

#[tokio::test]
async fn a_retry_with_the_same_key_adds_one_module_and_one_lesson() {
    let school = School::new().await;
    let course_id = school.draft("Rust", "PUBLIC").await;
    let token = &school.instructor.token;
    let path = format!("/lms/courses/{course_id}/modules");
    let first = school.service.post_once(token, &path, "k", json!({"title": "x"})).await.expect(201);
    let again = school.service.post_once(token, &path, "k", json!({"title": "x"})).await.expect(201);
    assert_eq!(first.json, again.json);
    let path = format!("/lms/modules/{}/lessons", text(&first.json["module_id"]));
    let body = json!({"title": "x", "contentType": "TEXT"});
    let first = school.service.post_once(token, &path, "k", body.clone()).await.expect(201);
    let again = school.service.post_once(token, &path, "k", body).await.expect(201);
    assert_eq!(first.json, again.json);
    let counts: (i64, i64, i32) = sqlx::query_as(
        "select (select count(*) from modules), (select count(*) from lessons), lesson_count from courses",
    )
    .fetch_one(&school.db.admin)
    .await
    .unwrap();
    assert_eq!(counts, (1, 1, 1));
}
