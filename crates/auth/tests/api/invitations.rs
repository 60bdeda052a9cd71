use careeros_shared::testing;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{Account, Auth, PASSWORD, start};

async fn invite(auth: &Auth, admin: &Account, email: &str, roles: &[&str]) -> Value {
    let body = json!({"email": email, "roles": roles});
    auth.service.post(&admin.token, "/auth/invitations", body).await.expect(201).json
}

fn joining(email: &str, tenant_id: &str, token: &Value) -> Value {
    json!({"email": email, "password": PASSWORD, "tenantId": tenant_id, "invitationToken": token})
}

#[tokio::test]
async fn who_is_invited_joins_with_the_roles_of_the_invitation() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let invitation = invite(&auth, &admin, " Bob@Example.com", &["INSTRUCTOR"]).await;
    assert_eq!(
        invitation,
        json!({
            "invitationId": invitation["invitationId"], "invitationToken": invitation["invitationToken"],
            "tenantId": admin.tenant_id, "email": "bob@example.com", "roles": ["STUDENT", "INSTRUCTOR"],
            "expiresAt": "2026-01-13T12:00:00.000Z",
        })
    );
    let body = joining("BOB@example.com", &admin.tenant_id, &invitation["invitationToken"]);
    let bob = Account::of(&auth.service.post("", "/auth/register", body.clone()).await.expect(201).json);
    assert_eq!(bob.tenant_id, admin.tenant_id);
    let me = auth.service.get(&bob.token, "/auth/me").await.expect(200).json;
    assert_eq!(me["roles"], json!(["STUDENT", "INSTRUCTOR"]));
    assert_eq!(
        me["permissions"],
        json!([
            "ai:execute:basic",
            "lms:analytics:read",
            "lms:course:create",
            "lms:course:edit",
            "lms:enroll",
            "roadmap:read",
            "roadmap:update"
        ])
    );
    assert_eq!(auth.db.event_types().await, ["UserRegistered", "UserRegistered"]);

    // It was for one.
    auth.execute("update users set email = 'moved@example.com' where email = 'bob@example.com'").await;
    let again = auth.service.post("", "/auth/register", body).await.expect(403);
    assert_eq!(again.json["code"], "invitation_invalid");
}

#[tokio::test]
async fn an_invitation_says_the_tenant_where_the_request_does_not() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let invitation = invite(&auth, &admin, "bob@example.com", &[]).await;
    let body = json!({
        "email": "bob@example.com", "password": PASSWORD, "invitationToken": invitation["invitationToken"]
    });
    let bob = Account::of(&auth.service.post("", "/auth/register", body).await.expect(201).json);
    assert_eq!(bob.tenant_id, admin.tenant_id);
    assert_eq!(auth.validate(&bob.token).await["roles"], json!(["STUDENT"]));
}

#[tokio::test]
async fn nobody_joins_a_tenant_uninvited() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let other = auth.register("other@example.com").await;
    for tenant in [&admin.tenant_id, &testing::id().to_string()] {
        let body = json!({"email": "eve@example.com", "password": PASSWORD, "tenantId": tenant});
        let answer = auth.service.post("", "/auth/register", body).await.expect(403);
        assert_eq!(answer.json["code"], "invitation_required");
    }
    let token = &invite(&auth, &admin, "bob@example.com", &["ADMIN"]).await["invitationToken"];
    for body in [
        joining("bob@example.com", &admin.tenant_id, &json!("x")),
        joining("bob@example.com", &admin.tenant_id, &json!("A".repeat(43))),
        joining("eve@example.com", &admin.tenant_id, token),
        joining("bob@example.com", &other.tenant_id, token),
    ] {
        let answer = auth.service.post("", "/auth/register", body).await.expect(403);
        assert_eq!(answer.json["code"], "invitation_invalid");
    }
    assert_eq!(auth.count("users").await, 2);
    auth.clock.advance(TimeDelta::days(7));
    let late = joining("bob@example.com", &admin.tenant_id, token);
    assert_eq!(auth.service.post("", "/auth/register", late).await.expect(403).json["code"], "invitation_invalid");
}

#[tokio::test]
async fn a_failed_registration_leaves_the_invitation_good() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let token = &invite(&auth, &admin, "bob@example.com", &[]).await["invitationToken"];
    let body = joining("bob@example.com", &admin.tenant_id, token);
    auth.execute("alter table sessions rename to away").await;
    auth.service.post("", "/auth/register", body.clone()).await.expect(500);
    auth.execute("alter table away rename to sessions").await;
    auth.service.post("", "/auth/register", body).await.expect(201);
}

#[tokio::test]
async fn of_two_at_once_one_uses_the_invitation() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let token = &invite(&auth, &admin, "bob@example.com", &[]).await["invitationToken"];
    let register = || auth.service.post("", "/auth/register", joining("bob@example.com", &admin.tenant_id, token));
    let (first, second) = tokio::join!(register(), register());
    let created = [first.status.as_u16(), second.status.as_u16()].iter().filter(|status| **status == 201).count();
    assert_eq!((created, auth.count("users").await), (1, 2));
}

#[tokio::test]
async fn only_an_admin_invites_and_never_an_operator() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let body = json!({"email": "bob@example.com", "roles": ["OPERATOR"]});
    assert_eq!(auth.service.post(&admin.token, "/auth/invitations", body).await.expect(400).fields(), ["roles[0]"]);
    let token = &invite(&auth, &admin, "bob@example.com", &["INSTRUCTOR"]).await["invitationToken"];
    let body = joining("bob@example.com", &admin.tenant_id, token);
    let bob = Account::of(&auth.service.post("", "/auth/register", body).await.expect(201).json);

    let body = json!({"email": "eve@example.com", "roles": []});
    auth.service.post(&bob.token, "/auth/invitations", body.clone()).await.expect(403);
    auth.service.post("", "/auth/invitations", body.clone()).await.expect(401);
    auth.service.post(&admin.token, "/auth/logout", json!({})).await.expect(200);
    auth.service.post(&admin.token, "/auth/invitations", body).await.expect(401);

    let admin = auth.login("admin@example.com").await;
    for (body, field) in [
        (json!({"roles": []}), "email"),
        (json!({"email": "eve", "roles": []}), "email"),
        (json!({"email": "eve@example.com"}), "roles"),
        (json!({"email": "eve@example.com", "roles": "ADMIN"}), "roles"),
        (json!({"email": "eve@example.com", "roles": ["ADMIN", "ROOT"]}), "roles[1]"),
        (json!({"email": "eve@example.com", "roles": [], "tenantId": "x"}), "tenantId"),
    ] {
        let answer = auth.service.post(&admin.token, "/auth/invitations", body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    assert_eq!(auth.count("invitations").await, 1);
}

#[tokio::test]
async fn a_retry_with_the_same_key_gets_the_same_invitation() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let body = json!({"email": "bob@example.com", "roles": ["ADMIN"]});
    let invite = |body| auth.service.post_once(&admin.token, "/auth/invitations", "k-1", body);
    let first = invite(body.clone()).await.expect(201).json;
    assert_eq!(invite(body).await.expect(201).json, first);
    assert_eq!(auth.count("invitations").await, 1);
    invite(json!({"email": "eve@example.com", "roles": ["ADMIN"]})).await.expect(422);
    let join = joining("bob@example.com", &admin.tenant_id, &first["invitationToken"]);
    auth.service.post("", "/auth/register", join).await.expect(201);
}
