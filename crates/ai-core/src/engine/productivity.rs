//! The `productivity_advisor` flow: what the numbers of a week of learning say,
//! what to change, and a plan for the next week that grows by small steps.

use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;

use super::catalog::Catalog;
use super::fields::{self, Fields};
use super::inventory::stated_level;
use super::{Answer, as_f64, mentor};

const MINUTES_FIELDS: &[&str] = &[
    "minutesthisweek",
    "weeklyminutes",
    "minutes",
    "studyminutes",
    "totalminutes",
    "minutesstudied",
    "timespentminutes",
];
const LAST_WEEK_FIELDS: &[&str] = &["minuteslastweek", "lastweekminutes", "previousweekminutes"];
const DAILY_FIELDS: &[&str] = &["dailyminutes", "minutesperday", "minutesbyday", "days"];
const STREAK_FIELDS: &[&str] = &["streakdays", "streak", "currentstreak"];
const TARGET_FIELDS: &[&str] = &["weeklygoalminutes", "targetminutes", "weeklytargetminutes", "goalminutes"];
const HOURS_FIELDS: &[&str] = &["weeklyhours", "hoursperweek", "availablehours", "targethours"];
const MASTERY_FIELDS: &[&str] = &["masteryscores", "masterybyskill", "mastery", "skillscores", "skills"];
const AVERAGE_FIELDS: &[&str] = &["masteryscore", "averagemastery", "mastery"];
const GOAL_FIELDS: &[&str] = &["goals", "goal", "objectives", "tasks", "targetrole"];
const TROUBLE_FIELDS: &[&str] = &["blockers", "challenges", "problems", "obstacles", "notes", "question"];

/// The weekly minutes to work towards where none are stated: five times an hour.
const DEFAULT_TARGET: u32 = 300;
/// Where somebody who has stopped begins again.
const RESTART_MINUTES: u32 = 90;
/// Growth from one week to the next, in percent: small enough to last.
const GROWTH_PERCENT: u32 = 20;
/// All that is awake in a week; more is a mistake in the input.
const MAX_MINUTES: f64 = 6_000.0;
/// Below this a skill is worth going back to (0–100).
const WEAK_MASTERY: f64 = 70.0;
const SESSION_MINUTES: u32 = 45;
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Serialize)]
struct Advice {
    summary: String,
    observations: Vec<String>,
    recommendations: Vec<String>,
    next_week_plan: Vec<PlannedDay>,
    target_minutes: u32,
    weakest_skills: Vec<String>,
}

#[derive(Serialize)]
struct PlannedDay {
    day: &'static str,
    minutes: u32,
    focus: String,
    task: String,
}

/// What a session is about.
#[derive(Clone)]
struct Subject {
    focus: String,
    task: String,
}

/// The week as the input tells it.
struct Week {
    minutes: Option<u32>,
    previous: Option<u32>,
    /// Minutes per day, where they are known.
    daily: Vec<u32>,
    streak: Option<u32>,
    target: Option<u32>,
    /// Skills with their mastery, the weakest first.
    mastery: Vec<(String, f64)>,
    average: Option<f64>,
    /// Goals with their progress in percent, where it is stated.
    goals: Vec<(String, Option<f64>)>,
}

pub(super) fn answer(catalog: &Catalog, fields: &Fields<'_>) -> serde_json::Result<Answer> {
    let week = Week::read(fields);
    let target = week.next_target();
    let trouble = fields.get(TROUBLE_FIELDS).map(fields::flatten).unwrap_or_default();
    let output = Advice {
        summary: week.summary(target),
        observations: week.observations(),
        recommendations: week.recommendations(catalog, &trouble),
        next_week_plan: plan(&week, target),
        target_minutes: target,
        weakest_skills: week.weak().map(|(skill, _)| skill.clone()).collect(),
    };
    let known = [week.minutes.is_some(), week.streak.is_some(), !week.mastery.is_empty(), !week.goals.is_empty()];
    let share = as_f64(known.iter().filter(|known| **known).count()) / as_f64(known.len());
    let mut warnings = Vec::new();
    if week.minutes.is_none() {
        warnings.push("input.minutesThisWeek is missing: planned as a fresh start".to_owned());
    }
    Answer::new(&output, 0.3 + 0.45 * share, warnings)
}

impl Week {
    fn read(fields: &Fields<'_>) -> Self {
        let daily: Vec<u32> = match fields.get(DAILY_FIELDS) {
            Some(serde_json::Value::Array(days)) => days.iter().take(7).map(day_minutes).collect(),
            _ => Vec::new(),
        };
        let summed = || (!daily.is_empty()).then(|| daily.iter().sum());
        let hours = || fields.number(HOURS_FIELDS).map(|hours| hours * 60.0);
        let mut mastery: Vec<(String, f64)> = fields
            .list(MASTERY_FIELDS)
            .into_iter()
            .filter_map(|item| Some((item.text.clone(), stated_level(item.detail?)?)))
            .collect();
        mastery.sort_by(|a, b| a.1.total_cmp(&b.1));
        let goals = fields.list(GOAL_FIELDS).into_iter().map(|item| {
            let progress =
                item.detail.and_then(|each| fields::inside(each, &["progress", "progresspercent", "percent"]));
            (item.text.chars().take(120).collect(), progress.and_then(fields::number))
        });
        Self {
            minutes: fields.number(MINUTES_FIELDS).map(whole).or_else(summed),
            previous: fields.number(LAST_WEEK_FIELDS).map(whole),
            streak: fields.number(STREAK_FIELDS).map(whole),
            target: fields.number(TARGET_FIELDS).or_else(hours).map(whole).filter(|minutes| *minutes > 0),
            average: fields.number(AVERAGE_FIELDS).map(|score| score.clamp(0.0, 100.0)),
            goals: goals.take(10).collect(),
            mastery,
            daily,
        }
    }

