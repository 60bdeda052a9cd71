//! The facts in the text of a CV: skills, periods of work, education, contact,
//! results with numbers. States what is there and judges nothing.

use chrono::NaiveDate;
use serde::Serialize;

use super::catalog::{Catalog, SkillId};
use super::history::{self, Period};
use super::words::{Context, words};

/// Headings and the section each begins.
const SECTIONS: &[(&str, &[&str])] = &[
    ("summary", &["summary", "profile", "about", "about me", "objective", "professional summary"]),
    (
        "experience",
        &[
            "experience",
            "work experience",
            "employment",
            "work history",
            "professional experience",
            "career",
            "employment history",
        ],
    ),
    ("education", &["education", "academic background", "studies", "qualifications"]),
    ("skills", &["skills", "technical skills", "technologies", "core competencies", "tech stack", "key skills"]),
    ("projects", &["projects", "personal projects", "portfolio"]),
    ("certificates", &["certifications", "certificates", "courses", "training"]),
    ("languages", &["languages"]),
];
/// Degrees from the highest down, with the words that show them.
const DEGREES: &[(&str, &[&str])] = &[
    ("doctorate", &["phd", "ph.d", "doctorate", "doctor"]),
    ("master", &["master", "masters", "msc", "m.sc", "mba", "meng", "magister"]),
    ("bachelor", &["bachelor", "bachelors", "bsc", "b.sc", "beng", "btech", "undergraduate"]),
    ("diploma", &["diploma", "degree", "university", "college", "institute"]),
    ("certificate", &["certified", "certificate", "certification", "bootcamp"]),
];
const ACTIONS: &[&str] = &[
    "increased",
    "reduced",
    "improved",
    "cut",
    "cutting",
    "saved",
    "grew",
    "built",
    "led",
    "launched",
    "delivered",
    "migrated",
    "automated",
    "designed",
    "created",
    "managed",
    "scaled",
    "optimized",
    "optimised",
    "achieved",
    "accelerated",
    "decreased",
    "doubled",
    "tripled",
    "raised",
    "won",
    "introduced",
    "developed",
    "implemented",
    "trained",
    "mentored",
    "generated",
    "shortened",
    "boosted",
    "closed",
    "negotiated",
    "hired",
    "exceeded",
    "lowered",
    "redesigned",
    "wrote",
];
const DUTIES: &[&str] = &[
    "responsible for",
    "duties included",
    "helped with",
    "helped to",
    "worked on",
    "participated in",
    "assisted with",
    "involved in",
    "tasked with",
    "in charge of",
];
/// A hole longer than this is one that a reader asks about.
const HOLE_MONTHS: i32 = 6;
const MAX_QUOTED: usize = 8;
const MAX_QUOTED_CHARS: usize = 160;
/// Nobody has worked longer.
const MAX_YEARS: f64 = 60.0;

/// Which ways to reach somebody the text gives. The details stay in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Contact {
    pub(super) email: bool,
    pub(super) phone: bool,
    /// A link to a profile, portfolio or site.
    pub(super) profile_link: bool,
}

/// What the text of a CV says.
#[derive(Debug)]
pub(super) struct Cv {
    /// With the number of mentions, the most mentioned first.
    pub(super) skills: Vec<(SkillId, usize)>,
    /// Months of dated work, overlaps counted once.
    months: i32,
    /// The most years of experience that the text itself claims.
    claimed_years: Option<f64>,
    pub(super) holes: Vec<Period>,
    /// Degrees named, the highest first.
    pub(super) education: Vec<&'static str>,
    pub(super) contact: Contact,
    /// Lines that state a result with a number.
    pub(super) achievements: Vec<String>,
    /// Lines that describe duties.
    pub(super) weak_lines: Vec<String>,
    pub(super) sections: Vec<&'static str>,
    pub(super) word_count: usize,
}

