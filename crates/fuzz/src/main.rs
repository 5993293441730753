//! Sends changed texts to everything that reads (`./lab test` gives it a minute).
//!
//!   fuzz [--seconds N] [--seed N] [TARGET]   a share of the time for each target, or all of it for one
//!   fuzz TARGET --input FILE                 one input again
//!
//! An input that makes a target panic, or that takes it more than ten seconds, is kept under target/fuzz/. The one at work
//! is `target/fuzz/TARGET-now`, in case it ends the process.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "the clock says when to stop; what is read never sees it")]

mod mutate;
mod targets;

use mutate::Chance;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use targets::{TARGETS, Target};

/// Longer than this is as bad as a panic.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let (mut seconds, mut seed, mut name, mut input) = (60, 1, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().and_then(|n| n.parse().ok()).unwrap_or(seconds),
            "--seed" => seed = args.next().and_then(|n| n.parse().ok()).unwrap_or(seed),
            "--input" => input = args.next(),
            _ => name = Some(arg),
        }
    }
    let chosen: Vec<&Target> = TARGETS.iter().filter(|t| name.as_ref().is_none_or(|n| n == t.name)).collect();
    if chosen.is_empty() {
        eprintln!("no such target; there are {}", TARGETS.iter().map(|t| t.name).collect::<Vec<_>>().join(", "));
        return ExitCode::from(2);
    }
    if let Some(file) = input {
        let Ok(bytes) = fs::read(&file) else {
            eprintln!("{file} can't be read");
            return ExitCode::from(2);
        };
        chosen.iter().for_each(|t| (t.read)(&bytes));
        return ExitCode::SUCCESS;
    }
    let share = Duration::from_millis(seconds * 1_000 / chosen.len() as u64);
    let failed = chosen.iter().filter(|t| !fuzz(t, share, seed)).count();
    println!("FUZZ: {} passed, {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the target put up with everything.
fn fuzz(target: &Target, share: Duration, seed: u64) -> bool {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut corpus: Vec<Vec<u8>> = target.texts.iter().map(|t| t.as_bytes().to_vec()).collect();
    for folder in ["lessons", "crates"] {
        collect(&top.join(folder), target.files, &mut corpus);
    }
    let mut chance = Chance::new(seed);
    let (begin, mut runs, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    let loud = take_hook();
    set_hook(Box::new(|_| {}));
    let mut bad = None;
    let place = |end: &str| top.join("target/fuzz").join(format!("{}-{end}", target.name.replace(' ', "-")));
    let _ = fs::create_dir_all(top.join("target/fuzz"));
    while begin.elapsed() < share && bad.is_none() {
        let bytes = mutate::input(&corpus, &mut chance);
        let _ = fs::write(place("now"), &bytes);
        let one = Instant::now();
        let panicked = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes))).is_err();
        slowest = slowest.max(one.elapsed());
        runs += 1;
        if panicked || one.elapsed() > PATIENCE {
            bad = Some((bytes, if panicked { "a panic" } else { "more than ten seconds" }));
        }
    }
    set_hook(loud);
    let _ = fs::remove_file(place("now"));
    println!("{:<13} {runs:>8} inputs, the slowest {:.0} ms", target.name, slowest.as_secs_f64() * 1e3);
    let Some((bytes, what)) = bad else { return true };
    let file = place(&format!("{seed}-{runs}"));
    let kept = fs::write(&file, &bytes).is_ok();
    println!("{}: {what}; again with: fuzz '{}' --input {}", target.name, target.name, file.display());
    if !kept {
        println!("(it could not be kept: {})", String::from_utf8_lossy(&bytes));
    }
    false
}

/// Files whose names end so, in a fixed order; tests' own builds and modules left out.
fn collect(folder: &Path, ends: &[&str], into: &mut Vec<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, ends, into);
        } else if ends.iter().any(|end| name.ends_with(end))
            && let Ok(bytes) = fs::read(&path)
            && bytes.len() < 60_000
        {
            into.push(bytes);
        }
    }
}
