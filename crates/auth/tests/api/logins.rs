use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use axum::{
    body::Body,
    http::{Request, header},
};
use careeros_auth::{emails::Email, throttle::Attempt};
use chrono::TimeDelta;
use serde_json::json;

use crate::{Account, PASSWORD, start};

const ATTACKER: &str = "198.51.100.9";

#[tokio::test]
async fn a_login_opens_a_further_session() {
    let auth = start().await;
    let registered = auth.register("ada@example.com").await;
    auth.clock.advance(TimeDelta::hours(1));
    let answer = auth.try_login(" ADA@example.com", PASSWORD).await.expect(200);
    let fields: Vec<_> = answer.json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["userId", "tenantId", "tokens"]);
    let ada = Account::of(&answer.json);
    assert_eq!((&ada.id, &ada.tenant_id), (&registered.id, &registered.tenant_id));
    assert_ne!(ada.refresh, registered.refresh);
    assert_eq!(auth.validate(&ada.token).await["roles"], json!(["STUDENT", "ADMIN"]));
    assert_eq!(auth.count("sessions").await, 2);

    let outbox = auth.db.outbox().await;
    let (topic, key, event) = outbox.last().unwrap();
    assert_eq!((topic.as_str(), key), ("careeros.auth.user-logged-in.v1", &ada.id));
    let at = &event.payload["logged_in_at"];
    assert_eq!(event.payload, json!({"user_id": ada.id, "email": "ada@example.com", "logged_in_at": at}));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let (mut wrong_time, mut unknown_time) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let started = Instant::now();
        let mut wrong = auth.try_login("ada@example.com", "wrong password").await.expect(401).json;
        wrong_time = wrong_time.min(started.elapsed());
        let started = Instant::now();
        let mut unknown = auth.try_login("eve@example.com", "wrong password").await.expect(401).json;
        unknown_time = unknown_time.min(started.elapsed());
        assert_eq!(wrong["code"], "invalid_credentials");
        for answer in [&mut wrong, &mut unknown] {
            answer.as_object_mut().unwrap().remove("correlation_id");
        }
        assert_eq!(wrong, unknown);
    }
    // Hashing is most of the time; without it the answer would come many times sooner.
    assert!(unknown_time * 3 > wrong_time, "{unknown_time:?} against {wrong_time:?}");
    assert_eq!(auth.count("sessions").await, 1);
}

#[tokio::test]
async fn who_is_suspended_or_deleted_stays_out() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    for change in
        ["update users set status = 'SUSPENDED'", "update users set status = 'ACTIVE', deleted_at = created_at"]
    {
        auth.execute(change).await;
        assert_eq!(auth.try_login("ada@example.com", PASSWORD).await.expect(401).json["code"], "invalid_credentials");
        auth.refresh(&ada.refresh).await.expect(401);
        auth.service.get(&ada.token, "/auth/me").await.expect(401);
        assert_eq!(auth.validate(&ada.token).await["valid"], false);
    }
    auth.execute("update users set deleted_at = null").await;
    auth.refresh(&ada.refresh).await.expect(200);
}

#[tokio::test]
async fn guessing_at_an_account_is_slowed_whether_or_not_it_exists() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            auth.try_login_from(ATTACKER, email, "a guess").await.expect(401);
        }
        let refused = auth.try_login_from(ATTACKER, email, "a guess").await.expect(429);
        assert_eq!(refused.json["code"], "login_throttled");
        assert_eq!(refused.headers["retry-after"], "60");
    }
    // It is the account that is guessed at, from wherever; the right password does not help either.
    auth.try_login_from("192.0.2.77", "ada@example.com", PASSWORD).await.expect(429);
    // It ends when the answer said.
    auth.clock.advance(TimeDelta::seconds(60));
    auth.try_login_from("192.0.2.77", "ada@example.com", PASSWORD).await.expect(200);
    // And a success clears the account.
    for _ in 0..5 {
        auth.try_login_from(ATTACKER, "ada@example.com", "a guess").await.expect(401);
    }
    auth.try_login_from(ATTACKER, "ada@example.com", "a guess").await.expect(429);
}

#[tokio::test]
async fn an_attacker_does_not_lock_the_owner_out() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    for _ in 0..5 {
        auth.try_login_from(ATTACKER, "ada@example.com", "a guess").await.expect(401);
    }
    auth.try_login_from(ATTACKER, "ada@example.com", "a guess").await.expect(429);
    // Ada has a session from this address. It gets in, and even a slip of hers is told as such.
    auth.try_login("ada@example.com", "a slip").await.expect(401);
    auth.login("ada@example.com").await;
    // Once no session of hers is from there any more, the address is a stranger's.
    for _ in 0..5 {
        auth.try_login_from(ATTACKER, "ada@example.com", "a guess").await.expect(401);
    }
    auth.service.post(&ada.token, "/auth/logout", json!({})).await.expect(200);
    auth.execute("update sessions set revoked_at = created_at").await;
    auth.try_login("ada@example.com", PASSWORD).await.expect(429);
}

