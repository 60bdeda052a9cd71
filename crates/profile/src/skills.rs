//! Skills: which ones exist, and how proficient a user is in each, 0 to 100.

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    directory::Subject,
    error::Error,
    events::SkillsUpdated,
    id, idempotency, outbox,
    proto::{
        common::Ack,
        userprofile::{SkillScore, UpsertSkillRequest},
    },
    validate::Checks,
};
use rust_decimal::{Decimal, prelude::FromPrimitive};

/// Stores the subject's proficiency in a skill, making the skill known where it is not.
///
/// # Errors
/// 400 naming each wrong field; 503 where the database is away.
pub async fn upsert(db: &Db, context: &Context, subject: Subject, request: &UpsertSkillRequest) -> Result<Ack> {
    let proficiency = check(request)?;
    idempotency::run(db, context, "profile.skills", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(subject.tenant_id).await?;
        // The name that a skill was first given stays: the list is shared by all tenants.
        let skill_id = sqlx::query_scalar!(
            "insert into skills as s (id, key, name) values ($1, $2, $3)
             on conflict on constraint skills_key_key do update set key = s.key returning id",
            id::new(context.now),
            request.skill_key,
            request.skill_name,
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into user_skills as s (user_id, skill_id, tenant_id, proficiency, evidence_count, updated_at)
             values ($1, $2, $3, $4, 1, $5)
             on conflict on constraint user_skills_pkey do update
             set proficiency = $4, evidence_count = s.evidence_count + 1, updated_at = $5",
            subject.user_id,
            skill_id,
            subject.tenant_id,
            proficiency,
            context.now,
        )
        .execute(&mut *tx)
        .await?;
        let event = SkillsUpdated {
            user_id: subject.user_id,
            skill_key: request.skill_key.clone(),
            proficiency: request.proficiency,
        };
        outbox::publish(&mut tx, context, subject, &event).await?;
        let done = Ack { ok: true, message: String::new() };
        claim.complete(&mut tx, &done).await?;
        tx.commit().await?;
        Ok(done)
    })
    .await
}

/// The subject's skills, best first.
///
/// # Errors
/// 503 where the database is away.
pub async fn list(db: &Db, subject: Subject) -> Result<Vec<SkillScore>> {
    let skills = sqlx::query_as!(
        SkillScore,
        r#"select s.key as "skill_key!", s.score as "score!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select skills.key, user_skills.proficiency::float8 as score
               from user_skills join skills on skills.id = user_skills.skill_id
               where user_skills.tenant_id = scope.tenant_id and user_skills.user_id = $2
               offset 0
           ) s
           order by s.score desc, s.key"#,
        subject.tenant_id,
        subject.user_id,
    )
    .fetch_all(db)
    .await?;
    Ok(skills)
}

/// The proficiency as it is stored, with two decimals.
fn check(request: &UpsertSkillRequest) -> Result<Decimal> {
    let mut checks = Checks::new();
    checks.text("skillKey", &request.skill_key, 1, 128);
    checks.text("skillName", &request.skill_name, 1, 255);
    checks.range("proficiency", request.proficiency, 0.0..=100.0);
    checks.finish()?;
    let proficiency = Decimal::from_f64(request.proficiency).map(|value| value.round_dp(2));
    proficiency.ok_or_else(|| Error::invalid("proficiency", "must be a number from 0 to 100"))
}