impl Cv {
    /// Reads `text`; `today` ends the periods that last until now.
    pub(super) fn read(catalog: &Catalog, text: &str, today: NaiveDate) -> Self {
        let mut cv = Self {
            skills: skills(catalog, text),
            months: 0,
            claimed_years: claimed_years(text),
            holes: Vec::new(),
            education: education(text),
            contact: contact(text),
            achievements: Vec::new(),
            weak_lines: Vec::new(),
            sections: Vec::new(),
            word_count: text.split_whitespace().count(),
        };
        let mut periods = Vec::new();
        let mut section = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(heading) = heading(line) {
                section = heading;
                if !cv.sections.contains(&heading) {
                    cv.sections.push(heading);
                }
                continue;
            }
            for sentence in sentences(line) {
                cv.read_sentence(sentence);
            }
            if !matches!(section, "education" | "certificates") && education(line).is_empty() {
                periods.extend(history::periods(line, today));
            }
        }
        let merged = history::merge(periods);
        cv.months = merged.iter().map(|period| period.months()).sum();
        cv.holes = history::holes(&merged, HOLE_MONTHS);
        cv
    }

    /// Years of experience: by the dates where there are any, as claimed otherwise.
    pub(super) fn years(&self) -> f64 {
        if self.months > 0 {
            (f64::from(self.months) / 12.0 * 10.0).round() / 10.0
        } else {
            self.claimed_years.unwrap_or(0.0)
        }
    }

    /// Whether the text claims at least two years more than its dates show.
    pub(super) fn claims_more_years_than_dated(&self) -> bool {
        let claimed = self.claimed_years.unwrap_or(0.0);
        self.months > 0 && claimed >= self.years() + 2.0
    }

    fn read_sentence(&mut self, sentence: &str) {
        let quote = || -> String {
            let sentence = sentence.trim_start_matches(|c: char| !c.is_alphanumeric());
            sentence.chars().take(MAX_QUOTED_CHARS).collect()
        };
        let lower = sentence.to_lowercase();
        if DUTIES.iter().any(|duty| lower.contains(duty)) {
            if self.weak_lines.len() < MAX_QUOTED {
                self.weak_lines.push(quote());
            }
        } else if states_result(sentence) && self.achievements.len() < MAX_QUOTED {
            self.achievements.push(quote());
        }
    }
}

fn skills(catalog: &Catalog, text: &str) -> Vec<(SkillId, usize)> {
    let words = words(text);
    let mut counted: Vec<(SkillId, usize)> = Vec::new();
    for hit in catalog.skill_hits(&words, Context::Prose) {
        let skill = SkillId::from(hit);
        match counted.iter_mut().find(|(known, _)| *known == skill) {
            Some((_, mentions)) => *mentions += 1,
            None => counted.push((skill, 1)),
        }
    }
    counted.sort_by_key(|(_, mentions)| std::cmp::Reverse(*mentions));
    counted
}

fn heading(line: &str) -> Option<&'static str> {
    let bare = line.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let found = SECTIONS.iter().find(|(_, names)| names.contains(&bare.as_str()));
    found.map(|(section, _)| *section)
}

/// The sentences of a line; a dot ends one only before a space and a capital letter.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = |at: usize| {
            let mut next = rest[at + 1..].chars();
            next.next() == Some(' ') && next.next().is_some_and(char::is_uppercase)
        };
        let end = rest.match_indices(['.', '!', '?', ';']).find(|(at, _)| ends(*at));
        let (sentence, remaining) = rest.split_at(end.map_or(rest.len(), |(at, _)| at + 1));
        rest = remaining;
        Some(sentence.trim())
    })
}

/// An action together with a number that is not a year.
fn states_result(line: &str) -> bool {
    let words = words(line);
    let acts = words.iter().any(|word| ACTIONS.contains(&word.lower.as_str()));
    let is_year = |digits: &str| digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"));
    let counts = words.iter().any(|word| {
        let digits: String = word.raw.chars().take_while(char::is_ascii_digit).collect();
        !digits.is_empty() && !is_year(&digits)
    });
    acts && counts && !line.contains('@')
}

