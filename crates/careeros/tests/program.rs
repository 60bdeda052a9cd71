//! The command line of the one program.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

use std::process::{Command, Output};

const SERVICES: [&str; 9] =
    ["gateway", "auth", "profile", "ai-core", "roadmap", "lms", "edu-tracker", "billing", "analytics"];

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_careeros")).args(arguments).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn who_names_no_service_is_told_which_there_are() {
    for arguments in [&["--help"][..], &["mailer"][..]] {
        let output = run(arguments);
        let said = text(&[output.stdout, output.stderr].concat());
        assert_eq!(output.status.code(), Some(if arguments == ["mailer"] { 2 } else { 0 }), "{said}");
        assert!(SERVICES.iter().all(|name| said.contains(name)), "{said}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn what_follows_the_service_is_its_own() {
    for name in SERVICES {
        let said = text(&run(&[name, "--help"]).stdout);
        assert!(said.contains(&format!("careeros {name}")) && said.contains("migrate"), "{name}: {said}");
    }
    let said = text(&run(&["auth", "operator", "--help"]).stdout);
    assert!(said.contains("grant"), "{said}");
}
