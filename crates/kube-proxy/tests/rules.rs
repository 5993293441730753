//! The rules are those that the real kube-proxy writes, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use kube_api::IpFamily;
use std::path::Path;

fn difference(want: &str, seen: &str) -> String {
    let mut lines = want.lines().zip(seen.lines()).enumerate();
    match lines.find(|(_, (w, s))| w != s) {
        Some((i, (w, s))) => format!("line {}:\n  expected {w}\n  seen     {s}", i + 1),
        None => format!("expected {} lines, seen {}", want.lines().count(), seen.lines().count()),
    }
}

fn family(file: &Path) -> Option<IpFamily> {
    match file.extension()?.to_str()? {
        "iptables" => Some(IpFamily::V4),
        "iptables6" => Some(IpFamily::V6),
        _ => None,
    }
}

#[test]
fn rules_are_those_that_kube_proxy_writes() {
    let (mut checked, mut failures) = (0, Vec::new());
    for case in common::cases() {
        let (objects, settings) = common::read(&case);
        let mut files: Vec<_> = std::fs::read_dir(&case).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let Some(family) = family(&file) else { continue };
            let node = file.file_stem().unwrap().to_str().unwrap();
            let mut proxier = kube_proxy::proxier_of(&objects, node, settings.clone(), family).unwrap();
            let rules = proxier.sync();
            assert!(rules.is_closed());
            let seen = datapath::iptables_restore(&rules);
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
