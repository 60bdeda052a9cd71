//! The embedded knowledge: skills, roles, interview questions and mentor topics,
//! read once and checked as a whole, so that everything after it can rely on
//! references that resolve and prerequisites without cycles.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::interview::Question;
use super::mentor::Topic;
use super::words::{Context, Hit, Lexicon, Word, words};

/// The proficiency (0–100) that [`Skill::hours`] lead to: ordinary work unaided.
pub(super) const WORKING_LEVEL: f64 = 70.0;

/// Index of a skill in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SkillId(usize);

impl From<Hit> for SkillId {
    /// The skill that a hit of [`Catalog::skill_hits`] stands for.
    fn from(hit: Hit) -> Self {
        Self(hit.target)
    }
}

/// A skill as the data file describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Skill {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) category: String,
    /// Hours of focused study from nothing to [`WORKING_LEVEL`], prerequisites excluded.
    pub(super) hours: f64,
    #[serde(default)]
    prerequisites: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    /// Names that are also ordinary words: in running text they count only when
    /// written exactly like this.
    #[serde(default)]
    exact: Vec<String>,
    pub(super) resource: Resource,
}

/// A public course, book or documentation to learn a skill from.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    pub(super) title: String,
    pub(super) by: String,
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
}

/// A role and what it takes at the middle grade.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleRecord {
    key: String,
    title: String,
    aliases: Vec<String>,
    summary: String,
    requirements: Vec<RequirementRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequirementRecord {
    #[serde(default)]
    skill: Option<String>,
    #[serde(default)]
    any_of: Vec<String>,
    level: f64,
    weight: f64,
}

/// A role with its references resolved.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) requirements: Vec<RoleRequirement>,
    /// Every phrase that names the role, normalised.
    pub(super) phrases: Vec<String>,
}

/// One thing a role needs: a skill, or any one of several.
#[derive(Debug)]
pub(super) struct RoleRequirement {
    /// At least one; the first is proposed to somebody who has none of them.
    pub(super) any_of: Vec<SkillId>,
    /// Proficiency 0–100 at the middle grade.
    pub(super) level: f64,
    /// Importance 1–10.
    pub(super) weight: f64,
}

/// Why the embedded data cannot be used.
#[derive(Debug)]
pub struct BadCatalog(String);

impl std::fmt::Display for BadCatalog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "embedded catalogue: {}", self.0)
    }
}

impl std::error::Error for BadCatalog {}

/// Everything the engine knows.
#[derive(Debug)]
pub(super) struct Catalog {
    skills: Vec<Skill>,
    by_key: HashMap<String, SkillId>,
    /// Per skill, every skill needed before it, transitively.
    before: Vec<BTreeSet<SkillId>>,
    lexicon: Lexicon,
    pub(super) roles: Vec<Role>,
    role_lexicon: Lexicon,
    pub(super) questions: Vec<Question>,
    pub(super) topics: Vec<Topic>,
}

impl Catalog {
    /// Reads and checks the data that is compiled into the program.
    pub(super) fn embedded() -> Result<Self, BadCatalog> {
        let skills: Vec<Skill> = parse("skills", include_str!("../../data/skills.json"))?;
        let by_key = index(&skills)?;
        let before = closures(&skills, &by_key)?;
        let lexicon = skill_lexicon(&skills)?;
        let records: Vec<RoleRecord> = parse("roles", include_str!("../../data/roles.json"))?;
        let (roles, role_lexicon) = resolve_roles(records, &by_key)?;
        let questions: Vec<Question> = parse("questions", include_str!("../../data/questions.json"))?;
        for question in &questions {
            find(&by_key, &question.skill, &question.id)?;
        }
        let topics = parse("mentor", include_str!("../../data/mentor.json"))?;
        Ok(Self { skills, by_key, before, lexicon, roles, role_lexicon, questions, topics })
    }

    pub(super) fn skill(&self, id: SkillId) -> &Skill {
        &self.skills[id.0]
    }

    pub(super) fn key(&self, id: SkillId) -> &str {
        &self.skill(id).key
    }

    pub(super) fn name(&self, id: SkillId) -> &str {
        &self.skill(id).name
    }

    /// The skill with exactly this key.
    pub(super) fn find(&self, key: &str) -> Option<SkillId> {
        self.by_key.get(key).copied()
    }