    fn weak(&self) -> impl Iterator<Item = &(String, f64)> + '_ {
        self.mastery.iter().filter(|(_, score)| *score < WEAK_MASTERY).take(3)
    }

    /// Minutes for the next week, a multiple of 5: towards the target by small
    /// steps, never above it unless more is done already.
    fn next_target(&self) -> u32 {
        let goal = self.target.unwrap_or(DEFAULT_TARGET).max(10);
        let next = match self.minutes.unwrap_or(0) {
            0 => goal.min(RESTART_MINUTES),
            done if done >= goal => done,
            done => (done + done * GROWTH_PERCENT / 100).max(60).min(goal),
        };
        next.div_ceil(5) * 5
    }

    fn summary(&self, target: u32) -> String {
        match self.minutes {
            None | Some(0) => format!("A fresh start: {target} minutes next week, in short sessions."),
            Some(minutes) if minutes >= target => format!("{minutes} minutes this week: keep that pace."),
            Some(minutes) => format!("{minutes} minutes this week; {target} are the next step."),
        }
    }

    fn observations(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.minutes {
            Some(minutes) => {
                let goal = self.target.unwrap_or(DEFAULT_TARGET);
                let share = (f64::from(minutes) / f64::from(goal) * 100.0).round();
                found.push(format!("{minutes} minutes of learning this week, {share} % of {goal}"));
            }
            None => found.push("The minutes of this week are not known.".to_owned()),
        }
        if let (Some(now), Some(before)) = (self.minutes, self.previous)
            && before > 0
        {
            let change = ((f64::from(now) / f64::from(before) - 1.0) * 100.0).round();
            found.push(format!("{change:+} % against the week before ({before} minutes)"));
        }
        if !self.daily.is_empty() {
            let active = self.daily.iter().filter(|minutes| **minutes > 0).count();
            let longest = self.daily.iter().max().copied().unwrap_or_default();
            found.push(format!("{active} active days, the longest with {longest} minutes"));
        }
        match self.streak {
            Some(0) => found.push("There is no running streak.".to_owned()),
            Some(days) => found.push(format!("A streak of {days} days")),
            None => {}
        }
        if let Some(average) = self.average {
            found.push(format!("Mastery is at {average} of 100 on average."));
        }
        let weak: Vec<String> = self.weak().map(|(skill, score)| format!("{skill} ({score})")).collect();
        if !weak.is_empty() {
            found.push(format!("Weakest skills: {}", weak.join(", ")));
        }
        for (goal, progress) in &self.goals {
            if let Some(progress) = progress {
                found.push(format!("\"{goal}\" is at {progress} %."));
            }
        }
        found
    }

    fn recommendations(&self, catalog: &Catalog, trouble: &str) -> Vec<String> {
        let mut advice = Vec::new();
        let minutes = self.minutes.unwrap_or(0);
        let goal = self.target.unwrap_or(DEFAULT_TARGET);
        if minutes == 0 {
            advice.push(
                "Begin with three sessions of half an hour on fixed days; the habit comes before the amount."
                    .to_owned(),
            );
        } else if minutes < goal {
            advice.push(format!("Grow by {GROWTH_PERCENT} % a week instead of jumping to {goal} minutes at once."));
        } else {
            advice.push("The amount is right; spend it on what is hardest rather than on more of it.".to_owned());
        }
        match self.streak {
            Some(0) | None => {
                advice.push("Ten minutes on a bad day keep a streak alive; choose the hour now.".to_owned());
            }
            Some(days) if days >= 14 => advice
                .push("Plan one day of rest a week; a streak should serve you, not the other way round.".to_owned()),
            Some(_) => advice.push(
                "Protect the streak: a short session early in the day is safer than a long one at night.".to_owned(),
            ),
        }
        let sum: u32 = self.daily.iter().sum();
        if self.daily.iter().any(|day| *day > 0 && *day * 2 > sum) {
            advice.push("More than half of the week lies on one day; spread it out, it stays longer.".to_owned());
        }
        if let Some((skill, score)) = self.weak().next() {
            advice.push(format!("Go back to {skill} (mastery {score}) first: test yourself before you read."));
        }
        let stalled = self.goals.iter().find(|(_, progress)| progress.is_some_and(|percent| percent < 30.0));
        if let Some((goal, _)) = stalled {
            advice.push(format!("Cut \"{goal}\" into a step that fits one session, and do it on the first day."));
        }
        if self.goals.len() > 3 {
            advice.push(format!("{} goals at once are too many; keep two for this week.", self.goals.len()));
        }
        advice.extend(mentor::first_advice(catalog, trouble));
        advice
    }

    /// What to work on, in turn.
    fn subjects(&self) -> Vec<Subject> {
        let practice = |skill: &str| Subject {
            focus: skill.to_owned(),
            task: format!("Practise {skill}: one exercise with a clear end, then three lines from memory"),
        };
        let step = |goal: &str| Subject {
            focus: goal.to_owned(),
            task: format!("\"{goal}\": the next step that can be finished in one session"),
        };
        let mut subjects: Vec<Subject> = self.weak().map(|(skill, _)| practice(skill)).collect();
        let open = self.goals.iter().filter(|(_, progress)| progress.is_none_or(|percent| percent < 100.0));
        subjects.extend(open.take(2).map(|(goal, _)| step(goal)));
        if subjects.is_empty() {
            subjects.push(step("The current stage of your roadmap"));
        }
        subjects
    }
}

