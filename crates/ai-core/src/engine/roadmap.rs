//! The `roadmap_generator` flow: the skill gap cut into stages that respect
//! prerequisites, laid out over weeks, with something to learn each skill from.

use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;

use super::catalog::Catalog;
use super::courses::{self, Course};
use super::fields::{self, Fields};
use super::gap::{Gap, Missing};
use super::inventory::Inventory;
use super::skill_gap;
use super::target::{self, Target};
use super::{Answer, as_f64};

const WEEKLY_FIELDS: &[&str] = &[
    "weeklyhours",
    "hoursperweek",
    "availablehoursperweek",
    "studyhoursperweek",
    "weeklystudyhours",
    "availablehours",
    "weeklyavailability",
    "weeklytime",
    "hours",
];
const DAILY_FIELDS: &[&str] = &["hoursperday", "dailyhours"];
const WEEKS_FIELDS: &[&str] = &[
    "timelineweeks",
    "weeks",
    "durationweeks",
    "deadlineweeks",
    "targetweeks",
    "timeline",
    "duration",
    "timeframe",
    "deadline",
];
const MONTHS_FIELDS: &[&str] = &["timelinemonths", "months", "durationmonths"];

const DEFAULT_WEEKLY_HOURS: f64 = 10.0;
/// Nobody studies with profit beyond this, whatever an input says.
const MAX_WEEKLY_HOURS: f64 = 60.0;
/// What is proposed at most to somebody who names only a date.
const MAX_PROPOSED_HOURS: f64 = 20.0;
const WEEKS_PER_MONTH: f64 = 52.0 / 12.0;
const MAX_WEEKS: f64 = 520.0;
/// Hours of project work and of interview preparation per hour of study, and their minimum.
const PROJECTS: (f64, f64) = (0.15, 12.0);
const INTERVIEW: (f64, f64) = (0.08, 6.0);
const SKILLS_PER_STAGE: usize = 4;
const LEARNING_STAGES: &[&str] = &["Foundation", "Core Skills", "Advanced Skills", "Specialisation"];

#[derive(Serialize)]
struct Roadmap<'a> {
    summary: String,
    target_role: &'a str,
    target_role_key: &'a str,
    target_grade: &'static str,
    timeline_weeks: u32,
    timeline: Timeline<'a>,
    stages: Vec<Stage<'a>>,
    recommended_courses: Vec<Course<'a>>,
    skills_order: Vec<&'a str>,
    estimated_hours: f64,
}

/// How the work and the time fit together.
#[derive(Serialize)]
struct Timeline<'a> {
    weekly_hours: f64,
    needed_weeks: u32,
    requested_weeks: Option<u32>,
    /// Whether the work fits the requested weeks; true where none were requested.
    fits: bool,
    /// The hours a week that the requested weeks would take.
    required_weekly_hours: f64,
    /// Skills that do not fit the requested weeks at the given hours.
    deferred_skills: Vec<&'a str>,
}

#[derive(Serialize)]
struct Stage<'a> {
    order: usize,
    title: String,
    goal: String,
    skills: Vec<&'a str>,
    estimated_hours: f64,
    start_week: u32,
    end_week: u32,
    milestones: Vec<String>,
}

/// A stage before it is laid out over weeks.
struct Block<'a> {
    title: String,
    goal: String,
    missing: &'a [Missing],
    hours: f64,
    milestones: Vec<String>,
}

/// How much time there is, as stated.
struct Time {
    weekly_hours: Option<f64>,
    requested_weeks: Option<u32>,
}

/// How much time the plan takes.
struct Pace {
    weekly_hours: f64,
    needed_weeks: u32,
    timeline_weeks: u32,
    fits: bool,
}

