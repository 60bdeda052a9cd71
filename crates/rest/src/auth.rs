//! `/auth`: accounts, logins, tokens, sessions; and the public signing keys.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use careeros_shared::{
    Result,
    context::Context,
    extract::{self, Path, UserContext},
    grpc::Transport,
    http::Created,
    proto::auth::{
        CreateInvitationRequest, CreateInvitationResponse, GetCurrentUserRequest, GetCurrentUserResponse,
        GetJwksRequest, ListSessionsRequest, ListSessionsResponse, LoginRequest, LoginResponse, LogoutRequest,
        RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse, RevokeSessionRequest,
        ValidateAccessTokenRequest, ValidateAccessTokenResponse, auth_service_client::AuthServiceClient,
    },
    proto::words,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    Done,
    api::{Api, Area, describe::Document},
};

mod docs;

type Client = AuthServiceClient<Transport>;

/// The routes with their documentation, answered by the auth service behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("Auth", docs::ABOUT, Client::new(transport))
        .post("/auth/register", register, docs::register())
        .post("/auth/login", login, docs::login())
        .post("/auth/refresh", refresh, docs::refresh())
        .post("/auth/validate-token", validate_token, docs::validate_token())
        .post("/auth/invitations", create_invitation, docs::create_invitation())
        .post("/auth/logout", logout, docs::logout())
        .get("/auth/me", get_current_user, docs::get_current_user())
        .get("/auth/sessions", list_sessions, docs::list_sessions())
        .delete("/auth/sessions/{session_id}", revoke_session, docs::revoke_session())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// The public signing keys at the path that RFC 8615 reserves, which has no version before it.
pub fn well_known_api(transport: Transport) -> Api {
    Area::new("Keys", docs::ABOUT_KEYS, Client::new(transport))
        .get("/.well-known/jwks.json", get_jwks, docs::get_jwks())
        .build()
}

/// The same route alone.
pub fn well_known(transport: Transport) -> Router {
    well_known_api(transport).into_router()
}

/// A new account, in the tenant of an invitation or in one of its own.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Register {
    /// Stored trimmed and in lower case.
    #[schema(format = "email", max_length = 254)]
    email: String,
    #[schema(format = Password, min_length = 8, max_length = 128)]
    password: String,
    /// Needs an invitation of that tenant.
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// From an ADMIN's invitation for this e-mail address.
    invitation_token: Option<String>,
}

/// Whose account it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Login {
    #[schema(format = "email", max_length = 254)]
    email: String,
    #[schema(format = Password, min_length = 1, max_length = 128)]
    password: String,
}

/// What the last pair is exchanged by.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    /// Good once.
    #[schema(min_length = 1)]
    refresh_token: String,
}

/// The token to check.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValidateToken {
    /// Any text.
    access_token: String,
}

/// An invitation into the caller's tenant.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateInvitation {
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// STUDENT is always among them.
    #[schema(value_type = Vec<words::InvitedRole>)]
    roles: Vec<String>,
}

async fn register(
    State(mut client): State<Client>,
    context: Context,
    extract::Json(body): extract::Json<Register>,
) -> Result<Created<RegisterResponse>> {
    let request = RegisterRequest {
        meta: None,
        email: body.email,
        password: body.password,
        tenant_id: body.tenant_id,
        invitation_token: body.invitation_token,
    };
    Ok(Created(client.register(context.request(request)).await?.into_inner()))
}

async fn login(
    State(mut client): State<Client>,
    context: Context,
    extract::Json(body): extract::Json<Login>,
) -> Result<Json<LoginResponse>> {
    let request = LoginRequest { meta: None, email: body.email, password: body.password };
    Ok(Json(client.login(context.request(request)).await?.into_inner()))
}

async fn refresh(
    State(mut client): State<Client>,
    context: Context,
    extract::Json(body): extract::Json<Refresh>,
) -> Result<Json<RefreshResponse>> {
    let request = RefreshRequest { meta: None, refresh_token: body.refresh_token };
    Ok(Json(client.refresh(context.request(request)).await?.into_inner()))
}

async fn validate_token(
    State(mut client): State<Client>,
    context: Context,
    extract::Json(body): extract::Json<ValidateToken>,
) -> Result<Json<ValidateAccessTokenResponse>> {
    let request = ValidateAccessTokenRequest { meta: None, access_token: body.access_token };
    Ok(Json(client.validate_access_token(context.request(request)).await?.into_inner()))
}

async fn create_invitation(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CreateInvitation>,
) -> Result<Created<CreateInvitationResponse>> {
    let request = CreateInvitationRequest { meta: None, email: body.email, roles: body.roles };
    Ok(Created(client.create_invitation(context.request(request)).await?.into_inner()))
}

async fn logout(State(mut client): State<Client>, UserContext(context): UserContext) -> Result<Json<Done>> {
    Ok(Json(client.logout(context.request(LogoutRequest::default())).await?.into_inner().into()))
}

async fn get_current_user(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
) -> Result<Json<GetCurrentUserResponse>> {
    let request = context.request(GetCurrentUserRequest::default());
    Ok(Json(client.get_current_user(request).await?.into_inner()))
}

async fn list_sessions(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
) -> Result<Json<ListSessionsResponse>> {
    let request = context.request(ListSessionsRequest::default());
    Ok(Json(client.list_sessions(request).await?.into_inner()))
}

async fn revoke_session(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(session_id): Path<String>,
) -> Result<Json<Done>> {
    let request = RevokeSessionRequest { meta: None, session_id };
    Ok(Json(client.revoke_session(context.request(request)).await?.into_inner().into()))
}

async fn get_jwks(State(mut client): State<Client>, context: Context) -> Result<Jwks> {
    Ok(Jwks(client.get_jwks(context.request(GetJwksRequest::default())).await?.into_inner().jwks_json))
}

/// A JWK set, as the auth service wrote it.
struct Jwks(String);

impl IntoResponse for Jwks {
    fn into_response(self) -> Response {
        // Short, so that a withdrawn key is soon known everywhere.
        let headers = [(header::CONTENT_TYPE, Self::MEDIA_TYPE), (header::CACHE_CONTROL, "public, max-age=60")];
        (headers, self.0).into_response()
    }
}

impl Document for Jwks {
    const MEDIA_TYPE: &'static str = "application/jwk-set+json";

    fn schema() -> Value {
        let text = json!({"type": "string"});
        let key = json!({
            "type": "object",
            "required": ["kty", "kid", "alg", "use", "crv", "x"],
            "properties": {"kty": text, "kid": text, "alg": text, "use": text, "crv": text, "x": text},
        });
        json!({
            "type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": key}},
            "description": "A JWK set (RFC 7517).",
        })
    }
}
