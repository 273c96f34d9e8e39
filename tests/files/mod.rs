//! The files of the tree, for the tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file, by its path from the root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// All text files, except what is built, fetched or found by fuzzers.
pub fn files() -> Vec<File> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<File>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let other =
                ["build", "vendor", ".git", "fuzz/corpus", "fuzz/crashes"].contains(&&*name);
            if other || path.ends_with("target") {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, found);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push(File { path: name, text });
            }
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 200, "the tree is not here");
    found
}

/// The sources of a module by its path: its file, and all in its folder.
#[allow(dead_code, reason = "tests/tree.rs reads all files")]
pub fn sources(module: &str) -> Vec<File> {
    let (file, folder) = (format!("{module}.rs"), format!("{module}/"));
    let is_there = |path: &str| path == file || path.starts_with(&folder);
    let mut found = files();
    found.retain(|file| is_there(&file.path) && file.path.ends_with(".rs"));
    assert!(!found.is_empty(), "no source of {module}");
    found
}
