//! Something to learn each missing skill from: a course that the input offers
//! where one fits, a public one from the catalogue otherwise.

use serde::Serialize;

use super::catalog::Catalog;
use super::fields::{self, Fields, Item};
use super::gap::Missing;
use super::words::Context;

const OFFERED_FIELDS: &[&str] = &["availablecourses", "coursecatalog", "coursecatalogue", "courses"];
/// More than this is a library, not a recommendation.
const MAX_COURSES: usize = 12;

/// A recommended course.
#[derive(Debug, Serialize)]
pub(super) struct Course<'a> {
    title: String,
    skill: &'a str,
    provider: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The id the input gave for its own course.
    #[serde(rename = "course_id", skip_serializing_if = "Option::is_none")]
    offered_id: Option<String>,
    estimated_hours: f64,
    reason: String,
}

/// One course per missing skill, in the order of learning.
pub(super) fn recommend<'a>(catalog: &'a Catalog, fields: &Fields<'_>, missing: &[Missing]) -> Vec<Course<'a>> {
    let offered: Vec<_> = fields
        .list(OFFERED_FIELDS)
        .into_iter()
        .map(|item| (catalog.skills_in(&searched_text(&item), Context::List), item))
        .collect();
    missing
        .iter()
        .take(MAX_COURSES)
        .map(|each| {
            let skill = each.requirement.skill;
            let own = offered.iter().find(|(skills, _)| skills.contains(&skill));
            match own {
                Some((_, item)) => offered_course(catalog, item, each),
                None => public_course(catalog, each),
            }
        })
        .collect()
}

fn searched_text(item: &Item<'_>) -> String {
    let detail = item.detail.map(fields::flatten).unwrap_or_default();
    format!("{}\n{}", item.text, detail.replace('_', " "))
}

fn offered_course<'a>(catalog: &'a Catalog, item: &Item<'_>, missing: &Missing) -> Course<'a> {
    let id = item.detail.and_then(|detail| fields::inside(detail, &["courseid", "id"]));
    Course {
        title: item.text.clone(),
        skill: catalog.key(missing.requirement.skill),
        provider: "offered course".to_owned(),
        kind: "course".to_owned(),
        url: None,
        offered_id: id.and_then(fields::label),
        estimated_hours: missing.hours,
        reason: reason(catalog, missing),
    }
}

fn public_course<'a>(catalog: &'a Catalog, missing: &Missing) -> Course<'a> {
    let resource = &catalog.skill(missing.requirement.skill).resource;
    Course {
        title: resource.title.clone(),
        skill: catalog.key(missing.requirement.skill),
        provider: resource.by.clone(),
        kind: resource.kind.clone(),
        url: resource.url.clone(),
        offered_id: None,
        estimated_hours: missing.hours,
        reason: reason(catalog, missing),
    }
}

fn reason(catalog: &Catalog, missing: &Missing) -> String {
    let name = catalog.name(missing.requirement.skill);
    format!("{name} is at {} and should reach {}", missing.current, missing.requirement.level)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{gap::Gap, inventory::Inventory, target};
    use super::*;

    #[test]
    fn a_course_that_the_input_offers_comes_before_a_public_one() {
        let catalog = Catalog::embedded().unwrap();
        let input = json!({
            "requiredSkills": ["SQL", "Rust"],
            "courses": [{"id": "c-1", "title": "Querying for analysts", "skills": ["sql"]}],
        });
        let map = input.as_object().cloned().unwrap();
        let fields = Fields::new(&map);
        let inventory = Inventory::read(&catalog, &fields);
        let target = target::find(&catalog, &fields, &inventory).unwrap();
        let gap = Gap::between(&catalog, &fields, &target, &inventory);
        let courses = recommend(&catalog, &fields, &gap.missing);
        let course = |skill: &str| courses.iter().find(|each| each.skill == skill).unwrap();
        assert_eq!(course("sql").offered_id.as_deref(), Some("c-1"));
        assert_eq!(course("rust").offered_id, None);
        assert!(course("rust").url.is_some());
    }
}
