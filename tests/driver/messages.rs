//! The manual page kmod/lagg_rs.4 has each message of the log and each type of event, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lagg_rs::lacp::Report;

const PAGE: &str = include_str!("../../kmod/lagg_rs.4");
const EVENTS: &str = include_str!("../../src/driver/events.rs");

/// The text of the string literal that `source` begins with.
fn literal(source: &str) -> Option<String> {
    let text = source.trim_start().strip_prefix('"')?;
    Some(text[..text.find('"')?].to_string())
}

/// The literals that follow `begin`, white space and `then`.
fn literals(source: &str, begin: &str, then: &str) -> Vec<String> {
    let places = source.match_indices(begin).map(|(at, _)| source[at + begin.len()..].trim_start());
    places.filter_map(|rest| literal(rest.strip_prefix(then)?)).collect()
}

/// A message with a `%` for each value: `{…}` in the source, `%s` and the like in the page.
fn shape(message: &str, is_value_end: fn(char) -> bool, begin: char) -> String {
    let (mut shape, mut is_value) = (String::new(), false);
    for c in message.chars() {
        if is_value {
            is_value = !is_value_end(c);
        } else {
            is_value = c == begin;
            shape.push(if is_value { '%' } else { c });
        }
    }
    shape
}

fn in_source(message: &str) -> String {
    shape(message, |c| c == '}', '{')
}

fn in_page(message: &str) -> String {
    let shape = shape(message, |c| c.is_ascii_alphabetic(), '%');
    // These are values in the source.
    shape.replace("1024", "%").replace("% in:", "% %:").replace("% out:", "% %:")
}

/// All that the driver logs.
fn logged() -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/driver");
    for file in fs::read_dir(directory).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        messages.extend(literals(&source, "format_args!(", ""));
    }
    // Those of events are below.
    messages.retain(|message| !["{self}", "{}"].contains(&&**message));
    assert!(messages.len() > 12, "{messages:#?}");
    let (_, display) = EVENTS.split_once("impl Display for Change").unwrap();
    let (display, _) = display.split_once("struct Data").unwrap();
    let lines: Vec<_> = display
        .split("write!(")
        .skip(1)
        .filter_map(|rest| literal(rest.split_once("f,")?.1))
        .collect();
    assert!(lines.len() > 10, "{lines:#?}");
    messages.extend(lines);
    let mut shapes: BTreeSet<_> = messages.iter().map(|message| in_source(message)).collect();
    assert!(shapes.remove("% %"), "a report");
    shapes.extend(Report::ALL.map(|report| format!("% {}", report.text())));
    shapes
}

#[test]
fn each_message_is_in_the_manual_page_and_no_other() {
    let items = PAGE.lines().filter_map(|line| line.strip_prefix(".It \"lagg%d: "));
    let documented: BTreeSet<_> =
        items.map(|item| in_page(item.strip_suffix('"').unwrap())).collect();
    let logged = logged();
    let missing: Vec<_> = logged.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&logged).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:#?}, unknown {unknown:#?}");
}

#[test]
fn each_type_of_event_is_in_the_manual_page_and_no_other() {
    let (_, section) = PAGE.split_once("\n.Ss Events\n").unwrap();
    let (section, _) = section.split_once("\n.El\n").unwrap();
    let documented: BTreeSet<_> =
        section.lines().filter_map(|line| line.strip_prefix(".It Li ")).collect();
    let types: BTreeSet<_> =
        EVENTS.split("=> c\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    assert_eq!(types, documented);
    assert_eq!(types.len(), 7);
    let example = PAGE.split_once("\n.Sh EXAMPLES\n").unwrap().1;
    for word in ["match \"system\" \"LAGG\";", "match \"type\" \"FAILOVER\";"] {
        assert!(example.contains(word), "{word}");
    }
}
