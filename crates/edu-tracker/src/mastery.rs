//! Mastery: how likely it is, in percent, that a learner has a skill, judged by evidence and never by time spent.
//!
//! The model is Bayesian Knowledge Tracing (A. T. Corbett and J. R. Anderson, "Knowledge tracing: Modeling the acquisition
//! of procedural knowledge", User Modeling and User-Adapted Interaction 4, 1995, 253–278). It starts at P = [`PRIOR`]. A
//! quiz item is an observation, by Bayes' rule, and then a chance to learn:
//!
//! - correct:   P' = P·(1−S) / (P·(1−S) + (1−P)·G)
//! - incorrect: P' = P·S / (P·S + (1−P)·(1−G))
//! - then:      P = P' + (1−P')·T
//!
//! with [`SLIP`] S, [`GUESS`] G and [`LEARN`] T. Because of T an old answer weighs less than a new one.
//!
//! A completed lesson or course that teaches the skill is a chance to learn that nothing was observed of. Each closes a
//! share of what is missing to a ceiling, so that every further one gives less, and none makes up for a test:
//! P = P + T·max(0, C−P), with ([`LESSON`], [`LESSON_CEILING`]) or ([`COURSE`], [`COURSE_CEILING`]).
//!
//! Evidence is taken in the order of its UTC days; within a day lessons, courses, incorrect and then correct answers, which
//! makes the score a function of the set of events. Every step is non-decreasing in P, and a correct answer, a lesson or a
//! course never lowers P: more evidence of mastery, whenever it happened, never lowers the score.

use std::collections::BTreeMap;

use careeros_shared::{Result, context::Context, db::Tx, directory::Subject, events::MasteryScoreUpdated, id, outbox};
use chrono::NaiveDate;
use uuid::Uuid;

use crate::{
    evidence::{Evidence, Touched},
    learners::Learner,
};

/// The probability that a skill is there before any evidence.
pub const PRIOR: f64 = 0.1;
/// The probability of a wrong answer in spite of the skill.
pub const SLIP: f64 = 0.1;
/// The probability of a right answer without the skill.
pub const GUESS: f64 = 0.2;
/// The probability of learning the skill from a quiz item.
pub const LEARN: f64 = 0.1;
/// The share of the way to [`LESSON_CEILING`] that a lesson goes.
pub const LESSON: f64 = 0.2;
/// What lessons alone lead to.
pub const LESSON_CEILING: f64 = 0.5;
/// The share of the way to [`COURSE_CEILING`] that a whole course goes.
pub const COURSE: f64 = 0.5;
/// What courses without quizzes lead to.
pub const COURSE_CEILING: f64 = 0.6;

/// Skills recomputed by one statement at the most.
const CHUNK: usize = 5000;

/// The mastery of a skill by its evidence of one day after the other: 0 to 100 with two decimals.
pub fn score(days: impl IntoIterator<Item = Evidence>) -> f64 {
    percent(days.into_iter().fold(PRIOR, after))
}

/// The probability after a day with `evidence`, where it was `p` before.
fn after(p: f64, evidence: Evidence) -> f64 {
    let p = repeat(p, evidence.lessons, |p| taught(p, LESSON, LESSON_CEILING));
    let p = repeat(p, evidence.courses, |p| taught(p, COURSE, COURSE_CEILING));
    let p = repeat(p, evidence.incorrect, |p| answered(p, SLIP, 1.0 - GUESS));
    repeat(p, evidence.correct, |p| answered(p, 1.0 - SLIP, GUESS))
}

/// The mean mastery over `scores`, 0 where there are none.
pub fn mean(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = u32::try_from(scores.len()).unwrap_or(u32::MAX);
    if count == 0 { 0.0 } else { percent(scores.sum::<f64>() / f64::from(count) / 100.0) }
}

/// A share of 1 in percent with two decimals.
pub(crate) fn percent(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() / 100.0
}

/// After an answer whose probability is `with` for those who have the skill and `without` for the others.
fn answered(p: f64, with: f64, without: f64) -> f64 {
    let posterior = p * with / (p * with + (1.0 - p) * without);
    posterior + (1.0 - posterior) * LEARN
}

fn taught(p: f64, share: f64, ceiling: f64) -> f64 {
    p + share * (ceiling - p).max(0.0)
}

/// Applies `step` so many times; it converges, so that a large number costs nothing.
fn repeat(mut p: f64, times: i32, step: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..times {
        let next = step(p);
        if next.to_bits() == p.to_bits() {
            break;
        }
        p = next;
    }
    p
}

