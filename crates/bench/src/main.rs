//! Times the works natively; a line of JSON each. `tools/bench.sh` makes one table of them and of wasm's.
//!
//!   bench               every work, each in a process of its own, so that its memory is its own
//!   bench WORD          those whose name or size holds the word
//!   bench --one INDEX   one of them, here
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "a bench looks at the clock; the engine never does")]

use lab_bench::works;
use std::process::{Command, ExitCode};
use std::time::Instant;

const RUNS: usize = 5;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next().and_then(|n| n.parse().ok())) {
        (Some("--one"), Some(index)) => one(index),
        (word, _) => {
            let word = word.unwrap_or_default();
            let Ok(me) = std::env::current_exe() else { return ExitCode::FAILURE };
            for (index, work) in works().iter().enumerate() {
                if work.name.contains(word) || work.size.contains(word) {
                    let done = Command::new(&me).arg("--one").arg(index.to_string()).status();
                    if !done.is_ok_and(|status| status.success()) {
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn one(index: usize) {
    let Some(work) = works().into_iter().nth(index) else { return };
    let mut run = (work.prepare)();
    let mut times = Vec::new();
    let mut checksum = String::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        let done = run();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        checksum = done.checksum;
    }
    times.sort_by(f64::total_cmp);
    let (median, spread) = (times[RUNS / 2], times[RUNS - 1] - times[0]);
    let (native, wasm) = work.budget.unwrap_or((0.0, 0.0));
    println!(
        "{{\"index\":{index},\"name\":{:?},\"size\":{:?},\"count\":{},\"budget\":[{native},{wasm}],\"median\":{median:.3},\
         \"spread\":{spread:.3},\"checksum\":{checksum:?},\"memory\":{}}}",
        work.name,
        work.size,
        work.count,
        peak_memory()
    );
}

/// The most memory that this process had, in bytes; 0 where the system doesn't say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
