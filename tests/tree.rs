//! Rules for every file in the tree: documents and sources are short, and cite only what is here.

mod files;

use std::path::Path;

use files::{File, files};

/// Columns of a line of documentation.
const COLUMNS: usize = 100;
/// Words of a sentence in the documentation.
const WORDS: usize = 30;
/// Lines of a source file.
const LINES: usize = 400;

impl File {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension();
        extension.is_some_and(|extension| extensions.contains(&extension.to_str().unwrap()))
    }

    fn is_document(&self) -> bool {
        self.has_extension(&["md"])
    }

    fn is_source(&self) -> bool {
        self.has_extension(&["rs", "c", "h", "sh", "subr", "py"]) || self.text.starts_with("#!")
    }
}

/// Fails with all complaints.
#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn lines_of_documentation_fit() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_document()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS {
                complaints.push(format!("{}:{number}: {columns} columns", file.path));
            }
        }
    }
    none(complaints);
}

#[test]
fn sentences_of_documentation_are_short() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_document()) {
        for paragraph in paragraphs(&file.text) {
            for sentence in sentences(&paragraph) {
                if sentence.len() > WORDS {
                    let (words, begin) = (sentence.len(), sentence[..6].join(" "));
                    complaints.push(format!("{}: {words} words: {begin} …", file.path));
                }
            }
        }
    }
    none(complaints);
}

/// Paragraphs, items of lists, and cells of tables; what is code by its indentation or between fences
/// is left out.
fn paragraphs(text: &str) -> Vec<String> {
    let (mut paragraphs, mut current, mut fenced) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        let is_code = fenced || is_fence || current.is_empty() && line.starts_with("    ");
        let is_item = line.trim_start().starts_with("- ");
        if is_code || is_item || line.is_empty() || line.starts_with(['|', '#']) {
            paragraphs.push(std::mem::take(&mut current));
        }
        if line.starts_with('|') {
            paragraphs.extend(line.split('|').map(str::to_owned));
        } else if !is_code && !line.is_empty() && !line.starts_with('#') {
            current.push_str(line);
            current.push(' ');
        }
    }
    paragraphs.push(current);
    paragraphs
}

/// The sentences of a paragraph, as words.
fn sentences(paragraph: &str) -> Vec<Vec<&str>> {
    let (mut sentences, mut current) = (Vec::new(), Vec::new());
    for word in paragraph.split_whitespace() {
        current.push(word);
        if word.trim_end_matches(['"', ')', '*', '`']).ends_with(['.', '!', '?', ':', ';']) {
            sentences.push(std::mem::take(&mut current));
        }
    }
    sentences.push(current);
    sentences
}

#[test]
fn sources_are_short() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        let lines = file.text.lines().count();
        if lines > LINES {
            complaints.push(format!("{}: {lines} lines; split it by subject", file.path));
        }
    }
    none(complaints);
}

#[test]
fn nothing_cites_what_is_not_here() {
    let mut complaints = Vec::new();
    for file in files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            if cites_elsewhere(line) {
                complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none(complaints);
}

/// Whether a line cites a section by letter and number, of which no document here has any.
fn cites_elsewhere(line: &str) -> bool {
    line.split("spec ").skip(1).any(|rest| {
        let mut rest = rest.chars();
        rest.next().is_some_and(|letter| letter.is_ascii_uppercase())
            && rest.next().is_some_and(|dot| ".-".contains(dot))
            && rest.next().is_some_and(|digit| digit.is_ascii_digit())
    })
}

/// The targets of `make` that a workflow names.
fn targets(workflow: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in workflow.lines() {
        // Alone, or one of several
        let alone = line.split_once("run: make ").map(|(_, command)| command);
        if let Some(command) = alone.or_else(|| line.trim().strip_prefix("make ")) {
            found.extend(command.split(' ').next().filter(|word| *word != "${{"));
        }
        // Those of `make ${{ matrix.command }}`
        if let Some(commands) = line.trim().strip_prefix("command: [") {
            found.extend(commands.trim_end_matches(']').split(", "));
        }
    }
    found
}

#[test]
fn workflows_name_targets_of_the_makefile() {
    let files = files();
    let makefile = &files.iter().find(|file| file.path == "Makefile").unwrap().text;
    let workflows = files.iter().filter(|file| file.path.starts_with(".github/workflows/"));
    let mut named = 0;
    for (workflow, target) in
        workflows.flat_map(|w| targets(&w.text).into_iter().map(move |t| (w, t)))
    {
        let there = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
        assert!(there, "{}: there is no make {target}", workflow.path);
        named += 1;
    }
    assert!(named >= 6, "only {named} targets are named");
}

/// What a step or job takes from elsewhere is one commit of it.
fn is_pinned(used: &str) -> bool {
    let commit = used.split_once('@').map(|(_, at)| at.split(' ').next().unwrap_or(at));
    let is_hash =
        |name: &str| name.len() == 40 && name.chars().all(|digit| digit.is_ascii_hexdigit());
    used.starts_with("./") || commit.is_some_and(is_hash)
}

#[test]
fn workflows_pin_what_they_use() {
    for file in files().iter().filter(|file| file.path.starts_with(".github/workflows/")) {
        for line in file.text.lines() {
            let used = line.trim_start().trim_start_matches("- ").strip_prefix("uses: ");
            assert!(used.is_none_or(is_pinned), "{}: {line} names no commit", file.path);
        }
    }
    assert!(!is_pinned("actions/checkout@v7"));
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert!(cites_elsewhere(concat!("as spec ", "B.12 has it")));
    assert!(!cites_elsewhere("the spec B of it"));
    let long = "word ".repeat(WORDS + 1);
    let text = format!("# Heading\n\nShort.\n- {long}\n\n    {long}\n");
    let lengths = paragraphs(&text).iter().flat_map(|p| sentences(p)).map(|s| s.len()).max();
    assert_eq!(lengths, Some(WORDS + 2));
}
