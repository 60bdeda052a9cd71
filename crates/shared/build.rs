//! Compiles `proto/` with protox, a protobuf compiler in Rust, so that a build needs no `protoc`.

use std::{env, error::Error, fs, path::Path};

use prost::Message as _;

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

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-changed=../../migrations/shared");
    let files: Vec<_> =
        ["common", "auth", "userprofile", "aicore", "roadmap", "lms", "edutracker", "billing", "analytics"]
            .map(|area| root.join(format!("careeros/{area}/v1/{area}.proto")))
            .into();
    let descriptors = protox::compile(&files, [&root])?;
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
    builder.compile_fds_with_config(descriptors, config)?;
    Ok(())
}
