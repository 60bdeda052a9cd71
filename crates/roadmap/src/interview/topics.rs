//! What an interview has to find out, and what can be read out of its answers. Pure rules over text.
//!
//! The service decides which subject comes next; a model may choose the words.

use chrono::NaiveDate;
use serde::Serialize;

use crate::{canvas::Message, roadmaps::WEEKS_MAX};

/// After this many answers an interview ends, whatever they were about.
const ANSWERS_MAX: usize = 10;
/// How much of the answers on one topic is used, in characters: all topics together stay below AI core's limit.
const USED_MAX: usize = 1_200;
/// Hours of a week that anybody can study.
const HOURS_MAX: f64 = 84.0;
const WEEKS_PER_MONTH: f64 = 52.0 / 12.0;

/// Something that a roadmap depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Goal,
    Level,
    Hours,
    Deadline,
    Circumstances,
}

use Topic::{Circumstances, Deadline, Goal, Hours, Level};

impl Topic {
    /// All, in the order in which they are asked.
    pub(crate) const ALL: [Self; 5] = [Goal, Level, Hours, Deadline, Circumstances];

    /// The question that is asked where no better one is at hand.
    pub(crate) fn question(self) -> &'static str {
        match self {
            Goal => "Which role are you aiming for, and at which level: junior, middle or senior?",
            Level => "Which skills and what experience do you bring for it already?",
            Hours => "How many hours a week can you study?",
            Deadline => "By when do you want to get there: in how many weeks or months, or on which date?",
            Circumstances => "Why this goal, and what could get in the way: work, family, health, money?",
        }
    }

    /// The topic that `question` asks about, as far as its words tell.
    pub(crate) fn of(question: &str) -> Option<Self> {
        // The order decides where a question names several: what is most telling comes first.
        const WORDS: [(Topic, &[&str]); 5] = [
            (Hours, &["hour"]),
            (Circumstances, &["why", "motivat", "obstacle", "constraint", "circumstance", "hinder"]),
            (Deadline, &["when", "deadline", "soon", "date", "timeline", "month", "timeframe"]),
            (Level, &["skill", "experience", "already", "background", "know"]),
            (Goal, &["role", "goal", "position", "career", "job", "become", "aiming", "profession"]),
        ];
        let question = question.to_lowercase();
        let words: Vec<&str> = question.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let asks = |beginnings: &[&str]| words.iter().any(|word| beginnings.iter().any(|b| word.starts_with(b)));
        WORDS.iter().find(|(_, beginnings)| asks(beginnings)).map(|(topic, _)| *topic)
    }

    fn label(self) -> &'static str {
        match self {
            Goal => "Goal",
            Level => "Skills and experience",
            Hours => "Hours a week",
            Deadline => "Deadline",
            Circumstances => "Motivation and constraints",
        }
    }
}

/// What the answers of an interview say, by topic.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Question and answer of each topic in the order of [`Topic::ALL`]; `None` while it is open.
    topics: [Option<Message>; Topic::ALL.len()],
    answers: usize,
}

/// What the flow that generates roadmaps is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Brief<'a> {
    pub(crate) target_role: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) target_grade: &'a str,
    current_skills: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weekly_hours: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline_weeks: Option<i32>,
    motivation: &'a str,
}

impl Findings {
    /// Sorts the answers of `log` by topic. An answer to a question about nothing known counts for the first open topic,
    /// so that an interview in other words comes to its end, too.
    pub(crate) fn of(log: &[Message]) -> Self {
        let mut findings = Self::default();
        let answered = log.iter().filter(|message| !message.answer.trim().is_empty());
        for message in answered {
            findings.answers += 1;
            let Some(topic) = Topic::of(&message.question).or_else(|| findings.first_open()) else {
                continue;
            };
            let entry = findings.topics[topic as usize]
                .get_or_insert_with(|| Message { question: plain(&message.question), answer: String::new() });
            let answer = format!("{} {}", entry.answer, plain(&message.answer));
            entry.answer = answer.trim().chars().take(USED_MAX).collect();
        }
        findings
    }

