//! Compiles `proto/` with protox, a protobuf compiler in Rust, so that a build needs no `protoc`.
//!
//! Messages get their REST form by serde, and those that answer a request the schema of that form by utoipa, so that the
//! API reference says what is in `proto/`, comments included.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// Messages whose REST form is camelCase; all others are `snake_case` as in the contract.
const CAMEL_CASE: [&str; 7] = [
    ".careeros.auth.v1.TokenPair",
    ".careeros.auth.v1.RegisterResponse",
    ".careeros.auth.v1.LoginResponse",
    ".careeros.auth.v1.RefreshResponse",
    ".careeros.auth.v1.CreateInvitationResponse",
    ".careeros.auth.v1.GetCurrentUserResponse",
    ".careeros.auth.v1.Session",
];

/// Fields that hold one of a closed set of words, with the type in `src/proto/words.rs` that lists them.
const WORDS: [(&str, &str); 19] = [
    ("ActivateSubscriptionResponse.status", "SubscriptionStatus"),
    ("CourseSummary.visibility", "Visibility"),
    ("CreateCourseResponse.status", "CourseStatus"),
    ("CreateInvitationResponse.roles", "Vec<crate::proto::words::Role>"),
    ("CreateRoadmapResponse.status", "RoadmapStatus"),
    ("EnrollmentSummary.status", "EnrollmentStatus"),
    ("ExecuteFlowResponse.status", "FlowStatus"),
    ("GetActiveRoadmapResponse.status", "ActiveRoadmapStatus"),
    ("GetActiveSubscriptionResponse.status", "HeldSubscriptionStatus"),
    ("GetCourseResponse.visibility", "Visibility"),
    ("GetCurrentUserResponse.roles", "Vec<crate::proto::words::Role>"),
    ("GetCurrentUserResponse.status", "UserStatus"),
    ("GetRoadmapResponse.status", "RoadmapStatus"),
    ("Lesson.content_type", "ContentType"),
    ("Milestone.status", "MilestoneStatus"),
    ("RoadmapDraftResponse.status", "DraftStatus"),
    ("RoadmapInterviewTurnResponse.status", "InterviewStatus"),
    ("Stage.status", "StageStatus"),
    ("ValidateAccessTokenResponse.roles", "Vec<crate::proto::words::Role>"),
];

/// Fields that are empty where there is no such thing, so that they are no UUID or time.
const MAY_BE_EMPTY: [&str; 4] = [
    "GetActiveRoadmapResponse.roadmap_id",
    "GetActiveSubscriptionResponse.",
    "RoadmapInterviewTurnResponse.ai_execution_id",
    "ValidateAccessTokenResponse.",
];

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo runs this in the directory of the crate.
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-changed=../../migrations/shared");
    let files: Vec<_> =
        ["common", "auth", "userprofile", "aicore", "roadmap", "lms", "edutracker", "billing", "analytics"]
            .map(|area| root.join(format!("careeros/{area}/v1/{area}.proto")))
            .into();
    let descriptors = protox::compile(&files, [root])?;
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]);
    let mut builder = tonic_prost_build::configure()
        .include_file("protos.rs")
        .message_attribute(".careeros", "#[derive(serde::Serialize)]")
        .enum_attribute(".careeros", "#[derive(serde::Serialize)]");
    for message in CAMEL_CASE {
        builder = builder.message_attribute(message, "#[serde(rename_all = \"camelCase\")]");
    }
    for (path, message) in answers(&descriptors) {
        builder = builder.message_attribute(&path, "#[derive(utoipa::ToSchema)]");
        for field in &message.field {
            if let Some(schema) = schema(message, field) {
                let path = format!("{path}.{}", field.name());
                builder = builder.field_attribute(path, format!("#[schema({schema})]"));
            }
        }
    }
    builder.compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// The messages that answer requests with those that they hold, by their paths.
fn answers(descriptors: &prost_types::FileDescriptorSet) -> BTreeMap<String, &DescriptorProto> {
    let all: BTreeMap<String, &DescriptorProto> = descriptors
        .file
        .iter()
        .flat_map(|file| {
            file.message_type.iter().map(|message| (format!(".{}.{}", file.package(), message.name()), message))
        })
        .collect();
    let mut found = BTreeMap::new();
    let mut open: Vec<_> = all.keys().filter(|path| path.ends_with("Response")).cloned().collect();
    while let Some(path) = open.pop() {
        let Some(message) = all.get(&path) else { continue };
        open.extend(message.field.iter().map(|field| field.type_name().to_owned()));
        found.insert(path, *message);
    }
    found
}

/// What a field's schema says beside its type.
fn schema(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<String> {
    let name = format!("{}.{}", message.name(), field.name());
    if let Some((_, words)) = WORDS.iter().find(|(of, _)| *of == name) {
        let path = if words.contains(':') { "" } else { "crate::proto::words::" };
        return Some(format!("value_type = {path}{words}"));
    }
    if field.r#type() == Type::Message && field.label() != Label::Repeated {
        let held = field.type_name().rsplit('.').next()?;
        return Some(format!("value_type = {held}"));
    }
    // An answer has all of its fields; optional ones may be null.
    let present = if field.proto3_optional() { "required = true, " } else { "" };
    let may_be_empty = MAY_BE_EMPTY.iter().any(|start| name.starts_with(start));
    let rule = match (field.r#type(), field.name()) {
        (Type::String, _) if field.label() == Label::Repeated || may_be_empty => "",
        (Type::String, "id") => "format = \"uuid\"",
        (Type::String, "email") => "format = \"email\"",
        (Type::String, "price_usd") => "format = \"decimal\"",
        (Type::String, name) if name.ends_with("_id") => "format = \"uuid\"",
        (Type::String, name) if name.ends_with("_at") => "format = DateTime",
        (Type::String, name) if name.ends_with("_date") => "format = Date",
        (Type::Int32 | Type::Int64, _) | (Type::Double, "mrr_usd" | "ai_cost_usd" | "total_cost_usd") => "minimum = 0",
        (Type::Double, "confidence" | "churn_risk_score") => "minimum = 0, maximum = 1",
        (Type::Double, _) => "minimum = 0, maximum = 100",
        _ => "",
    };
    let all = format!("{present}{rule}");
    (!all.is_empty()).then(|| all.trim_end_matches(", ").to_owned())
}
