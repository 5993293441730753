//! One recorded run comes to one state: here, in a browser's wasm, and in every session to come.
//!
//! Run natively and under Node (`tools/wasm-hash.sh`). The recording's hash isn't a truth about Kubernetes; it only tells that
//! behaviour changed. After a change that means to: `servicelab run -f crates/engine/tests/data/golden.yaml --for 90s
//! --record crates/engine/tests/data/golden.json`.

use cluster::Recording;
use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Frame, Reply, Request};
use wasm_bindgen_test::wasm_bindgen_test;

fn recording() -> Recording {
    serde_json::from_str(include_str!("data/golden.json")).expect("a recording")
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[wasm_bindgen_test]
fn the_golden_run_comes_to_its_hash() {
    let recording = recording();
    assert_eq!(recording.replay(), recording.hash);
}

fn frames(replies: Vec<Reply>) -> (Vec<Frame>, Time) {
    replies
        .into_iter()
        .find_map(|r| match r {
            Reply::Frames { frames, reached, .. } => Some((frames, reached)),
            _ => None,
        })
        .expect("frames")
}

/// As the page runs it: in steps, with frames told on the way, at whatever speed.
#[cfg_attr(not(target_arch = "wasm32"), test)]
#[wasm_bindgen_test]
fn watching_changes_nothing() {
    let recording = recording();
    for step in [Span::from_millis(50), Span::from_millis(700), Span::from_secs(5)] {
        let mut engine = Engine::new();
        let cluster = ClusterId(1);
        engine.handle(Request::Open {
            cluster,
            scenario: recording.scenario.clone(),
            seed: Some(recording.seed),
            lesson: String::new(),
            solved: Vec::new(),
            commands: recording.commands.clone(),
            at: Time::ZERO,
            hooks: false,
        });
        let mut reached = Time::ZERO;
        while reached < recording.until {
            reached = frames(engine.handle(Request::Advance { cluster, epoch: 0, to: recording.until, step })).1;
        }
        let replies = engine.handle(Request::Record { cluster, ticket: 1 });
        let Some(Reply::Recording { json, .. }) = replies.into_iter().next() else { panic!("a recording") };
        let again: Recording = serde_json::from_str(&json).expect("a recording");
        assert_eq!(again.hash, recording.hash, "in steps of {step}");
    }
}
