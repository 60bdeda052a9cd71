//! The service's RPCs: each opens its context and calls one function.

use careeros_shared::{
    context::Context,
    db::Db,
    error::{Kind, Result},
    grpc::open,
    proto::{
        auth::{
            CreateInvitationRequest, CreateInvitationResponse, GetCurrentUserRequest, GetCurrentUserResponse,
            GetJwksRequest, GetJwksResponse, GetUserPermissionsRequest, GetUserPermissionsResponse,
            GetUserTenantRequest, GetUserTenantResponse, ListSessionsRequest, ListSessionsResponse, LoginRequest,
            LoginResponse, LogoutRequest, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
            RevokeSessionRequest, ValidateAccessTokenRequest, ValidateAccessTokenResponse,
            auth_service_server::{AuthService, AuthServiceServer},
        },
        common::Ack,
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    invitations, logins, passwords::Passwords, refreshes, registrations, roles, sessions, tokens::Issuer, users,
};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    /// The database `auth`.
    pub db: Db,
    /// Hashes and verifies.
    pub passwords: Passwords,
    /// Makes tokens.
    pub issuer: Issuer,
}

impl App {
    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(AuthServiceServer::new(self))
    }

    /// What `token` proves; nothing, where it is not valid or its session has ended.
    async fn validate(&self, context: &Context, token: &str) -> Result<ValidateAccessTokenResponse> {
        let user = match self.issuer.keys.verifier().verify(token, context.now).await {
            Ok(user) => user,
            Err(error) if error.kind() == Kind::Unauthenticated => return Ok(ValidateAccessTokenResponse::default()),
            Err(error) => return Err(error),
        };
        if !sessions::is_live(&self.db, &user, context.now).await? {
            return Ok(ValidateAccessTokenResponse::default());
        }
        Ok(ValidateAccessTokenResponse {
            valid: true,
            user_id: user.id.to_string(),
            tenant_id: user.tenant_id.to_string(),
            roles: roles::codes(&user.roles),
        })
    }
}

const OK: Ack = Ack { ok: true, message: String::new() };

#[tonic::async_trait]
impl AuthService for App {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let (context, message) = open(request)?;
        let answer = registrations::register(&self.db, &self.passwords, &self.issuer, &context, message).await?;
        Ok(Response::new(answer))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let (context, message) = open(request)?;
        let answer = logins::login(&self.db, &self.passwords, &self.issuer, &context, message).await?;
        Ok(Response::new(answer))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(refreshes::refresh(&self.db, &self.issuer, &context, &message.refresh_token).await?))
    }

    async fn validate_access_token(
        &self,
        request: Request<ValidateAccessTokenRequest>,
    ) -> Result<Response<ValidateAccessTokenResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(self.validate(&context, &message.access_token).await?))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<Ack>, Status> {
        let (context, _) = open(request)?;
        sessions::logout(&self.db, &context).await?;
        Ok(Response::new(OK))
    }

    async fn get_current_user(
        &self,
        request: Request<GetCurrentUserRequest>,
    ) -> Result<Response<GetCurrentUserResponse>, Status> {
        let (context, _) = open(request)?;
        Ok(Response::new(users::get_current(&self.db, context.user()?, context.now).await?))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let (context, _) = open(request)?;
        Ok(Response::new(ListSessionsResponse { items: sessions::list(&self.db, &context).await? }))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        sessions::revoke(&self.db, &context, &message.session_id).await?;
        Ok(Response::new(OK))
    }

    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreateInvitationResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(invitations::create(&self.db, &self.issuer.secrets, &context, &message).await?))
    }

    async fn get_jwks(&self, request: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        let (context, _) = open(request)?;
        Ok(Response::new(GetJwksResponse { jwks_json: self.issuer.keys.jwks(context.now).await? }))
    }

    async fn get_user_permissions(
        &self,
        request: Request<GetUserPermissionsRequest>,
    ) -> Result<Response<GetUserPermissionsResponse>, Status> {
        let (context, message) = open(request)?;
        let permissions = roles::permissions(&self.db, &context, &message.user_id).await?;
        Ok(Response::new(GetUserPermissionsResponse { permissions }))
    }

    async fn get_user_tenant(
        &self,
        request: Request<GetUserTenantRequest>,
    ) -> Result<Response<GetUserTenantResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(users::find_tenant(&self.db, &context, &message.user_id).await?))
    }
}
