//! Two lists that have to be the same, and what is said where they are not.

use std::collections::{BTreeMap, BTreeSet};

/// Entries shown of each side.
const SHOWN: usize = 5;

/// Asserts that `found` has exactly the entries of `expected`, each as often, in any order; the first that differ are told.
pub(super) fn assert_same(
    what: &str,
    expected: impl IntoIterator<Item = String>,
    found: impl IntoIterator<Item = String>,
) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for entry in expected {
        *counts.entry(entry).or_default() += 1;
    }
    for entry in found {
        *counts.entry(entry).or_default() -= 1;
    }
    let missing: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    let surplus: Vec<_> = counts.iter().filter(|(_, count)| **count < 0).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: {} missing, {} too many\nmissing: {:#?}\ntoo many: {:#?}",
        missing.len(),
        surplus.len(),
        missing.iter().take(SHOWN).collect::<Vec<_>>(),
        surplus.iter().take(SHOWN).collect::<Vec<_>>(),
    );
}

/// Asserts that every one of `some` is among `all`.
pub(super) fn assert_among(what: &str, some: &[String], all: impl IntoIterator<Item = String>) {
    let all: BTreeSet<_> = all.into_iter().collect();
    let missing: Vec<_> = some.iter().filter(|entry| !all.contains(*entry)).collect();
    let shown = missing.iter().take(SHOWN).collect::<Vec<_>>();
    assert!(missing.is_empty(), "{what}: {} of {} missing: {shown:#?}", missing.len(), some.len());
}

#[test]
#[should_panic(expected = "letters: 1 missing, 1 too many")]
fn an_entry_that_is_there_twice_is_not_the_same_as_once() {
    assert_same("letters", ["a", "b"].map(str::to_owned), ["a", "a"].map(str::to_owned));
}
