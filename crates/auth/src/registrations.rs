//! Registration: how somebody gets an account, in a tenant of their own or by invitation in another's.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    error::Error,
    events::UserRegistered,
    id, idempotency,
    identity::Role,
    outbox::{self, About},
    proto::auth::{RegisterRequest, RegisterResponse},
    validate::Checks,
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    emails::Email,
    invitations,
    passwords::{self, Passwords},
    roles,
    secrets::Maker,
    sessions::{self, Opened},
    tokens::{Holder, Issuer},
    users::{self, NewUser},
};

/// What is asked for, checked.
#[derive(Debug)]
struct Registration {
    email: Email,
    password: SecretString,
    tenant_id: Option<Uuid>,
    invitation_token: Option<String>,
}

impl Registration {
    fn parse(request: &RegisterRequest) -> Result<Self> {
        let password = SecretString::from(request.password.as_str());
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let mut checks = Checks::new();
        let email = checks.ok(Email::parse(&request.email));
        passwords::check_new(&mut checks, &password);
        let tenant_id = given(&request.tenant_id).and_then(|id| checks.ok(id::parse("tenantId", &id)));
        checks.finish()?;
        let email = email.ok_or_else(|| Error::invalid("email", "is required"))?;
        let registration = Self { email, password, tenant_id, invitation_token: given(&request.invitation_token) };
        if registration.tenant_id.is_some() && registration.invitation_token.is_none() {
            return Err(Error::forbidden("joining a tenant needs an invitation from its ADMIN: send invitationToken")
                .with_code("invitation_required"));
        }
        Ok(registration)
    }
}

/// Makes an account and its first session.
///
/// # Errors
/// 400 naming each wrong field; 403 for a tenant without a valid invitation; 409 `email_taken`; 503 while too many
/// passwords are being hashed.
pub async fn register(
    db: &Db,
    passwords: &Passwords,
    issuer: &Issuer,
    context: &Context,
    request: RegisterRequest,
) -> Result<RegisterResponse> {
    let registration = Registration::parse(&request)?;
    // A token that comes along says nothing about who is to be registered.
    let context = &context.anonymous();
    let signer = issuer.signer(context.now).await?;
    let makers = issuer.secrets.makers(context.idempotency_key.as_deref(), &request.password);
    let fingerprint = |maker: &Maker| RegisterRequest { password: maker.veil(&request.password), ..request.clone() };
    let requests: Vec<_> = makers.iter().map(fingerprint).collect();
    let (made_by, opened) =
        idempotency::run_as_any(db, context, "auth.register", &requests, async |claim: idempotency::Claim| {
            // Before the password is hashed, which is what costs; the constraint decides when two come at once.
            if users::find_by_email(db, &registration.email).await?.is_some() {
                return Err(users::email_taken());
            }
            let hash = Passwords::hash(passwords.turn().await?, &registration.password).await?;
            store(db, issuer, context, &registration, &hash, &makers[0], &claim).await
        })
        .await?;
    let holder = opened.holder()?;
    let (root, refresh) = (makers[made_by].root(), makers[made_by].token(holder.session_id));
    Ok(RegisterResponse {
        user_id: opened.user_id,
        tenant_id: opened.tenant_id,
        tokens: Some(issuer.pair(root, &signer, &holder, &refresh)?),
    })
}

async fn store(
    db: &Db,
    issuer: &Issuer,
    context: &Context,
    registration: &Registration,
    password_hash: &str,
    maker: &Maker,
    claim: &idempotency::Claim,
) -> Result<Opened> {
    let Registration { email, tenant_id, invitation_token, .. } = registration;
    let now = context.now;
    // An invitation is found before its tenant is known.
    let mut tx = db.begin_system().await?;
    let invitation = match invitation_token {
        Some(token) => Some(invitations::get(&mut tx, token, email, *tenant_id, now).await?),
        None => None,
    };
    let (tenant_id, roles) = match &invitation {
        Some(invitation) => (invitation.tenant_id, invitation.roles.clone()),
        None => (id::new(now), BTreeSet::from([roles::DEFAULT, Role::Admin])),
    };
    let holder = Holder { user_id: id::new(now), tenant_id, session_id: id::new(now), roles, at: now };
    let user = NewUser { id: holder.user_id, tenant_id, email, password_hash, roles: &holder.roles };
    users::insert(&mut tx, &user, now).await?;
    if let Some(invitation) = &invitation {
        invitations::accept(&mut tx, invitation, holder.user_id, now).await?;
    }
    sessions::open(&mut tx, issuer, &holder, maker, &context.client).await?;
    let event = UserRegistered {
        user_id: holder.user_id,
        email: email.as_str().to_owned(),
        registered_at: now,
        default_role: Some(roles::DEFAULT.as_str().to_owned()),
    };
    outbox::publish(&mut tx, context, About { tenant_id, user_id: Some(holder.user_id) }, &event).await?;
    let opened = Opened::from(&holder);
    claim.complete(&mut tx, &opened).await?;
    tx.commit().await?;
    Ok(opened)
}
