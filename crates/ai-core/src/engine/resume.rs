//! The `resume_analysis` flow: what a CV says, what is strong in it, what is
//! missing, judged by what recruiters look for and stated rule by rule.

use chrono::NaiveDate;
use serde::Serialize;

use super::catalog::Catalog;
use super::cv::{Contact, Cv};
use super::fields::{self, Fields};
use super::gap::{self, Gap};
use super::history::Period;
use super::inventory::Inventory;
use super::target::{self, Target};
use super::words::counted;
use super::{Answer, as_f64};

const TEXT_FIELDS: &[&str] = &[
    "resumetext",
    "resume",
    "cvtext",
    "cv",
    "text",
    "content",
    "documenttext",
    "document",
    "body",
    "rawtext",
    "summary",
    "description",
];
/// Role fields that are about the wish, not part of the CV itself.
const TARGET_FIELDS: &[&str] = &["targetrole", "targetposition", "desiredrole", "targetjob", "goal", "careergoal"];

/// A CV is rarely shorter than this; a text of fewer words is not searched for by itself.
const MIN_SEARCHED_CHARS: usize = 40;
const SHORT_WORDS: usize = 150;
const LONG_WORDS: usize = 1000;
const FEW_SKILLS: usize = 5;
const FEW_ACHIEVEMENTS: usize = 3;
/// How many lines, skills or roles are named as examples.
const EXAMPLES: usize = 3;
/// Covering this share of a role's weight makes it worth naming.
const ROLE_FIT: f64 = 0.3;

#[derive(Serialize)]
struct Analysis<'a> {
    summary: String,
    strengths: Vec<String>,
    gaps: Vec<String>,
    suggestions: Vec<String>,
    score: f64,
    skills: Vec<SkillView<'a>>,
    years_of_experience: f64,
    employment_gaps: Vec<String>,
    education: Vec<&'static str>,
    contact: Contact,
    achievements: Vec<String>,
    sections: Vec<&'static str>,
    word_count: usize,
    role_fit: Vec<RoleFit<'a>>,
}

#[derive(Serialize)]
struct SkillView<'a> {
    skill: &'a str,
    name: &'a str,
    category: &'a str,
    mentions: usize,
}

#[derive(Serialize)]
struct RoleFit<'a> {
    role: &'a str,
    role_key: &'a str,
    coverage_percent: f64,
    missing_skills: Vec<&'a str>,
}

pub(super) fn answer(catalog: &Catalog, fields: &Fields<'_>, today: NaiveDate) -> serde_json::Result<Answer> {
    let text = text(fields);
    let cv = Cv::read(catalog, &text, today);
    let found: Vec<_> = cv.skills.iter().map(|(skill, _)| *skill).collect();
    let inventory = Inventory::of(catalog, &found);
    let target = fields.text(TARGET_FIELDS).and_then(|text| target::from_text(catalog, &text));
    let role_fit = role_fit(catalog, &inventory, target.as_ref());
    let mut gaps = gaps(&cv);
    gaps.extend(role_gap(catalog, fields, &inventory, target.as_ref()));
    let output = Analysis {
        summary: summary(catalog, &cv, &role_fit),
        strengths: strengths(catalog, &cv, &role_fit),
        suggestions: suggestions(&cv),
        gaps,
        score: score(&cv),
        skills: cv
            .skills
            .iter()
            .map(|&(id, mentions)| {
                let skill = catalog.skill(id);
                SkillView { skill: &skill.key, name: &skill.name, category: &skill.category, mentions }
            })
            .collect(),
        years_of_experience: cv.years(),
        employment_gaps: cv.holes.iter().map(|hole| hole.describe()).collect(),
        education: cv.education.clone(),
        contact: cv.contact,
        achievements: cv.achievements.clone(),
        sections: cv.sections.clone(),
        word_count: cv.word_count,
        role_fit,
    };
    let mut warnings: Vec<String> = target.iter().filter_map(|each| each.warning.clone()).collect();
    if text.trim().is_empty() {
        warnings.push("input.resumeText is missing: there was no text to analyse".to_owned());
    }
    let readable = as_f64(cv.word_count.min(SHORT_WORDS)) / as_f64(SHORT_WORDS);
    Answer::new(&output, 0.2 + 0.5 * readable, warnings)
}

