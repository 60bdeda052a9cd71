//! What somebody knows already: the skills of an input, normalised, with the
//! levels given and the prerequisites that follow from them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::catalog::{Catalog, SkillId};
use super::fields::{self, Fields, Item};
use super::words::{Context, slug};

/// Names under which an input may list what somebody knows.
const SKILL_FIELDS: &[&str] = &[
    "currentskills",
    "skills",
    "myskills",
    "knownskills",
    "existingskills",
    "userskills",
    "skillmatrix",
    "techstack",
    "technologies",
    "stack",
    "competencies",
];
const LEVEL_FIELDS: &[&str] = &["proficiency", "score", "level", "proficiencylevel", "mastery", "rating"];
/// A list this long is a mistake or an attack, not a person.
const MAX_SKILLS: usize = 300;

/// A part of a text with more words is a sentence and no name.
const NAME_WORDS: usize = 3;

/// How well somebody knows a skill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    /// 0–100; `None` where it was named without a level, which counts as enough.
    pub(super) level: Option<f64>,
    /// Stated in the input rather than following from another skill.
    pub(super) stated: bool,
}

/// The skills of one person.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    known: BTreeMap<SkillId, Known>,
    /// Stated skills in the order given.
    order: Vec<SkillId>,
    /// Names that the catalogue does not know, as given.
    pub(super) unrecognised: Vec<String>,
}

impl Inventory {
    /// Reads the skills of an input.
    pub(super) fn read(catalog: &Catalog, fields: &Fields<'_>) -> Self {
        let mut inventory = Self::default();
        let in_prose = fields.get(SKILL_FIELDS).is_some_and(Value::is_string);
        for item in fields.list(SKILL_FIELDS).into_iter().take(MAX_SKILLS) {
            if in_prose && item.text.split_whitespace().count() > NAME_WORDS {
                // "I know some Python and a bit of SQL": nothing in it is a name that we do not know.
                for skill in catalog.skills_in(&item.text, Context::Title) {
                    inventory.state(skill, None);
                }
            } else {
                inventory.add_item(catalog, &item);
            }
        }
        inventory.infer(catalog);
        inventory
    }

    /// An inventory of skills found in a text, which states no levels.
    pub(super) fn of(catalog: &Catalog, skills: &[SkillId]) -> Self {
        let mut inventory = Self::default();
        for &skill in skills {
            inventory.state(skill, None);
        }
        inventory.infer(catalog);
        inventory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.unrecognised.is_empty()
    }

    /// Whether the input itself names the skill.
    pub(super) fn states(&self, skill: SkillId) -> bool {
        self.known.get(&skill).is_some_and(|known| known.stated)
    }

    /// Whether `skill` is known at least at `required` (0–100).
    pub(super) fn satisfies(&self, skill: SkillId, required: f64) -> bool {
        let known = self.known.get(&skill);
        known.is_some_and(|known| known.level.is_none_or(|level| level >= required))
    }

    /// The level of a skill, 0 where it is unknown or was named without one.
    pub(super) fn level(&self, skill: SkillId) -> f64 {
        let known = self.known.get(&skill);
        known.and_then(|known| known.level).unwrap_or(0.0)
    }

