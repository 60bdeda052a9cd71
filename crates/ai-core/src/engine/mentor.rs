//! The mentor's answer without a language model: finds the topic, roles and
//! skills in what somebody asks, and answers from rules and the catalogue,
//! saying so.

use std::fmt::Write as _;

use serde::Deserialize;

use super::catalog::{Catalog, Role, SkillId};
use super::words::{Context, Keyword, normalise, padded, words};

/// What the mentor says about itself at the end of every answer.
const HONESTY: &str = "(Answered from CareerOS's rules and skill catalogue: no language model was available.)";
const MAX_SKILLS: usize = 2;
const MAX_NAMED: usize = 5;
/// The topic for everything that fits no other.
const GENERAL_TOPIC: &str = "goals";
const LEARNING_TOPIC: &str = "learning";

/// Something people ask a mentor about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topic {
    key: String,
    /// Chat modes in which a question without other signs is about this topic.
    modes: Vec<String>,
    /// Each shows the topic.
    keywords: Vec<Keyword>,
    advice: Vec<String>,
    question: String,
}

/// Answers the last thing the user said. `messages` are pairs of role and text.
pub(super) fn answer(catalog: &Catalog, mode: &str, messages: &[(&str, &str)]) -> String {
    let asked = messages.iter().rev().find(|(role, _)| *role == "user");
    let text = asked.map_or("", |(_, text)| *text);
    let role = catalog.role_hit(&words(text)).map(|(role, _)| role);
    let skills = catalog.skills_in(text, Context::Prose);
    let topic = topic(catalog, text).or_else(|| {
        let named = role.is_some() || !skills.is_empty();
        let fallback = if named { LEARNING_TOPIC } else { GENERAL_TOPIC };
        let for_mode = catalog.topics.iter().find(|topic| topic.modes.iter().any(|each| each == &normalise_mode(mode)));
        for_mode.or_else(|| catalog.topics.iter().find(|topic| topic.key == fallback))
    });
    let mut answer = String::new();
    if let Some(role) = role {
        push(&mut answer, &about_role(catalog, role));
    }
    for &skill in skills.iter().take(MAX_SKILLS) {
        push(&mut answer, &about_skill(catalog, skill));
    }
    if let Some(topic) = topic {
        let mut advice = String::new();
        for (at, line) in topic.advice.iter().enumerate() {
            let break_before = if at == 0 { "" } else { "\n" };
            // Writing to a string cannot fail.
            _ = write!(advice, "{break_before}{}. {line}", at + 1);
        }
        push(&mut answer, &advice);
        push(&mut answer, &topic.question);
    }
    push(&mut answer, HONESTY);
    answer
}

/// The first advice of the topic that `text` is about, if it is about any.
pub(super) fn first_advice(catalog: &Catalog, text: &str) -> Option<String> {
    topic(catalog, text)?.advice.first().cloned()
}

/// The topic with the most keywords in `text`.
fn topic<'a>(catalog: &'a Catalog, text: &str) -> Option<&'a Topic> {
    let padded = padded(text);
    let hits = |topic: &Topic| topic.keywords.iter().filter(|keyword| keyword.is_in(&padded)).count();
    let mut best: Option<(&Topic, usize)> = None;
    for topic in &catalog.topics {
        let count = hits(topic);
        if count > best.map_or(0, |(_, most)| most) {
            best = Some((topic, count));
        }
    }
    best.map(|(topic, _)| topic)
}

fn normalise_mode(mode: &str) -> String {
    normalise(mode).replace(' ', "_")
}

fn about_role(catalog: &Catalog, role: &Role) -> String {
    let mut requirements: Vec<_> = role.requirements.iter().collect();
    requirements.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let names: Vec<String> = requirements
        .iter()
        .take(MAX_NAMED)
        .map(|each| {
            let names: Vec<&str> = each.any_of.iter().take(3).map(|&skill| catalog.name(skill)).collect();
            names.join(" or ")
        })
        .collect();
    format!("{}: {} What matters most: {}.", role.title, role.summary, names.join(", "))
}

fn about_skill(catalog: &Catalog, id: SkillId) -> String {
    let skill = catalog.skill(id);
    let basis: Vec<&str> = catalog.prerequisites(id).map(|basis| catalog.name(basis)).collect();
    let builds_on = if basis.is_empty() {
        "needs nothing before it".to_owned()
    } else {
        format!("builds on {}", basis.join(" and "))
    };
    let resource = &skill.resource;
    format!(
        "{}: about {} hours of study to work with it unaided; {builds_on}. A good start: \"{}\" ({}).",
        skill.name, skill.hours, resource.title, resource.by
    )
}

fn push(answer: &mut String, paragraph: &str) {
    if !answer.is_empty() {
        answer.push_str("\n\n");
    }
    answer.push_str(paragraph);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(mode: &str, text: &str) -> String {
        answer(&Catalog::embedded().unwrap(), mode, &[("user", text)])
    }

    #[test]
    fn topics_have_advice_a_question_and_keys_that_exist() {
        let catalog = Catalog::embedded().unwrap();
        for topic in &catalog.topics {
            assert!(topic.advice.len() >= 3 && topic.question.ends_with(['?', '.']), "{}", topic.key);
        }
        for key in [GENERAL_TOPIC, LEARNING_TOPIC] {
            assert!(catalog.topics.iter().any(|topic| topic.key == key));
        }
    }

    #[test]
    fn the_question_decides_about_the_topic_and_the_mode_when_it_does_not() {
        assert!(ask("career", "How do I negotiate my salary after an offer?").contains("least you would accept"));
        assert!(ask("interview", "Help me please").contains("situation, task, action"));
        assert!(ask("no such mode", "Hello!").contains("hours a week"));
    }

    #[test]
    fn roles_and_skills_in_the_question_are_answered_from_the_catalogue() {
        let answer = ask("career", "I know JS. How do I learn Kubernetes as a data engineer?");
        assert!(answer.contains("Data Engineer:"), "{answer}");
        assert!(answer.contains("Kubernetes: about 80 hours"), "{answer}");
        assert!(answer.contains("builds on Docker and Computer networking"), "{answer}");
    }

    #[test]
    fn the_last_user_message_counts_and_the_answer_is_honest_about_itself() {
        let catalog = Catalog::embedded().unwrap();
        let messages = [("user", "My salary?"), ("assistant", "…"), ("user", "And my CV?"), ("assistant", "salary")];
        let answer = answer(&catalog, "career", &messages);
        assert!(answer.contains("results before duties"), "{answer}");
        assert!(answer.ends_with(HONESTY));
    }

    #[test]
    fn nothing_asked_is_still_answered() {
        let catalog = Catalog::embedded().unwrap();
        assert!(answer(&catalog, "", &[]).contains("Which role do you think of"));
    }
}