/// The text of the CV: a known field, or the longest text there is.
fn text(fields: &Fields<'_>) -> String {
    let known = fields.get(TEXT_FIELDS).map(fields::flatten).filter(|text| !text.trim().is_empty());
    known.unwrap_or_else(|| {
        let texts = fields.values().map(fields::flatten);
        let longest = texts.max_by_key(|text| (text.chars().count(), text.clone()));
        longest.filter(|text| text.chars().count() >= MIN_SEARCHED_CHARS).unwrap_or_default()
    })
}

fn role_fit<'a>(catalog: &'a Catalog, inventory: &Inventory, target: Option<&Target<'a>>) -> Vec<RoleFit<'a>> {
    let ranked = target::rank(catalog, inventory);
    let wanted = target.map(|target| (target.role, target::coverage(target.role, inventory)));
    let others = ranked
        .into_iter()
        .filter(|(role, share)| *share >= ROLE_FIT && wanted.is_none_or(|(wanted, _)| wanted.key != role.key));
    wanted
        .into_iter()
        .chain(others)
        .take(EXAMPLES)
        .map(|(role, share)| {
            let missing = role
                .requirements
                .iter()
                .filter(|each| !each.any_of.iter().any(|&skill| inventory.satisfies(skill, each.level)));
            RoleFit {
                role: &role.title,
                role_key: &role.key,
                coverage_percent: (share * 100.0).round(),
                missing_skills: missing.map(|each| catalog.key(each.any_of[0])).collect(),
            }
        })
        .collect()
}

