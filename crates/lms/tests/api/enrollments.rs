use careeros_shared::{
    grpc,
    proto::lms::{GetCourseRequest, GetEnrollmentRequest, lms_service_client::LmsServiceClient},
    testing::{self, Answer, TestUser},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{School, with, without};

async fn post(school: &School, caller: &TestUser, body: Value) -> Answer {
    school.service.post(&caller.token, "/lms/enrollments", body).await
}

fn body(user: &TestUser, course_id: &str) -> Value {
    json!({"userId": user.id, "courseId": course_id, "tenantId": user.tenant_id})
}

#[tokio::test]
async fn a_learner_of_another_tenant_enrols_once_in_their_own_tenants_name() {
    let school = School::new().await;
    let (course_id, _) = school.course("Rust", "PUBLIC", 1).await;
    let stranger = &school.stranger;
    school.enroll(stranger, &course_id).await;
    let again = post(&school, stranger, body(stranger, &course_id)).await.expect(200);
    assert_eq!(again.json, json!({"ok": true}));

    let listed = school.enrollments(stranger).await;
    assert_eq!(listed.len(), 1);
    let expected = json!({
        "enrollment_id": listed[0]["enrollment_id"], "course_id": course_id, "course_title": "Rust", "status": "ACTIVE",
        "progress_percent": 0.0, "enrolled_at": "2026-01-06T12:00:00.000000Z", "verification_code": null,
    });
    assert_eq!(listed[0], expected);

    assert_eq!(school.count("EnrollmentCreated").await, 1);
    let outbox = school.db.outbox().await;
    let (topic, key, event) = outbox.last().unwrap();
    assert_eq!((topic.as_str(), key), ("careeros.lms.enrollment-created.v1", &stranger.id.to_string()));
    assert_eq!(event.payload, json!({"user_id": stranger.id, "course_id": course_id}));
    assert_eq!(event.tenant_id, stranger.tenant_id.to_string());
}

#[tokio::test]
async fn enrolling_at_once_from_many_devices_counts_once() {
    let school = School::new().await;
    let (course_id, _) = school.course("Rust", "PUBLIC", 1).await;
    let enroll = || post(&school, &school.pupil, body(&school.pupil, &course_id));
    let (a, b, c, d) = tokio::join!(enroll(), enroll(), enroll(), enroll());
    let mut statuses = [a, b, c, d].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201]);
    assert_eq!(school.count("EnrollmentCreated").await, 1);
}

#[tokio::test]
async fn which_courses_can_be_taken() {
    let school = School::new().await;
    let public_draft = school.draft("Draft", "PUBLIC").await;
    let (tenant, _) = school.course("Ours", "TENANT", 1).await;
    let unknown = Uuid::from_u128(0x404).to_string();
    for (who, course_id, status) in [
        (&school.instructor, &public_draft, 409),
        (&school.pupil, &public_draft, 409),
        (&school.stranger, &public_draft, 404),
        (&school.foreign_admin, &tenant, 404),
        (&school.pupil, &tenant, 201),
        (&school.pupil, &unknown, 404),
    ] {
        let answer = post(&school, who, body(who, course_id)).await.expect(status);
        if status == 409 {
            assert_eq!(answer.json["code"], "course_not_published");
        }
    }
}

#[tokio::test]
async fn the_token_decides_who_enrols() {
    let school = School::new().await;
    let (course_id, _) = school.course("Rust", "PUBLIC", 1).await;
    let pupil = &school.pupil;
    school.service.post("", "/lms/enrollments", body(pupil, &course_id)).await.expect(401);
    post(&school, &school.stranger, body(pupil, &course_id)).await.expect(403);
    post(&school, &school.instructor, body(pupil, &course_id)).await.expect(403);
    post(&school, &school.foreign_admin, body(pupil, &course_id)).await.expect(403);
    let elsewhere = with(body(pupil, &course_id), "tenantId", json!(school.stranger.tenant_id));
    post(&school, pupil, elsewhere).await.expect(403);
    assert_eq!(school.count("EnrollmentCreated").await, 0);

    // The tenant's ADMIN enrols its users; who names nobody enrols themselves.
    post(&school, &school.admin, body(pupil, &course_id)).await.expect(201);
    assert_eq!(school.enrollments(pupil).await.len(), 1);
    post(&school, &school.stranger, json!({"courseId": course_id})).await.expect(201);
    assert_eq!(school.enrollments(&school.stranger).await.len(), 1);

    let path = format!("/lms/enrollments/{}", pupil.id);
    school.service.get("", &path).await.expect(401);
    school.service.get(&school.stranger.token, &path).await.expect(403);
    school.service.get(&school.foreign_admin.token, &path).await.expect(403);
    school.service.get(&school.admin.token, &path).await.expect(200);
    assert_eq!(school.service.get(&pupil.token, "/lms/enrollments/42").await.expect(400).fields(), ["userId"]);
    let unknown = school.service.get(&pupil.token, &format!("{path}?page=2")).await.expect(400);
    assert_eq!(unknown.fields(), ["page"]);
}

#[tokio::test]
async fn bad_input_is_named() {
    let school = School::new().await;
    let valid = body(&school.pupil, &Uuid::from_u128(0x404).to_string());
    for (field, body) in [
        ("courseId", without(valid.clone(), "courseId")),
        ("courseId", with(valid.clone(), "courseId", json!("42"))),
        ("courseId", with(valid.clone(), "courseId", json!(42))),
        ("userId", with(valid.clone(), "userId", json!("42"))),
        ("tenantId", with(valid.clone(), "tenantId", json!("42"))),
        ("price", with(valid.clone(), "price", json!(1))),
    ] {
        let answer = post(&school, &school.pupil, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_gets_the_first_answer() {
    let school = School::new().await;
    let (course_id, _) = school.course("Rust", "PUBLIC", 1).await;
    for _ in 0..2 {
        let body = body(&school.pupil, &course_id);
        school.service.post_once(&school.pupil.token, "/lms/enrollments", "k", body).await.expect(201);
    }
    assert_eq!(school.count("EnrollmentCreated").await, 1);
}

#[tokio::test]
async fn other_services_ask_for_enrollments_and_drafts_in_their_own_name() {
    let school = School::new().await;
    let (course_id, lessons) = school.course("Rust", "PUBLIC", 1).await;
    let mut client = LmsServiceClient::new(school.service.transport.clone());
    let mut status = async || {
        let request = GetEnrollmentRequest {
            user_id: school.stranger.id.to_string(),
            course_id: course_id.clone(),
            ..GetEnrollmentRequest::default()
        };
        let request = grpc::service_request(request, testing::start());
        let answer = client.get_enrollment(request).await.unwrap().into_inner();
        (answer.enrolled, answer.enrollment_status)
    };
    assert_eq!(status().await, (false, String::new()));
    school.enroll(&school.stranger, &course_id).await;
    assert_eq!(status().await, (true, "ACTIVE".to_owned()));
    school.complete(&school.stranger, &course_id, &lessons[0]).await.expect(200);
    assert_eq!(status().await, (true, "COMPLETED".to_owned()));

    let course_id = school.draft("Draft", "TENANT").await;
    let request =
        grpc::service_request(GetCourseRequest { course_id, ..GetCourseRequest::default() }, testing::start());
    let mut client = LmsServiceClient::new(school.service.transport.clone());
    let course = client.get_course(request).await.unwrap().into_inner();
    assert_eq!((course.title.as_str(), course.is_published), ("Draft", false));
}
