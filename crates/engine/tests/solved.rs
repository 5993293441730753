//! A solved task stays solved when one goes back, and one that only the run-ahead solved is not solved.

use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Command, Fault, Frame, PodRef, Reply, Request};

const LESSON: &str = include_str!("../../../lessons/basics/first-service/lesson.yaml");
const START: &str = include_str!("../../../lessons/basics/first-service/start.yaml");
const ONE: ClusterId = ClusterId(1);

fn last(replies: Vec<Reply>) -> Frame {
    let frames =
        replies.into_iter().find_map(|r| if let Reply::Frames { frames, .. } = r { Some(frames) } else { None });
    frames.and_then(|f| f.into_iter().next_back()).expect("a frame")
}

fn solved(frame: &Frame) -> Vec<String> {
    frame.tasks.iter().filter(|t| t.solved_at.is_some()).map(|t| t.id.clone()).collect()
}

#[test]
fn what_was_seen_solved_stays_solved() {
    let mut engine = Engine::new();
    engine.handle(Request::Open {
        cluster: ONE,
        scenario: START.into(),
        seed: None,
        lesson: LESSON.into(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    });
    // The first task: delete the Pod that `pinned` uses. Which of the three it is depends on the seed.
    let pod =
        (1..=3).map(|nth| PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }).find(|pod| {
            let command = Command::Fault(Fault::DeletePod { pod: pod.clone() });
            let frame =
                last(engine.handle(Request::Do { cluster: ONE, epoch: 1, at: Time::ZERO, command, seen: Time::ZERO }));
            let hit = frame.pods.iter().any(|p| p.ip == "10.244.1.2" && p.state == lab_protocol::PodState::Terminating);
            if !hit {
                engine.handle(Request::Open {
                    cluster: ONE,
                    scenario: START.into(),
                    seed: None,
                    lesson: LESSON.into(),
                    solved: Vec::new(),
                    commands: Vec::new(),
                    at: Time::ZERO,
                    hooks: false,
                });
            }
            hit
        });
    assert!(pod.is_some());
    // The engine runs ahead to 40 s, where the task is solved; the page has shown nothing yet.
    let mut reached = Time::ZERO;
    while reached < Time::from_secs(40) {
        let step = Span::from_millis(500);
        reached = last(engine.handle(Request::Advance { cluster: ONE, epoch: 1, to: Time::from_secs(40), step })).at;
    }
    let back = Request::Seek { cluster: ONE, epoch: 2, to: Time::from_secs(1), seen: Time::from_secs(1) };
    assert!(solved(&last(engine.handle(back))).is_empty(), "nobody has seen it solved");
    let ahead = Request::Seek { cluster: ONE, epoch: 3, to: Time::from_secs(40), seen: Time::from_secs(1) };
    assert_eq!(solved(&last(engine.handle(ahead))), ["lose-address"]);
    let back = Request::Seek { cluster: ONE, epoch: 4, to: Time::from_secs(1), seen: Time::from_secs(40) };
    assert_eq!(solved(&last(engine.handle(back))), ["lose-address"], "it was seen, and stays solved");
}
