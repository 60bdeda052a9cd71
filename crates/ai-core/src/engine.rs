//! The deterministic engine: computes every flow and a mentor's answer from the
//! input by rules and an embedded catalogue of skills, roles and questions, so
//! that there is an answer when no model gives one. No I/O, no clock, no
//! randomness: the same input on the same day always gets the same answer.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Map, Value};

mod answers;
mod catalog;
mod courses;
mod cv;
mod fields;
mod gap;
mod history;
mod interview;
mod inventory;
mod mentor;
mod productivity;
mod resume;
mod roadmap;
mod scoring;
mod skill_gap;
mod target;
mod words;

pub use catalog::BadCatalog;
use catalog::Catalog;
use fields::Fields;

/// The flows that the engine can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// What a CV says, its strengths and gaps.
    ResumeAnalysis,
    /// The difference between a target role and the current skills.
    SkillGapAnalysis,
    /// Stages and weeks from the gap to the role.
    RoadmapGenerator,
    /// Questions for a role, and scores for the answers given.
    InterviewSimulation,
    /// What a week of learning says and a plan for the next.
    ProductivityAdvisor,
}

impl Flow {
    /// Every flow.
    pub const ALL: [Self; 5] = [
        Self::ResumeAnalysis,
        Self::SkillGapAnalysis,
        Self::RoadmapGenerator,
        Self::InterviewSimulation,
        Self::ProductivityAdvisor,
    ];

    /// The name in requests, tables and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResumeAnalysis => "resume_analysis",
            Self::SkillGapAnalysis => "skill_gap_analysis",
            Self::RoadmapGenerator => "roadmap_generator",
            Self::InterviewSimulation => "interview_simulation",
            Self::ProductivityAdvisor => "productivity_advisor",
        }
    }

    /// The flow with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flow| flow.name() == name)
    }
}

/// What the engine answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The output object; it satisfies the output schema of the flow.
    pub output: Value,
    /// How far the rules understood the input, 0–1.
    pub confidence: f64,
    /// What the reader must know to judge the output; also inside it.
    pub warnings: Vec<String>,
}

impl Answer {
    fn new(output: &impl Serialize, confidence: f64, warnings: Vec<String>) -> serde_json::Result<Self> {
        let mut output = serde_json::to_value(output)?;
        if let Value::Object(fields) = &mut output {
            fields.insert("warnings".to_owned(), Value::from(warnings.clone()));
        }
        Ok(Self { output, confidence: (confidence.clamp(0.0, 1.0) * 100.0).round() / 100.0, warnings })
    }
}

/// The rules with the knowledge they work on.
#[derive(Debug)]
pub struct Engine {
    catalog: Catalog,
}

impl Engine {
    /// Reads the embedded catalogue.
    ///
    /// # Errors
    /// When the data that was compiled in contradicts itself; a test excludes it.
    pub fn embedded() -> Result<Self, BadCatalog> {
        Ok(Self { catalog: Catalog::embedded()? })
    }

    /// Computes `flow` from `input`. `today` ends what lasts until now.
    ///
    /// # Errors
    /// When the output cannot be written as JSON, which no input brings about.
    pub fn answer(&self, flow: Flow, input: &Map<String, Value>, today: NaiveDate) -> serde_json::Result<Answer> {
        let (catalog, fields) = (&self.catalog, Fields::new(input));
        match flow {
            Flow::ResumeAnalysis => resume::answer(catalog, &fields, today),
            Flow::SkillGapAnalysis => skill_gap::answer(catalog, &fields),
            Flow::RoadmapGenerator => roadmap::answer(catalog, &fields),
            Flow::InterviewSimulation => interview::answer(catalog, &fields),
            Flow::ProductivityAdvisor => productivity::answer(catalog, &fields),
        }
    }

    /// Answers the last user message of a conversation with a mentor.
    /// `messages` are pairs of role (`user`, `assistant`, `system`) and text.
    pub fn mentor(&self, mode: &str, messages: &[(&str, &str)]) -> String {
        mentor::answer(&self.catalog, mode, messages)
    }
}

