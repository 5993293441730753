//! How fast a cluster runs, and how much it tells. Each row prints what it came to, so that a faster wrong run shows.
#![allow(clippy::disallowed_types, reason = "a bench looks at the clock; the engine never does")]

use cluster::Timeline;
use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Reply, Request, encode};
use std::time::Instant;

const WEB: &str = include_str!("../../cluster/tests/data/web.yaml");
const RUNS: usize = 5;

fn row(work: &str, mut run: impl FnMut() -> String) {
    let mut times = Vec::new();
    let mut checksum = String::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        checksum = run();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{work:<52} {:>9.1} ms {:>9.1} ms  {checksum}", times[RUNS / 2], times[RUNS - 1] - times[0]);
}

/// A minute as the page asks for it, a frame each 50 ms. Gives the bytes of all frames.
fn frames(scenario: &str) -> usize {
    let (mut engine, cluster) = (Engine::new(), ClusterId(1));
    engine.handle(Request::Open {
        cluster,
        scenario: scenario.into(),
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    });
    let (to, step) = (Time::from_secs(60), Span::from_millis(50));
    let (mut reached, mut bytes) = (Time::ZERO, 0);
    while reached < to {
        for reply in engine.handle(Request::Advance { cluster, epoch: 0, to, step }) {
            bytes += encode(&reply).len();
            if let Reply::Frames { reached: r, .. } = reply {
                reached = r;
            }
        }
    }
    bytes
}

fn main() {
    println!("{:<52} {:>12} {:>12}  checksum", "work", "median", "spread");
    row("4 Pods, 40 requests/s: 10 minutes", || {
        let (mut timeline, _, _) = Timeline::new(WEB, None, ());
        timeline.seek(Time::from_secs(600));
        timeline.cluster().state_hash()
    });
    row("the same, going back 5 minutes and on again", || {
        let (mut timeline, _, _) = Timeline::new(WEB, None, ());
        timeline.seek(Time::from_secs(600));
        timeline.seek(Time::from_secs(300));
        timeline.seek(Time::from_secs(600));
        timeline.cluster().state_hash()
    });
    row("a minute in frames of 50 ms, 4 Pods", || format!("{} bytes a frame", frames(WEB) / 1_200));
    let many = WEB.replace("replicas: 4", "replicas: 300").replace("rate: 40", "rate: 500");
    row("a minute in frames of 50 ms, 300 Pods, 500 requests/s", || format!("{} bytes a frame", frames(&many) / 1_200));
}
