//! Each folder of `src` may name only those beneath it (docs/architecture.md).

mod files;

use files::{File, sources};

/// The layers, and those that each may name besides itself.
const LAYERS: [(&str, &[&str]); 7] = [
    ("slots", &[]),
    ("wire", &[]),
    ("lacp", &["slots", "wire"]),
    ("policy", &["slots", "wire"]),
    ("kpi", &[]),
    ("driver", &["slots", "wire", "lacp", "policy", "kpi"]),
    ("userlagg", &["kpi"]),
];

/// The modules of the crate that a line of code names, by the first part of each path. `crate::{…}` gives
/// an empty name, and is not allowed.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let paths = ["crate::", "lagg_rs::"].into_iter().flat_map(|root| code.split(root).skip(1));
    paths.map(|path| path.split(|c: char| !is_word(c)).next().unwrap_or_default())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn a_layer_names_only_those_beneath_it() {
    let is_layer = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    let mut complaints = Vec::new();
    for (layer, beneath) in LAYERS {
        for File { path, text } in sources(&format!("src/{layer}")) {
            for (number, line) in (1..).zip(text.lines()) {
                assert!(!named(line).any(str::is_empty), "{path}:{number}: name one layer a line");
                let others = named(line).filter(|name| is_layer(name) && *name != layer);
                let above = others.filter(|name| !beneath.contains(name));
                complaints
                    .extend(above.map(|name| format!("{path}:{number}: {layer} names {name}")));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn what_a_line_names_is_found() {
    let names = |line| named(line).collect::<Vec<_>>();
    assert_eq!(names("use crate::kpi::{Mbuf, Ref};"), ["kpi"]);
    assert_eq!(names("use crate::{kpi::Mbuf, slots};"), [""]);
    assert_eq!(names("let x = crate::wire::flow::layers::L2; // crate::driver"), ["wire"]);
    assert_eq!(names("use lagg_rs::kpi::host;"), ["kpi"]);
    assert_eq!(names("let create = super::create;"), [""; 0]);
}
