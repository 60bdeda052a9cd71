use careeros_shared::proto::auth::RegisterRequest;
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Account, PASSWORD, start};

#[tokio::test]
async fn a_new_user_is_admin_and_student_of_a_tenant_of_their_own() {
    let auth = start().await;
    let body = json!({"email": " Ada@Example.com ", "password": PASSWORD});
    let answer = auth.service.post("", "/auth/register", body).await.expect(201);
    let fields: Vec<_> = answer.json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["userId", "tenantId", "tokens"]);
    let fields: Vec<_> = answer.json["tokens"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["accessToken", "refreshToken"]);
    let ada = Account::of(&answer.json);

    let me = auth.service.get(&ada.token, "/auth/me").await.expect(200).json;
    assert_eq!(me["email"], "ada@example.com");
    assert_eq!((&me["userId"], &me["tenantId"]), (&json!(ada.id), &json!(ada.tenant_id)));
    assert_eq!((&me["roles"], &me["status"]), (&json!(["STUDENT", "ADMIN"]), &json!("ACTIVE")));
    assert_eq!(me["permissions"], json!(["*", "ai:execute:basic", "lms:enroll", "roadmap:read", "roadmap:update"]));

    let outbox = auth.db.outbox().await;
    let [(topic, key, event)] = outbox.as_slice() else { panic!("{outbox:?}") };
    assert_eq!((topic.as_str(), key), ("careeros.auth.user-registered.v1", &ada.id));
    assert_eq!((&event.tenant_id, event.source.as_str()), (&ada.tenant_id, "auth-service"));
    let registered_at = &event.payload["registered_at"];
    assert_eq!(
        event.payload,
        json!({"user_id": ada.id, "email": "ada@example.com", "registered_at": registered_at, "default_role": "STUDENT"})
    );
}

#[tokio::test]
async fn an_address_that_has_an_account_yields_no_tokens() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    for (email, password) in
        [("ada@example.com", PASSWORD), ("ADA@example.com", "another password"), (" ada@EXAMPLE.com", PASSWORD)]
    {
        let body = json!({"email": email, "password": password});
        let answer = auth.service.post("", "/auth/register", body).await.expect(409);
        assert_eq!(answer.json["code"], "email_taken");
        assert!(!answer.text.contains("oken"), "{}", answer.text);
    }
    assert_eq!((auth.count("users").await, auth.count("sessions").await), (1, 1));
    assert_eq!(auth.db.event_types().await, ["UserRegistered"]);
}

#[tokio::test]
async fn of_two_at_once_one_gets_the_address() {
    let auth = start().await;
    let register = || {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        auth.service.post("", "/auth/register", body)
    };
    let (first, second) = tokio::join!(register(), register());
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!((auth.count("users").await, auth.count("outbox").await), (1, 1));
}

#[tokio::test]
async fn nothing_that_is_stored_gives_a_password_or_a_token_away() {
    let auth = start().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let answer = auth.service.post_once("", "/auth/register", "k-1", body.clone()).await.expect(201);
    let registered = Account::of(&answer.json);
    let login = Account::of(&auth.service.post_once("", "/auth/login", "k-2", body).await.expect(200).json);
    let refreshed = auth.refresh_once(&login.refresh, "k-3").await.expect(200).json;
    let body = json!({"email": "bob@example.com", "roles": ["INSTRUCTOR"]});
    let invited = auth.service.post_once(&registered.token, "/auth/invitations", "k-4", body).await.expect(201).json;

    let hash: String = sqlx::query_scalar("select password_hash from users").fetch_one(&auth.db.admin).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    // Nor does the fingerprint by which a repetition is told: hashing guesses must not lead to the password.
    let plain =
        RegisterRequest { email: "ada@example.com".to_owned(), password: PASSWORD.to_owned(), ..Default::default() };
    let fingerprints: Vec<Vec<u8>> =
        sqlx::query_scalar("select request_hash from idempotency_keys").fetch_all(&auth.db.admin).await.unwrap();
    assert_eq!(fingerprints.len(), 3);
    assert!(!fingerprints.contains(&Sha256::digest(plain.encode_to_vec()).to_vec()));
    let dump = auth.dump().await;
    assert!(dump.contains("ada@example.com") && dump.contains("k-4"), "the dump is one: {dump}");
    for secret in [
        PASSWORD,
        &registered.refresh,
        &registered.token,
        &login.refresh,
        &login.token,
        refreshed["refreshToken"].as_str().unwrap(),
        refreshed["accessToken"].as_str().unwrap(),
        invited["invitationToken"].as_str().unwrap(),
    ] {
        assert!(!dump.contains(secret), "{secret} is stored");
    }
}

