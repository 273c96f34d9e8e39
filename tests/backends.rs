//! kpi is one interface with two backends: functions that both have must have the same signature and
//! comment.

mod files;

use std::collections::BTreeMap;

use files::sources;

/// A public function of a backend.
struct Function {
    /// Its documentation, as one line.
    words: String,
    /// What it takes and returns, without the names of its arguments.
    signature: String,
}

/// By type and name.
type Backend = BTreeMap<(String, String), Function>;

/// `fn name` of a line that begins a public function.
fn public(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Leaves out what an argument is called.
fn without_names(signature: &str) -> String {
    let is_name = |word: &str| {
        let name = word.trim_start_matches(['(', '&']).strip_suffix(':');
        name.is_some_and(|name| name.chars().all(|c| c.is_lowercase() || c == '_'))
    };
    let signature = signature.replace("pub const fn", "pub fn").replace("( ", "(");
    let words = signature.split_whitespace().filter(|word| !is_name(word) && *word != "mut");
    let words = words.map(|word| match word.split_once('(') {
        Some((before, name)) if is_name(name) => before,
        Some((before, "mut")) => before,
        _ => word,
    });
    Vec::from_iter(words).join(" ").replace(",)", ")").replace(", )", ")")
}

fn backend(name: &str) -> Backend {
    let mut found = Backend::new();
    for file in sources(&format!("src/kpi/{name}")) {
        // Only the host has these: the test support, and its own tests.
        if file.path.contains("/testing/") || file.path.contains("/tests/") {
            continue;
        }
        let lines = Vec::from_iter(file.text.lines());
        let mut owner = String::new();
        for (number, line) in lines.iter().enumerate() {
            if line.starts_with("impl") {
                let words = line.trim_end_matches(" {");
                let is_trait = words.contains(" for ");
                let name = words.rsplit(' ').next().unwrap().split('<').next().unwrap();
                owner = if is_trait { "a trait of ".to_owned() + name } else { name.to_owned() };
            } else if *line == "}" {
                owner.clear();
            }
            let Some(name) = public(line) else { continue };
            let above = lines[..number].iter().rev().map(|line| line.trim_start());
            let above = above.skip_while(|line| line.starts_with("#["));
            let words = above.map_while(|line| line.strip_prefix("///"));
            let mut words = Vec::from_iter(words.map(str::trim));
            words.reverse();
            let end = lines[number..].iter().position(|line| line.ends_with('{')).unwrap();
            let signature = lines[number..=number + end].join(" ");
            let signature = without_names(signature.trim_end_matches('{'));
            let words = words.join(" ");
            found.insert((owner.clone(), name.to_owned()), Function { words, signature });
        }
    }
    found
}

/// The host's comment may continue after the kernel's.
#[test]
fn both_backends_have_the_same_functions() {
    let (kernel, host) = (backend("freebsd"), backend("host"));
    let mut complaints = Vec::new();
    let mut both = 0;
    for (name, ours) in &kernel {
        let Some(other) = host.get(name) else { continue };
        both += 1;
        if ours.words.is_empty() || !other.words.starts_with(&ours.words) {
            complaints.push(format!("{name:?}: {:?}, on the host {:?}", ours.words, other.words));
        }
        if ours.signature != other.signature {
            complaints.push(format!("{}\non the host {}", ours.signature, other.signature));
        }
    }
    assert!(both > 100, "there are functions in both: {both}");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