    /// Everything that must be learnt before `id`, transitively.
    pub(super) fn before(&self, id: SkillId) -> &BTreeSet<SkillId> {
        &self.before[id.0]
    }

    /// What the skill builds on directly.
    pub(super) fn prerequisites(&self, id: SkillId) -> impl Iterator<Item = SkillId> + '_ {
        let keys = self.skill(id).prerequisites.iter();
        keys.filter_map(|key| self.find(key))
    }

    /// The distinct skills named in `text`, in order of appearance.
    pub(super) fn skills_in(&self, text: &str, context: Context) -> Vec<SkillId> {
        let mut found = Vec::new();
        for hit in self.skill_hits(&words(text), context) {
            let id = SkillId::from(hit);
            if !found.contains(&id) {
                found.push(id);
            }
        }
        found
    }

    /// Every mention of a skill among `words`.
    pub(super) fn skill_hits(&self, words: &[Word<'_>], context: Context) -> Vec<Hit> {
        self.lexicon.scan(words, context)
    }

    /// The role named by the longest phrase among `words`, with the words it covers.
    pub(super) fn role_hit(&self, words: &[Word<'_>]) -> Option<(&Role, Hit)> {
        let hits = self.role_lexicon.scan(words, Context::List);
        let longest = hits.into_iter().reduce(|best, hit| if hit.length > best.length { hit } else { best })?;
        self.roles.get(longest.target).map(|role| (role, longest))
    }

    /// The role with exactly this key.
    pub(super) fn role(&self, key: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.key == key)
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, BadCatalog> {
    serde_json::from_str(text).map_err(|error| BadCatalog(format!("{name}: {error}")))
}

fn find(by_key: &HashMap<String, SkillId>, key: &str, owner: &str) -> Result<SkillId, BadCatalog> {
    let missing = || BadCatalog(format!("{owner} names an unknown skill {key}"));
    by_key.get(key).copied().ok_or_else(missing)
}

fn index(skills: &[Skill]) -> Result<HashMap<String, SkillId>, BadCatalog> {
    let mut by_key = HashMap::new();
    for (at, skill) in skills.iter().enumerate() {
        if by_key.insert(skill.key.clone(), SkillId(at)).is_some() {
            return Err(BadCatalog(format!("skill {} appears twice", skill.key)));
        }
    }
    Ok(by_key)
}

/// The transitive prerequisites of every skill; an error names a cycle.
fn closures(skills: &[Skill], by_key: &HashMap<String, SkillId>) -> Result<Vec<BTreeSet<SkillId>>, BadCatalog> {
    let mut closures = Vec::with_capacity(skills.len());
    for (at, skill) in skills.iter().enumerate() {
        let mut seen = BTreeSet::new();
        let mut open = vec![skill];
        while let Some(next) = open.pop() {
            for key in &next.prerequisites {
                let id = find(by_key, key, &next.key)?;
                if seen.insert(id) {
                    open.push(&skills[id.0]);
                }
            }
        }
        if seen.contains(&SkillId(at)) {
            return Err(BadCatalog(format!("skill {} requires itself", skill.key)));
        }
        closures.push(seen);
    }
    Ok(closures)
}

fn skill_lexicon(skills: &[Skill]) -> Result<Lexicon, BadCatalog> {
    let mut lexicon = Lexicon::default();
    for (at, skill) in skills.iter().enumerate() {
        // Ambiguous names first: the plain spelling of the key must not undo them.
        let spoken_key = skill.key.replace('_', " ");
        let exact = skill.exact.iter().map(|phrase| (phrase.as_str(), true));
        let plain =
            [spoken_key.as_str(), skill.name.as_str()].into_iter().chain(skill.aliases.iter().map(String::as_str));
        for (phrase, ambiguous) in exact.chain(plain.map(|phrase| (phrase, false))) {
            if let Some(owner) = lexicon.add(phrase, at, ambiguous) {
                let owner = &skills[owner].key;
                let message = format!("`{phrase}` names both {owner} and {}", skill.key);
                return Err(BadCatalog(message));
            }
        }
    }
    Ok(lexicon)
}

fn resolve_roles(
    records: Vec<RoleRecord>,
    by_key: &HashMap<String, SkillId>,
) -> Result<(Vec<Role>, Lexicon), BadCatalog> {
    let mut roles: Vec<Role> = Vec::with_capacity(records.len());
    let mut lexicon = Lexicon::default();
    for (at, record) in records.into_iter().enumerate() {
        let mut requirements = Vec::with_capacity(record.requirements.len());
        for requirement in record.requirements {
            let keys = requirement.skill.iter().chain(&requirement.any_of);
            let any_of: Vec<SkillId> = keys.map(|key| find(by_key, key, &record.key)).collect::<Result<_, _>>()?;
            if any_of.is_empty() {
                return Err(BadCatalog(format!("{} has an empty requirement", record.key)));
            }
            requirements.push(RoleRequirement { any_of, level: requirement.level, weight: requirement.weight });
        }
        let mut phrases = vec![record.key.replace('_', " "), record.title.clone()];
        phrases.extend(record.aliases);
        for phrase in &phrases {
            if let Some(owner) = lexicon.add(phrase, at, false) {
                let owner = &roles[owner].key;
                let message = format!("`{phrase}` names both {owner} and {}", record.key);
                return Err(BadCatalog(message));
            }
        }
        roles.push(Role {
            key: record.key,
            title: record.title,
            summary: record.summary,
            requirements,
            phrases: phrases.iter().map(|phrase| super::words::normalise(phrase)).collect(),
        });
    }
    Ok((roles, lexicon))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog::embedded().unwrap()
    }

    fn keys(text: &str, context: Context) -> Vec<String> {
        let catalog = catalog();
        let found = catalog.skills_in(text, context);
        found.iter().map(|&id| catalog.key(id).to_owned()).collect()
    }

    #[test]
    fn the_data_is_whole_and_large_enough() {
        let catalog = catalog();
        assert!(catalog.skills.len() >= 120, "{} skills", catalog.skills.len());
        assert!(catalog.roles.len() >= 18, "{} roles", catalog.roles.len());
        for skill in &catalog.skills {
            assert!((5.0..=200.0).contains(&skill.hours), "{}", skill.key);
            assert_eq!(super::super::words::slug(&skill.key), skill.key);
            for exact in &skill.exact {
                assert_eq!(words(exact).len(), 1, "{exact}");
            }
            let url = skill.resource.url.as_deref().unwrap_or("https://");
            assert!(url.starts_with("https://"), "{url}");
        }
    }

    #[test]
    fn every_role_asks_for_sensible_levels_and_weights_and_for_no_skill_twice() {
        for role in &catalog().roles {
            let mut seen = BTreeSet::new();
            assert!(role.requirements.len() >= 8, "{}", role.key);
            for requirement in &role.requirements {
                assert!((20.0..=90.0).contains(&requirement.level), "{}", role.key);
                assert!((1.0..=10.0).contains(&requirement.weight), "{}", role.key);
                for skill in &requirement.any_of {
                    assert!(seen.insert(*skill), "{}", role.key);
                }
            }
        }
    }

    #[test]
    fn nothing_is_its_own_prerequisite_even_through_others() {
        let catalog = catalog();
        for at in 0..catalog.skills.len() {
            assert!(!catalog.before(SkillId(at)).contains(&SkillId(at)));
        }
        let kubernetes = catalog.find("kubernetes").unwrap();
        let before = catalog.before(kubernetes);
        assert!(before.contains(&catalog.find("linux").unwrap()), "through docker");
    }

    #[test]
    fn synonyms_mean_the_same_skill() {
        let given = "JS, Postgres, k8s, golang, React.js, sklearn, CI/CD, Amazon Web Services";
        assert_eq!(
            keys(given, Context::List),
            ["javascript", "postgresql", "kubernetes", "go", "react", "scikit_learn", "ci_cd", "aws"]
        );
    }

    #[test]
    fn ordinary_words_in_prose_are_not_skills() {
        let prose = "I like to go out, express myself, react to the rest of the team and excel.";
        assert_eq!(keys(prose, Context::Prose), Vec::<String>::new());
    }

    #[test]
    fn a_repeated_prerequisite_is_an_error_that_names_the_cycle() {
        let text = r#"[
            {"key":"a","name":"A","category":"x","hours":1,"prerequisites":["b"],
             "resource":{"title":"t","by":"b","kind":"book"}},
            {"key":"b","name":"B","category":"x","hours":1,"prerequisites":["a"],
             "resource":{"title":"t","by":"b","kind":"book"}}]"#;
        let skills: Vec<Skill> = parse("skills", text).unwrap();
        let error = closures(&skills, &index(&skills).unwrap()).unwrap_err();
        assert!(error.to_string().contains("skill a requires itself"));
    }
}
