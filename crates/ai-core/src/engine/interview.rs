//! The `interview_simulation` flow: draws questions for a role and grade from
//! the question bank, always the same for the same input, and scores the
//! answers that an input brings with it.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::answers::{self, Given};
use super::catalog::{Catalog, SkillId};
use super::fields::{self, Fields};
use super::gap;
use super::inventory::Inventory;
use super::scoring::{self, Criterion, Score};
use super::target::{self, Grade, Target};
use super::words::{Context, Keyword, counted, normalise};
use super::{Answer, as_f64};

const COUNT_FIELDS: &[&str] = &["questioncount", "count", "numberofquestions", "numquestions", "limit"];
const FOCUS_FIELDS: &[&str] = &["focus", "focusskills", "topics", "topic", "focusareas", "skill", "area"];
const TYPE_FIELDS: &[&str] = &["interviewtype", "type", "mode", "kind", "round"];
const SEED_FIELDS: &[&str] = &["seed", "sessionid", "draftid", "round", "attempt"];
const QUESTION_FIELDS: &[&str] = &["questions"];

const DEFAULT_COUNT: usize = 5;
const MAX_COUNT: usize = 15;
/// Questions on one skill, unless the input asks for that skill.
const MAX_PER_SKILL: usize = 2;
/// One question in this many is about behaviour.
const BEHAVIOURAL_SHARE: usize = 4;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Technical,
    Design,
    Behavioural,
}

/// A question of the bank.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Key of the skill it examines.
    pub(super) skill: String,
    /// The grade it is meant for: junior, middle or senior.
    grade: String,
    #[serde(rename = "question")]
    pub(super) text: String,
    pub(super) points: Vec<Point>,
}

/// Something a good answer mentions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    pub(super) point: String,
    /// Any of these shows that the point was made; beginnings of words count.
    pub(super) keywords: Vec<Keyword>,
}

#[derive(Serialize)]
struct Interview<'a> {
    summary: String,
    target_role: &'a str,
    target_grade: &'static str,
    questions: Vec<QuestionView<'a>>,
    feedback: Vec<Feedback>,
    /// 0–100; 0 while nothing is answered.
    score: f64,
    answered_count: usize,
    answers: Vec<Scored>,
    next_question: Option<String>,
}

#[derive(Serialize)]
struct QuestionView<'a> {
    id: String,
    question: String,
    kind: Option<Kind>,
    skill: Option<&'a str>,
}

/// What one criterion says about all answers together.
#[derive(Serialize)]
struct Feedback {
    criterion: &'static str,
    weight_percent: f64,
    /// 0–100; absent while nothing is answered.
    score: Option<f64>,
    comment: String,
}

/// One answer with its score.
#[derive(Serialize)]
struct Scored {
    question: String,
    #[serde(flatten)]
    score: Score,
}

pub(super) fn answer(catalog: &Catalog, fields: &Fields<'_>) -> serde_json::Result<Answer> {
    let inventory = Inventory::read(catalog, fields);
    let Some(target) = target::find(catalog, fields, &inventory) else {
        return Answer::new(&serde_json::json!({}), 0.0, Vec::new());
    };
    let questions = questions(catalog, fields, &target, &inventory);
    let texts: Vec<&str> = questions.iter().map(|each| each.question.as_str()).collect();
    let given = answers::read(fields, &texts);
    let scored = score_all(catalog, &given);
    let scores: Vec<&Score> = scored.iter().map(|each| &each.score).collect();
    let score = mean(scores.iter().map(|each| each.total));
    let output = Interview {
        summary: summary(&target, questions.len(), &scored, score),
        target_role: &target.role.title,
        target_grade: target.grade.name(),
        feedback: Criterion::ALL.iter().map(|&each| feedback(each, &scores)).collect(),
        score,
        answered_count: scored.len(),
        next_question: next_question(&questions, &given),
        questions,
        answers: scored,
    };
    let mut warnings: Vec<String> = target.warning.iter().cloned().collect();
    if given.is_empty() {
        warnings.push("input.answers is missing: questions are drawn, nothing is scored yet".to_owned());
    }
    Answer::new(&output, 0.7 * target.certainty, warnings)
}

