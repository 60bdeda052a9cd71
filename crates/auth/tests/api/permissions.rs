use careeros_auth::operators;
use careeros_shared::{
    context::Context,
    proto::auth::{GetUserPermissionsRequest, GetUserTenantRequest, auth_service_client::AuthServiceClient},
    testing,
};
use serde_json::json;
use tonic::{Code, Request, Status};

use crate::{Account, Auth, PASSWORD, start};

const STUDENT: [&str; 4] = ["ai:execute:basic", "lms:enroll", "roadmap:read", "roadmap:update"];

fn by<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

async fn permissions(auth: &Auth, token: &str, user_id: &str) -> Result<Vec<String>, Status> {
    let message = GetUserPermissionsRequest { user_id: user_id.to_owned(), ..Default::default() };
    let mut client = AuthServiceClient::new(auth.service.transport.clone());
    Ok(client.get_user_permissions(by(token, message)).await?.into_inner().permissions)
}

async fn join(auth: &Auth, admin: &Account, email: &str) -> Account {
    let body = json!({"email": email, "roles": []});
    let invitation = auth.service.post(&admin.token, "/auth/invitations", body).await.expect(201).json;
    let body = json!({"email": email, "password": PASSWORD, "invitationToken": invitation["invitationToken"]});
    Account::of(&auth.service.post("", "/auth/register", body).await.expect(201).json)
}

#[tokio::test]
async fn permissions_are_told_to_the_user_their_admin_and_staff() {
    let auth = start().await;
    let admin = auth.register("admin@example.com").await;
    let bob = join(&auth, &admin, "bob@example.com").await;
    let eve = join(&auth, &admin, "eve@example.com").await;
    let stranger = auth.register("stranger@example.com").await;
    auth.register("staff@example.com").await;
    operators::grant(&auth.db, auth.clock.now(), "staff@example.com").await.unwrap();
    let staff = auth.login("staff@example.com").await;

    assert_eq!(permissions(&auth, &bob.token, "").await.unwrap(), STUDENT);
    assert_eq!(permissions(&auth, &bob.token, &bob.id).await.unwrap(), STUDENT);
    assert_eq!(permissions(&auth, &admin.token, &bob.id).await.unwrap(), STUDENT);
    assert_eq!(permissions(&auth, &staff.token, &bob.id).await.unwrap(), STUDENT);
    assert_eq!(permissions(&auth, &admin.token, "").await.unwrap()[0], "*");
    let context = Context::internal(auth.clock.now());
    let message = GetUserPermissionsRequest { user_id: bob.id.clone(), ..Default::default() };
    let mut client = AuthServiceClient::new(auth.service.transport.clone());
    let answer = client.get_user_permissions(context.request(message)).await.unwrap().into_inner();
    assert_eq!(answer.permissions, STUDENT);

    let code = async |token: &str, user_id: &str| permissions(&auth, token, user_id).await.unwrap_err().code();
    let nobody = testing::id().to_string();
    assert_eq!(code(&eve.token, &bob.id).await, Code::PermissionDenied);
    assert_eq!(code(&stranger.token, &bob.id).await, Code::PermissionDenied);
    assert_eq!(code(&stranger.token, &nobody).await, Code::PermissionDenied);
    assert_eq!(code(&staff.token, &nobody).await, Code::NotFound);
    assert_eq!(code("", &bob.id).await, Code::Unauthenticated);
    assert_eq!(code("not-a-token", &bob.id).await, Code::Unauthenticated);
    assert_eq!(code(&bob.token, "42").await, Code::InvalidArgument);
}

#[tokio::test]
async fn only_services_ask_for_a_users_tenant() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let mut client = AuthServiceClient::new(auth.service.transport.clone());
    let message = |user_id: &str| GetUserTenantRequest { user_id: user_id.to_owned(), ..Default::default() };
    let context = Context::internal(auth.clock.now());

    let known = client.get_user_tenant(context.request(message(&ada.id))).await.unwrap().into_inner();
    assert_eq!((known.found, known.tenant_id), (true, ada.tenant_id));
    let nobody = testing::id().to_string();
    let unknown = client.get_user_tenant(context.request(message(&nobody))).await.unwrap().into_inner();
    assert_eq!((unknown.found, unknown.tenant_id.as_str()), (false, ""));

    let bad = client.get_user_tenant(context.request(message("42"))).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let user = client.get_user_tenant(by(&ada.token, message(&ada.id))).await.unwrap_err();
    assert_eq!(user.code(), Code::PermissionDenied);
    let anonymous = client.get_user_tenant(by("", message(&ada.id))).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_seeded_permissions_are_those_of_the_contract() {
    let auth = start().await;
    let granted: Vec<(String, String)> = sqlx::query_as(
        "select roles.code, string_agg(permissions.code, ' ' order by permissions.code)
         from role_permissions
         join roles on roles.id = role_id
         join permissions on permissions.id = permission_id
         group by roles.code order by roles.code",
    )
    .fetch_all(&auth.db.admin)
    .await
    .unwrap();
    let student = STUDENT.join(" ");
    let instructor =
        "ai:execute:basic lms:analytics:read lms:course:create lms:course:edit lms:enroll roadmap:read roadmap:update";
    let expected = [("ADMIN", "*"), ("INSTRUCTOR", instructor), ("OPERATOR", "*"), ("STUDENT", student.as_str())];
    assert_eq!(granted, expected.map(|(role, codes)| (role.to_owned(), codes.to_owned())));
}