/// A count as a number to calculate with; counts here are far below 2³².
fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 6, 15).unwrap()
    }

    fn schema(flow: Flow, side: &str) -> jsonschema::Validator {
        let file = format!("data/schemas/{}.v1.{side}.json", flow.name());
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    }

    fn schemas(side: &str) -> Vec<(Flow, jsonschema::Validator)> {
        Flow::ALL.into_iter().map(|flow| (flow, schema(flow, side))).collect()
    }

    fn check(engine: &Engine, schemas: &[(Flow, jsonschema::Validator)], input: &Map<String, Value>) {
        for (flow, schema) in schemas {
            let answer = engine.answer(*flow, input, today()).unwrap();
            let errors: Vec<String> = schema.iter_errors(&answer.output).map(|each| each.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}\n{}", flow.name(), answer.output);
            assert!((0.0..=1.0).contains(&answer.confidence));
            assert_eq!(answer.output["warnings"], json!(answer.warnings));
        }
    }

    /// Any JSON, small.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            prop::sample::select(vec![
                "Senior Rust engineer",
                "SQL",
                "5+ years of experience",
                "Jan 2020 - present",
                "Increased sales by 20 %",
                "12 weeks",
                "a@b.co",
                "2019 - 2021",
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((field_name(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// A name that some flow reads, or any other.
    fn field_name() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "targetRole",
                "goal",
                "skills",
                "current_skills",
                "requiredSkills",
                "weeklyHours",
                "timelineWeeks",
                "courses",
                "answers",
                "messages",
                "questions",
                "count",
                "grade",
                "focus",
                "resume",
                "text",
                "minutesThisWeek",
                "dailyMinutes",
                "mastery",
                "goals",
                "blockers",
                "profile",
                "proficiency",
                "role",
                "content",
                "question",
                "answer",
            ])
            .prop_map(str::to_owned),
            ".{0,10}",
        ]
    }

    #[test]
    fn whatever_the_input_every_flow_answers_by_its_schema() {
        let engine = Engine::embedded().unwrap();
        let schemas = schemas("output");
        let config = ProptestConfig::with_cases(400);
        proptest!(config, |(fields in prop::collection::vec((field_name(), any_json()), 0..6))| {
            check(&engine, &schemas, &fields.into_iter().collect());
        });
    }

    #[test]
    fn inputs_that_clients_send_satisfy_the_input_schemas_and_get_an_answer() {
        let engine = Engine::embedded().unwrap();
        let (inputs, outputs) = (schemas("input"), schemas("output"));
        let sent = [
            json!({}),
            json!({"targetRole": "Backend Engineer", "skills": ["Rust"]}),
            json!({"goal": "data analyst"}),
            json!({"resume": "Ada, engineer, 2019 - 2024"}),
            json!({"target_role": "QA", "current_skills": {"SQL": 40}, "weekly_hours": "8", "timeline_weeks": 12}),
            json!({"role": null, "minutesThisWeek": 120.5, "goals": ["finish"], "extra": {"deep": [1]}}),
        ];
        for input in sent {
            for (flow, schema) in &inputs {
                assert!(schema.is_valid(&input), "{} refuses {input}", flow.name());
            }
            check(&engine, &outputs, input.as_object().unwrap());
        }
    }

    #[test]
    fn wrong_types_of_known_fields_are_refused_by_the_input_schemas() {
        let wrong = [
            (Flow::SkillGapAnalysis, json!({"targetRole": 7}), "/targetRole"),
            (Flow::RoadmapGenerator, json!({"weeklyHours": "many"}), "/weeklyHours"),
            (Flow::RoadmapGenerator, json!({"timelineWeeks": -1}), "/timelineWeeks"),
            (Flow::InterviewSimulation, json!({"answers": 3}), "/answers"),
            (Flow::ResumeAnalysis, json!({"text": false}), "/text"),
            (Flow::ProductivityAdvisor, json!({"dailyMinutes": ["x"]}), "/dailyMinutes/0"),
        ];
        for (flow, input, path) in wrong {
            let schema = schema(flow, "input");
            let errors: Vec<String> = schema.iter_errors(&input).map(|each| each.instance_path().to_string()).collect();
            assert!(errors.contains(&path.to_owned()), "{}: {errors:?}", flow.name());
        }
    }

    #[test]
    fn the_examples_in_the_input_schemas_are_valid() {
        for flow in Flow::ALL {
            let file = format!("data/schemas/{}.v1.input.json", flow.name());
            let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            let validator = schema(flow, "input");
            for example in document["examples"].as_array().unwrap() {
                assert!(validator.is_valid(example), "{}: {example}", flow.name());
            }
        }
    }

    #[test]
    fn flows_are_found_by_their_names() {
        for flow in Flow::ALL {
            assert_eq!(Flow::from_name(flow.name()), Some(flow));
        }
        assert_eq!(Flow::from_name("palm_reading"), None);
    }
}