/// Spreads `target` minutes over the days of a week, Sunday off; the last
/// session looks back.
fn plan(week: &Week, target: u32) -> Vec<PlannedDay> {
    let sessions = target.div_ceil(SESSION_MINUTES).clamp(2, 6);
    let step = target / 5;
    let subjects = week.subjects();
    let mut subjects = subjects.iter().cycle();
    evenly(sessions)
        .into_iter()
        .zip(0..sessions)
        .filter_map(|(day, at)| {
            let share = step / sessions + u32::from(at < step % sessions);
            let is_last = at + 1 == sessions;
            let subject = if is_last { review() } else { subjects.next()?.clone() };
            Some(PlannedDay { day, minutes: share * 5, focus: subject.focus, task: subject.task })
        })
        .collect()
}

fn review() -> Subject {
    Subject {
        focus: "Review".to_owned(),
        task: "Repeat the week from memory, note what was in the way, plan the next one".to_owned(),
    }
}

/// The days for two to six sessions, with rest between them where possible.
fn evenly(sessions: u32) -> Vec<&'static str> {
    let days: &[usize] = match sessions {
        2 => &[1, 4],
        3 => &[0, 2, 4],
        4 => &[0, 1, 3, 5],
        5 => &[0, 1, 2, 3, 5],
        _ => &[0, 1, 2, 3, 4, 5],
    };
    days.iter().map(|day| DAYS[*day]).collect()
}

fn day_minutes(value: &serde_json::Value) -> u32 {
    let inner = fields::inside(value, &["minutes", "timespentminutes", "value"]);
    fields::number(inner.unwrap_or(value)).map(whole).unwrap_or_default()
}

/// Minutes or days as a whole number; nothing negative and nothing absurd.
fn whole(value: f64) -> u32 {
    value.clamp(0.0, MAX_MINUTES).round().to_u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn run(input: &Value) -> Value {
        let catalog = Catalog::embedded().unwrap();
        let map = input.as_object().cloned().unwrap();
        answer(&catalog, &Fields::new(&map)).unwrap().output
    }

    fn planned(output: &Value) -> u64 {
        let plan = output["next_week_plan"].as_array().unwrap();
        plan.iter().map(|day| day["minutes"].as_u64().unwrap()).sum()
    }

    #[test]
    fn the_next_week_grows_by_a_fifth_and_not_beyond_the_goal() {
        let target = |minutes: u32| {
            run(&json!({"minutesThisWeek": minutes, "weeklyGoalMinutes": 300}))["target_minutes"].clone()
        };
        assert_eq!([target(0), target(100), target(280), target(400)], [json!(90), json!(120), json!(300), json!(400)]);
    }

    #[test]
    fn the_weakest_skill_is_the_first_subject() {
        let output = run(&json!({
            "minutes_this_week": 200, "streak_days": 3,
            "mastery": [{"skill_key": "sql", "score": 80}, {"skill_key": "rust", "score": 30}],
        }));
        assert_eq!(output["weakest_skills"], json!(["rust"]));
        assert_eq!(output["next_week_plan"][0]["focus"], "rust");
    }

    #[test]
    fn a_lopsided_week_and_stated_trouble_are_answered() {
        let output = run(&json!({"dailyMinutes": [0, 0, 0, 0, 0, 180, 10], "blockers": "I feel burned out and tired"}));
        let text = output["recommendations"].to_string();
        assert!(text.contains("spread it out"), "{text}");
        assert!(text.contains("ten minutes"), "{text}");
    }

    #[test]
    fn the_plan_adds_up_to_the_target() {
        proptest!(|(minutes in 0_u32..3000, goal in 0_u32..3000)| {
            let output = run(&json!({"minutes": minutes, "targetMinutes": goal}));
            prop_assert_eq!(Some(planned(&output)), output["target_minutes"].as_u64());
            let plan = output["next_week_plan"].as_array().unwrap();
            prop_assert!((2..=6).contains(&plan.len()));
        });
    }
}
