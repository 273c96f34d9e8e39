//! Proofs of `unsafe`: each says by itself why it holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that stand for a proof which is somewhere else.
const ELSEWHERE: [&str; 5] =
    ["by contract", "as above.", "as above;", "by the invariant.", "as in `"];

/// What a shorter one would leave out.
const WORDS: usize = 6;

fn sources(of: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(of).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The comments of a source that begin with `// SAFETY:`, each as one line, with its line's number.
fn proofs(source: &str) -> Vec<(usize, String)> {
    let mut proofs: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in source.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("// ") else {
            open = false;
            continue;
        };
        if let Some(proof) = comment.strip_prefix("SAFETY: ") {
            proofs.push((number + 1, proof.to_owned()));
            open = true;
        } else if comment.starts_with("INVARIANT: ") {
            open = false;
        } else if open && let Some((_, proof)) = proofs.last_mut() {
            proof.push(' ');
            proof.push_str(comment);
        }
    }
    proofs
}

/// What is wrong with a proof, if anything is.
fn fault(proof: &str) -> Option<&'static str> {
    if ELSEWHERE.iter().any(|words| proof.contains(words)) {
        return Some("says what holds, not why");
    }
    (proof.split_whitespace().count() < WORDS).then_some("is too short to say why")
}

#[test]
fn each_proof_says_why_it_holds() {
    assert!(fault("as above.").is_some() && fault("initialised, and not used again.").is_some());
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut faults = Vec::new();
    let mut count = 0;
    for file in files {
        let source = fs::read_to_string(&file).expect("the sources can be read");
        for (line, proof) in proofs(&source) {
            count += 1;
            if let Some(fault) = fault(&proof) {
                faults.push(format!("{}:{line}: {fault}: {proof}", file.display()));
            }
        }
    }
    assert!(count > 100, "there are proofs: {count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
