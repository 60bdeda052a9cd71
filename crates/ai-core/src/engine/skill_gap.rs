//! The `skill_gap_analysis` flow: what the target role needs, what is there,
//! what is missing, and in which order to learn it.

use serde::Serialize;

use super::Answer;
use super::catalog::Catalog;
use super::fields::Fields;
use super::gap::{Gap, Missing};
use super::inventory::Inventory;
use super::target::{self, Target};

/// How many of the first things to learn become next steps.
const NEXT_STEPS: usize = 3;

#[derive(Serialize)]
struct SkillGap<'a> {
    summary: String,
    target_role: &'a str,
    target_role_key: &'a str,
    target_grade: &'static str,
    current_skills: Vec<String>,
    missing_skills: Vec<&'a str>,
    priority_order: Vec<&'a str>,
    met_skills: Vec<&'a str>,
    inferred_skills: Vec<&'a str>,
    unrecognised_skills: &'a [String],
    readiness_percent: f64,
    estimated_hours: f64,
    gaps: Vec<GapView<'a>>,
    next_steps: Vec<String>,
}

/// One missing skill in detail, in the order of learning.
#[derive(Serialize)]
struct GapView<'a> {
    skill: &'a str,
    name: &'a str,
    category: &'a str,
    current_proficiency: f64,
    required_proficiency: f64,
    weight: f64,
    estimated_hours: f64,
    prerequisites: Vec<&'a str>,
    alternatives: Vec<&'a str>,
    reason: String,
}

pub(super) fn answer(catalog: &Catalog, fields: &Fields<'_>) -> serde_json::Result<Answer> {
    let inventory = Inventory::read(catalog, fields);
    let Some(target) = target::find(catalog, fields, &inventory) else {
        return Answer::new(&serde_json::json!({}), 0.0, Vec::new());
    };
    let gap = Gap::between(catalog, fields, &target, &inventory);
    let readiness = gap.readiness(&inventory);
    let met = gap.requirements.iter().filter(|each| inventory.satisfies(each.skill, each.level));
    let output = SkillGap {
        summary: summary(catalog, &target, &gap, readiness),
        target_role: &target.role.title,
        target_role_key: &target.role.key,
        target_grade: target.grade.name(),
        current_skills: inventory.keys(catalog),
        missing_skills: by_importance(catalog, &gap),
        priority_order: gap.missing.iter().map(|each| key(catalog, each)).collect(),
        met_skills: met.map(|each| catalog.key(each.skill)).collect(),
        inferred_skills: inventory.inferred().map(|skill| catalog.key(skill)).collect(),
        unrecognised_skills: &inventory.unrecognised,
        readiness_percent: readiness,
        estimated_hours: gap.hours(),
        gaps: gap.missing.iter().map(|each| view(catalog, &target, each)).collect(),
        next_steps: next_steps(catalog, &gap),
    };
    let confidence = 0.8 * target.certainty * if inventory.is_empty() { 0.6 } else { 1.0 };
    Answer::new(&output, confidence, warnings(&target, &inventory))
}

/// What the reader must know to judge the answer.
pub(super) fn warnings(target: &Target<'_>, inventory: &Inventory) -> Vec<String> {
    let mut warnings: Vec<String> = target.warning.iter().cloned().collect();
    if inventory.is_empty() {
        warnings.push("input.currentSkills is missing: everything the role needs counts as missing".to_owned());
    }
    if !inventory.unrecognised.is_empty() {
        let names = inventory.unrecognised.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        warnings.push(format!("not in the skill catalogue, kept as given: {names}"));
    }
    if inventory.stated().any(|(_, level)| level.is_none()) {
        warnings.push("skills given without a proficiency count as sufficient".to_owned());
    }
    warnings
}

fn summary(catalog: &Catalog, target: &Target<'_>, gap: &Gap, readiness: f64) -> String {
    let role = &target.role.title;
    let grade = target.grade.name();
    if gap.missing.is_empty() {
        return format!("Everything that {role} ({grade}) asks for is there; keep it in use and show it in projects.");
    }
    let first: Vec<&str> =
        gap.missing.iter().take(NEXT_STEPS).map(|each| catalog.name(each.requirement.skill)).collect();
    format!(
        "{readiness} % of what {role} ({grade}) asks for is there. {} skills are to be learnt or deepened, \
         about {} hours of study; begin with {}.",
        gap.missing.len(),
        gap.hours(),
        first.join(", ")
    )
}

fn by_importance<'a>(catalog: &'a Catalog, gap: &Gap) -> Vec<&'a str> {
    let mut missing: Vec<&Missing> = gap.missing.iter().collect();
    missing.sort_by(|a, b| b.requirement.weight.total_cmp(&a.requirement.weight));
    missing.into_iter().map(|each| key(catalog, each)).collect()
}

fn key<'a>(catalog: &'a Catalog, missing: &Missing) -> &'a str {
    catalog.key(missing.requirement.skill)
}

fn view<'a>(catalog: &'a Catalog, target: &Target<'_>, missing: &Missing) -> GapView<'a> {
    let requirement = &missing.requirement;
    let skill = catalog.skill(requirement.skill);
    let reason = if requirement.foundation_of.is_empty() {
        format!(
            "{} needs it at {} of 100 (importance {} of 10)",
            target.role.title, requirement.level, requirement.weight
        )
    } else {
        let above = requirement.foundation_of.iter().map(|&skill| catalog.name(skill));
        format!("the foundation of {}", above.collect::<Vec<_>>().join(", "))
    };
    GapView {
        skill: &skill.key,
        name: &skill.name,
        category: &skill.category,
        current_proficiency: missing.current,
        required_proficiency: requirement.level,
        weight: requirement.weight,
        estimated_hours: missing.hours,
        prerequisites: catalog.prerequisites(requirement.skill).map(|id| catalog.key(id)).collect(),
        alternatives: requirement.alternatives.iter().map(|&id| catalog.key(id)).collect(),
        reason,
    }
}

fn next_steps(catalog: &Catalog, gap: &Gap) -> Vec<String> {
    gap.missing
        .iter()
        .take(NEXT_STEPS)
        .map(|each| {
            let skill = catalog.skill(each.requirement.skill);
            format!(
                "{}: about {} hours; start with \"{}\" ({})",
                skill.name, each.hours, skill.resource.title, skill.resource.by
            )
        })
        .collect()
}
