//! Every defect by number has a row in `docs/proof.md`, whose last column counts the tests that bear
//! the number in their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const PROOF: &str = include_str!("../docs/proof.md");
const COMPARED: &str = include_str!("../docs/compared.md");

/// All numbers: D-1 to D-35, F-1 to F-65, and F-7b.
fn numbers() -> BTreeSet<String> {
    let defects = (1..=35).map(|n| format!("D-{n}"));
    let faults = (1..=65).map(|n| format!("F-{n}"));
    defects.chain(faults).chain(["F-7b".into()]).collect()
}

/// The rows of a document's tables that begin with a number, as cells.
fn rows(document: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = document.lines().filter(|line| line.starts_with("| D-") || line.starts_with("| F-"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
}

/// How many tests bear a number, by target.
type Counts = BTreeMap<String, usize>;

/// The last column of a row: `driver 2, lacp 1`.
fn counts(cell: &str) -> Counts {
    let count = |text: &str| {
        let (target, count) = text.split_once(' ')?;
        Some((target.to_owned(), count.parse().ok()?))
    };
    let counts: Option<_> = cell.split(", ").map(count).collect();
    counts.unwrap_or_else(|| panic!("`{cell}` counts no tests"))
}

/// Calls `found` with the name of each test under a folder, except those that are ignored.
fn tests_in(folder: &Path, found: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            tests_in(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&entry).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test = line == "#[test]" || is_test && !line.starts_with("#[ignore");
                if let Some((name, _)) = line.strip_prefix("fn ").and_then(|f| f.split_once('(')) {
                    if is_test {
                        found(&entry, name);
                    }
                    is_test = false;
                }
            }
        }
    }
}

/// The tests of each number in the tree.
fn tests_by_number() -> BTreeMap<String, Counts> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests: BTreeMap<String, Counts> = BTreeMap::new();
    let mut found = |file: &Path, name: &str| {
        let file = file.strip_prefix(root).unwrap();
        let target = match file.strip_prefix("tests") {
            Ok(test) => Path::new(test.iter().next().unwrap()).file_stem().unwrap(),
            Err(_) => "lib".as_ref(),
        };
        for number in numbers_of(name) {
            let target = target.to_str().unwrap().to_owned();
            *tests.entry(number).or_default().entry(target).or_default() += 1;
        }
    };
    tests_in(&root.join("src"), &mut found);
    tests_in(&root.join("tests"), &mut found);
    tests
}

/// The numbers that a test's name begins with: D-3 and D-4 of `d03_d04_…`, F-7b of `f07b_…`.
fn numbers_of(name: &str) -> Vec<String> {
    let number = |part: &str| {
        let (kind, rest) = part.split_at_checked(1)?;
        let digits = rest.trim_end_matches('b');
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = digits.parse().ok().filter(|_| is_number && "df".contains(kind))?;
        Some(format!("{}-{number}{}", kind.to_uppercase(), &rest[digits.len()..]))
    };
    name.split('_').map_while(number).collect()
}

#[test]
fn every_number_has_its_tests() {
    let mut documented = BTreeMap::new();
    for row in rows(PROOF) {
        let before = documented.insert(row[0].to_owned(), counts(row[2]));
        assert!(before.is_none(), "docs/proof.md has two rows for {}", row[0]);
    }
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), numbers());
    let tests = tests_by_number();
    for (number, counts) in &documented {
        let found = tests.get(number).cloned().unwrap_or_default();
        assert_eq!(*counts, found, "docs/proof.md miscounts the tests of {number}");
    }
    let unknown: Vec<_> = tests.keys().filter(|number| !documented.contains_key(*number)).collect();
    assert!(unknown.is_empty(), "tests bear numbers that docs/proof.md does not have: {unknown:?}");
}

#[test]
fn compared_says_what_is_wrong_under_each_number() {
    let said: BTreeSet<_> = rows(COMPARED).map(|row| row[0].to_owned()).collect();
    assert_eq!(said, numbers());
}

#[test]
fn names_of_tests_begin_with_numbers() {
    assert_eq!(numbers_of("d03_d04_ports_leave"), ["D-3", "D-4"]);
    assert_eq!(numbers_of("f07b_netmap_keeps_the_lagg"), ["F-7b"]);
    assert_eq!(numbers_of("d1_of_one_digit"), [""; 0]);
    assert_eq!(numbers_of("a_port_leaves"), [""; 0]);
}
