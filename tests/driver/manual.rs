//! The manual page kmod/lagg_rs.4 names all records and sysctls, and no others.

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::proto;

use crate::lab::{card, lab, lagg_of};

const PAGE: &str = include_str!("../../kmod/lagg_rs.4");
const MODULE: &str = include_str!("../../kmod/module.c");

/// The lines of a section of the page.
fn section(name: &str) -> impl Iterator<Item = &'static str> {
    let heading = format!(".Sh {name}");
    PAGE.lines()
        .skip_while(move |line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with(".Sh "))
}

/// A record's words in the page; None stands for any word.
fn pattern(item: &'static str) -> Vec<Option<&'static str>> {
    let mut argument = false;
    let words = item.split(' ').filter_map(move |word| match word {
        "Li" | "Ar" => {
            argument = word == "Ar";
            None
        }
        _ => Some((!argument).then_some(word)),
    });
    words.collect()
}

fn matches(pattern: &[Option<&str>], record: &str) -> bool {
    let words: Vec<&str> = record.split(' ').collect();
    pattern.len() == words.len()
        && pattern
            .iter()
            .zip(words)
            .all(|(expected, word)| expected.is_none_or(|expected| expected == word))
}

#[test]
fn each_record_is_in_the_manual_page_once_and_no_other() {
    let mut patterns: Vec<_> = section("STATISTICS")
        .filter_map(|line| line.strip_prefix(".It "))
        .map(|item| (pattern(item), 0))
        .collect();
    assert!(patterns.len() > 20, "the page's items are not found");
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        lagg.set_protocol(proto::LACP).unwrap();
        for record in host::sysctl_stats(lagg.ifp.index()).unwrap().lines() {
            let mut named = 0;
            for (pattern, uses) in &mut patterns {
                if matches(pattern, record) {
                    *uses += 1;
                    named += 1;
                }
            }
            assert_eq!(named, 1, "`{record}` is named {named} times");
        }
        for (pattern, uses) in &patterns {
            assert!(*uses > 0, "there is no {pattern:?}");
        }
    });
}

#[test]
fn each_sysctl_is_in_the_manual_page_with_its_default() {
    let mut declared: Vec<(String, bool, &str)> = MODULE
        .lines()
        .filter_map(|line| line.strip_prefix("LAGG_SYSCTL("))
        .map(|declaration| {
            let mut words = declaration.split(',').map(str::trim);
            let mut word = || words.next().unwrap();
            let (parent, name, default, access) = (word(), word(), word(), word());
            (
                format!("{}.{name}", parent[1..].replace('_', ".")),
                access == "CTLFLAG_RWTUN",
                default,
            )
        })
        .collect();
    assert!(declared.len() > 4, "the module's sysctls are not found");
    let mut documented = Vec::new();
    let mut lines = section("SYSCTL VARIABLES");
    while let Some(line) = lines.next() {
        let Some(item) = line.strip_prefix(".It Va ") else { continue };
        if item == "net.link.lagg.version" {
            assert!(MODULE.contains("SYSCTL_CONST_STRING(_net_link_lagg, OID_AUTO, version,"));
            continue;
        }
        if item == "net.link.lagg.stats . Ns Ar index" {
            assert!(MODULE.contains("SYSCTL_NODE(_net_link_lagg, OID_AUTO, stats,"));
            continue;
        }
        let default = lines.find_map(|line| line.strip_prefix("Default ")).unwrap();
        let digits = default.find(|c: char| !c.is_ascii_digit()).unwrap();
        let name = item.split(' ').next().unwrap();
        documented.push((name.to_string(), item.ends_with("Pq T"), &default[..digits]));
    }
    declared.sort();
    documented.sort();
    assert_eq!(documented, declared);
}

#[test]
fn each_setting_is_in_the_manual_page() {
    let settings = section("DESCRIPTION").skip_while(|line| *line != ".Ss Settings").skip(1);
    let lines = settings.take_while(|line| !line.starts_with(".Ss "));
    let items = lines.filter_map(|line| line.strip_prefix(".It Va "));
    let (items, compared): (Vec<_>, Vec<_>) = items.partition(|item| !item.contains(" Ta "));
    for line in &compared {
        let name = line.split(' ').next().unwrap();
        assert!(host::settings().any(|setting| setting == name), "{name}, of Linux's words");
    }
    assert!(compared.len() > 5);
    // Two on one line are written `a , b`.
    let mut documented: Vec<_> = items.iter().flat_map(|item| item.split(" , ")).collect();
    let mut declared: Vec<_> = host::settings().collect();
    declared.sort();
    documented.sort();
    assert_eq!(documented, declared);
}

/// kld_list loads the driver after sysctl.conf is read, so the defaults of new laggs go into loader.conf,
/// and must be tunables.
#[test]
fn f52_the_documents_put_defaults_of_new_laggs_into_loader_conf() {
    let loading = section("LOADING").collect::<Vec<_>>().join(" ");
    let readme = include_str!("../../README.md");
    for text in [&*loading, readme] {
        let behind = text.split_once("kld_list").unwrap().1;
        let (_, advice) = behind.split_once("sysctl.conf").unwrap();
        let (variables, rest) = advice.split_once("loader.conf").unwrap();
        assert!(variables.contains("net.link.lagg.default_*"));
        assert!(variables.contains("net.link.lagg.lacp.default_strict_mode"));
        assert!(rest.contains("holds"));
    }
    let defaults = MODULE.lines().filter(|line| line.starts_with("LAGG_SYSCTL("));
    let defaults: Vec<_> = defaults.filter(|line| line.contains("default_")).collect();
    assert!(defaults.len() > 3 && defaults.iter().all(|line| line.contains("CTLFLAG_RWTUN")));
}
