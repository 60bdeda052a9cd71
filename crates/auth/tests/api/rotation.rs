//! `SERVICE_SHARED_SECRET` is changed step by step, while processes of neighbouring steps serve side by side.

use careeros_auth::keys::RELOAD;
use careeros_shared::testing::{self, TestService};
use serde_json::{Value, json};

use crate::{Auth, PASSWORD, replica, serve, start};

const OLD: &str = "a-secret-for-tests-only";
const STEPS: [&str; 4] = [
    OLD,
    "a-secret-for-tests-only,another-secret-for-tests",
    "another-secret-for-tests,a-secret-for-tests-only",
    "another-secret-for-tests",
];

/// One request with one idempotency key to both, first to `first`: the answer, which is the same.
async fn asked_of_both(first: &TestService, then: &TestService, path: &str, token: &str, body: Value) -> Value {
    let key = testing::id().to_string();
    let answer = first.post_once(token, path, &key, body.clone()).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    let again = then.post_once(token, path, &key, body).await;
    assert_eq!(again.text, answer.text, "{path}");
    answer.json
}

/// Every answer that holds a secret, asked for at `first` and again at `then`.
async fn answers_are_the_same(auth: &Auth, first: &TestService, then: &TestService) {
    let email = format!("{}@example.com", testing::id().simple());
    let account = json!({"email": email, "password": PASSWORD});
    let registered = asked_of_both(first, then, "/auth/register", "", account.clone()).await;
    let token = registered["tokens"]["accessToken"].as_str().unwrap();
    for service in [first, then] {
        service.get(token, "/auth/me").await.expect(200);
    }
    asked_of_both(first, then, "/auth/login", "", account).await;
    let invited = json!({"email": format!("guest-{email}"), "roles": []});
    let invitation = asked_of_both(first, then, "/auth/invitations", token, invited).await;
    let joining = json!({
        "email": format!("guest-{email}"), "password": PASSWORD,
        "tenantId": invitation["tenantId"], "invitationToken": invitation["invitationToken"],
    });
    then.post("", "/auth/register", joining).await.expect(201);
    let refresh = json!({"refreshToken": registered["tokens"]["refreshToken"]});
    let refreshed = asked_of_both(first, then, "/auth/refresh", "", refresh).await;
    // Asking again was no second use of the token.
    then.post("", "/auth/refresh", json!({"refreshToken": refreshed["refreshToken"]})).await.expect(200);
    assert_eq!(auth.count("signing_keys").await, 1, "no key was lost");
}

#[tokio::test]
async fn processes_of_neighbouring_steps_give_the_same_answers_and_no_signing_key_is_lost() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    for step in STEPS.windows(2) {
        let processes = [replica(&auth.db, step[0]), replica(&auth.db, step[1])];
        let [from, to] = processes.each_ref().map(|app| serve(app, &auth.clock));
        answers_are_the_same(&auth, &from, &to).await;
        answers_are_the_same(&auth, &to, &from).await;
        // The last process with the settings before ends, and the next reads the keys once more.
        auth.clock.advance(RELOAD);
        processes[1].issuer.keys.jwks(auth.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_is_sealed_anew_once_and_opens_with_the_new_secret_alone() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let sealed = async || -> Vec<u8> {
        sqlx::query_scalar("select private_key from signing_keys").fetch_one(&auth.db.admin).await.unwrap()
    };
    let read = async |secret: &str| {
        replica(&auth.db, secret).issuer.keys.signer(auth.clock.now()).await.unwrap();
        sealed().await
    };
    let first = sealed().await;
    assert_eq!(read(STEPS[1]).await, first, "the old secret still seals");
    let renewed = read(STEPS[2]).await;
    assert_ne!(renewed, first);
    assert_eq!(read(STEPS[2]).await, renewed);
    assert_eq!(read(STEPS[3]).await, renewed);
    assert_eq!(auth.count("signing_keys").await, 1);
}

#[tokio::test]
async fn a_password_that_differs_is_another_request_during_a_rotation_too() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let [from, to] = [STEPS[1], STEPS[2]].map(|secret| serve(&replica(&auth.db, secret), &auth.clock));
    let body = |password: &str| json!({"email": "bob@example.com", "password": password});
    from.post_once("", "/auth/register", "k-1", body(PASSWORD)).await.expect(201);
    let other = to.post_once("", "/auth/register", "k-1", body("correct horse, the other one")).await.expect(422);
    assert_eq!(other.json["code"], "idempotency_key_reused");
}
