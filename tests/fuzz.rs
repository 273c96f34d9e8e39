//! Replays the fuzzers' inputs: those that together reach the most code, and those that once broke
//! something.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Runs all inputs of a target.
fn replay(target: &str, run: fn(&[u8])) {
    // After each one, no object of the driver may be left in the process.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inputs = Vec::new();
    for directory in ["corpus", "crashes"] {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory).join(target);
        // A target without findings has no crashes.
        let Ok(files) = fs::read_dir(directory) else { continue };
        inputs.extend(files.map(|file| file.unwrap().path()));
    }
    assert!(!inputs.is_empty());
    inputs.sort();
    for input in &inputs {
        println!("{}", input.display());
        run(&fs::read(input).unwrap());
    }
}

#[test]
fn frames() {
    replay("frames", targets::frames::run);
}

#[test]
fn pdus() {
    replay("pdus", targets::pdus::run);
}

#[test]
fn requests() {
    replay("requests", targets::requests::run);
}

#[test]
fn events() {
    replay("events", targets::events::run);
}