fn education(text: &str) -> Vec<&'static str> {
    let words = words(text);
    let named = |names: &[&str]| words.iter().any(|word| names.contains(&word.lower.as_str()));
    let found = DEGREES.iter().filter(|(_, names)| named(names));
    let mut degrees: Vec<&'static str> = found.map(|(degree, _)| *degree).collect();
    // A university beside a degree is where it was earned.
    if degrees.len() > 1 {
        degrees.retain(|degree| *degree != "diploma");
    }
    degrees
}

fn contact(text: &str) -> Contact {
    let lower = text.to_lowercase();
    let is_email = |token: &str| {
        token.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.split_once('.').is_some_and(|(domain, end)| !domain.is_empty() && end.len() >= 2)
        })
    };
    let tokens = || lower.split(|c: char| c.is_whitespace() || matches!(c, '|' | ',' | ';' | '<' | '>' | '(' | ')'));
    Contact {
        email: tokens().any(is_email),
        phone: text.lines().any(has_phone),
        profile_link: ["linkedin.com", "github.com", "gitlab.com", "behance.net", "http://", "https://"]
            .iter()
            .any(|mark| lower.contains(mark)),
    }
}

/// A run of nine to fifteen digits with the signs that phone numbers are written with.
fn has_phone(line: &str) -> bool {
    line.split(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '+' | '(' | ')' | '-' | '.' | '/')))
        .any(|run| (9..=15).contains(&run.chars().filter(char::is_ascii_digit).count()))
}

/// The most years of experience that the text claims (`5+ years of experience`).
fn claimed_years(text: &str) -> Option<f64> {
    const ABOUT: &[&str] = &["experience", "experienced", "expertise", "working", "in", "of", "as"];
    let words = words(text);
    let claims = words.windows(3).filter_map(|three| {
        let [number, unit, next] = three else { return None };
        let years: f64 = number.lower.trim_end_matches('+').parse().ok()?;
        let in_years = matches!(unit.lower.as_str(), "years" | "year" | "yrs");
        let claimed = in_years && ABOUT.contains(&next.lower.as_str()) && years <= MAX_YEARS;
        claimed.then_some(years)
    });
    claims.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Cv {
        let catalog = Catalog::embedded().unwrap();
        Cv::read(&catalog, text, NaiveDate::from_ymd_opt(2026, 6, 15).unwrap())
    }

    #[test]
    fn contact_details_are_recognised_and_dates_are_not_phones() {
        assert!(contact("me@example.org").email);
        assert!(!contact("@handle on some.site, a@b").email);
        assert!(contact("Phone: (555) 123-45-67 89").phone);
        assert!(!contact("2018 - 2021").phone);
        assert!(contact("linkedin.com/in/x").profile_link);
    }

    #[test]
    fn only_an_action_with_a_number_is_a_result() {
        let cv = read("Increased sales by 20%\nIncreased sales\nLed a team in 2019\n20 years old");
        assert_eq!(cv.achievements, ["Increased sales by 20%"]);
        let prose = read("Engineer at Acme Inc. Led a team of 4. Cut the load by 1.5 %. Likes tea.");
        assert_eq!(prose.achievements, ["Led a team of 4.", "Cut the load by 1.5 %."]);
    }

    #[test]
    fn years_come_from_dates_and_otherwise_from_claims() {
        assert!((read("5+ years of experience in sales").years() - 5.0).abs() < f64::EPSILON);
        let cv = read("10 years of experience\nAcme 2020 - 2022");
        assert!((cv.years() - 2.0).abs() < f64::EPSILON);
        assert!(cv.claims_more_years_than_dated());
    }

    #[test]
    fn the_highest_degree_comes_first() {
        assert_eq!(read("BSc and later an MSc at Example University").education, ["master", "bachelor"]);
        assert_eq!(read("AWS Certified").education, ["certificate"]);
        assert!(read("I like bees").education.is_empty());
    }
}
