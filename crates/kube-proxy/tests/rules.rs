//! The rules are those that the real kube-proxy writes, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use kube_api::IpFamily;
use kube_proxy::{Mode, Rules};
use std::path::Path;

fn difference(want: &str, seen: &str) -> String {
    let mut lines = want.lines().zip(seen.lines()).enumerate();
    match lines.find(|(_, (w, s))| w != s) {
        Some((i, (w, s))) => format!("line {}:\n  expected {w}\n  seen     {s}", i + 1),
        None => format!("expected {} lines, seen {}", want.lines().count(), seen.lines().count()),
    }
}

fn kind(file: &Path) -> Option<(Mode, IpFamily)> {
    match file.extension()?.to_str()? {
        "iptables" => Some((Mode::Iptables, IpFamily::V4)),
        "iptables6" => Some((Mode::Iptables, IpFamily::V6)),
        "nft" => Some((Mode::Nftables, IpFamily::V4)),
        "nft6" => Some((Mode::Nftables, IpFamily::V6)),
        "ipvs" => Some((Mode::Ipvs, IpFamily::V4)),
        "ipvs6" => Some((Mode::Ipvs, IpFamily::V6)),
        _ => None,
    }
}

fn is_closed(rules: &Rules) -> bool {
    match rules {
        Rules::Iptables(rules) => rules.is_closed(),
        Rules::Nftables(table) => table.is_closed(),
        Rules::Ipvs(table) => table.rules().is_closed(),
    }
}

fn compare_all(wanted: Mode) {
    let (mut checked, mut failures) = (0, Vec::new());
    for case in common::cases() {
        let (objects, settings) = common::read(&case);
        let mut files: Vec<_> = std::fs::read_dir(&case).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let Some((_, family)) = kind(&file).filter(|(mode, _)| *mode == wanted) else { continue };
            let node = file.file_stem().unwrap().to_str().unwrap();
            let proxier = kube_proxy::proxier_of(&objects, node, settings.clone(), family).unwrap();
            let rules = proxier.in_mode(wanted).sync_rules();
            assert!(is_closed(&rules));
            let seen = rules.text();
            let want = std::fs::read_to_string(&file).unwrap();
            checked += 1;
            if seen != want {
                failures.push(format!("{}: {}", file.display(), difference(&want, &seen)));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {checked} differ\n{}", failures.len(), failures.join("\n"));
    assert_eq!(checked, 189);
}

#[test]
fn iptables_rules_are_those_that_kube_proxy_writes() {
    compare_all(Mode::Iptables);
}

#[test]
fn nftables_objects_are_those_that_kube_proxy_writes() {
    compare_all(Mode::Nftables);
}

#[test]
fn virtual_servers_sets_and_rules_of_ipvs_are_those_that_kube_proxy_writes() {
    compare_all(Mode::Ipvs);
}
