//! What somebody is heading for: the role and grade that an input names, found
//! by phrase, by a named skill, by similar words, or by the skills already there.

use super::catalog::{Catalog, Role, SkillId};
use super::fields::Fields;
use super::inventory::Inventory;
use super::words::{Context, Hit, Word, words};

/// Names under which an input may state the role, most specific first.
pub(super) const ROLE_FIELDS: &[&str] = &[
    "targetrole",
    "targetposition",
    "desiredrole",
    "targetjob",
    "targetrolekey",
    "jobtitle",
    "position",
    "role",
    "goal",
    "goalkey",
    "careergoal",
    "goaltitle",
    "profession",
    "career",
    "job",
    "title",
    "goals",
];
const GRADE_FIELDS: &[&str] =
    &["targetgrade", "grade", "seniority", "targetlevel", "experiencelevel", "level", "targetseniority"];

/// The role that is taken when nothing names one.
const GENERAL_ROLE: &str = "professional";
/// The role that any programmer's title names; a named skill says more.
const GENERIC_ENGINEER: &str = "software_engineer";
/// A named skill identifies a role only where it is central.
const CENTRAL_WEIGHT: f64 = 8.0;
/// Up to this many words are a title and no sentence.
const TITLE_LENGTH: usize = 3;
/// Words that appear in titles of every trade.
const TITLE_WORDS: &[&str] = &[
    "engineer",
    "developer",
    "manager",
    "specialist",
    "analyst",
    "administrator",
    "designer",
    "assistant",
    "director",
    "officer",
    "consultant",
    "expert",
    "head",
    "architect",
    "senior",
    "junior",
    "become",
    "career",
    "software",
    "technical",
    "business",
    "customer",
    "financial",
    "security",
    "product",
    "system",
    "systems",
    "database",
    "professional",
];

/// How much is expected, relative to the levels of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Grade {
    Junior,
    #[default]
    Middle,
    Senior,
    Lead,
}

impl Grade {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Junior => "junior",
            Self::Middle => "middle",
            Self::Senior => "senior",
            Self::Lead => "lead",
        }
    }

    /// The proficiency (0–100) this grade needs where the middle grade needs `level`.
    pub(super) fn level(self, level: f64) -> f64 {
        let offset = match self {
            Self::Junior => -15.0,
            Self::Middle => 0.0,
            Self::Senior => 10.0,
            Self::Lead => 15.0,
        };
        (level + offset).clamp(20.0, 95.0)
    }

    /// The grade a single word stands for.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        match word {
            "intern" | "internship" | "trainee" | "junior" | "jr" | "entry" | "beginner" | "novice" | "graduate"
            | "student" => Some(Self::Junior),
            "middle" | "mid" | "regular" | "intermediate" => Some(Self::Middle),
            "senior" | "sr" | "advanced" | "experienced" => Some(Self::Senior),
            "lead" | "principal" | "staff" | "expert" | "head" | "chief" => Some(Self::Lead),
            _ => None,
        }
    }
}

/// What the input is measured against.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) role: &'a Role,
    pub(super) grade: Grade,
    /// Skills that the role's title itself names (`Rust Backend Engineer`).
    pub(super) named_skills: Vec<SkillId>,
    /// How sure it is that this is the role that was meant, 0–1.
    pub(super) certainty: f64,
    /// What the reader should know about how the role was found.
    pub(super) warning: Option<String>,
}

/// The target that `fields` name, or the nearest one there is. `None` only where
/// the catalogue lacks even the general role.
pub(super) fn find<'a>(catalog: &'a Catalog, fields: &Fields<'_>, inventory: &Inventory) -> Option<Target<'a>> {
    let stated = fields.text(ROLE_FIELDS);
    let grade = fields.text(GRADE_FIELDS).and_then(|text| grade_in(&words(&text), None));
    let mut target = match &stated {
        Some(text) => from_text(catalog, text)?,
        None => from_skills(catalog, inventory)?,
    };
    if let Some(grade) = grade {
        target.grade = grade;
    }
    Some(target)
}

/// The target that a title or sentence names.
pub(super) fn from_text<'a>(catalog: &'a Catalog, text: &str) -> Option<Target<'a>> {
    let words = words(text);
    let hit = catalog.role_hit(&words);
    let covered = hit.as_ref().map(|(_, hit)| *hit);
    let context = if words.len() <= TITLE_LENGTH { Context::List } else { Context::Title };
    let named_skills: Vec<SkillId> = catalog
        .skill_hits(&words, context)
        .into_iter()
        .filter(|skill| covered.is_none_or(|role| !overlap(*skill, role)))
        .map(SkillId::from)
        .collect();
    let grade = grade_in(&words, covered).unwrap_or_default();
    let known = hit.map(|(role, _)| role);
    let specific = known.filter(|role| role.key != GENERIC_ENGINEER);
    let by_skill = || named_skills.iter().find_map(|&skill| central_role(catalog, skill));
    let target =
        |role, certainty, warning| Target { role, grade, named_skills: named_skills.clone(), certainty, warning };
    if let Some(role) = specific {
        return Some(target(role, 1.0, None));
    }
    if let Some(role) = by_skill() {
        return Some(target(role, 0.9, None));
    }
    if let Some(role) = known {
        return Some(target(role, 0.9, None));
    }
    if let Some(role) = similar_role(catalog, &words) {
        let warning =
            format!("the role \"{}\" is not in the catalogue; the nearest by name is {}", shorten(text), role.title);
        return Some(target(role, 0.6, Some(warning)));
    }
    let warning = format!(
        "the role \"{}\" is not in the catalogue; compared with the skills most professions share",
        shorten(text)
    );
    Some(target(catalog.role(GENERAL_ROLE)?, 0.3, Some(warning)))
}

