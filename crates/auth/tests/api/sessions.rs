use careeros_shared::testing;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{Account, PASSWORD, start};

fn current(list: &Value) -> &Value {
    list["items"].as_array().unwrap().iter().find(|item| item["current"] == true).unwrap()
}

#[tokio::test]
async fn sessions_tell_device_and_times() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    auth.clock.advance(TimeDelta::minutes(5));
    let elsewhere = auth.try_login_from("2001:db8::7", "ada@example.com", PASSWORD).await.expect(200);
    let elsewhere = Account::of(&elsewhere.json);
    auth.clock.advance(TimeDelta::minutes(5));
    auth.refresh(&ada.refresh).await.expect(200);

    let list = auth.service.get(&ada.token, "/auth/sessions").await.expect(200).json;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let own = json!({
        "sessionId": items[0]["sessionId"], "userAgent": "careeros-test/1", "ipAddress": "203.0.113.7",
        "createdAt": "2026-01-06T12:00:00.000Z", "lastUsedAt": "2026-01-06T12:10:00.000Z",
        "expiresAt": "2026-02-05T12:10:00.000Z", "current": true,
    });
    assert_eq!(items[0], own);
    assert_eq!((&items[1]["ipAddress"], &items[1]["current"]), (&json!("2001:db8::7"), &json!(false)));

    let theirs = auth.service.get(&elsewhere.token, "/auth/sessions").await.expect(200).json;
    assert_eq!(current(&theirs)["sessionId"], items[1]["sessionId"]);
}

#[tokio::test]
async fn a_session_can_be_ended_from_another() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let stolen = auth.login("ada@example.com").await;
    let list = auth.service.get(&stolen.token, "/auth/sessions").await.expect(200).json;
    let path = format!("/auth/sessions/{}", current(&list)["sessionId"].as_str().unwrap());

    assert_eq!(auth.service.delete(&ada.token, &path).await.expect(200).json, json!({"ok": true}));
    auth.refresh(&stolen.refresh).await.expect(401);
    let answer = auth.service.get(&stolen.token, "/auth/me").await.expect(401);
    assert_eq!(answer.json["code"], "session_ended");
    auth.service.get(&stolen.token, "/auth/sessions").await.expect(401);
    let list = auth.service.get(&ada.token, "/auth/sessions").await.expect(200).json;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    auth.service.delete(&ada.token, &path).await.expect(404);
    auth.refresh(&ada.refresh).await.expect(200);
}

#[tokio::test]
async fn nobody_ends_or_sees_the_sessions_of_others() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let eve = auth.register("eve@example.com").await;
    let list = auth.service.get(&ada.token, "/auth/sessions").await.expect(200).json;
    let path = format!("/auth/sessions/{}", current(&list)["sessionId"].as_str().unwrap());
    let theirs = auth.service.delete(&eve.token, &path).await.expect(404);
    let nobodys = auth.service.delete(&eve.token, &format!("/auth/sessions/{}", testing::id())).await.expect(404);
    assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
    assert_eq!(auth.service.delete(&eve.token, "/auth/sessions/42").await.expect(400).fields(), ["sessionId"]);
    let list = auth.service.get(&eve.token, "/auth/sessions").await.expect(200).json;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    auth.refresh(&ada.refresh).await.expect(200);

    for path in ["/auth/me", "/auth/sessions"] {
        auth.service.get("", path).await.expect(401);
        auth.service.get("not-a-token", path).await.expect(401);
    }
    auth.service.delete("", &path).await.expect(401);
    auth.service.post("", "/auth/logout", json!({})).await.expect(401);
}

#[tokio::test]
async fn logging_out_ends_this_session_alone_and_may_be_repeated() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let elsewhere = auth.login("ada@example.com").await;
    for _ in 0..2 {
        assert_eq!(
            auth.service.post(&ada.token, "/auth/logout", json!({})).await.expect(200).json,
            json!({"ok": true})
        );
    }
    assert_eq!(auth.refresh(&ada.refresh).await.expect(401).json["code"], "refresh_token_invalid");
    assert_eq!(auth.validate(&ada.token).await["valid"], false);
    auth.refresh(&elsewhere.refresh).await.expect(200);
}
