//! The difference between what a target needs and what somebody knows, and the
//! order in which to close it: prerequisites first, then what matters most.

use std::collections::BTreeSet;

use super::catalog::{Catalog, SkillId, WORKING_LEVEL};
use super::fields::{self, Fields};
use super::inventory::Inventory;
use super::target::{Grade, Target};
use super::words::Context;

/// The level (0–100) at which a skill is good enough to build another on.
const FOUNDATION_LEVEL: f64 = 50.0;
const FOUNDATION_WEIGHT: f64 = 1.0;
/// Level and weight of a skill that the title of the role itself names.
const NAMED_LEVEL: f64 = 75.0;
const NAMED_WEIGHT: f64 = 10.0;
/// Weight of a skill that the input itself lists as required.
const LISTED_WEIGHT: f64 = 5.0;

/// Names under which an input may list what has to be learnt, in place of a role.
const REQUIRED_FIELDS: &[&str] = &[
    "missingskills",
    "priorityorder",
    "requiredskills",
    "targetskills",
    "skillstolearn",
    "learnskills",
    "skillgaps",
    "skillgap",
    "desiredskills",
];

/// One skill that the target needs, made concrete.
#[derive(Debug, Clone)]
pub(super) struct Requirement {
    pub(super) skill: SkillId,
    /// 0–100.
    pub(super) level: f64,
    /// 1–10.
    pub(super) weight: f64,
    /// Other skills that would do instead.
    pub(super) alternatives: Vec<SkillId>,
    /// The skills of the target that this one is only the foundation of.
    pub(super) foundation_of: Vec<SkillId>,
}

/// A requirement that is not met yet.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub(super) requirement: Requirement,
    /// 0–100; 0 where nothing is known.
    pub(super) current: f64,
    /// Hours of study to get from `current` to the required level, at least 1.
    pub(super) hours: f64,
}

/// What a target needs against what is there.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) requirements: Vec<Requirement>,
    /// In the order of learning.
    pub(super) missing: Vec<Missing>,
}

impl Gap {
    /// Compares the needs of `target` with `inventory`. A list of required
    /// skills in the input takes the place of the role's own.
    pub(super) fn between(catalog: &Catalog, fields: &Fields<'_>, target: &Target<'_>, inventory: &Inventory) -> Self {
        let listed = listed_requirements(catalog, fields, target.grade);
        let mut requirements = if listed.is_empty() { role_requirements(target, inventory) } else { listed };
        add_foundations(catalog, inventory, &mut requirements);
        let missing = requirements
            .iter()
            .filter(|each| !inventory.satisfies(each.skill, each.level))
            .map(|each| missing(catalog, inventory, each))
            .collect();
        Self { missing: in_order(catalog, missing), requirements }
    }

    /// The share of the target's weight already met, in percent; a skill on the
    /// way counts for the part of its level that is there.
    pub(super) fn readiness(&self, inventory: &Inventory) -> f64 {
        let total: f64 = self.requirements.iter().map(|each| each.weight).sum();
        let met: f64 = self
            .requirements
            .iter()
            .map(|each| {
                if inventory.satisfies(each.skill, each.level) {
                    each.weight
                } else {
                    each.weight * inventory.level(each.skill) / each.level
                }
            })
            .sum();
        if total > 0.0 { (met / total * 100.0).round() } else { 100.0 }
    }

    pub(super) fn hours(&self) -> f64 {
        self.missing.iter().map(|each| each.hours).sum()
    }
}

/// What the role of `target` needs, one skill chosen wherever several would do.
pub(super) fn role_requirements(target: &Target<'_>, inventory: &Inventory) -> Vec<Requirement> {
    let grade = target.grade;
    let mut requirements: Vec<Requirement> = target
        .role
        .requirements
        .iter()
        .map(|each| {
            let level = grade.level(each.level);
            let skill = choose(&each.any_of, level, target, inventory);
            Requirement {
                skill,
                level,
                weight: each.weight,
                alternatives: each.any_of.iter().copied().filter(|&other| other != skill).collect(),
                foundation_of: Vec::new(),
            }
        })
        .collect();
    for &skill in &target.named_skills {
        match requirements.iter_mut().find(|each| each.skill == skill) {
            // The title asks for this one: nothing else will do.
            Some(each) => each.alternatives.clear(),
            None => requirements.push(Requirement {
                skill,
                level: grade.level(NAMED_LEVEL),
                weight: NAMED_WEIGHT,
                alternatives: Vec::new(),
                foundation_of: Vec::new(),
            }),
        }
    }
    requirements
}

