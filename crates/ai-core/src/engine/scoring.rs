//! How an interview answer is scored: four stated criteria, each 0–100 from what
//! is in the text, and a weighted total. The same text always scores the same.

use std::collections::BTreeSet;

use serde::Serialize;

use super::answers::Given;
use super::as_f64;
use super::catalog::Catalog;
use super::interview::{Kind, Question};
use super::words::{Context, Keyword, normalise, padded};

/// Without a word on the topic an answer never scores more than this.
const OFF_TOPIC_LIMIT: f64 = 25.0;
/// Below this share of different words, a text of some length is repetition.
const MIN_VARIETY: f64 = 0.35;
const MIN_WORDS_FOR_VARIETY: usize = 30;
/// Scores by how many of the expected points an answer makes.
const BY_POINTS: [f64; 5] = [0.0, 40.0, 70.0, 90.0, 100.0];

const SIGNPOSTS: &[&str] = &[
    " first",
    " second",
    " then ",
    " next ",
    " finally",
    " because",
    " therefore",
    " so that",
    " for example",
    " for instance",
    " however",
    " as a result",
    " in the end",
    " on the other hand",
    " situation",
    " my task",
    " result",
    " when ",
    " if ",
];
const EXAMPLES: &[&str] = &[
    " for example",
    " for instance",
    " in my last",
    " at my ",
    " project",
    " customer",
    " once ",
    " last year",
    " in production",
];
const OWN_ACTIONS: &[&str] = &[
    " i built",
    " i led",
    " i wrote",
    " i designed",
    " i added",
    " i measured",
    " i checked",
    " i changed",
    " i proposed",
    " i asked",
    " i decided",
    " i found",
    " i fixed",
    " i reduced",
    " i introduced",
    " i would",
    " i look",
    " we built",
    " we moved",
    " we used",
    " we measured",
];

/// What an answer is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    /// The expected points are made.
    Relevance,
    /// It can be followed: sentences, order, reasons.
    Structure,
    /// Examples, numbers, named tools, own actions.
    Specificity,
    /// Long enough to say something, short enough to be listened to.
    Length,
}

impl Criterion {
    pub(super) const ALL: [Self; 4] = [Self::Relevance, Self::Structure, Self::Specificity, Self::Length];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Structure => "structure",
            Self::Specificity => "specificity",
            Self::Length => "length",
        }
    }

    /// The share (0–1) of the total.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Relevance => 0.40,
            Self::Structure => 0.20,
            Self::Specificity => 0.25,
            Self::Length => 0.15,
        }
    }

    /// What is expected, for somebody who has not answered yet.
    pub(super) fn expectation(self) -> &'static str {
        match self {
            Self::Relevance => "Name the things that matter for the question; each question has points it looks for.",
            Self::Structure => {
                "Say where you begin, what follows and why; for stories: situation, task, action, result."
            }
            Self::Specificity => "Give an example of your own, with numbers, tools by name and what you yourself did.",
            Self::Length => "Forty to two hundred and fifty words: a minute or two of speech.",
        }
    }

    /// What a score says.
    pub(super) fn comment(self, score: f64) -> &'static str {
        match (self, score >= 70.0, score >= 40.0) {
            (Self::Relevance, true, _) => "The points that matter are there.",
            (Self::Relevance, false, true) => {
                "Some of the expected points are missing; see missing_points of each answer."
            }
            (Self::Relevance, ..) => "The answers pass by the questions; read missing_points and try again.",
            (Self::Structure, true, _) => "Easy to follow.",
            (Self::Structure, false, true) => {
                "Make the order and the reasons visible: first, then, because, as a result."
            }
            (Self::Structure, ..) => "Hard to follow: use whole sentences and say what came first and what it led to.",
            (Self::Specificity, true, _) => "Concrete and believable.",
            (Self::Specificity, false, true) => "Add numbers and the names of the tools you used.",
            (Self::Specificity, ..) => {
                "Too general: give one example of your own with what you did and what came of it."
            }
            (Self::Length, true, _) => "A good length.",
            (Self::Length, false, _) => "Aim at forty to two hundred and fifty words.",
        }
    }
}