fn strengths(catalog: &Catalog, cv: &Cv, role_fit: &[RoleFit<'_>]) -> Vec<String> {
    let mut strengths = Vec::new();
    if cv.skills.len() >= FEW_SKILLS {
        let names: Vec<&str> = cv.skills.iter().take(EXAMPLES).map(|(id, _)| catalog.name(*id)).collect();
        strengths.push(format!("{}, above all {}", counted(cv.skills.len(), "recognisable skill"), names.join(", ")));
    }
    if cv.years() >= 1.0 {
        strengths.push(format!("{} years of experience", cv.years()));
    }
    if let Some(first) = cv.achievements.first() {
        strengths.push(format!("{} with numbers, for example: {first}", counted(cv.achievements.len(), "result")));
    }
    if !cv.education.is_empty() {
        strengths.push(format!("education is stated: {}", cv.education.join(", ")));
    }
    if cv.contact.email && (cv.contact.phone || cv.contact.profile_link) {
        strengths.push("easy to contact".to_owned());
    }
    if let Some(best) = role_fit.iter().max_by(|a, b| a.coverage_percent.total_cmp(&b.coverage_percent))
        && best.coverage_percent >= 50.0
    {
        strengths.push(format!("covers {} % of what a {} needs", best.coverage_percent, best.role));
    }
    strengths
}

/// Whether something is lacking, and the words for it.
fn gaps(cv: &Cv) -> Vec<String> {
    let holes: Vec<String> = cv.holes.iter().map(|hole: &Period| hole.describe()).collect();
    let checks = [
        (cv.word_count == 0, "there is no text".to_owned()),
        (!cv.contact.email, "no e-mail address".to_owned()),
        (cv.skills.is_empty(), "no recognisable skills".to_owned()),
        (
            (1..FEW_SKILLS).contains(&cv.skills.len()),
            format!("only {}", counted(cv.skills.len(), "recognisable skill")),
        ),
        (cv.years() <= 0.0, "no dated work experience".to_owned()),
        (cv.achievements.is_empty(), "no results with numbers".to_owned()),
        ((1..FEW_ACHIEVEMENTS).contains(&cv.achievements.len()), "few results with numbers".to_owned()),
        (cv.education.is_empty(), "no education or certificates".to_owned()),
        ((1..SHORT_WORDS).contains(&cv.word_count), format!("short: {} words", cv.word_count)),
        (cv.word_count > LONG_WORDS, format!("long: {} words", cv.word_count)),
        (!cv.weak_lines.is_empty(), format!("duties instead of results in {}", counted(cv.weak_lines.len(), "line"))),
        (!holes.is_empty(), format!("unexplained time: {}", holes.join("; "))),
        (cv.claims_more_years_than_dated(), "more years of experience are claimed than the dates show".to_owned()),
    ];
    checks.into_iter().filter(|(lacking, _)| *lacking).map(|(_, text)| text).collect()
}

/// What the wished role needs and the CV does not show.
fn role_gap(
    catalog: &Catalog,
    fields: &Fields<'_>,
    inventory: &Inventory,
    target: Option<&Target<'_>>,
) -> Option<String> {
    let target = target?;
    let gap = Gap::between(catalog, fields, target, inventory);
    let asked: Vec<_> = gap::role_requirements(target, inventory).iter().map(|each| each.skill).collect();
    let names: Vec<&str> = gap
        .missing
        .iter()
        .map(|each| each.requirement.skill)
        .filter(|skill| asked.contains(skill))
        .map(|skill| catalog.name(skill))
        .collect();
    (!names.is_empty()).then(|| format!("not shown, but needed for {}: {}", target.role.title, names.join(", ")))
}

fn suggestions(cv: &Cv) -> Vec<String> {
    let mut suggestions = Vec::new();
    if let Some(weak) = cv.weak_lines.first() {
        suggestions.push(format!("Rewrite as a result with a number what now reads: \"{weak}\""));
    }
    if cv.achievements.len() < FEW_ACHIEVEMENTS {
        suggestions
            .push("Give each job two or three results: what you did, for what, and by how much it changed.".to_owned());
    }
    if !cv.sections.contains(&"skills") {
        suggestions.push("Add a section that lists your skills by name; screening software looks for it.".to_owned());
    }
    if !cv.sections.contains(&"summary") {
        suggestions.push("Open with three lines: who you are, what you are best at, what you look for.".to_owned());
    }
    if !cv.contact.profile_link {
        suggestions.push("Link a profile or a portfolio with work to look at.".to_owned());
    }
    if !cv.holes.is_empty() {
        suggestions.push("Explain the time between jobs in one line; unexplained it raises questions.".to_owned());
    }
    suggestions
}

/// Completeness, 0–100: contact 15, skills 25, dated experience 20, results 20,
/// education 10, length 10.
fn score(cv: &Cv) -> f64 {
    let share = |have: usize, enough: f64| (as_f64(have) / enough).min(1.0);
    let contact = f64::from(u8::from(cv.contact.email)) * 10.0
        + f64::from(u8::from(cv.contact.phone || cv.contact.profile_link)) * 5.0;
    let length = if (SHORT_WORDS..=LONG_WORDS).contains(&cv.word_count) { 10.0 } else { 0.0 };
    let score = contact
        + 25.0 * share(cv.skills.len(), 10.0)
        + 20.0 * (cv.years() / 3.0).min(1.0)
        + 20.0 * share(cv.achievements.len(), 4.0)
        + 10.0 * share(cv.education.len(), 1.0)
        + length;
    score.round()
}

fn summary(catalog: &Catalog, cv: &Cv, role_fit: &[RoleFit<'_>]) -> String {
    if cv.word_count == 0 {
        return "There was no CV text to analyse.".to_owned();
    }
    let names: Vec<&str> = cv.skills.iter().take(EXAMPLES + 2).map(|(id, _)| catalog.name(*id)).collect();
    let skills = if names.is_empty() {
        "no recognisable skills".to_owned()
    } else {
        format!("{} ({})", counted(cv.skills.len(), "recognisable skill"), names.join(", "))
    };
    let fit = role_fit.first().map_or_else(String::new, |best| {
        format!(" It shows {} % of what {} asks for.", best.coverage_percent, best.role)
    });
    format!(
        "A CV of {} with {skills}, {} years of experience and {} with numbers.{fit}",
        counted(cv.word_count, "word"),
        cv.years(),
        counted(cv.achievements.len(), "result")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CV: &str = "\
Ada Example
ada@example.org | +49 170 1234567 | https://github.com/ada

SUMMARY
Backend engineer who likes boring systems.

EXPERIENCE
Senior Engineer, Acme GmbH, Jan 2021 - present
- Reduced report time from 40 s to 2 s by redesigning PostgreSQL indexes
- Led the migration of 12 services to Kubernetes, cutting cost by 30 %
- Responsible for code reviews
Engineer, Beta Ltd, 2016 - 2019
- Built REST APIs in Go and Python used by 200,000 customers

EDUCATION
BSc Computer Science, Example University, 2012 - 2016

SKILLS
Go, Python, PostgreSQL, Kubernetes, Docker, Kafka
";

    fn run(input: &Value) -> Value {
        let catalog = Catalog::embedded().unwrap();
        let map = input.as_object().cloned().unwrap();
        let today = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();
        answer(&catalog, &Fields::new(&map), today).unwrap().output
    }

    fn joined(value: &Value) -> String {
        let parts: Vec<&str> = value.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        parts.join("\n")
    }

    #[test]
    fn a_cv_is_read_by_its_facts() {
        let output = run(&json!({ "resumeText": CV }));
        let skills: Vec<&str> =
            output["skills"].as_array().unwrap().iter().map(|each| each["skill"].as_str().unwrap()).collect();
        for skill in ["go", "python", "postgresql", "kubernetes", "docker", "kafka", "rest_api"] {
            assert!(skills.contains(&skill), "{skill} in {skills:?}");
        }
        // 2016–2019 and January 2021 to June 2026; the years at the university do not count.
        assert_eq!(output["years_of_experience"], 8.5);
        assert_eq!(output["employment_gaps"], json!(["2019-01 to 2020-12"]));
        assert_eq!(output["contact"], json!({"email": true, "phone": true, "profile_link": true}));
        assert_eq!(output["education"], json!(["bachelor"]));
        assert_eq!(output["achievements"].as_array().unwrap().len(), 3);
        assert!(joined(&output["gaps"]).contains("duties instead of results"));
        assert!(joined(&output["gaps"]).contains("unexplained time"));
    }

    #[test]
    fn every_way_to_send_the_text_is_understood() {
        for input in [
            json!({ "resume": CV }),
            json!({ "text": CV }),
            json!({ "resume_text": CV }),
            json!({"somethingElse": CV, "name": "Ada"}),
        ] {
            assert_eq!(run(&input)["years_of_experience"], 8.5);
        }
        let structured = json!({"resume": {"skills": ["Go", "SQL"], "experience": [{"title": "Engineer", "period": "2020 - 2022"}]}});
        let output = run(&structured);
        assert_eq!(output["years_of_experience"], 2.0);
        assert_eq!(output["skills"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_wished_role_is_compared() {
        let output = run(&json!({"resume": CV, "targetRole": "Data Scientist"}));
        assert!(joined(&output["gaps"]).contains("Machine learning"), "{}", output["gaps"]);
        assert_eq!(output["role_fit"][0]["role_key"], "data_scientist");
    }

    #[test]
    fn a_better_cv_scores_higher() {
        let score = |text: &str| run(&json!({ "text": text }))["score"].as_f64().unwrap();
        assert!(score(CV) > score("I am a hard worker and a fast learner who likes people and computers."));
        assert!(score("").abs() < f64::EPSILON);
    }

    #[test]
    fn without_text_the_answer_says_so() {
        let output = run(&json!({}));
        assert!(joined(&output["gaps"]).contains("no text"));
        assert!(output["strengths"].as_array().unwrap().is_empty());
    }
}
