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

/// The place of the format among the arguments of each function that takes one.
const FORMATS: [(&str, usize); 8] = [
    ("printf", 0),
    ("panic", 0),
    ("log", 1),
    ("sbuf_printf", 1),
    ("snprintf", 2),
    ("kproc_create", 5),
    ("taskqueue_start_threads", 3),
    ("kthread_add", 6),
];

/// Functions that make the interface's name a part of their format.
const BY_NAME: [&str; 4] = ["if_log", "if_vlog", "if_printf", "device_printf"];

/// The places in a source where a function is called, as what follows `name(`.
fn calls<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    let call = format!("{name}(");
    let is_call = |(at, _): &(usize, &str)| {
        let before = source[..*at].chars().next_back();
        // log(9) is a page.
        let is_page = source[at + call.len()..].starts_with(|c: char| c.is_ascii_digit());
        !is_page && !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    let found = source.match_indices(&call).filter(is_call);
    found.map(|(at, _)| &source[at + call.len()..]).collect()
}

/// A lagg or a port may be named `up%d`.
#[test]
fn d38_no_name_is_taken_for_a_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["kmod", "src/kpi/freebsd"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut formats = Vec::new();
    for path in files.into_iter().flatten().map(|file| file.unwrap().path()) {
        // In Rust these are the kernel's, c::log for one.
        let before = match path.extension().and_then(|it| it.to_str()) {
            Some("rs") => "c::",
            Some("c") => "",
            _ => continue,
        };
        let source = fs::read_to_string(&path).unwrap();
        for name in BY_NAME {
            let found = calls(&source, &format!("{before}{name}"));
            assert!(found.is_empty(), "{name} in {}", path.display());
        }
        for (name, place) in FORMATS {
            for arguments in calls(&source, &format!("{before}{name}")) {
                let format = arguments.split(',').nth(place).unwrap_or_default().trim();
                let is_literal = format.starts_with('"') || format.starts_with("c\"");
                assert!(is_literal, "{name} in {}: {format}", path.display());
                formats.push(format.to_owned());
            }
        }
    }
    assert!(formats.len() >= 4, "{formats:?}");
}