/// Which of several skills a requirement becomes: the one the title names, one
/// that is known well enough, the one known best, or the usual choice.
fn choose(any_of: &[SkillId], level: f64, target: &Target<'_>, inventory: &Inventory) -> SkillId {
    let named = any_of.iter().find(|skill| target.named_skills.contains(skill));
    let stated = || any_of.iter().find(|&&skill| inventory.states(skill) && inventory.satisfies(skill, level));
    let known = || any_of.iter().find(|&&skill| inventory.satisfies(skill, level));
    let begun = || {
        let best = any_of.iter().rev().max_by(|&&a, &&b| inventory.level(a).total_cmp(&inventory.level(b)));
        best.filter(|&&skill| inventory.level(skill) > 0.0)
    };
    let chosen = named.or_else(stated).or_else(known).or_else(begun);
    *chosen.unwrap_or(&any_of[0])
}

fn listed_requirements(catalog: &Catalog, fields: &Fields<'_>, grade: Grade) -> Vec<Requirement> {
    const LEVELS: &[&str] = &["required", "requiredlevel", "targetproficiency", "targetlevel", "target"];
    let mut requirements: Vec<Requirement> = Vec::new();
    for item in fields.list(REQUIRED_FIELDS) {
        let stated = item.detail.and_then(|detail| fields::inside(detail, LEVELS));
        let level = stated
            .and_then(fields::number)
            .map_or_else(|| grade.level(WORKING_LEVEL), |level| level.clamp(20.0, 100.0));
        for skill in catalog.skills_in(&item.text, Context::List) {
            if !requirements.iter().any(|each| each.skill == skill) {
                requirements.push(Requirement {
                    skill,
                    level,
                    weight: LISTED_WEIGHT,
                    alternatives: Vec::new(),
                    foundation_of: Vec::new(),
                });
            }
        }
    }
    requirements
}

/// Adds what missing skills build on, where the target does not ask for it anyway.
fn add_foundations(catalog: &Catalog, inventory: &Inventory, requirements: &mut Vec<Requirement>) {
    let asked: BTreeSet<SkillId> = requirements.iter().map(|each| each.skill).collect();
    let mut foundations: Vec<Requirement> = Vec::new();
    for each in requirements.iter() {
        if inventory.satisfies(each.skill, each.level) || inventory.level(each.skill) > 0.0 {
            continue;
        }
        for &basis in catalog.before(each.skill) {
            if asked.contains(&basis) {
                continue;
            }
            match foundations.iter_mut().find(|known| known.skill == basis) {
                Some(known) => known.foundation_of.push(each.skill),
                None => foundations.push(Requirement {
                    skill: basis,
                    level: FOUNDATION_LEVEL,
                    weight: FOUNDATION_WEIGHT,
                    alternatives: Vec::new(),
                    foundation_of: vec![each.skill],
                }),
            }
        }
    }
    foundations.retain(|each| !inventory.satisfies(each.skill, each.level));
    requirements.append(&mut foundations);
}

fn missing(catalog: &Catalog, inventory: &Inventory, requirement: &Requirement) -> Missing {
    let current = inventory.level(requirement.skill);
    let share = (requirement.level - current) / WORKING_LEVEL;
    let hours = (catalog.skill(requirement.skill).hours * share).ceil().max(1.0);
    Missing { requirement: requirement.clone(), current, hours }
}