/// The questions that the input brings, or a drawing from the bank.
fn questions<'a>(
    catalog: &'a Catalog,
    fields: &Fields<'_>,
    target: &Target<'_>,
    inventory: &Inventory,
) -> Vec<QuestionView<'a>> {
    let own = fields.list(QUESTION_FIELDS);
    if own.is_empty() {
        let drawn = Draw::new(catalog, fields, target, inventory).questions();
        return drawn.into_iter().map(view).collect();
    }
    own.into_iter()
        .take(MAX_COUNT)
        .enumerate()
        .map(|(at, item)| match in_bank(catalog, &item.text) {
            Some(question) => view(question),
            None => QuestionView { id: format!("given-{}", at + 1), question: item.text, kind: None, skill: None },
        })
        .collect()
}

/// The question of the bank with this id or text.
pub(super) fn in_bank<'a>(catalog: &'a Catalog, text: &str) -> Option<&'a Question> {
    let wanted = normalise(text);
    let by_id = catalog.questions.iter().find(|question| question.id == text);
    by_id.or_else(|| catalog.questions.iter().find(|question| normalise(&question.text) == wanted))
}

fn view(question: &Question) -> QuestionView<'_> {
    QuestionView {
        id: question.id.clone(),
        question: question.text.clone(),
        kind: Some(question.kind),
        skill: Some(&question.skill),
    }
}

/// A drawing of questions: what it looks for, and how many.
struct Draw<'a> {
    catalog: &'a Catalog,
    /// Skills of the role with their importance; skills asked for come first.
    weights: Vec<(SkillId, f64)>,
    focus: Vec<SkillId>,
    grade: Grade,
    only: Option<Kind>,
    count: usize,
    seed: String,
}

impl<'a> Draw<'a> {
    fn new(catalog: &'a Catalog, fields: &Fields<'_>, target: &Target<'_>, inventory: &Inventory) -> Self {
        let focus: Vec<SkillId> =
            fields.list(FOCUS_FIELDS).iter().flat_map(|item| catalog.skills_in(&item.text, Context::List)).collect();
        let requirements = gap::role_requirements(target, inventory);
        let count = fields.number(COUNT_FIELDS).unwrap_or(as_f64(DEFAULT_COUNT));
        let count = (1..=MAX_COUNT).rev().find(|&each| as_f64(each) <= count).unwrap_or(1);
        Self {
            catalog,
            weights: requirements.iter().map(|each| (each.skill, each.weight)).collect(),
            focus,
            grade: target.grade,
            only: fields.text(TYPE_FIELDS).and_then(|text| kind_of(&text)),
            count,
            seed: fields.text(SEED_FIELDS).unwrap_or_default(),
        }
    }