#[tokio::test]
async fn an_address_that_guesses_at_many_accounts_is_slowed() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let now = auth.clock.now();
    for guess in 0..50 {
        let email = Email::parse(&format!("user{guess}@example.com")).unwrap();
        let attempt = Attempt::new(&email, ATTACKER.parse().ok());
        attempt.check(&auth.db, &email, now).await.unwrap();
        attempt.fail(&auth.db, now).await.unwrap();
    }
    let refused = auth.try_login_from(ATTACKER, "ada@example.com", PASSWORD).await.expect(429);
    assert_eq!(refused.headers["retry-after"], "10");
    auth.try_login("ada@example.com", PASSWORD).await.expect(200);
    auth.clock.advance(TimeDelta::seconds(10));
    auth.try_login_from(ATTACKER, "ada@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn guesses_sent_all_at_once_count_too() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let guesses = (0..20).map(|_| {
        let service = auth.service.clone();
        tokio::spawn(async move {
            let body = json!({"email": "bob@example.com", "password": "a guess"});
            service.post("", "/auth/login", body).await.status.as_u16()
        })
    });
    let mut verified = 0;
    for guess in guesses.collect::<Vec<_>>() {
        verified += usize::from(guess.await.unwrap() == 401);
    }
    // One more than allowed per turn of hashing at most, and there is one.
    assert!((5..=6).contains(&verified), "{verified} of 20 guesses were tried");
}

#[tokio::test]
async fn a_hash_with_old_costs_is_replaced_at_login() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let old = cheap.hash_password_with_salt(PASSWORD.as_bytes(), &[1; 16]).unwrap().to_string();
    sqlx::query("update users set password_hash = $1").bind(old).execute(&auth.db.admin).await.unwrap();
    auth.try_login("ada@example.com", "wrong password").await.expect(401);
    let hash = || sqlx::query_scalar::<_, String>("select password_hash from users").fetch_one(&auth.db.admin);
    assert!(hash().await.unwrap().contains("m=64,"));
    auth.login("ada@example.com").await;
    assert!(hash().await.unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    auth.login("ada@example.com").await;
}

#[tokio::test]
async fn a_lost_answer_can_be_had_again() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let login = |password| {
        auth.service.post_once("", "/auth/login", "k-1", json!({"email": "ada@example.com", "password": password}))
    };
    let first = login(PASSWORD).await.expect(200);
    auth.clock.advance(TimeDelta::seconds(20));
    assert_eq!(login(PASSWORD).await.expect(200).json, first.json);
    assert_eq!(auth.count("sessions").await, 2);
    assert_eq!(auth.db.event_types().await, ["UserRegistered", "UserLoggedIn"]);
    // The key proves nothing.
    login("wrong password").await.expect(401);
}

#[tokio::test]
async fn a_stale_token_that_comes_along_does_not_matter() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    auth.clock.advance(TimeDelta::hours(2));
    for (path, body) in [
        ("/auth/login", json!({"email": "ada@example.com", "password": PASSWORD})),
        ("/auth/refresh", json!({"refreshToken": ada.refresh})),
    ] {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", ada.token))
            .header("idempotency-key", "k-1")
            .body(Body::from(body.to_string()));
        auth.service.send(request.unwrap()).await.expect(200);
    }
}

#[tokio::test]
async fn bad_input_is_named() {
    let auth = start().await;
    for (body, field) in [
        (json!({"password": PASSWORD}), "email"),
        (json!({"email": "ada@example.com"}), "password"),
        (json!({"email": "", "password": PASSWORD}), "email"),
        (json!({"email": "ada@example.com", "password": ""}), "password"),
        (json!({"email": "ada@example.com", "password": "x".repeat(129)}), "password"),
        (json!({"email": "ada@example.com", "password": PASSWORD, "tenantId": "x"}), "tenantId"),
    ] {
        assert_eq!(auth.service.post("", "/auth/login", body).await.expect(400).fields(), [field]);
    }
}

#[tokio::test]
async fn a_busy_days_failures_are_all_swept_and_those_that_count_stay() {
    let auth = start().await;
    auth.execute(
        "insert into login_failures (scope, subject, charged_until)
         select 'account', n::text, case when n = 1 then 'infinity' else '2000-01-01' end::timestamptz
         from generate_series(1, 10001) n",
    )
    .await;
    careeros_auth::throttle::sweep(&auth.db, auth.clock.now()).await.unwrap();
    assert_eq!(auth.count("login_failures").await, 1);
}