    fn first_open(&self) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| self.is_open(*topic))
    }

    fn is_open(&self, topic: Topic) -> bool {
        self.topics[topic as usize].is_none()
    }

    /// The topic to ask about next; `None` once enough is known.
    pub(crate) fn next(&self) -> Option<Topic> {
        self.first_open().filter(|_| self.answers < ANSWERS_MAX)
    }

    /// `proposed` if it asks about something that is still open, else the question of `topic`.
    pub(crate) fn question(&self, topic: Topic, proposed: &str) -> String {
        let proposed = proposed.trim();
        let fits = proposed.chars().count() <= crate::canvas::QUESTION_MAX
            && Topic::of(proposed).is_some_and(|about| self.is_open(about));
        if fits { proposed.to_owned() } else { topic.question().to_owned() }
    }

    /// What was asked, and what is to be asked, in that order.
    pub(crate) fn questions(&self) -> Vec<&str> {
        let mut questions: Vec<&str> = self.answers().into_iter().map(|message| message.question.as_str()).collect();
        for topic in Topic::ALL.into_iter().filter(|topic| self.is_open(*topic)) {
            questions.push(topic.question());
        }
        questions
    }

    /// The questions with their answers, one of each topic.
    pub(crate) fn answers(&self) -> Vec<&Message> {
        self.topics.iter().flatten().collect()
    }

    /// The answer on `topic`, empty while it is open.
    pub(crate) fn answer(&self, topic: Topic) -> &str {
        self.topics[topic as usize].as_ref().map_or("", |message| &message.answer)
    }

    /// What is known so far, a line a topic.
    pub(crate) fn summary(&self) -> String {
        let known = Topic::ALL.into_iter().filter(|topic| !self.is_open(*topic));
        let lines: Vec<String> = known.map(|topic| format!("{}: {}", topic.label(), self.answer(topic))).collect();
        lines.join("\n")
    }

    /// The findings as input of the flow that generates roadmaps; `role` is the target role.
    pub(crate) fn brief<'a>(&'a self, role: &'a str, grade: &'a str, today: NaiveDate) -> Brief<'a> {
        Brief {
            target_role: role,
            target_grade: grade,
            current_skills: self.answer(Level),
            weekly_hours: weekly_hours(self.answer(Hours)),
            timeline_weeks: weeks(self.answer(Deadline), today),
            motivation: self.answer(Circumstances),
        }
    }
}

