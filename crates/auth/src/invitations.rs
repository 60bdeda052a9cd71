//! Invitations: how an ADMIN lets others into the tenant. Each is for one address, good once and for a week.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::Error,
    id, idempotency,
    identity::Role,
    proto::auth::{CreateInvitationRequest, CreateInvitationResponse},
    validate::Checks,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    emails::Email,
    roles,
    secrets::{Maker, Opaque, Secrets},
    sessions,
};

/// How long an invitation is good.
const GOOD_FOR: TimeDelta = TimeDelta::days(7);
/// What an invitation can make of somebody. OPERATOR is made by the operators' command alone.
const GIVEN: [Role; 3] = [Role::Student, Role::Instructor, Role::Admin];

/// Invites somebody into the caller's tenant. The token is in the answer and nowhere else.
///
/// # Errors
/// 400 naming each wrong field; 401 where the caller's session has ended; 403 unless the caller is an ADMIN.
pub async fn create(
    db: &Db,
    secrets: &Secrets,
    context: &Context,
    request: &CreateInvitationRequest,
) -> Result<CreateInvitationResponse> {
    let user = context.user()?;
    user.require_any(&[Role::Admin])?;
    sessions::require_live(db, user, context.now).await?;
    let (email, given) = check(request)?;
    let makers = secrets.makers(context.idempotency_key.as_deref(), &user.id.to_string());
    let fingerprint = |maker: &Maker| CreateInvitationRequest { email: maker.veil(&request.email), ..request.clone() };
    let requests: Vec<_> = makers.iter().map(fingerprint).collect();
    let expires_at = context.now + GOOD_FOR;
    let (made_by, mut answer) =
        idempotency::run_as_any(db, context, "auth.invitations", &requests, async |claim: idempotency::Claim| {
            let invitation_id = id::new(context.now);
            let mut tx = db.begin(user.tenant_id).await?;
            sqlx::query!(
                "insert into invitations (id, tenant_id, email, roles, token_hash, invited_by, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
                invitation_id,
                user.tenant_id,
                email.as_str(),
                &given,
                makers[0].token(invitation_id).hash(),
                user.id,
                context.now,
                expires_at,
            )
            .execute(&mut *tx)
            .await?;
            // Remembered without the token.
            let remembered = CreateInvitationResponse {
                invitation_id: invitation_id.to_string(),
                invitation_token: String::new(),
                tenant_id: user.tenant_id.to_string(),
                email: email.as_str().to_owned(),
                roles: given.clone(),
                expires_at: expires_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            };
            claim.complete(&mut tx, &remembered).await?;
            tx.commit().await?;
            Ok(remembered)
        })
        .await?;
    let invitation_id = Uuid::try_parse(&answer.invitation_id).map_err(Error::internal)?;
    answer.invitation_token = makers[made_by].token(invitation_id).reveal();
    Ok(answer)
}

/// The address, and the codes of the roles: those asked for and what everybody is.
fn check(request: &CreateInvitationRequest) -> Result<(Email, Vec<String>)> {
    let mut checks = Checks::new();
    let email = checks.ok(Email::parse(&request.email));
    let mut given = BTreeSet::from([roles::DEFAULT]);
    for (position, code) in request.roles.iter().enumerate() {
        match Role::parse(code).filter(|role| GIVEN.contains(role)) {
            Some(role) => {
                given.insert(role);
            }
            None => checks.fail(format!("roles[{position}]"), "must be STUDENT, INSTRUCTOR or ADMIN"),
        }
    }
    checks.finish()?;
    let email = email.ok_or_else(|| Error::invalid("email", "is required"))?;
    Ok((email, roles::codes(&given)))
}

/// An invitation that may be accepted, its row locked.
#[derive(Debug)]
pub struct Invitation {
    /// The invitation.
    pub id: Uuid,
    /// The tenant that it lets into.
    pub tenant_id: Uuid,
    /// What it makes of its holder.
    pub roles: BTreeSet<Role>,
}

/// The invitation of `email` into `tenant_id` (any, where `None`) that `token` proves.
///
/// # Errors
/// 403 `invitation_invalid`: the same for one that is unknown, expired, used, somebody else's or another tenant's.
pub async fn get(
    tx: &mut Tx,
    token: &str,
    email: &Email,
    tenant_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Invitation> {
    let hash = Opaque::parse(token).ok_or_else(invalid)?.hash();
    let row = sqlx::query!(
        "select id, tenant_id, roles from invitations
         where token_hash = $1 and email = $2 and ($3::uuid is null or tenant_id = $3)
           and accepted_at is null and expires_at > $4
         for update",
        hash,
        email.as_str(),
        tenant_id,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(invalid)?;
    Ok(Invitation { id: row.id, tenant_id: row.tenant_id, roles: roles::of_codes(&row.roles) })
}

/// Uses the invitation up.
///
/// # Errors
/// 503 where the database is away.
pub async fn accept(tx: &mut Tx, invitation: &Invitation, user_id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update invitations set accepted_at = $2, accepted_by = $3 where id = $1",
        invitation.id,
        now,
        user_id
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn invalid() -> Error {
    Error::forbidden("the invitation is not valid for this e-mail address and tenant, or was used, or has expired")
        .with_code("invitation_invalid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_makes_students_and_never_operators() {
        let request = |roles: &[&str]| CreateInvitationRequest {
            meta: None,
            email: "ada@example.com".into(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        };
        assert_eq!(check(&request(&[])).unwrap().1, ["STUDENT"]);
        assert_eq!(check(&request(&["ADMIN", "ADMIN", "STUDENT"])).unwrap().1, ["STUDENT", "ADMIN"]);
        for role in ["OPERATOR", "operator", "student", "", "ROOT"] {
            assert_eq!(check(&request(&["ADMIN", role])).unwrap_err().fields()[0].field, "roles[1]", "{role}");
        }
    }
}