pub(super) fn answer(catalog: &Catalog, fields: &Fields<'_>) -> serde_json::Result<Answer> {
    let inventory = Inventory::read(catalog, fields);
    let Some(target) = target::find(catalog, fields, &inventory) else {
        return Answer::new(&serde_json::json!({}), 0.0, Vec::new());
    };
    let gap = Gap::between(catalog, fields, &target, &inventory);
    let blocks = blocks(catalog, &target, &gap);
    let total: f64 = blocks.iter().map(|block| block.hours).sum();
    let time = Time::read(fields);
    let pace = time.pace(total);
    let output = Roadmap {
        summary: summary(&target, &gap, &time, &pace),
        target_role: &target.role.title,
        target_role_key: &target.role.key,
        target_grade: target.grade.name(),
        timeline_weeks: pace.timeline_weeks,
        timeline: timeline(catalog, &gap, total, &time, &pace),
        stages: lay_out(catalog, &blocks, total / f64::from(pace.timeline_weeks)),
        recommended_courses: courses::recommend(catalog, fields, &gap.missing),
        skills_order: gap.missing.iter().map(|each| catalog.key(each.requirement.skill)).collect(),
        estimated_hours: total,
    };
    let mut warnings = skill_gap::warnings(&target, &inventory);
    if time.weekly_hours.is_none() {
        warnings.push(format!("input.weeklyHours is missing: {} hours a week assumed", pace.weekly_hours));
    }
    if !pace.fits {
        warnings.push(format!(
            "{} weeks do not fit into the requested {}",
            pace.needed_weeks,
            time.requested_weeks.unwrap_or_default()
        ));
    }
    let known_time = if time.weekly_hours.is_some() { 1.0 } else { 0.9 };
    let known_skills = if inventory.is_empty() { 0.7 } else { 1.0 };
    Answer::new(&output, 0.75 * target.certainty * known_time * known_skills, warnings)
}

impl Time {
    fn read(fields: &Fields<'_>) -> Self {
        let weekly = fields.number(WEEKLY_FIELDS);
        let weekly = weekly.or_else(|| fields.number(DAILY_FIELDS).map(|hours| hours * 7.0));
        let months = fields.number(MONTHS_FIELDS).map(|months| months * WEEKS_PER_MONTH);
        let stated = fields.get(WEEKS_FIELDS).and_then(weeks_of).or(months);
        Self {
            weekly_hours: weekly.filter(|hours| *hours > 0.0).map(|hours| hours.clamp(1.0, MAX_WEEKLY_HOURS)),
            requested_weeks: stated.filter(|weeks| *weeks > 0.0).map(whole_weeks),
        }
    }

    /// Whoever names the weekly hours gets the weeks they lead to, spread out to
    /// the requested weeks where these are longer. Whoever names only the weeks
    /// gets the hours they take, up to what is sensible.
    fn pace(&self, total_hours: f64) -> Pace {
        let proposed = || match self.requested_weeks {
            Some(weeks) => (total_hours / f64::from(weeks)).ceil().clamp(1.0, MAX_PROPOSED_HOURS),
            None => DEFAULT_WEEKLY_HOURS,
        };
        let weekly_hours = self.weekly_hours.unwrap_or_else(proposed);
        let needed_weeks = whole_weeks(total_hours / weekly_hours);
        let fits = self.requested_weeks.is_none_or(|requested| needed_weeks <= requested);
        Pace { weekly_hours, needed_weeks, timeline_weeks: needed_weeks.max(self.requested_weeks.unwrap_or(0)), fits }
    }
}

/// A number of weeks, or a text such as `12 weeks`, `6 months`, `1 year`.
fn weeks_of(value: &serde_json::Value) -> Option<f64> {
    if let Some(weeks) = fields::number(value) {
        return Some(weeks);
    }
    let text = value.as_str()?.to_lowercase();
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let amount: f64 = digits.parse().ok()?;
    let unit = text[digits.len()..].trim_start_matches([' ', '-']);
    let weeks = match unit.chars().next()? {
        'w' => 1.0,
        'm' => WEEKS_PER_MONTH,
        'y' => 52.0,
        'd' => 1.0 / 7.0,
        _ => return None,
    };
    Some(amount * weeks)
}

/// Weeks rounded up, at least one.
fn whole_weeks(weeks: f64) -> u32 {
    weeks.ceil().clamp(1.0, MAX_WEEKS).to_u32().unwrap_or(1)
}

