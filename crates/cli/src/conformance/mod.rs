//! `servicelab conformance DIR`: every case below a folder, held to what the real thing did.

mod behaviour;
mod conntrack;
mod deployment;
mod dns;
mod endpointslice;
mod flows;
mod packetflow;
mod proxy;
mod replicaset;
mod topology;
mod validation;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A kind of cases: finds its own among all files below the folder, and runs them.
type Suite = fn(&[PathBuf], &mut Report);

/// The suites. A new one is added here.
const SUITES: &[Suite] = &[proxy::run, flows::run, validation::run, behaviour::run];

/// How the cases went.
#[derive(Debug, Default)]
pub struct Report {
    failures: String,
    /// By suite: passed, failed.
    counts: BTreeMap<&'static str, (u32, u32)>,
}

impl Report {
    /// A case is done. `Err` says what was expected and what was seen.
    pub fn case(&mut self, suite: &'static str, case: &str, outcome: Result<(), String>) {
        let counts = self.counts.entry(suite).or_default();
        match outcome {
            Ok(()) => counts.0 += 1,
            Err(why) => {
                counts.1 += 1;
                let _ = writeln!(self.failures, "{suite} {case}: {why}");
            }
        }
    }
    /// Whether all cases passed, and whether there were any.
    pub fn passed(&self) -> bool {
        !self.counts.is_empty() && self.counts.values().all(|(_, failed)| *failed == 0)
    }
    /// A line for each failing case, then one for each suite.
    pub fn text(&self) -> String {
        let mut out = self.failures.clone();
        for (suite, (passed, failed)) in &self.counts {
            let _ = writeln!(out, "{suite}: {passed} passed, {failed} failed");
        }
        out
    }
}

/// All files below a folder, sorted. Links are not followed.
fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("{}: {e}", dir.display()))?;
            let kind = entry.file_type().map_err(|e| format!("{}: {e}", entry.path().display()))?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs every case below a folder.
pub fn run(dir: &Path) -> Result<Report, String> {
    let files = files(dir)?;
    let mut report = Report::default();
    for suite in SUITES {
        suite(&files, &mut report);
    }
    if report.counts.is_empty() {
        return Err(format!("{}: no cases below this folder", dir.display()));
    }
    Ok(report)
}
