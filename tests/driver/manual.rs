//! The manual page kmod/lagg_rs.4 names all sysctls, settings and leaves, and no others.

use lagg_rs::kpi::{Leaf, Shows, host};
use lagg_rs::lacp::Reason;

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

/// The names in the items of a subsection. Two on one line are written `a , b`.
fn items(name: &'static str, subsection: &str) -> Vec<&'static str> {
    let heading = format!(".Ss {subsection}");
    let lines = section(name).skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with(".Ss "));
    lines.filter_map(|line| line.strip_prefix(".It Va ")).flat_map(|it| it.split(" , ")).collect()
}

#[test]
fn each_leaf_is_in_the_manual_page_once_and_no_other() {
    fn compare(subsection: &str, leaves: impl Iterator<Item = (&'static str, &'static Leaf)>) {
        let mut documented = items("STATE", subsection);
        let leaves = leaves.filter(|(_, leaf)| leaf.shows != Shows::Nodes);
        let mut declared: Vec<_> = leaves.map(|(name, _)| name).collect();
        assert!(declared.len() > 20);
        documented.sort_unstable();
        declared.sort_unstable();
        assert_eq!(documented, declared);
    }
    compare("Of a lagg", host::leaves());
    compare("Of a port", host::port_leaves());
}

#[test]
fn each_reason_is_in_the_manual_page() {
    for reason in Reason::ALL {
        let line = format!(".Dq Li {} :", reason.text());
        assert_eq!(section("STATE").filter(|there| *there == line).count(), 1, "{line}");
    }
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
        if let Some(constant) = ["version", "osreldate"]
            .into_iter()
            .find(|name| item.strip_prefix("net.link.lagg.") == Some(name))
        {
            assert!(MODULE.contains(&format!("(_net_link_lagg, OID_AUTO, {constant}, CTLFLAG_RD")));
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
    let items = items("DESCRIPTION", "Settings").into_iter();
    let (mut documented, compared): (Vec<_>, Vec<_>) = items.partition(|it| !it.contains(" Ta "));
    for line in &compared {
        let name = line.split(' ').next().unwrap();
        assert!(host::settings().any(|setting| setting == name), "{name}, of Linux's words");
    }
    assert!(compared.len() > 5);
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