/// The score of one answer.
#[derive(Debug, Serialize)]
pub(super) struct Score {
    /// 0–100.
    #[serde(rename = "score")]
    pub(super) total: f64,
    criteria: Criteria,
    covered_points: Vec<String>,
    missing_points: Vec<String>,
    comment: String,
}

#[derive(Debug, Serialize)]
struct Criteria {
    relevance: f64,
    structure: f64,
    specificity: f64,
    length: f64,
}

impl Score {
    pub(super) fn of(&self, criterion: Criterion) -> f64 {
        self.criteria.of(criterion)
    }
}

impl Criteria {
    fn of(&self, criterion: Criterion) -> f64 {
        match criterion {
            Criterion::Relevance => self.relevance,
            Criterion::Structure => self.structure,
            Criterion::Specificity => self.specificity,
            Criterion::Length => self.length,
        }
    }
}

/// Scores an answer; `question` is the bank's, where it is one of the bank's.
pub(super) fn score(catalog: &Catalog, question: Option<&Question>, given: &Given) -> Score {
    let text = Text::new(&given.answer);
    let (covered, missing) = question.map(|each| points(each, &text)).unwrap_or_default();
    let relevance = match question {
        Some(_) => BY_POINTS[covered.len().min(BY_POINTS.len() - 1)],
        None => relevance_of_unknown(catalog, given, &text),
    };
    let repetitive = text.is_repetitive();
    let criteria = Criteria {
        relevance,
        structure: if repetitive { 0.0 } else { structure(&text) },
        specificity: specificity(catalog, &given.answer, &text),
        length: length(text.count),
    };
    let weighted: f64 = Criterion::ALL.into_iter().map(|criterion| criterion.weight() * criteria.of(criterion)).sum();
    let total = if relevance > 0.0 && !repetitive { weighted } else { weighted.min(OFF_TOPIC_LIMIT) };
    Score {
        total: total.round(),
        comment: comment(&criteria, question, &missing, repetitive),
        criteria,
        covered_points: covered,
        missing_points: missing,
    }
}

/// An answer prepared for looking things up.
struct Text {
    /// Normalised, with a space at both ends.
    padded: String,
    sentences: usize,
    count: usize,
}

impl Text {
    fn new(answer: &str) -> Self {
        let padded = padded(answer);
        let sentence = |part: &&str| part.split_whitespace().count() >= 3;
        Self {
            sentences: answer.split(['.', '!', '?', '\n', ';']).filter(sentence).count(),
            count: padded.split_whitespace().count(),
            padded,
        }
    }

    fn count_of(&self, phrases: &[&str]) -> usize {
        phrases.iter().filter(|phrase| self.padded.contains(**phrase)).count()
    }

    fn is_repetitive(&self) -> bool {
        let different: BTreeSet<&str> = self.padded.split_whitespace().collect();
        self.count >= MIN_WORDS_FOR_VARIETY && as_f64(different.len()) < MIN_VARIETY * as_f64(self.count)
    }
}

/// The points made and the points missed.
fn points(question: &Question, text: &Text) -> (Vec<String>, Vec<String>) {
    let (covered, missing): (Vec<_>, Vec<_>) =
        question.points.iter().partition(|point| point.keywords.iter().any(|keyword| keyword.is_in(&text.padded)));
    let names = |points: Vec<&super::interview::Point>| points.iter().map(|each| each.point.clone()).collect();
    (names(covered), names(missing))
}

/// For a question outside the bank: words of the question taken up, and skills named.
fn relevance_of_unknown(catalog: &Catalog, given: &Given, text: &Text) -> f64 {
    let asked = normalise(&given.question);
    let taken_up = asked
        .split(' ')
        .filter(|word| word.chars().count() >= 5 && Keyword::from((*word).to_owned()).is_in(&text.padded))
        .count();
    let skills = catalog.skills_in(&given.answer, Context::Prose).len();
    (as_f64(taken_up) * 20.0 + as_f64(skills) * 20.0).min(100.0)
}

