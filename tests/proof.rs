//! `docs/proof.md` says of every defect by number which tests show that it is not there: all numbers are
//! there, and all tests are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const PROOF: &str = include_str!("../docs/proof.md");

/// All numbers: D-1 to D-35, F-1 to F-65, and F-7b.
fn numbers() -> BTreeSet<String> {
    let defects = (1..=35).map(|n| format!("D-{n}"));
    let faults = (1..=65).map(|n| format!("F-{n}"));
    defects.chain(faults).chain(["F-7b".into()]).collect()
}

/// What the table has for each number: names of tests.
fn table() -> BTreeMap<String, Vec<&'static str>> {
    let mut table = BTreeMap::new();
    for row in PROOF.lines().filter(|line| line.starts_with("| D-") || line.starts_with("| F-")) {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let tests = columns[3].split('`').skip(1).step_by(2).collect();
        assert!(
            table.insert(columns[1].to_owned(), tests).is_none(),
            "{} is there twice",
            columns[1]
        );
    }
    table
}

/// The names of all tests under a folder but those that are left out unless somebody asks for them.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
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
                        found.insert(name.to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
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
    let table = table();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), numbers());
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut tests);
    }
    for (number, names) in table {
        assert!(!names.is_empty(), "{number} has no test");
        for name in names {
            assert!(tests.contains(name), "{number}: there is no test {name}");
            assert!(numbers_of(name).contains(&number), "{number}: {name} is another number's");
        }
    }
}

#[test]
fn numbers_are_told_by_names() {
    assert_eq!(numbers_of("d03_d04_ports_leave"), ["D-3", "D-4"]);
    assert_eq!(numbers_of("f07b_netmap_keeps_the_lagg"), ["F-7b"]);
    assert_eq!(numbers_of("d1_of_one_digit"), [""; 0]);
    assert_eq!(numbers_of("a_port_leaves"), [""; 0]);
}