/// `text` on one line, without control characters.
fn plain(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// The hours a week that `text` names, e.g. "about 10", "2 hours a day", "5-8 hours".
fn weekly_hours(text: &str) -> Option<f64> {
    let (number, rest) = first_number(text)?;
    let daily = words(rest).any(|word| word.starts_with("day") || word == "daily");
    let hours = if daily { number * 7.0 } else { number };
    (hours > 0.0).then(|| hours.min(HOURS_MAX))
}

/// The weeks until what `text` names, e.g. "6 months", "in 12 weeks", "by 2026-09-01"; rounded up, at least 1.
fn weeks(text: &str, today: NaiveDate) -> Option<i32> {
    let dates = text.split(|c: char| !c.is_ascii_digit() && c != '-').filter_map(|part| part.parse::<NaiveDate>().ok());
    let until = dates.filter(|date| *date > today).min();
    let weeks = if let Some(date) = until {
        f64::from(i32::try_from((date - today).num_days()).ok()?) / 7.0
    } else {
        let (number, rest) = first_number(text)?;
        number * weeks_in(&words(rest).next().unwrap_or_default())
    };
    let most = (1..=WEEKS_MAX).find(|&whole| f64::from(whole) >= weeks).unwrap_or(WEEKS_MAX);
    (weeks > 0.0).then_some(most)
}

/// How many weeks the unit that begins with `word` has; without one, weeks are meant.
fn weeks_in(word: &str) -> f64 {
    match word.chars().next() {
        Some('m') => WEEKS_PER_MONTH,
        Some('y') => 52.0,
        Some('d') => 1.0 / 7.0,
        _ => 1.0,
    }
}

/// The first number in `text`, and what follows it; of a range such as 5-8 the first.
fn first_number(text: &str) -> Option<(f64, &str)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let text = &text[start..];
    let length = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let (number, rest) = text.split_at(length);
    let number = number.trim_end_matches(['.', ',']).replace(',', ".").parse().ok()?;
    Some((number, rest.trim_start_matches(|c: char| !c.is_alphabetic())))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(question: &str, answer: &str) -> Message {
        Message { question: question.to_owned(), answer: answer.to_owned() }
    }

    #[test]
    fn each_question_is_about_its_own_topic() {
        for topic in Topic::ALL {
            assert_eq!(Topic::of(topic.question()), Some(topic));
        }
        assert_eq!(Topic::of("How much time per week, in hours, can you invest?"), Some(Hours));
        assert_eq!(Topic::of("What experience do you have with this role?"), Some(Level));
        assert_eq!(Topic::of("Explain the CAP theorem"), None);
    }

    #[test]
    fn the_topics_are_asked_in_order_until_all_are_answered() {
        let mut log = Vec::new();
        for topic in Topic::ALL {
            assert_eq!(Findings::of(&log).next(), Some(topic));
            log.push(said(topic.question(), "ten"));
        }
        assert_eq!(Findings::of(&log).next(), None);
    }

    #[test]
    fn an_empty_answer_leaves_its_topic_open() {
        assert_eq!(Findings::of(&[said(Goal.question(), "  ")]).next(), Some(Goal));
    }

    #[test]
    fn other_words_come_to_an_end_too() {
        let strange: Vec<_> = (0..5).map(|n| said(&format!("Frage {n}"), "Antwort")).collect();
        assert_eq!(Findings::of(&strange[..4]).next(), Some(Circumstances));
        assert_eq!(Findings::of(&strange).next(), None);
        let one_sided: Vec<_> = (0..10).map(|_| said(Hours.question(), "5")).collect();
        assert_eq!(Findings::of(&one_sided[..9]).next(), Some(Goal));
        assert_eq!(Findings::of(&one_sided).next(), None);
    }

    #[test]
    fn a_proposed_question_has_to_be_about_something_open() {
        let findings = Findings::of(&[said(Goal.question(), "Backend Engineer")]);
        let better = "Which of the skills for that do you know already?";
        assert_eq!(findings.question(Level, better), better);
        for other in ["", "Explain the CAP theorem", "Which role do you want?", &"skill ".repeat(200)] {
            assert_eq!(findings.question(Level, other), Level.question(), "{other}");
        }
    }

    #[test]
    fn hours_and_weeks_are_read_out_of_sentences() {
        let cases = [
            ("about 10", Some(10.0)),
            ("2 hours a day", Some(14.0)),
            ("5-8 hours", Some(5.0)),
            ("7,5h", Some(7.5)),
            ("a lot", None),
            ("0", None),
            ("500", Some(84.0)),
        ];
        for (text, hours) in cases {
            assert_eq!(weekly_hours(text), hours, "{text}");
        }
        let today = NaiveDate::from_ymd_opt(2026, 1, 6).unwrap();
        let cases = [
            ("12 weeks", Some(12)),
            ("in 6 months or so", Some(26)),
            ("1 year", Some(52)),
            ("30 days", Some(5)),
            ("by 2026-01-20", Some(2)),
            ("since 2020-01-01", Some(WEEKS_MAX)),
            ("soon", None),
            ("10000", Some(WEEKS_MAX)),
            ("8", Some(8)),
        ];
        for (text, expected) in cases {
            assert_eq!(weeks(text, today), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_answered_fits_into_a_flows_input(
            log in prop::collection::vec((r#"[\PC"\\]{1,500}"#, r#"[\PC"\\]{0,4000}"#), 0..8)
        ) {
            let log: Vec<_> = log.iter().map(|(question, answer)| said(question, answer)).collect();
            let findings = Findings::of(&log);
            let today = NaiveDate::from_ymd_opt(2026, 1, 6).unwrap();
            let role: String = findings.answer(Goal).chars().take(255).collect();
            let brief = serde_json::to_string(&findings.brief(&role, "", today)).unwrap();
            prop_assert!(brief.chars().count() < 20_000);
            let asked = serde_json::to_string(&(findings.questions(), findings.answers())).unwrap();
            prop_assert!(asked.chars().count() < 19_000);
        }
    }
}
