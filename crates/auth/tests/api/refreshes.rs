use careeros_auth::operators;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::start;

fn refresh_token(answer: &Value) -> String {
    answer["refreshToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_good_once_and_its_reuse_ends_the_session() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let elsewhere = auth.login("ada@example.com").await;
    auth.clock.advance(TimeDelta::minutes(14));
    let second = auth.refresh(&ada.refresh).await.expect(200).json;
    let fields: Vec<_> = second.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["accessToken", "refreshToken"]);
    let third = refresh_token(&auth.refresh(&refresh_token(&second)).await.expect(200).json);

    let reused = auth.refresh(&ada.refresh).await.expect(401);
    assert_eq!(reused.json["code"], "refresh_token_reused");
    // The owner's good one is dead with it, as nobody can tell owner and thief apart.
    assert_eq!(auth.refresh(&third).await.expect(401).json["code"], "refresh_token_invalid");
    assert_eq!(auth.validate(second["accessToken"].as_str().unwrap()).await["valid"], false);
    auth.refresh(&elsewhere.refresh).await.expect(200);
}

#[tokio::test]
async fn of_two_at_once_one_wins() {
    let auth = start().await;
    for round in 0..5 {
        let user = auth.register(&format!("user{round}@example.com")).await;
        let (first, second) = tokio::join!(auth.refresh(&user.refresh), auth.refresh(&user.refresh));
        let (won, lost) = if first.status == 200 { (first, second) } else { (second, first) };
        let won = won.expect(200);
        assert_eq!(lost.expect(401).json["code"], "refresh_token_reused");
        auth.refresh(&refresh_token(&won.json)).await.expect(401);
    }
}

#[tokio::test]
async fn two_at_once_with_one_key_get_one_answer() {
    let auth = start().await;
    for round in 0..5 {
        let user = auth.register(&format!("user{round}@example.com")).await;
        let (first, second) =
            tokio::join!(auth.refresh_once(&user.refresh, "k-1"), auth.refresh_once(&user.refresh, "k-1"));
        assert_eq!(first.expect(200).json, second.expect(200).json);
    }
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_for_a_minute() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let first = auth.refresh_once(&ada.refresh, "k-1").await.expect(200).json;
    for _ in 0..3 {
        auth.clock.advance(TimeDelta::seconds(20));
        assert_eq!(auth.refresh_once(&ada.refresh, "k-1").await.expect(200).json, first);
    }
    auth.service.get(first["accessToken"].as_str().unwrap(), "/auth/me").await.expect(200);
    auth.refresh(&refresh_token(&first)).await.expect(200);
    assert_eq!(auth.count("spent_refresh_tokens").await, 2);
}

#[tokio::test]
async fn a_key_does_not_excuse_reuse() {
    let auth = start().await;
    let spend = async |email: &str| {
        let user = auth.register(email).await;
        let next = refresh_token(&auth.refresh_once(&user.refresh, "k-1").await.expect(200).json);
        (user.refresh, next)
    };
    let (spent, next) = spend("late@example.com").await;
    auth.clock.advance(TimeDelta::seconds(61));
    assert_eq!(auth.refresh_once(&spent, "k-1").await.expect(401).json["code"], "refresh_token_reused");
    auth.refresh(&next).await.expect(401);

    let (spent, next) = spend("other-key@example.com").await;
    assert_eq!(auth.refresh_once(&spent, "k-2").await.expect(401).json["code"], "refresh_token_reused");
    auth.refresh(&next).await.expect(401);

    let (spent, next) = spend("no-key@example.com").await;
    assert_eq!(auth.refresh(&spent).await.expect(401).json["code"], "refresh_token_reused");
    auth.refresh(&next).await.expect(401);

    // Once the successor was used, the answer was not lost.
    let (spent, next) = spend("used@example.com").await;
    let last = refresh_token(&auth.refresh(&next).await.expect(200).json);
    assert_eq!(auth.refresh_once(&spent, "k-1").await.expect(401).json["code"], "refresh_token_reused");
    auth.refresh(&last).await.expect(401);

    // A token that was spent without a key cannot be asked for with one.
    let user = auth.register("keyless@example.com").await;
    auth.refresh(&user.refresh).await.expect(200);
    assert_eq!(auth.refresh_once(&user.refresh, "k-1").await.expect(401).json["code"], "refresh_token_reused");

    // And a session that was ended stays so.
    let (spent, _) = spend("ended@example.com").await;
    auth.execute("update sessions set revoked_at = created_at").await;
    auth.refresh_once(&spent, "k-1").await.expect(401);
}

#[tokio::test]
async fn a_token_expires_unless_it_is_used() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    auth.clock.advance(TimeDelta::days(29));
    let next = refresh_token(&auth.refresh(&ada.refresh).await.expect(200).json);
    auth.clock.advance(TimeDelta::days(29));
    let last = refresh_token(&auth.refresh(&next).await.expect(200).json);
    auth.clock.advance(TimeDelta::days(30));
    assert_eq!(auth.refresh(&last).await.expect(401).json["code"], "refresh_token_expired");
}

#[tokio::test]
async fn a_refresh_sees_the_roles_of_today() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    operators::grant(&auth.db, auth.clock.now(), "ada@example.com").await.unwrap();
    assert_eq!(auth.validate(&ada.token).await["roles"], json!(["STUDENT", "ADMIN"]));
    let next = auth.refresh(&ada.refresh).await.expect(200).json;
    let roles = &auth.validate(next["accessToken"].as_str().unwrap()).await["roles"];
    assert_eq!(roles, &json!(["STUDENT", "ADMIN", "OPERATOR"]));
}

#[tokio::test]
async fn what_is_no_good_token_is_refused() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let unknown = "A".repeat(43);
    for token in ["x", &ada.token, &unknown, &format!("{}=", ada.refresh)] {
        assert_eq!(auth.refresh(token).await.expect(401).json["code"], "refresh_token_invalid", "{token}");
    }
    for (body, field) in [
        (json!({}), "refreshToken"),
        (json!({"refreshToken": ""}), "refreshToken"),
        (json!({"refreshToken": 1}), "refreshToken"),
        (json!({"refreshToken": "x", "userId": "y"}), "userId"),
    ] {
        assert_eq!(auth.service.post("", "/auth/refresh", body).await.expect(400).fields(), [field]);
    }
    // None of that has hurt the session.
    auth.refresh(&ada.refresh).await.expect(200);
}

#[tokio::test]
async fn sweeping_deletes_what_has_no_more_use() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let mut token = ada.refresh.clone();
    for _ in 0..2 {
        token = refresh_token(&auth.refresh(&token).await.expect(200).json);
        auth.clock.advance(TimeDelta::days(20));
    }
    let sweep = || careeros_auth::sessions::sweep(&auth.db, TimeDelta::days(30), auth.clock.now());
    sweep().await.unwrap();
    assert_eq!((auth.count("spent_refresh_tokens").await, auth.count("sessions").await), (1, 1));
    auth.clock.advance(TimeDelta::days(101));
    sweep().await.unwrap();
    assert_eq!((auth.count("spent_refresh_tokens").await, auth.count("sessions").await), (0, 0));
}