/// The role nearest to the skills somebody has, for an input that names none.
fn from_skills<'a>(catalog: &'a Catalog, inventory: &Inventory) -> Option<Target<'a>> {
    let nearest = rank(catalog, inventory).into_iter().next();
    let (role, certainty, warning) = match nearest {
        Some((role, coverage)) if coverage > 0.0 => (
            role,
            0.5,
            format!("input.targetRole is missing: compared with the role nearest to the given skills, {}", role.title),
        ),
        _ => (
            catalog.role(GENERAL_ROLE)?,
            0.2,
            "input.targetRole is missing: compared with the skills most professions share".to_owned(),
        ),
    };
    Some(Target { role, grade: Grade::default(), named_skills: Vec::new(), certainty, warning: Some(warning) })
}

/// Every role with the share (0–1) of its weight that `inventory` covers, best first.
pub(super) fn rank<'a>(catalog: &'a Catalog, inventory: &Inventory) -> Vec<(&'a Role, f64)> {
    let mut ranked: Vec<(&Role, f64)> = catalog.roles.iter().map(|role| (role, coverage(role, inventory))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// The share (0–1) of a role's weight that stated skills cover.
pub(super) fn coverage(role: &Role, inventory: &Inventory) -> f64 {
    let total: f64 = role.requirements.iter().map(|each| each.weight).sum();
    let covered: f64 = role
        .requirements
        .iter()
        .filter(|each| each.any_of.iter().any(|&skill| inventory.states(skill)))
        .map(|each| each.weight)
        .sum();
    if total > 0.0 { covered / total } else { 0.0 }
}

fn central_role(catalog: &Catalog, skill: SkillId) -> Option<&Role> {
    let weight = |role: &Role| {
        let found = role.requirements.iter().find(|each| each.any_of.contains(&skill));
        found.map_or(0.0, |requirement| requirement.weight)
    };
    let mut best: Option<&Role> = None;
    for role in catalog.roles.iter().filter(|role| role.key != GENERIC_ENGINEER) {
        if weight(role) >= CENTRAL_WEIGHT && best.is_none_or(|best| weight(role) > weight(best)) {
            best = Some(role);
        }
    }
    best
}

/// The role with a distinctive word that begins like one of `words`
/// (`programming` and `programmer`).
fn similar_role<'a>(catalog: &'a Catalog, words: &[Word<'_>]) -> Option<&'a Role> {
    const SHARED: usize = 5;
    let distinctive = |word: &str| !TITLE_WORDS.contains(&word) && word.chars().count() >= SHARED;
    let begins_alike = |a: &str, b: &str| a.chars().take(SHARED).eq(b.chars().take(SHARED));
    catalog.roles.iter().find(|role| {
        let mut parts = role.phrases.iter().flat_map(|phrase| phrase.split(' '));
        parts.any(|part| {
            distinctive(part) && words.iter().any(|word| distinctive(&word.lower) && begins_alike(part, &word.lower))
        })
    })
}

fn grade_in(words: &[Word<'_>], role: Option<Hit>) -> Option<Grade> {
    let outside = |at: usize| role.is_none_or(|hit| !(hit.start..hit.start + hit.length).contains(&at));
    words.iter().enumerate().filter(|(at, _)| outside(*at)).find_map(|(_, word)| Grade::from_word(&word.lower))
}

fn overlap(a: Hit, b: Hit) -> bool {
    a.start < b.start + b.length && b.start < a.start + a.length
}

fn shorten(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut short: String = text.chars().take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (String, Grade, Vec<String>, bool) {
        let catalog = Catalog::embedded().unwrap();
        let target = from_text(&catalog, text).unwrap();
        let skills = target.named_skills.iter().map(|&id| catalog.key(id).to_owned());
        let warned = target.warning.is_some();
        (target.role.key.clone(), target.grade, skills.collect(), warned)
    }

    #[test]
    fn titles_find_their_role_grade_and_skills() {
        let cases = [
            ("Backend Engineer", "backend_engineer", Grade::Middle, vec![]),
            ("Senior Back-End Developer (Go)", "backend_engineer", Grade::Senior, vec!["go"]),
            ("I want to become a data analyst", "data_analyst", Grade::Middle, vec![]),
            ("jr. React developer", "frontend_engineer", Grade::Junior, vec!["react"]),
            ("Rust Developer", "backend_engineer", Grade::Middle, vec!["rust"]),
            ("DevOps", "devops_engineer", Grade::Middle, vec![]),
            ("data_scientist", "data_scientist", Grade::Middle, vec![]),
            ("Tech Lead", "tech_lead", Grade::Middle, vec![]),
            ("Software Engineer", "software_engineer", Grade::Middle, vec![]),
        ];
        for (text, role, grade, skills) in cases {
            let skills: Vec<String> = skills.into_iter().map(str::to_owned).collect();
            assert_eq!(found(text), (role.to_owned(), grade, skills, false), "{text}");
        }
    }

    #[test]
    fn a_role_that_is_only_similar_or_unknown_is_said_to_be_so() {
        let (role, .., warned) = found("Databases programming");
        assert!(warned, "{role}");
        let (role, .., warned) = found("Beekeeper");
        assert_eq!((role.as_str(), warned), ("professional", true));
    }

    #[test]
    fn a_higher_grade_asks_for_more() {
        let levels = [Grade::Junior, Grade::Middle, Grade::Senior, Grade::Lead].map(|grade| grade.level(75.0));
        assert!(levels.is_sorted(), "{levels:?}");
        assert!(Grade::Lead.level(90.0) <= 95.0 && Grade::Junior.level(20.0) >= 20.0);
    }
}