#[tokio::test]
async fn a_lost_answer_can_be_had_again() {
    let auth = start().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let register = |body| auth.service.post_once("", "/auth/register", "k-1", body);
    let first = register(body.clone()).await.expect(201);
    auth.clock.advance(chrono::TimeDelta::seconds(20));
    let second = register(body).await.expect(201);
    assert_eq!(second.json, first.json);
    assert_eq!((auth.count("users").await, auth.count("sessions").await), (1, 1));
    assert_eq!(auth.db.event_types().await, ["UserRegistered"]);
    // The tokens are the live ones.
    let ada = Account::of(&second.json);
    auth.service.get(&ada.token, "/auth/me").await.expect(200);
    auth.refresh(&ada.refresh).await.expect(200);

    for other in [
        json!({"email": "ada@example.com", "password": "another password"}),
        json!({"email": "eve@example.com", "password": PASSWORD}),
    ] {
        let answer = register(other).await.expect(422);
        assert_eq!(answer.json["code"], "idempotency_key_reused");
    }
}

#[tokio::test]
async fn bad_input_is_named_and_makes_nobody() {
    let auth = start().await;
    let long = "x".repeat(129);
    for (body, fields) in [
        (json!({"password": PASSWORD}), vec!["email"]),
        (json!({"email": "ada@example.com"}), vec!["password"]),
        (json!({"email": "ada", "password": "short"}), vec!["password", "email"]),
        (json!({"email": "ada@example.com", "password": "1234567"}), vec!["password"]),
        (json!({"email": "ada@example.com", "password": long}), vec!["password"]),
        (json!({"email": 7, "password": PASSWORD}), vec!["email"]),
        (json!({"email": "ada@example.com", "password": PASSWORD, "tenantId": "42"}), vec!["tenantId"]),
        (json!({"email": "ada@example.com", "password": PASSWORD, "role": "OPERATOR"}), vec!["role"]),
        (json!({"email": "ada@example.com", "password": PASSWORD, "roles": ["ADMIN"]}), vec!["roles"]),
    ] {
        let mut named = auth.service.post("", "/auth/register", body).await.expect(400);
        let mut found: Vec<_> = named.fields().into_iter().map(str::to_owned).collect();
        found.sort();
        let mut fields = fields;
        fields.sort_unstable();
        assert_eq!(found, fields, "{}", std::mem::take(&mut named.text));
    }
    assert_eq!((auth.count("users").await, auth.count("outbox").await), (0, 0));
}

#[tokio::test]
async fn passwords_are_measured_in_characters() {
    let auth = start().await;
    // Eight characters in 32 bytes, and 128 of two bytes each.
    for (email, password) in [("a@example.com", "😀".repeat(8)), ("b@example.com", "ä".repeat(128))] {
        let body = json!({"email": email, "password": password});
        auth.service.post("", "/auth/register", body.clone()).await.expect(201);
        auth.service.post("", "/auth/login", body).await.expect(200);
    }
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    auth.refresh(&ada.refresh).await.expect(200);
    let body = json!({"email": "bob@example.com", "roles": []});
    auth.service.post(&ada.token, "/auth/invitations", body).await.expect(201);
    for table in ["users", "user_roles", "sessions", "spent_refresh_tokens", "invitations"] {
        let count = || sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!("select count(*) from {table}")));
        let mut own = auth.db.begin(ada.tenant_id.parse().unwrap()).await.unwrap();
        assert!(count().fetch_one(&mut *own).await.unwrap() > 0, "{table}");
        let mut other = auth.db.begin(ada.id.parse().unwrap()).await.unwrap();
        assert_eq!(count().fetch_one(&mut *other).await.unwrap(), 0, "{table}");
        assert_eq!(count().fetch_one(&*auth.db).await.unwrap(), 0, "{table}");
    }
}
