//! Login: an e-mail address and a password for a new session.
//!
//! A wrong password and an unknown address get the same answer after the same work.

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    error::Error,
    events::UserLoggedIn,
    id, idempotency,
    outbox::{self, About},
    proto::auth::{LoginRequest, LoginResponse},
    validate::Checks,
};
use secrecy::SecretString;

use crate::{
    emails::Email,
    passwords::{self, Passwords},
    secrets::Maker,
    sessions::{self, Opened},
    throttle::Attempt,
    tokens::{Holder, Issuer},
    users::{self, Account},
};

/// Opens a session.
///
/// # Errors
/// 400 naming each wrong field; 401 `invalid_credentials`; 429 after too many failures; 503 while too many passwords are
/// being hashed.
pub async fn login(
    db: &Db,
    passwords: &Passwords,
    issuer: &Issuer,
    context: &Context,
    request: LoginRequest,
) -> Result<LoginResponse> {
    let password = SecretString::from(request.password.as_str());
    let email = check(&request, &password)?;
    // An old token that comes along has no say.
    let context = &context.anonymous();
    let signer = issuer.signer(context.now).await?;
    let attempt = Attempt::new(&email, context.client.ip);
    let proved = prove(db, passwords, context, &attempt, &email, &password).await?;
    let makers = issuer.secrets.makers(context.idempotency_key.as_deref(), &request.password);
    let fingerprint = |maker: &Maker| LoginRequest { password: maker.veil(&request.password), ..request.clone() };
    let requests: Vec<_> = makers.iter().map(fingerprint).collect();
    let (made_by, opened) =
        idempotency::run_as_any(db, context, "auth.login", &requests, async |claim: idempotency::Claim| {
            open(db, issuer, context, &proved, &email, &attempt, &makers[0], &claim).await
        })
        .await?;
    let holder = opened.holder()?;
    let (root, refresh) = (makers[made_by].root(), makers[made_by].token(holder.session_id));
    Ok(LoginResponse {
        user_id: opened.user_id,
        tenant_id: opened.tenant_id,
        tokens: Some(issuer.pair(root, &signer, &holder, &refresh)?),
    })
}

fn check(request: &LoginRequest, password: &SecretString) -> Result<Email> {
    let mut checks = Checks::new();
    let email = checks.ok(Email::parse(&request.email));
    passwords::check_given(&mut checks, password);
    checks.finish()?;
    email.ok_or_else(|| Error::invalid("email", "is required"))
}

/// An account whose password was given, with its hash where that shall be replaced.
struct Proved {
    account: Account,
    rehashed: Option<String>,
}

async fn prove(
    db: &Db,
    passwords: &Passwords,
    context: &Context,
    attempt: &Attempt,
    email: &Email,
    password: &SecretString,
) -> Result<Proved> {
    // Refused before it waits, so that refused attempts take nobody's turn.
    attempt.check(db, email, context.now).await?;
    let account = users::find_by_email(db, email).await?;
    let turn = passwords.turn().await?;
    // And again: attempts that came together have failed meanwhile. Failures are counted before the turn ends, so no more
    // get past than have a turn at once.
    attempt.check(db, email, context.now).await?;
    let hash = account.as_ref().map(|account| account.password_hash.as_str());
    let (verdict, turn) = Passwords::verify(turn, password, hash).await?;
    let Some(account) = account.filter(|account| verdict.matches && account.active) else {
        attempt.fail(db, context.now).await?;
        return Err(refused());
    };
    let rehashed = if verdict.outdated { Some(Passwords::hash(turn, password).await?) } else { None };
    Ok(Proved { account, rehashed })
}

#[expect(clippy::too_many_arguments, reason = "one transaction, of which these are the parts")]
async fn open(
    db: &Db,
    issuer: &Issuer,
    context: &Context,
    proved: &Proved,
    email: &Email,
    attempt: &Attempt,
    maker: &Maker,
    claim: &idempotency::Claim,
) -> Result<Opened> {
    let (account, now) = (&proved.account, context.now);
    let mut tx = db.begin(account.tenant_id).await?;
    // Also the lock that puts the user's events in order.
    let updated = sqlx::query!(
        "update users set last_login_at = $2, password_hash = coalesce($3, password_hash)
         where id = $1 and status = 'ACTIVE' and deleted_at is null",
        account.id,
        now,
        proved.rehashed,
    )
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(refused());
    }
    let holder = Holder {
        user_id: account.id,
        tenant_id: account.tenant_id,
        session_id: id::new(now),
        roles: account.roles.clone(),
        at: now,
    };
    sessions::open(&mut tx, issuer, &holder, maker, &context.client).await?;
    attempt.succeed(&mut tx).await?;
    let event = UserLoggedIn { user_id: account.id, email: email.as_str().to_owned(), logged_in_at: now };
    outbox::publish(&mut tx, context, About { tenant_id: account.tenant_id, user_id: Some(account.id) }, &event)
        .await?;
    let opened = Opened::from(&holder);
    claim.complete(&mut tx, &opened).await?;
    tx.commit().await?;
    Ok(opened)
}

fn refused() -> Error {
    Error::unauthenticated("the e-mail address or the password is wrong").with_code("invalid_credentials")
}