fn blocks<'a>(catalog: &Catalog, target: &Target<'_>, gap: &'a Gap) -> Vec<Block<'a>> {
    let study = gap.hours();
    let mut blocks: Vec<Block<'a>> = parts(&gap.missing)
        .into_iter()
        .zip(LEARNING_STAGES)
        .map(|(missing, title)| learning_block(catalog, title, missing))
        .collect();
    let role = &target.role.title;
    let strongest = most_important(catalog, gap);
    blocks.push(Block {
        title: "Projects".to_owned(),
        goal: format!("Work to show that a {role} would recognise"),
        missing: &[],
        hours: (study * PROJECTS.0).max(PROJECTS.1).ceil(),
        milestones: vec![
            format!("One project that uses {strongest} together, finished and published"),
            "A README that says what it does, how to run it and what you would change".to_owned(),
            "A review by somebody who works in the field, and its points dealt with".to_owned(),
        ],
    });
    blocks.push(Block {
        title: "Interview Prep".to_owned(),
        goal: format!("Ready to apply as {role} ({})", target.grade.name()),
        missing: &[],
        hours: (study * INTERVIEW.0).max(INTERVIEW.1).ceil(),
        milestones: vec![
            "A CV with the project and numbers that show results".to_owned(),
            "Three interview simulations with a score of at least 70".to_owned(),
            "Ten applications sent, each fitted to its advertisement".to_owned(),
        ],
    });
    blocks
}

/// Cuts the order of learning into contiguous parts of about equal hours.
fn parts(missing: &[Missing]) -> Vec<&[Missing]> {
    let count = missing.len().div_ceil(SKILLS_PER_STAGE).clamp(1, LEARNING_STAGES.len());
    let total: f64 = missing.iter().map(|each| each.hours).sum();
    let mut parts = Vec::new();
    let (mut start, mut hours) = (0, 0.0);
    for (at, each) in missing.iter().enumerate() {
        hours += each.hours;
        let reached = hours * as_f64(count) >= total * as_f64(parts.len() + 1);
        if reached || at + 1 == missing.len() {
            parts.push(&missing[start..=at]);
            start = at + 1;
        }
    }
    parts
}

fn learning_block<'a>(catalog: &Catalog, title: &str, missing: &'a [Missing]) -> Block<'a> {
    let names: Vec<&str> = missing.iter().map(|each| catalog.name(each.requirement.skill)).collect();
    let milestones = missing.iter().map(|each| {
        let (skill, level) = (each.requirement.skill, each.requirement.level);
        format!("{}: from {} to {level} of 100 ({} hours)", catalog.name(skill), each.current, each.hours)
    });
    Block {
        title: title.to_owned(),
        goal: names.join(", "),
        missing,
        hours: missing.iter().map(|each| each.hours).sum(),
        milestones: milestones.collect(),
    }
}

fn most_important(catalog: &Catalog, gap: &Gap) -> String {
    let mut requirements: Vec<_> = gap.requirements.iter().collect();
    requirements.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let names: Vec<&str> = requirements.iter().take(3).map(|each| catalog.name(each.skill)).collect();
    names.join(", ")
}

/// Places the stages one after another; a stage begins in the week the one
/// before it ends when that week has hours left.
fn lay_out<'a>(catalog: &'a Catalog, blocks: &[Block<'_>], weekly_hours: f64) -> Vec<Stage<'a>> {
    let mut before = 0.0;
    let mut stages = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        let start_week = whole_weeks((before / weekly_hours + 1e-9).floor() + 1.0);
        before += block.hours;
        let end_week = whole_weeks(before / weekly_hours - 1e-9).max(start_week);
        stages.push(Stage {
            order: at + 1,
            title: block.title.clone(),
            goal: block.goal.clone(),
            skills: block.missing.iter().map(|each| catalog.key(each.requirement.skill)).collect(),
            estimated_hours: block.hours,
            start_week,
            end_week,
            milestones: block.milestones.clone(),
        });
    }
    stages
}

fn timeline<'a>(catalog: &'a Catalog, gap: &Gap, total: f64, time: &Time, pace: &Pace) -> Timeline<'a> {
    let weeks = time.requested_weeks.unwrap_or(pace.needed_weeks);
    let budget = f64::from(weeks) * pace.weekly_hours;
    let mut spent = 0.0;
    let deferred = gap.missing.iter().filter(|each| {
        spent += each.hours;
        spent > budget
    });
    Timeline {
        weekly_hours: pace.weekly_hours,
        needed_weeks: pace.needed_weeks,
        requested_weeks: time.requested_weeks,
        fits: pace.fits,
        required_weekly_hours: (total / f64::from(weeks)).ceil(),
        deferred_skills: deferred.map(|each| catalog.key(each.requirement.skill)).collect(),
    }
}

