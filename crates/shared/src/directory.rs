//! Whom a request is about, and whether the caller may act for them.
//!
//! The token is the truth: an id in a path or body may repeat it, an ADMIN may name a user of the same tenant, an
//! OPERATOR any user. Which tenant a user belongs to is the auth service's to say.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    context::Context,
    error::{Error, Result},
    grpc::{self, Transport},
    id,
    identity::{Caller, Role, User},
    proto::auth::{GetUserTenantRequest, auth_service_client::AuthServiceClient},
};

/// The user that a request is about, with the tenant that owns the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The user.
    pub user_id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
}

impl Subject {
    /// The tenants and the users of `subjects`, for statements that take them from arrays.
    pub fn columns(subjects: impl IntoIterator<Item = Self>) -> (Vec<Uuid>, Vec<Uuid>) {
        subjects.into_iter().map(|subject| (subject.tenant_id, subject.user_id)).unzip()
    }
}

impl From<&User> for Subject {
    fn from(user: &User) -> Self {
        Self { user_id: user.id, tenant_id: user.tenant_id }
    }
}

/// Knows which tenant a user belongs to.
#[derive(Debug, Clone)]
pub struct Directory {
    // Absent where everybody is known from the start.
    auth: Option<AuthServiceClient<Transport>>,
    // Users do not change their tenant.
    known: moka::sync::Cache<Uuid, Uuid>,
}

impl Directory {
    /// A directory that asks the auth service behind `auth`.
    pub fn new(auth: Transport) -> Self {
        Self { auth: Some(AuthServiceClient::new(auth)), known: moka::sync::Cache::new(100_000) }
    }

    /// A directory of `users` with their tenants and nobody else.
    pub fn of(users: impl IntoIterator<Item = (Uuid, Uuid)>) -> Self {
        let known = moka::sync::Cache::new(100_000);
        for (user_id, tenant_id) in users {
            known.insert(user_id, tenant_id);
        }
        Self { auth: None, known }
    }

    /// The tenant of `user_id`, `None` where there is no such user.
    ///
    /// # Errors
    /// 503 where the auth service cannot be reached.
    pub async fn find_tenant(&self, user_id: Uuid, now: DateTime<Utc>) -> Result<Option<Uuid>> {
        if let Some(tenant_id) = self.known.get(&user_id) {
            return Ok(Some(tenant_id));
        }
        let Some(auth) = &self.auth else { return Ok(None) };
        let request = GetUserTenantRequest { user_id: user_id.to_string(), ..Default::default() };
        let answer = auth.clone().get_user_tenant(grpc::service_request(request, now)).await?.into_inner();
        if !answer.found {
            return Ok(None);
        }
        let tenant_id = id::parse("tenantId", &answer.tenant_id)?;
        self.known.insert(user_id, tenant_id);
        Ok(Some(tenant_id))
    }

    /// The subject of a request that names `user_id` and `tenant_id` (empty where it names none).
    ///
    /// # Errors
    /// 400 for an id that is not a UUID, 401 without a token, 403 for a user or tenant that the caller may not act for:
    /// the same answer whether or not they exist.
    pub async fn subject(&self, context: &Context, user_id: &str, tenant_id: &str) -> Result<Subject> {
        let user_id = optional_id("userId", user_id)?;
        let tenant_id = optional_id("tenantId", tenant_id)?;
        let subject = match context.caller()? {
            Caller::User(user) => self.subject_of_user(user, user_id, tenant_id, context.now).await?,
            Caller::Service => {
                let user_id = user_id.ok_or_else(|| Error::invalid("userId", "is required"))?;
                let tenant_id = self.find_tenant(user_id, context.now).await?.ok_or_else(not_yours)?;
                Subject { user_id, tenant_id }
            }
            Caller::Anonymous => return Err(Error::unauthenticated("this needs an access token")),
        };
        if tenant_id.is_some_and(|named| named != subject.tenant_id) {
            return Err(not_yours());
        }
        Ok(subject)
    }

    async fn subject_of_user(
        &self,
        user: &User,
        user_id: Option<Uuid>,
        tenant_id: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<Subject> {
        let named = user_id.unwrap_or(user.id);
        if named == user.id {
            return Ok(user.into());
        }
        let operator = user.is(Role::Operator);
        let elsewhere = tenant_id.is_some_and(|tenant| tenant != user.tenant_id);
        if !operator && (elsewhere || !user.is(Role::Admin)) {
            return Err(not_yours());
        }
        match self.find_tenant(named, now).await? {
            Some(tenant_id) if operator || tenant_id == user.tenant_id => Ok(Subject { user_id: named, tenant_id }),
            _ => Err(not_yours()),
        }
    }
}

fn optional_id(field: &str, value: &str) -> Result<Option<Uuid>> {
    if value.is_empty() { Ok(None) } else { id::parse(field, value).map(Some) }
}

fn not_yours() -> Error {
    Error::forbidden("the access token does not allow acting for this user or tenant")
}
