//! Each proof of `unsafe` must state why it holds, without pointing elsewhere.

mod files;

use files::{File, sources};

/// Words that point to a proof elsewhere.
const ELSEWHERE: [&str; 5] =
    ["by contract", "as above.", "as above;", "by the invariant.", "as in `"];

/// The least number of words of a proof.
const WORDS: usize = 6;

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
    let mut faults = Vec::new();
    let mut count = 0;
    for File { path, text } in sources("src") {
        for (line, proof) in proofs(&text) {
            count += 1;
            if let Some(fault) = fault(&proof) {
                faults.push(format!("{path}:{line}: {fault}: {proof}"));
            }
        }
    }
    assert!(count > 100, "there are proofs: {count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