/// What is stored of a user's skill.
struct Stored {
    user_id: Uuid,
    skill_key: String,
    score: Option<f64>,
    /// The probability before the first of `days`; none where they are all there are.
    settled: Option<f64>,
    /// The days with evidence, in order, and the evidence of each.
    days: Vec<NaiveDate>,
    lessons: Vec<i32>,
    courses: Vec<i32>,
    incorrect: Vec<i32>,
    correct: Vec<i32>,
}

/// A score with the point from which its computation goes on.
struct Computed {
    subject: Subject,
    skill_key: String,
    score: f64,
    last_day: NaiveDate,
    settled: f64,
}

impl Stored {
    /// The score of the learner `subject`, `None` where there is no evidence any more.
    fn compute(&self, subject: Subject) -> Option<Computed> {
        let sums = self.lessons.iter().zip(&self.courses).zip(&self.incorrect).zip(&self.correct);
        let evidence = sums.map(|(((lessons, courses), incorrect), correct)| Evidence {
            lessons: *lessons,
            courses: *courses,
            incorrect: *incorrect,
            correct: *correct,
        });
        let mut evidence: Vec<_> = evidence.collect();
        let (last, last_day) = (evidence.pop()?, *self.days.last()?);
        let settled = evidence.into_iter().fold(self.settled.unwrap_or(PRIOR), after);
        let (skill_key, score) = (self.skill_key.clone(), percent(after(settled, last)));
        Some(Computed { subject, skill_key, score, last_day, settled })
    }
}

/// Computes the scores of the skills `touched` anew and returns the events for those that have changed.
///
/// # Errors
/// 503 where the database is away.
pub async fn recompute(
    tx: &mut Tx,
    context: &Context,
    learners: &BTreeMap<Uuid, Learner>,
    touched: Touched,
) -> Result<Vec<outbox::Row>> {
    let touched: Vec<_> = touched.0.into_iter().collect();
    let mut events = Vec::new();
    for chunk in touched.chunks(CHUNK) {
        let (mut scored, mut unproven) = (Vec::new(), Vec::new());
        for stored in load(tx, chunk).await? {
            let Some(Learner { subject, .. }) = learners.get(&stored.user_id) else {
                continue;
            };
            let computed = stored.compute(*subject);
            let score = computed.as_ref().map(|computed| computed.score);
            if score != stored.score {
                let (user_id, skill_key) = (stored.user_id, stored.skill_key.clone());
                let event = MasteryScoreUpdated { user_id, skill_key, score: score.unwrap_or_default() };
                events.push(outbox::Row::new(context, *subject, &event)?);
            }
            match computed {
                Some(computed) => scored.push(computed),
                None => unproven.push((stored.user_id, stored.skill_key)),
            }
        }
        store(tx, context, &scored).await?;
        delete(tx, unproven).await?;
    }
    Ok(events)
}