fn structure(text: &Text) -> f64 {
    let sentences: f64 = match text.sentences {
        0 => 0.0,
        1 => 10.0,
        2 => 25.0,
        _ => 40.0,
    };
    sentences + (as_f64(text.count_of(SIGNPOSTS)) * 20.0).min(60.0)
}

fn specificity(catalog: &Catalog, answer: &str, text: &Text) -> f64 {
    let numbers = text.padded.split_whitespace().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let tools = catalog.skills_in(answer, Context::Prose).len();
    let score = (as_f64(numbers.count()) * 15.0).min(30.0)
        + (as_f64(tools) * 12.0).min(36.0)
        + (as_f64(text.count_of(EXAMPLES)) * 15.0).min(30.0)
        + (as_f64(text.count_of(OWN_ACTIONS)) * 15.0).min(30.0);
    score.min(100.0)
}

/// Full marks from 40 to 250 words, falling off on both sides.
fn length(words: usize) -> f64 {
    let words = as_f64(words);
    let score = if words < 40.0 {
        words * 2.5
    } else if words <= 250.0 {
        100.0
    } else {
        (100.0 - (words - 250.0) * 0.25).max(50.0)
    };
    score.round()
}

fn comment(criteria: &Criteria, question: Option<&Question>, missing: &[String], repetitive: bool) -> String {
    if repetitive {
        return "The same words again and again say nothing new; answer in sentences of your own.".to_owned();
    }
    if !missing.is_empty() && criteria.relevance < 90.0 {
        return format!("Say something on: {}.", missing.join("; "));
    }
    let is_story = question.is_some_and(|each| each.kind == Kind::Behavioural);
    if is_story && criteria.structure < 60.0 {
        return "Tell it as situation, task, action and result.".to_owned();
    }
    let weakest = Criterion::ALL
        .into_iter()
        .map(|criterion| (criterion, criteria.of(criterion)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    weakest.map(|(criterion, score)| criterion.comment(score).to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::interview;
    use super::*;

    fn total(catalog: &Catalog, question: &str, answer: &str) -> Score {
        let given = Given { question: question.to_owned(), answer: answer.to_owned() };
        score(catalog, interview::in_bank(catalog, question), &given)
    }

    #[test]
    fn the_weights_add_up_to_one() {
        let sum: f64 = Criterion::ALL.into_iter().map(Criterion::weight).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn repeating_keywords_is_not_an_answer() {
        let catalog = Catalog::embedded().unwrap();
        let stuffed = "index explain statistics rewrite ".repeat(20);
        let score = total(&catalog, "sql-2", &stuffed);
        assert!(score.total <= OFF_TOPIC_LIMIT, "{score:?}");
    }

    #[test]
    fn missing_points_are_named() {
        let catalog = Catalog::embedded().unwrap();
        let score = total(&catalog, "sql-1", "An inner join keeps only rows that match in both tables.");
        assert_eq!(score.covered_points[0], "inner keeps only matches");
        assert!(score.missing_points.contains(&"left keeps all of the left side".to_owned()));
        assert!(score.comment.contains("left keeps all"), "{}", score.comment);
    }

    #[test]
    fn the_length_is_best_between_forty_and_two_hundred_and_fifty_words() {
        let lengths = [0, 10, 40, 250].map(length);
        assert!(lengths.is_sorted() && lengths[2] >= 100.0);
        assert!(length(400) < 100.0 && length(5000) >= 50.0);
    }

    #[test]
    fn every_score_is_between_0_and_100_whatever_the_answer() {
        let catalog = Catalog::embedded().unwrap();
        proptest!(|(answer in ".{0,300}", question in prop::sample::select(vec!["sql-2", "beh-1", "Why us?"]))| {
            let score = total(&catalog, question, &answer);
            prop_assert!((0.0..=100.0).contains(&score.total));
            for criterion in Criterion::ALL {
                prop_assert!((0.0..=100.0).contains(&score.of(criterion)));
            }
        });
    }
}
