//! The repository keeps its own rules: the shape of services, the length of files, the list of variables, topics, docs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has to fail")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use careeros_shared::events::TOPICS;

const LONGEST_FILE: usize = 500;
const LONGEST_MAIN: usize = 40;
const GATEWAY: &str = "gateway";
/// The crates that are no services.
const OTHERS: [&str; 6] = ["bench", "careeros", "fleet", "ops", "rest", "shared"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `directory` whose names end in `ending`.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_service_has_the_same_shape() {
    let services: Vec<_> = crates().into_iter().filter(|path| !OTHERS.contains(&name(path))).collect();
    assert_eq!(services.len(), 9, "{services:?}");
    for service in services {
        let main = read(&service.join("src/main.rs"));
        assert!(main.lines().count() <= LONGEST_MAIN, "{}: main.rs is long", name(&service));
        assert!(service.join("src/lib.rs").exists(), "{} has no lib.rs", name(&service));
        let serves_rpcs = name(&service) != GATEWAY;
        assert_eq!(service.join("src/grpc.rs").exists(), serves_rpcs, "{}", name(&service));
    }
}

#[test]
fn every_crate_obeys_the_workspaces_lints() {
    for member in crates() {
        let manifest = read(&member.join("Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{}", name(&member));
    }
}

#[test]
fn files_are_short_enough_to_read_and_say_what_they_own() {
    for path in files(&root().join("crates"), ".rs") {
        let text = read(&path);
        assert!(text.lines().count() <= LONGEST_FILE, "{} is long: split it", path.display());
        // What a test covers is what its file is called.
        let is_test = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        let says = is_test || text.starts_with("//!");
        assert!(says, "{} does not say what it owns", path.display());
        assert_ne!(name(&path), "mod.rs", "{}", path.display());
    }
}

/// The variables in the string literals of a file that reads the environment, without its comments and tests.
fn variables(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let literals = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_variable = |text: &&str| {
        text.contains('_')
            && !text.starts_with('_')
            // What Kafka calls its protocols.
            && !text.starts_with("SASL_")
            && text.bytes().all(|b| b == b'_' || b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    literals.filter(is_variable).map(str::to_owned).collect()
}

#[test]
fn variables_are_found_in_code_and_not_in_comments_or_tests() {
    let source =
        "/// \"NOT_THIS\"\nreader.optional(\"A_B\"); (\"C_D\", \"no e_f\")\n#[cfg(test)]\nmod tests { \"G_H\" }";
    assert_eq!(variables(source), ["A_B", "C_D"]);
}

#[test]
fn the_example_environment_lists_what_the_services_read_and_nothing_else() {
    // The launcher's own variables move its ports and data; docs/OPERATIONS.md has them.
    let services = crates().into_iter().filter(|path| name(path) != "fleet");
    let sources = services.flat_map(|path| files(&path.join("src"), ".rs")).map(|path| read(&path));
    let readers = sources.filter(|source| ["Reader", "env.get(", "Settings"].iter().any(|sign| source.contains(sign)));
    let read_variables: BTreeSet<_> = readers.flat_map(|source| variables(&source)).collect();
    let example = read(&root().join(".env.example"));
    let listed: BTreeSet<_> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(read_variables.len() > 20, "{read_variables:?}");
    let unlisted: Vec<_> = read_variables.difference(&listed).collect();
    let unread: Vec<_> = listed.difference(&read_variables).collect();
    assert!(unlisted.is_empty() && unread.is_empty(), "unlisted: {unlisted:?}, unread: {unread:?}");
}

#[test]
fn every_topic_has_one_payload() {
    let payloads = read(&root().join("crates/shared/src/events/payload.rs"));
    let declared = payloads.matches("\nevent!(").count();
    assert_eq!((TOPICS.len(), TOPICS.into_iter().collect::<BTreeSet<_>>().len()), (declared, declared));
    for topic in TOPICS {
        let named = topic.trim_start_matches("careeros.").trim_end_matches(".v1");
        assert_eq!(payloads.matches(&format!("\"{named}\"")).count(), 1, "{topic}");
    }
}

#[test]
fn docs_name_no_path_of_somebodys_machine() {
    let mut docs = files(&root().join("docs"), ".md");
    docs.extend([root().join("README.md"), root().join(".env.example")]);
    for path in docs {
        let text = read(&path);
        for home in ["/home/", "/root/", "/Users/", "/tmp/"] {
            assert!(!text.contains(home), "{} mentions {home}", path.display());
        }
    }
}
