//! `/auth`: accounts, logins, tokens, sessions; and the public signing keys.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::IntoResponse,
    routing::{delete, get, post},
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
};
use serde::Deserialize;

use crate::Done;

type Client = AuthServiceClient<Transport>;

/// The routes, answered by the auth service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    Router::new()
        .route("/auth/register", post(register))
        .route("/auth/login", post(login))
        .route("/auth/refresh", post(refresh))
        .route("/auth/validate-token", post(validate_token))
        .route("/auth/invitations", post(create_invitation))
        .route("/auth/logout", post(logout))
        .route("/auth/me", get(get_current_user))
        .route("/auth/sessions", get(list_sessions))
        .route("/auth/sessions/{session_id}", delete(revoke_session))
        .with_state(Client::new(transport))
}

/// The public signing keys at the path that RFC 8615 reserves, which has no version before it.
pub fn well_known(transport: Transport) -> Router {
    Router::new().route("/.well-known/jwks.json", get(get_jwks)).with_state(Client::new(transport))
}

/// A new account, in the tenant of an invitation or in one of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Register {
    email: String,
    password: String,
    tenant_id: Option<String>,
    invitation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Login {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValidateToken {
    access_token: String,
}

/// An invitation into the caller's tenant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateInvitation {
    email: String,
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

async fn get_jwks(State(mut client): State<Client>, context: Context) -> Result<impl IntoResponse> {
    let jwks = client.get_jwks(context.request(GetJwksRequest::default())).await?.into_inner().jwks_json;
    // Short, so that a withdrawn key is soon known everywhere.
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
    Ok((headers, jwks))
}
