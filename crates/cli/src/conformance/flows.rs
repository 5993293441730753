//! `proxy/<scenario>/flows.json`: what a real kernel did with connections under kube-proxy's rules.

use super::Report;
use super::proxy::{Scenario, scenario};
use crate::flow::{Answer, Kind, Masquerade, Stack, destination};
use crate::rules::{self, Mode};
use datapath::L4;
use kube_api::IpFamily;
use lesson::binomial_interval;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// A source and a destination, and what became of the connections under each kind of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    node: String,
    from: String,
    from_ip: String,
    to: String,
    #[serde(default)]
    affinity: bool,
    iptables: Measured,
    nftables: Measured,
    #[serde(default, rename = "note")]
    _note: serde::de::IgnoredAny,
    #[serde(default, rename = "origin")]
    _origin: serde::de::IgnoredAny,
    #[serde(default, rename = "source")]
    _source: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    verdict: String,
    n: Option<u32>,
    #[serde(default)]
    endpoints: BTreeMap<String, f64>,
    masquerade: Option<serde_json::Value>,
    #[serde(default)]
    masqueraded_endpoints: BTreeSet<String>,
    sticky: Option<bool>,
}

/// A row's source and destination, read.
struct Connection {
    kind: Kind,
    from: IpAddr,
    to: (SocketAddr, L4),
}

impl Row {
    fn connection(&self) -> Result<Connection, String> {
        let kind = Kind::parse(&self.from).ok_or_else(|| format!("from: unknown kind {:?}", self.from))?;
        // "10.244.1.200 (and 23 more)": the first of several sources.
        let ip = self.from_ip.split(' ').next().unwrap_or_default();
        let from = ip.parse().map_err(|_| format!("from_ip: {:?} is no address", self.from_ip))?;
        let to = destination(&self.to).ok_or_else(|| format!("to: {:?} is not IP:PORT/PROTO", self.to))?;
        Ok(Connection { kind, from, to })
    }
}

/// How likely it is that chance alone takes a measured share for a wrong one. There are tens of thousands of them.
const ALPHA: f64 = 1e-9;

/// Whether `n` connections can have met an endpoint in this share, if each meets it with probability `share`.
fn is_possible(share: f64, measured: f64, n: u32) -> bool {
    let (least, most) = binomial_interval(u64::from(n), share.clamp(0.0, 1.0), ALPHA);
    // The record is rounded to three digits.
    let n = f64::from(n);
    let half = 0.000_501;
    (measured + half) * n >= least as f64 && (measured - half) * n <= most as f64
}

/// Holds an answer to what was measured.
fn compare(want: &Measured, affinity: bool, seen: &Answer) -> Result<(), String> {
    let verdict = serde_json::to_value(seen.verdict).map_err(|e| e.to_string())?;
    if verdict != want.verdict {
        return Err(format!("expected {}, seen {}", want.verdict, verdict.as_str().unwrap_or_default()));
    }
    let (Some(endpoints), Some(masquerade)) = (&seen.endpoints, seen.masquerade) else { return Ok(()) };
    if let Some(stray) = want.endpoints.keys().find(|e| !endpoints.contains_key(*e)) {
        return Err(format!("expected endpoint {stray}, seen {:?}", endpoints.keys()));
    }
    // With affinity the connections of one source are not independent; only who was met counts.
    for (endpoint, share) in endpoints.iter().filter(|_| !affinity) {
        let measured = want.endpoints.get(endpoint).copied().unwrap_or(0.0);
        if !is_possible(*share, measured, want.n.unwrap_or(0)) {
            return Err(format!("share of {endpoint}: expected {measured}, seen {share}"));
        }
    }
    if affinity && want.sticky == Some(false) {
        return Err("a source with affinity changed its endpoint in the record".into());
    }
    // Endpoints that the measurement did not meet say nothing.
    let all: BTreeSet<String> = endpoints.keys().filter(|e| want.endpoints.contains_key(*e)).cloned().collect();
    let masqueraded: BTreeSet<String> = match (masquerade, &seen.masqueraded_endpoints) {
        (Masquerade::Same(false), _) => BTreeSet::new(),
        (Masquerade::Mixed, Some(list)) => all.intersection(list).cloned().collect(),
        _ => all.clone(),
    };
    let expected = match &want.masquerade {
        Some(serde_json::Value::Bool(true)) => all,
        Some(serde_json::Value::Bool(false)) => BTreeSet::new(),
        Some(serde_json::Value::String(text)) if text == "mixed" => want.masqueraded_endpoints.clone(),
        other => return Err(format!("masquerade: unknown value {other:?}")),
    };
    if masqueraded != expected {
        return Err(format!("masqueraded endpoints: expected {expected:?}, seen {masqueraded:?}"));
    }
    Ok(())
}

