//! Code that the compiler must refuse, with its messages: one file for each rule.
//!
//! The messages are those of Rust 1.95 and 1.96. After a change, or with another,
//! `TRYBUILD=overwrite cargo test --test rules` writes them again.

#[test]
fn what_breaks_a_rule_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/rules/*.rs");
}