fn summary(target: &Target<'_>, gap: &Gap, time: &Time, pace: &Pace) -> String {
    let work = format!(
        "The way to {} ({}): {} skills, {} weeks at {} hours a week.",
        target.role.title,
        target.grade.name(),
        gap.missing.len(),
        pace.needed_weeks,
        pace.weekly_hours
    );
    match time.requested_weeks {
        Some(weeks) if pace.fits => format!("{work} It fits into the {weeks} weeks you set."),
        Some(weeks) => format!(
            "{work} That is more than the {weeks} weeks you set: add hours, narrow the goal, or leave \
             the deferred skills for later."
        ),
        None => work,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn run(catalog: &Catalog, input: &Value) -> Value {
        let map = input.as_object().cloned().unwrap();
        answer(catalog, &Fields::new(&map)).unwrap().output
    }

    #[test]
    fn stages_follow_one_another_and_end_with_the_timeline() {
        let catalog = Catalog::embedded().unwrap();
        let output = run(&catalog, &json!({"targetRole": "Backend Engineer", "weeklyHours": 8}));
        let stages = output["stages"].as_array().unwrap();
        let titles: Vec<&str> = stages.iter().map(|each| each["title"].as_str().unwrap()).collect();
        assert_eq!(titles.first(), Some(&"Foundation"));
        assert_eq!(titles[titles.len() - 2..], ["Projects", "Interview Prep"]);
        let mut last = 1;
        for stage in stages {
            let (start, end) = (stage["start_week"].as_u64().unwrap(), stage["end_week"].as_u64().unwrap());
            assert!(start >= last.max(1) && start <= last + 1 && end >= start, "{stage}");
            last = end;
        }
        assert_eq!(output["timeline_weeks"].as_u64(), Some(last));
    }

    #[test]
    fn a_requested_timeline_is_kept_when_it_fits_and_refused_openly_when_not() {
        let catalog = Catalog::embedded().unwrap();
        let input = |weeks: u32| json!({"targetRole": "Scrum Master", "weeklyHours": 10, "timelineWeeks": weeks});
        let long = run(&catalog, &input(100));
        assert_eq!(long["timeline_weeks"], 100);
        assert_eq!(long["timeline"]["fits"], true);
        let short = run(&catalog, &input(2));
        assert_eq!(short["timeline"]["fits"], false);
        assert_eq!(short["timeline_weeks"], short["timeline"]["needed_weeks"]);
        assert!(!short["timeline"]["deferred_skills"].as_array().unwrap().is_empty());
    }

    #[test]
    fn weeks_alone_lead_to_the_hours_they_take() {
        let catalog = Catalog::embedded().unwrap();
        let output =
            run(&catalog, &json!({"role": "Scrum Master", "skills": ["agile", "jira"], "timeline": "6 months"}));
        assert_eq!(output["timeline"]["requested_weeks"], 26);
        assert_eq!(output["timeline_weeks"], 26);
        assert!(output["timeline"]["weekly_hours"].as_f64().unwrap() < 20.0);
    }

    #[test]
    fn durations_are_read_in_any_unit() {
        let cases = [(json!(12), 12), (json!("12 weeks"), 12), (json!("3 months"), 13), (json!("1y"), 52)];
        for (value, weeks) in cases {
            assert_eq!(weeks_of(&value).map(whole_weeks), Some(weeks), "{value}");
        }
        assert_eq!(weeks_of(&json!("soon")), None);
    }

    #[test]
    fn more_hours_a_week_never_take_longer() {
        let catalog = Catalog::embedded().unwrap();
        let roles = prop::sample::select(vec!["data analyst", "backend", "cloud architect", "sales"]);
        proptest!(|(role in roles, a in 1.0_f64..70.0, b in 1.0_f64..70.0, weeks in prop::option::of(1_u32..120))| {
            let weeks_at = |hours: f64| {
                let input = json!({"role": role, "weeklyHours": hours, "timelineWeeks": weeks});
                run(&catalog, &input)["timeline_weeks"].as_u64().unwrap()
            };
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(weeks_at(more) <= weeks_at(less));
        });
    }
}