    /// The stated skills with their levels, in the order given.
    pub(super) fn stated(&self) -> impl Iterator<Item = (SkillId, Option<f64>)> + '_ {
        let level = |skill: &SkillId| self.known.get(skill).and_then(|known| known.level);
        self.order.iter().map(move |skill| (*skill, level(skill)))
    }

    /// Skills that were not stated but follow from stated ones.
    pub(super) fn inferred(&self) -> impl Iterator<Item = SkillId> + '_ {
        let inferred = self.known.iter().filter(|(_, known)| !known.stated);
        inferred.map(|(skill, _)| *skill)
    }

    /// The keys of everything stated; a name the catalogue lacks becomes its slug.
    pub(super) fn keys(&self, catalog: &Catalog) -> Vec<String> {
        let mut keys: Vec<String> = self.order.iter().map(|&id| catalog.key(id).to_owned()).collect();
        for name in &self.unrecognised {
            let key = slug(name);
            if !key.is_empty() && !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    fn add_item(&mut self, catalog: &Catalog, item: &Item<'_>) {
        let skills = catalog.skills_in(&item.text, Context::List);
        let level = item.detail.and_then(stated_level);
        if skills.is_empty() {
            self.unrecognised.push(item.text.chars().take(64).collect());
        }
        for skill in skills {
            self.state(skill, level);
        }
    }

    fn state(&mut self, skill: SkillId, level: Option<f64>) {
        let Some(known) = self.known.get_mut(&skill) else {
            self.order.push(skill);
            self.known.insert(skill, Known { level, stated: true });
            return;
        };
        known.level = match (known.level, level) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }

    /// Whoever knows Django knows Python: prerequisites that were not stated are
    /// known at least as well as what builds on them.
    fn infer(&mut self, catalog: &Catalog) {
        let stated: Vec<(SkillId, Option<f64>)> = self.stated().collect();
        for (skill, level) in stated {
            for &basis in catalog.before(skill) {
                let inferred = Known { level, stated: false };
                let known = self.known.entry(basis).or_insert(inferred);
                if !known.stated {
                    known.level = match (known.level, level) {
                        (Some(a), Some(b)) => Some(a.max(b)),
                        _ => None,
                    };
                }
            }
        }
    }
}

/// The level (0–100) that the detail of an item states: a number, a fraction
/// below 1, a word, or for `level` and `rating` a step from 1 to 5.
pub(super) fn stated_level(detail: &Value) -> Option<f64> {
    if !detail.is_object() {
        return level_value(detail, false);
    }
    LEVEL_FIELDS.iter().find_map(|&name| {
        let steps = matches!(name, "level" | "rating");
        level_value(fields::inside(detail, &[name])?, steps)
    })
}

fn level_value(value: &Value, steps: bool) -> Option<f64> {
    if let Some(number) = fields::number(value) {
        let percent = if number > 0.0 && number < 1.0 {
            number * 100.0
        } else if steps && (1.0..=5.0).contains(&number) {
            number * 20.0
        } else {
            number
        };
        return Some(percent.clamp(0.0, 100.0));
    }
    match value.as_str()?.trim().to_lowercase().as_str() {
        "none" => Some(0.0),
        "beginner" | "novice" | "basic" | "elementary" | "junior" | "a1" | "a2" => Some(30.0),
        "intermediate" | "middle" | "medium" | "working" | "b1" | "b2" => Some(55.0),
        "advanced" | "proficient" | "strong" | "senior" | "c1" => Some(80.0),
        "expert" | "master" | "fluent" | "native" | "c2" => Some(95.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(input: &Value) -> (Catalog, Inventory) {
        let catalog = Catalog::embedded().unwrap();
        let map = input.as_object().cloned().unwrap();
        let inventory = Inventory::read(&catalog, &Fields::new(&map));
        (catalog, inventory)
    }

    #[test]
    fn synonyms_repetitions_and_unknown_names_are_sorted_out() {
        let input = json!({"skills": ["JS", "javascript", "Postgres", "Beekeeping", "HTML/CSS"]});
        let (catalog, inventory) = read(&input);
        assert_eq!(inventory.keys(&catalog), ["javascript", "postgresql", "html", "css", "beekeeping"]);
        assert_eq!(inventory.unrecognised, ["Beekeeping"]);
    }

    #[test]
    fn skills_may_be_told_in_a_sentence() {
        let input = json!({"currentSkills": "I know some Python and a bit of SQL, never had to go further, weaving"});
        let (catalog, inventory) = read(&input);
        assert_eq!(inventory.keys(&catalog), ["python", "sql", "weaving"]);
    }

    #[test]
    fn levels_come_in_several_notations() {
        let cases = [
            (json!([{"skill": "Rust", "proficiency": 40}]), Some(40.0)),
            (json!([{"skill_key": "rust", "score": "62.5"}]), Some(62.5)),
            (json!([{"name": "Rust", "level": 4}]), Some(80.0)),
            (json!([{"name": "Rust", "level": "Expert"}]), Some(95.0)),
            (json!([{"name": "Rust", "mastery": 0.5}]), Some(50.0)),
            (json!([{"name": "Rust", "score": 900}]), Some(100.0)),
            (json!({"Rust": 70}), Some(70.0)),
            (json!(["Rust"]), None),
            (json!("rust, sql"), None),
        ];
        for (skills, expected) in cases {
            let (catalog, inventory) = read(&json!({ "currentSkills": skills }));
            let stated: Vec<_> = inventory.stated().collect();
            let rust = catalog.find("rust").unwrap();
            assert_eq!(stated.first(), Some(&(rust, expected)), "{skills}");
        }
    }

    #[test]
    fn what_a_skill_builds_on_is_known_too_unless_stated_otherwise() {
        let input =
            json!({"skills": [{"skill": "Django", "level": "advanced"}, {"skill": "Python", "proficiency": 10}]});
        let (catalog, inventory) = read(&input);
        let basics = catalog.find("programming_basics").unwrap();
        let python = catalog.find("python").unwrap();
        assert!(inventory.satisfies(basics, 80.0) && !inventory.states(basics));
        assert!(!inventory.satisfies(python, 50.0), "the stated level wins");
    }

    #[test]
    fn a_skill_without_a_level_counts_as_enough() {
        let (catalog, inventory) = read(&json!({"skills": ["SQL"]}));
        assert!(inventory.satisfies(catalog.find("sql").unwrap(), 95.0));
        assert!(!inventory.satisfies(catalog.find("rust").unwrap(), 1.0));
    }
}