    /// The best questions first by kind: behaviour last, as in an interview.
    fn questions(&self) -> Vec<&'a Question> {
        let behavioural = match self.only {
            Some(Kind::Behavioural) => self.count,
            None if self.count >= 3 => ((self.count + BEHAVIOURAL_SHARE / 2) / BEHAVIOURAL_SHARE).max(1),
            _ => 0,
        };
        let on_the_job = |question: &Question| {
            question.kind != Kind::Behavioural && self.only.is_none_or(|only| question.kind == only)
        };
        let mut drawn = self.best(self.count - behavioural, on_the_job);
        let missing = self.count - drawn.len();
        drawn.extend(self.best(missing, |question| question.kind == Kind::Behavioural));
        drawn
    }

    fn best(&self, count: usize, fits: impl Fn(&Question) -> bool) -> Vec<&'a Question> {
        let mut candidates: Vec<&Question> = self.catalog.questions.iter().filter(|question| fits(question)).collect();
        candidates.sort_by_cached_key(|question| (Reverse(self.relevance(question)), self.lot(question)));
        let mut drawn: Vec<&Question> = Vec::with_capacity(count);
        // One question a skill, before any skill gets another.
        for limit in 1..=MAX_PER_SKILL {
            for question in &candidates {
                let is_new = !drawn.iter().any(|each| each.id == question.id);
                let same = drawn.iter().filter(|each| each.skill == question.skill).count();
                if drawn.len() < count && is_new && (same < limit || self.is_in_focus(question)) {
                    drawn.push(question);
                }
            }
        }
        drawn
    }

    /// How well a question fits the role, the grade and what was asked for.
    fn relevance(&self, question: &Question) -> u64 {
        let skill = self.catalog.find(&question.skill);
        let weight = self.weights.iter().find(|(known, _)| Some(*known) == skill);
        let role = weight.map_or(0.0, |(_, weight)| *weight) * 10.0;
        let distance = (rank(self.grade) - rank(grade_of(&question.grade))).abs();
        let focus = if self.is_in_focus(question) { 1000.0 } else { 0.0 };
        let relevance = focus + role + 100.0 - 15.0 * distance;
        rust_decimal::prelude::ToPrimitive::to_u64(&relevance).unwrap_or_default()
    }

    fn is_in_focus(&self, question: &Question) -> bool {
        let skill = self.catalog.find(&question.skill);
        skill.is_some_and(|skill| self.focus.contains(&skill))
    }

    /// Decides between equally relevant questions: FNV-1a over the seed and the
    /// id, so that another session gets other questions and the same one the same.
    fn lot(&self, question: &Question) -> u64 {
        let bytes = self.seed.bytes().chain(question.id.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

fn grade_of(name: &str) -> Grade {
    Grade::from_word(name).unwrap_or_default()
}

fn rank(grade: Grade) -> f64 {
    match grade {
        Grade::Junior => 0.0,
        Grade::Middle => 1.0,
        Grade::Senior => 2.0,
        Grade::Lead => 2.5,
    }
}

fn kind_of(text: &str) -> Option<Kind> {
    let text = text.to_lowercase();
    if text.contains("behav") || text == "hr" || text == "soft" {
        Some(Kind::Behavioural)
    } else if text.contains("design") || text.contains("case") {
        Some(Kind::Design)
    } else if text.contains("tech") || text.contains("coding") {
        Some(Kind::Technical)
    } else {
        None
    }
}

fn score_all(catalog: &Catalog, given: &[Given]) -> Vec<Scored> {
    given
        .iter()
        .map(|each| Scored {
            question: each.question.clone(),
            score: scoring::score(catalog, in_bank(catalog, &each.question), each),
        })
        .collect()
}

fn next_question(questions: &[QuestionView<'_>], given: &[Given]) -> Option<String> {
    let answered = |question: &QuestionView<'_>| {
        let text = normalise(&question.question);
        given.iter().any(|each| each.question == question.id || normalise(&each.question) == text)
    };
    questions.iter().find(|each| !answered(each)).map(|each| each.question.clone())
}

fn feedback(criterion: Criterion, scores: &[&Score]) -> Feedback {
    let score = mean(scores.iter().map(|each| each.of(criterion)));
    Feedback {
        criterion: criterion.name(),
        weight_percent: criterion.weight() * 100.0,
        score: (!scores.is_empty()).then_some(score),
        comment: if scores.is_empty() {
            criterion.expectation().to_owned()
        } else {
            criterion.comment(score).to_owned()
        },
    }
}

fn summary(target: &Target<'_>, drawn: usize, scored: &[Scored], score: f64) -> String {
    let role = &target.role.title;
    let grade = target.grade.name();
    let Some(weakest) = scored.iter().min_by(|a, b| a.score.total.total_cmp(&b.score.total)) else {
        return format!("{} for {role} ({grade}). Answer them one by one to be scored.", counted(drawn, "question"));
    };
    format!(
        "{} for {role} ({grade}), {score} of 100 on average. The one to work on first: \"{}\".",
        counted(scored.len(), "answer"),
        weakest.question
    )
}

/// The rounded mean, 0 for nothing.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = as_f64(values.len());
    if count > 0.0 { (values.sum::<f64>() / count).round() } else { 0.0 }
}

/// Whether two texts ask the same.
pub(super) fn same_question(a: &str, b: &str) -> bool {
    normalise(a) == normalise(b)
}

/// The text that a question given as an id, an object or a text stands for.
pub(super) fn question_text(value: &serde_json::Value) -> Option<String> {
    let named = fields::inside(value, &["question", "questionid", "prompt", "id"]);
    fields::label(named.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn run(catalog: &Catalog, input: &Value) -> Value {
        let map = input.as_object().cloned().unwrap();
        answer(catalog, &Fields::new(&map)).unwrap().output
    }

    fn ids(output: &Value) -> Vec<String> {
        let questions = output["questions"].as_array().unwrap();
        questions.iter().map(|each| each["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_bank_is_well_formed() {
        let catalog = Catalog::embedded().unwrap();
        let mut seen = BTreeSet::new();
        for question in &catalog.questions {
            assert!(seen.insert(&question.id), "{}", question.id);
            assert!(Grade::from_word(&question.grade).is_some(), "{}", question.id);
            assert!(question.points.len() >= 3, "{}", question.id);
            for point in &question.points {
                assert!(!point.keywords.is_empty());
                assert!(point.keywords.iter().all(|keyword| !keyword.is_in("  ")));
            }
        }
    }

    #[test]
    fn every_role_gets_different_questions_of_its_own_trade() {
        let catalog = Catalog::embedded().unwrap();
        for role in &catalog.roles {
            for grade in ["junior", "middle", "senior"] {
                let output = run(&catalog, &json!({"role": role.title, "grade": grade, "count": 8}));
                let ids = ids(&output);
                assert_eq!(ids.len(), 8, "{}", role.key);
                assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 8, "{}", role.key);
                let skills: Vec<&str> = role
                    .requirements
                    .iter()
                    .flat_map(|each| each.any_of.iter().map(|&skill| catalog.key(skill)))
                    .collect();
                let questions = output["questions"].as_array().unwrap();
                let own = questions.iter().filter(|each| skills.contains(&each["skill"].as_str().unwrap()));
                assert!(own.count() >= 4, "{} {grade}: {ids:?}", role.key);
            }
        }
    }

    #[test]
    fn the_same_input_draws_the_same_and_a_seed_draws_others() {
        let catalog = Catalog::embedded().unwrap();
        let input = json!({"role": "Product Manager", "count": 6});
        assert_eq!(run(&catalog, &input), run(&catalog, &input));
        let with_seed = |seed: u32| ids(&run(&catalog, &json!({"role": "Sales", "seed": seed, "count": 6})));
        assert!((0..8).any(|seed| with_seed(seed) != with_seed(99)));
    }

    #[test]
    fn a_topic_and_a_type_are_respected() {
        let catalog = Catalog::embedded().unwrap();
        let focused = run(&catalog, &json!({"role": "backend", "focus": "rust", "count": 2}));
        assert_eq!(ids(&focused).iter().filter(|id| id.starts_with("rust-")).count(), 2);
        let behavioural = run(&catalog, &json!({"role": "backend", "type": "behavioral", "count": 4}));
        let questions = behavioural["questions"].as_array().unwrap();
        assert!(questions.iter().all(|each| each["kind"] == "behavioural"));
    }

    #[test]
    fn a_good_answer_scores_higher_than_an_empty_phrase() {
        let catalog = Catalog::embedded().unwrap();
        let good = "First I look at the plan with EXPLAIN ANALYZE and compare estimated and real rows. \
            For example, in my last project a report took 40 seconds because an index on two columns \
            was missing, so I added a composite index. Then I checked that statistics were current and \
            rewrote an N+1 loop into one join. As a result it took 120 ms, and I measured it again after \
            a week.";
        let question = "A query that used to be fast became slow. How do you find out why and fix it?";
        let score = |text: &str| {
            let input = json!({"role": "backend", "answers": [{"question": question, "answer": text}]});
            run(&catalog, &input)["score"].as_f64().unwrap()
        };
        let (well, poorly) = (score(good), score("I would just google it."));
        assert!(well >= 75.0, "{well}");
        assert!(poorly <= 30.0, "{poorly}");
    }

    #[test]
    fn without_answers_nothing_is_scored() {
        let catalog = Catalog::embedded().unwrap();
        let output = run(&catalog, &json!({"role": "QA"}));
        assert_eq!(output["score"], 0.0);
        assert_eq!(output["answered_count"], 0);
        assert!(output["feedback"].as_array().unwrap().iter().all(|each| each["score"].is_null()));
        assert_eq!(output["next_question"], output["questions"][0]["question"]);
    }
}
