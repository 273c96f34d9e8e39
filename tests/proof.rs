//! Every defect by number has a row in `docs/proof.md`, whose last column counts the tests that bear
//! the number in their names, and one in `docs/compared.md`, which names the file and the function
//! that guard against it. There a comment bears the number.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use files::sources;

const PROOF: &str = include_str!("../docs/proof.md");
const COMPARED: &str = include_str!("../docs/compared.md");
const ARCHITECTURE: &str = include_str!("../docs/architecture.md");

/// All numbers: D-1 to D-38, F-1 to F-88, and F-7b.
fn numbers() -> BTreeSet<String> {
    let defects = (1..=38).map(|n| format!("D-{n}"));
    let faults = (1..=88).map(|n| format!("F-{n}"));
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

/// The names of the tests in a source, except those that are ignored.
fn tests_in(text: &str) -> Vec<&str> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        is_test = line == "#[test]" || is_test && !line.starts_with("#[ignore");
        if let Some((name, _)) = line.strip_prefix("fn ").and_then(|f| f.split_once('(')) {
            if is_test {
                names.push(name);
            }
            is_test = false;
        }
    }
    names
}

/// The tests of each number in the tree.
fn tests_by_number() -> BTreeMap<String, Counts> {
    let mut tests: BTreeMap<String, Counts> = BTreeMap::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let target = match Path::new(&file.path).strip_prefix("tests") {
            Ok(test) => Path::new(test.iter().next().unwrap()).file_stem().unwrap(),
            Err(_) => "lib".as_ref(),
        };
        for number in tests_in(&file.text).into_iter().flat_map(numbers_of) {
            let target = target.to_str().unwrap().to_owned();
            *tests.entry(number).or_default().entry(target).or_default() += 1;
        }
    }
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

/// The two parts of `docs/compared.md`: what is wrong under each number, and where it is guarded.
fn compared() -> (&'static str, &'static str) {
    COMPARED.split_once("\n## Where each is guarded\n").unwrap()
}

#[test]
fn compared_says_what_is_wrong_under_each_number() {
    let said: BTreeSet<_> = rows(compared().0).map(|row| row[0].to_owned()).collect();
    assert_eq!(said, numbers());
}

#[test]
fn every_number_is_marked_where_it_is_guarded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut marked = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows(compared().1) {
        let [number, file, name] = [0, 1, 2].map(|cell| row[cell].trim_matches('`'));
        marked.insert(number.to_owned());
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if !items(&text, name).any(|item| has_mark(item, number)) {
            wrong.push(format!("{number}: no comment in `{name}` of {file} bears the number"));
        }
    }
    let wrong = wrong.join("\n");
    assert!(wrong.is_empty(), "docs/compared.md, Where each is guarded:\n{wrong}");
    assert_eq!(marked, numbers());
}

#[test]
fn the_walks_name_functions_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = ARCHITECTURE.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut steps = 0;
    for (before, after) in text.match_indices("` in `src/").map(|(at, _)| text.split_at(at)) {
        let name = before.rsplit('`').next().unwrap();
        let file = after.split('`').nth(2).unwrap();
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(items(&source, name).next().is_some(), "there is no `{name}` in {file}");
        steps += 1;
    }
    assert!(steps > 20);
}

/// The items of that name in a source, with what is written directly above them: up to the line that
/// closes them, which is indented as the one that declares them.
fn items<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t [&'t str]> {
    let lines: &'t [&'t str] = Vec::leak(text.lines().collect());
    let declares = |line: &str| {
        let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        let kinds = ["fn", "struct", "enum", "const", "static", "trait", "macro_rules"];
        let in_rust = words.windows(2).any(|pair| kinds.contains(&pair[0]) && pair[1] == name);
        in_rust || line.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
    };
    let starts: Vec<_> = (0..lines.len()).filter(|&line| declares(lines[line])).collect();
    starts.into_iter().map(|start| {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let own = indent(lines[start]);
        let is_end = |line: &&str| indent(line) == own && line.ends_with(['}', ';']);
        let last = start + lines[start..].iter().position(is_end).unwrap_or(0);
        let is_above = |line: &&&str| {
            let line = line.trim_start();
            ["//", "#[", "/*"].iter().any(|begin| line.starts_with(begin))
        };
        let above = lines[..start].iter().rev().take_while(is_above).count();
        &lines[start - above..=last]
    })
}

/// Whether a comment in these lines has the number.
fn has_mark(lines: &[&str], number: &str) -> bool {
    lines.iter().filter_map(|line| Some(line.split_once("/*").or(line.split_once("//"))?.1)).any(
        |comment| {
            let not_of_it = |c: char| !(c.is_alphanumeric() || c == '-');
            comment.split(not_of_it).any(|word| word == number)
        },
    )
}

#[test]
fn marks_are_found_in_comments_of_their_items() {
    let source =
        "/// F-7b\nfn a() {\n    // D-1: why\n    b(); // D-2\n}\n\nfn b() {\n    c(\"D-3\");\n}\n";
    let has = |name, number| items(source, name).any(|item| has_mark(item, number));
    assert!(has("a", "F-7b") && has("a", "D-1") && has("a", "D-2"));
    assert!(!has("a", "F-7") && !has("b", "D-2") && !has("b", "D-3") && !has("c", "D-3"));
}

#[test]
fn names_of_tests_begin_with_numbers() {
    assert_eq!(numbers_of("d03_d04_ports_leave"), ["D-3", "D-4"]);
    assert_eq!(numbers_of("f07b_netmap_keeps_the_lagg"), ["F-7b"]);
    assert_eq!(numbers_of("d1_of_one_digit"), [""; 0]);
    assert_eq!(numbers_of("a_port_leaves"), [""; 0]);
}
