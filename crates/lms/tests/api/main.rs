//! The learning management service as its clients see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod catalogue;
mod completions;
mod courses;
mod enrollments;
mod isolation;
mod lessons;

use careeros_lms::{MIGRATIONS, grpc::App};
use careeros_shared::{
    clock::Clock,
    identity::Role,
    testing::{self, TestDb, TestService, TestUser},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A service with a database of its own, the people who use it, and the clock that it goes by.
struct School {
    service: TestService,
    db: TestDb,
    clock: Clock,
    /// Makes courses in the tenant of `admin`, `colleague` and `pupil`.
    instructor: TestUser,
    colleague: TestUser,
    admin: TestUser,
    pupil: TestUser,
    /// Learns in a tenant of their own.
    stranger: TestUser,
    /// ADMIN of a tenant of their own.
    foreign_admin: TestUser,
    /// The platform's staff.
    operator: TestUser,
}

impl School {
    async fn new() -> Self {
        let tenant = Uuid::from_u128(0x7e4a);
        let instructor = TestUser::new(tenant, &[Role::Student, Role::Instructor]);
        let colleague = TestUser::new(tenant, &[Role::Student, Role::Instructor]);
        let admin = TestUser::new(tenant, &[Role::Student, Role::Admin]);
        let pupil = TestUser::new(tenant, &[Role::Student]);
        let stranger = TestUser::student();
        let foreign_admin = TestUser::new(Uuid::from_u128(0xf0), &[Role::Student, Role::Admin, Role::Instructor]);
        let operator = TestUser::new(Uuid::from_u128(0x09), &[Role::Operator]);
        let everybody = [&instructor, &colleague, &admin, &pupil, &stranger, &foreign_admin, &operator];
        let (db, clock) = (TestDb::new(&MIGRATIONS).await, testing::clock());
        let app = App::new(db.clone(), testing::directory(&everybody));
        let service = TestService::new(&clock, app.routes(), careeros_rest::lms::routes);
        Self { service, db, clock, instructor, colleague, admin, pupil, stranger, foreign_admin, operator }
    }

    /// A draft of the instructor's.
    async fn draft(&self, title: &str, visibility: &str) -> String {
        let body = json!({
            "instructorId": self.instructor.id, "title": title, "priceUsd": 19.99, "visibility": visibility,
        });
        let created = self.service.post(&self.instructor.token, "/lms/courses", body).await.expect(201);
        text(&created.json["course_id"])
    }

    async fn module(&self, course_id: &str) -> String {
        let path = format!("/lms/courses/{course_id}/modules");
        let created = self.service.post(&self.instructor.token, &path, json!({"title": "Basics"})).await.expect(201);
        text(&created.json["module_id"])
    }

    async fn lesson(&self, module_id: &str, skill_keys: &[&str]) -> String {
        let path = format!("/lms/modules/{module_id}/lessons");
        let body = json!({"title": "Lesson", "contentType": "TEXT", "skillKeys": skill_keys});
        let created = self.service.post(&self.instructor.token, &path, body).await.expect(201);
        text(&created.json["lesson_id"])
    }

    /// A published course with `count` lessons; its id and theirs.
    async fn course(&self, title: &str, visibility: &str, count: usize) -> (String, Vec<String>) {
        let course_id = self.draft(title, visibility).await;
        let module_id = self.module(&course_id).await;
        let mut lessons = Vec::new();
        for _ in 0..count {
            lessons.push(self.lesson(&module_id, &["rust"]).await);
        }
        let path = format!("/lms/courses/{course_id}/publish");
        self.service.patch(&self.instructor.token, &path, json!({})).await.expect(200);
        (course_id, lessons)
    }

    async fn enroll(&self, user: &TestUser, course_id: &str) {
        let body = json!({"userId": user.id, "courseId": course_id, "tenantId": user.tenant_id});
        let answer = self.service.post(&user.token, "/lms/enrollments", body).await.expect(201);
        assert_eq!(answer.json, json!({"ok": true}));
    }

    async fn complete(&self, user: &TestUser, course_id: &str, lesson_id: &str) -> testing::Answer {
        let body = completion(user, course_id, lesson_id);
        self.service.post(&user.token, "/lms/lessons/complete", body).await
    }

    async fn enrollments(&self, user: &TestUser) -> Vec<Value> {
        let path = format!("/lms/enrollments/{}", user.id);
        let listed = self.service.get(&user.token, &path).await.expect(200);
        listed.json["items"].as_array().unwrap().clone()
    }

    /// How often an event of `event_type` is in the outbox.
    async fn count(&self, event_type: &str) -> usize {
        self.db.event_types().await.iter().filter(|found| *found == event_type).count()
    }
}

fn completion(user: &TestUser, course_id: &str, lesson_id: &str) -> Value {
    json!({
        "userId": user.id, "tenantId": user.tenant_id, "courseId": course_id, "lessonId": lesson_id,
        "timeSpentMinutes": 25,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// `value` with `field` set to `to`.
fn with(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}

/// `value` without `field`.
fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().unwrap().remove(field);
    value
}