/// Loads the skills with their evidence: from the last day on where nothing before it has changed, else all of it.
async fn load(tx: &mut Tx, touched: &[((Uuid, String), NaiveDate)]) -> Result<Vec<Stored>> {
    let stored = sqlx::query_as!(
        Stored,
        r#"select t.user_id as "user_id!", t.skill_key as "skill_key!", m.score::float8 as score,
                  case when m.last_day <= t.first_day then m.settled end as settled,
                  d.days as "days!", d.lessons as "lessons!", d.courses as "courses!", d.incorrect as "incorrect!",
                  d.correct as "correct!"
           from unnest($1::uuid[], $2::text[], $3::date[]) as t(user_id, skill_key, first_day)
           left join mastery_scores m on m.user_id = t.user_id and m.skill_key = t.skill_key
           cross join lateral (
               select coalesce(array_agg(day), '{}') as days, coalesce(array_agg(lessons), '{}') as lessons,
                      coalesce(array_agg(courses), '{}') as courses, coalesce(array_agg(incorrect), '{}') as incorrect,
                      coalesce(array_agg(correct), '{}') as correct
               from (select * from skill_days
                     where user_id = t.user_id and skill_key = t.skill_key
                       and day >= case when m.last_day <= t.first_day then m.last_day else '-infinity' end
                     order by day) days
           ) d
           order by 1, 2"#,
        &touched.iter().map(|((user_id, _), _)| *user_id).collect::<Vec<_>>(),
        &touched.iter().map(|((_, skill_key), _)| skill_key.clone()).collect::<Vec<_>>(),
        &touched.iter().map(|(_, first_day)| *first_day).collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(stored)
}

async fn store(tx: &mut Tx, context: &Context, scored: &[Computed]) -> Result<()> {
    if scored.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into mastery_scores (id, tenant_id, user_id, skill_key, score, last_day, settled, computed_at)
         select id, tenant_id, user_id, skill_key, score, last_day, settled, $8
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::float8[], $6::date[], $7::float8[])
             as n(id, tenant_id, user_id, skill_key, score, last_day, settled)
         on conflict on constraint mastery_scores_user_id_skill_key_key do update
         set score = excluded.score, last_day = excluded.last_day, settled = excluded.settled,
             computed_at = excluded.computed_at",
        &scored.iter().map(|_| id::new(context.now)).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.subject.tenant_id).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.subject.user_id).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.skill_key.clone()).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.score).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.last_day).collect::<Vec<_>>(),
        &scored.iter().map(|computed| computed.settled).collect::<Vec<_>>(),
        context.now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn delete(tx: &mut Tx, unproven: Vec<(Uuid, String)>) -> Result<()> {
    if unproven.is_empty() {
        return Ok(());
    }
    let (user_ids, skill_keys): (Vec<_>, Vec<_>) = unproven.into_iter().unzip();
    sqlx::query!(
        "delete from mastery_scores m using unnest($1::uuid[], $2::text[]) as t(user_id, skill_key)
         where m.user_id = t.user_id and m.skill_key = t.skill_key",
        &user_ids,
        &skill_keys,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quiz(incorrect: i32, correct: i32) -> Evidence {
        Evidence { incorrect, correct, ..Evidence::default() }
    }

    fn lessons(lessons: i32) -> Evidence {
        Evidence { lessons, ..Evidence::default() }
    }

    #[test]
    fn one_answer_moves_the_prior_as_the_formula_says() {
        // 0.1·0.9 / (0.1·0.9 + 0.9·0.2) = 1/3, and 1/3 + 2/3·0.1 = 0.4
        assert!((score([quiz(0, 1)]) - 40.0).abs() < 1e-9);
        // 0.1·0.1 / (0.1·0.1 + 0.9·0.8) = 1/73, and 1/73 + 72/73·0.1 = 0.11232…
        assert!((score([quiz(1, 0)]) - 11.23).abs() < 1e-9);
    }

    #[test]
    fn lessons_alone_give_less_and_less_and_never_mastery() {
        let scores: Vec<_> = [1, 2, 3, 1000].map(|count| score([lessons(count)])).into();
        assert_eq!(scores, [18.0, 24.4, 29.52, 50.0]);
        let course = Evidence { lessons: 1000, courses: 1000, ..Evidence::default() };
        assert!((score([course]) - 100.0 * COURSE_CEILING).abs() < 1e-9);
        assert!(score([lessons(1000), quiz(0, 4)]) > 95.0);
    }

    #[test]
    fn a_new_answer_weighs_more_than_an_old_one() {
        assert!(score([quiz(5, 0), quiz(0, 5)]) > score([quiz(0, 5), quiz(5, 0)]));
    }

    #[test]
    fn the_mean_is_over_the_skills_with_evidence() {
        assert!(mean([].into_iter()).abs() < f64::EPSILON);
        assert!((mean([40.0, 11.23].into_iter()) - 25.62).abs() < 1e-9);
    }

    fn days() -> impl Strategy<Value = Vec<Evidence>> {
        let day = (0..6, 0..3, 0..8, 0..8).prop_map(|(lessons, courses, incorrect, correct)| Evidence {
            lessons,
            courses,
            incorrect,
            correct,
        });
        prop::collection::vec(day, 1..20)
    }

    proptest! {
        #[test]
        fn a_score_is_from_0_to_100(days in days(), many in 0..i32::MAX) {
            prop_assert!((0.0..=100.0).contains(&score(days.clone())));
            prop_assert!((0.0..=100.0).contains(&score(days.into_iter().chain([quiz(many, many)]))));
        }

        #[test]
        fn more_evidence_of_mastery_never_lowers_a_score(days in days(), index: prop::sample::Index, kind in 0..3) {
            let mut more = days.clone();
            let position = index.index(days.len());
            match kind {
                0 => more[position].correct += 1,
                1 => more[position].lessons += 1,
                _ => more[position].courses += 1,
            }
            prop_assert!(score(more) >= score(days));
        }

        #[test]
        fn a_correct_answer_is_worth_more_than_an_incorrect_one(days in days(), index: prop::sample::Index) {
            let position = index.index(days.len());
            let (mut right, mut wrong) = (days.clone(), days);
            right[position].correct += 1;
            wrong[position].incorrect += 1;
            prop_assert!(score(right) >= score(wrong));
        }

        #[test]
        fn the_stored_score_has_two_decimals(days in days()) {
            let score = score(days);
            prop_assert_eq!(format!("{score:.2}").parse::<f64>().unwrap().to_bits(), score.to_bits());
        }
    }
}