fn check(scenario: &Scenario, row: &Row, mode: Mode, want: &Measured) -> Result<(), String> {
    let c = row.connection()?;
    let (objects, settings) = scenario;
    let family = IpFamily::of(c.to.0.ip());
    let stack = Stack::new(objects, settings, mode, &row.node, family).map_err(|e| e.to_string())?;
    let answer = stack.answer(c.kind, Some(c.from), c.to, false).map_err(|e| e.to_string())?;
    compare(want, row.affinity, &answer)
}

fn rows(file: &Path) -> Result<Vec<Row>, String> {
    let text = rules::read(file).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// Runs all cases of this form.
pub fn run(files: &[PathBuf], report: &mut Report) {
    for file in files.iter().filter(|f| f.file_name().is_some_and(|n| n == "flows.json")) {
        let Some(dir) = file.parent() else { continue };
        let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let (scenario, rows) = match scenario(dir).and_then(|s| Ok((s, rows(file)?))) {
            Ok(both) => both,
            Err(why) => {
                report.case("flows-iptables", &name, Err(why.clone()));
                report.case("flows-nftables", &name, Err(why));
                continue;
            }
        };
        for row in &rows {
            let case = format!("{name}: {} {} {} -> {}", row.node, row.from, row.from_ip, row.to);
            report.case("flows-iptables", &case, check(&scenario, row, Mode::Iptables, &row.iptables));
            report.case("flows-nftables", &case, check(&scenario, row, Mode::Nftables, &row.nftables));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: &str) -> Measured {
        serde_json::from_str(text).unwrap()
    }

    fn seen(a: f64, masqueraded: &[&str]) -> Answer {
        Answer {
            verdict: datapath::Observed::Dnat,
            endpoints: Some([("10.0.0.1:80".to_owned(), a), ("10.0.0.2:80".to_owned(), 1.0 - a)].into()),
            masquerade: Some(if masqueraded.is_empty() { Masquerade::Same(false) } else { Masquerade::Mixed }),
            masqueraded_endpoints: (!masqueraded.is_empty())
                .then(|| masqueraded.iter().map(|e| (*e).to_owned()).collect()),
            trace: None,
        }
    }

    #[test]
    fn shares_are_compared_with_what_chance_allows() {
        let want = measured(
            r#"{"verdict":"dnat","n":90,"endpoints":{"10.0.0.1:80":0.433,"10.0.0.2:80":0.567},"masquerade":false}"#,
        );
        assert!(compare(&want, false, &seen(0.5, &[])).is_ok(), "0.067 of 0.5 in 90 connections is no wonder");
        let why = compare(&want, false, &seen(0.8, &[])).unwrap_err();
        assert!(why.starts_with("share of 10.0.0.1:80: expected 0.433"), "{why}");
        assert!(compare(&want, true, &seen(0.8, &[])).is_ok(), "with affinity only who was met counts");
        let why = compare(&want, false, &seen(0.5, &["10.0.0.1:80"])).unwrap_err();
        assert!(why.starts_with("masqueraded endpoints"), "{why}");
    }

    #[test]
    fn tolerance_is_what_chance_allows() {
        assert!(is_possible(0.5, 0.8, 20) && !is_possible(0.5, 0.8, 200));
        assert!(is_possible(1.0 / 201.0, 0.035, 200), "7 of 200, where 1 is expected");
        assert!(!is_possible(1.0 / 201.0, 0.1, 200));
        assert!(is_possible(1.0, 1.0, 90) && !is_possible(1.0, 0.989, 90));
        assert!(is_possible(1.0 / 3.0, 0.333, 1500) && !is_possible(1.0 / 3.0, 0.25, 1500));
    }

    #[test]
    fn another_verdict_and_a_stray_endpoint_are_told() {
        let want = measured(r#"{"verdict":"reject"}"#);
        assert_eq!(compare(&want, false, &seen(0.5, &[])).unwrap_err(), "expected reject, seen dnat");
        let want = measured(r#"{"verdict":"dnat","n":1,"endpoints":{"10.0.0.9:80":1.0},"masquerade":false}"#);
        assert!(compare(&want, false, &seen(0.5, &[])).unwrap_err().starts_with("expected endpoint 10.0.0.9:80"));
    }
}