/// Orders by prerequisites (Kahn's algorithm over the transitive relation); among
/// what could come next, by importance. A foundation is as important as the most
/// important skill that waits for it.
fn in_order(catalog: &Catalog, missing: Vec<Missing>) -> Vec<Missing> {
    let waits_for = |a: &Missing, b: &Missing| catalog.before(a.requirement.skill).contains(&b.requirement.skill);
    let importance: Vec<f64> = missing
        .iter()
        .map(|each| {
            let waiting = missing.iter().filter(|other| waits_for(other, each));
            waiting.map(|other| other.requirement.weight).fold(each.requirement.weight, f64::max)
        })
        .collect();
    let mut open: Vec<(f64, Missing)> = importance.into_iter().zip(missing).collect();
    let mut ordered = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let ready = |at: &usize| {
            let (_, candidate) = &open[*at];
            !open.iter().any(|(_, other)| waits_for(candidate, other))
        };
        let next = (0..open.len()).filter(ready).reduce(|best, at| {
            let (a, b) = (&open[best], &open[at]);
            let by = b.0.total_cmp(&a.0).then_with(|| {
                let missing = |each: &Missing| each.requirement.level - each.current;
                missing(&b.1).total_cmp(&missing(&a.1))
            });
            if by.is_gt() { at } else { best }
        });
        // The relation has no cycle, so something is always ready.
        let (_, chosen) = open.remove(next.unwrap_or(0));
        ordered.push(chosen);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::target;
    use super::*;

    fn gap(catalog: &Catalog, input: &Value) -> (Gap, Inventory) {
        let map = input.as_object().cloned().unwrap();
        let fields = Fields::new(&map);
        let inventory = Inventory::read(catalog, &fields);
        let target = target::find(catalog, &fields, &inventory).unwrap();
        (Gap::between(catalog, &fields, &target, &inventory), inventory)
    }

    fn keys(catalog: &Catalog, gap: &Gap) -> Vec<String> {
        let missing = gap.missing.iter();
        missing.map(|each| catalog.key(each.requirement.skill).to_owned()).collect()
    }

    #[test]
    fn knowing_one_of_several_languages_is_enough() {
        let catalog = Catalog::embedded().unwrap();
        let (gap, _) = gap(&catalog, &json!({"targetRole": "Backend Engineer", "skills": ["Rust"]}));
        let missing = keys(&catalog, &gap);
        assert!(!missing.contains(&"python".to_owned()), "{missing:?}");
        assert!(!missing.contains(&"programming_basics".to_owned()), "{missing:?}");
        assert!(missing.contains(&"sql".to_owned()), "{missing:?}");
    }

    #[test]
    fn a_language_in_the_title_replaces_the_usual_choice() {
        let catalog = Catalog::embedded().unwrap();
        let input = json!({"targetRole": "Go Backend Engineer", "skills": ["Python"]});
        let (gap, _) = gap(&catalog, &input);
        let missing = keys(&catalog, &gap);
        assert!(missing.contains(&"go".to_owned()), "{missing:?}");
        assert!(!missing.contains(&"python".to_owned()), "{missing:?}");
    }

    #[test]
    fn foundations_of_what_is_missing_come_first() {
        let catalog = Catalog::embedded().unwrap();
        let (gap, _) = gap(&catalog, &json!({"requiredSkills": ["Kubernetes"]}));
        let missing = keys(&catalog, &gap);
        let place = |key: &str| missing.iter().position(|each| each == key).unwrap();
        assert!(place("linux") < place("docker") && place("docker") < place("kubernetes"));
        assert!(place("networking") < place("kubernetes"));
    }

    #[test]
    fn a_skill_begun_needs_only_the_rest_of_its_hours() {
        let catalog = Catalog::embedded().unwrap();
        let hours = |level: u32| {
            let input = json!({"requiredSkills": ["SQL"], "skills": [{"skill": "SQL", "proficiency": level}]});
            gap(&catalog, &input).0.hours()
        };
        assert!(hours(0) > hours(35) && hours(35) > hours(60));
        assert!(hours(70).abs() < f64::EPSILON);
    }

    prop_compose! {
        fn some_input()(
            role in prop::sample::select(vec![
                "Backend Engineer", "senior data engineer", "ML engineer", "Cloud Architect",
                "junior frontend developer", "tech lead", "Security Engineer", "beekeeper", "",
            ]),
            skills in prop::collection::vec((
                prop::sample::select(vec![
                    "JS", "Python", "SQL", "k8s", "Docker", "React", "Rust", "statistics", "AWS",
                    "Django", "Linux", "machine learning", "Postgres", "system design", "git",
                ]),
                prop::option::of(0_u32..=100),
            ), 0..12),
        ) -> Value {
            let skills: Vec<Value> = skills.into_iter().map(|(skill, level)| match level {
                Some(level) => json!({"skill": skill, "proficiency": level}),
                None => json!(skill),
            }).collect();
            json!({"targetRole": role, "skills": skills})
        }
    }

    #[test]
    fn the_order_respects_prerequisites_and_skips_what_is_known() {
        let catalog = Catalog::embedded().unwrap();
        proptest!(|(input in some_input())| {
            let (gap, inventory) = gap(&catalog, &input);
            let mut later = BTreeSet::new();
            for each in gap.missing.iter().rev() {
                let skill = each.requirement.skill;
                prop_assert!(later.iter().all(|next| !catalog.before(skill).contains(next)));
                prop_assert!(!inventory.satisfies(skill, each.requirement.level));
                prop_assert!(each.hours >= 1.0);
                prop_assert!(later.insert(skill), "twice");
            }
            let readiness = gap.readiness(&inventory);
            prop_assert!((0.0..=100.0).contains(&readiness));
            if gap.missing.is_empty() {
                prop_assert!((readiness - 100.0).abs() < f64::EPSILON);
            }
        });
    }
}
