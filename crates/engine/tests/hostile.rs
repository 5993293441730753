//! Whatever is typed, pasted or sent: an answer, and the cluster goes on.

use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Command, Fault, PodRef, Reply, Request, decode, encode};

const WEB: &str = include_str!("../../cluster/tests/data/web.yaml");
const ONE: ClusterId = ClusterId(1);

fn open(scenario: &str, hooks: bool) -> Engine {
    let mut engine = Engine::new();
    let replies = engine.handle(Request::Open {
        cluster: ONE,
        scenario: scenario.into(),
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks,
    });
    assert!(matches!(replies.as_slice(), [Reply::Opened { .. }, Reply::Frames { .. }]), "{replies:?}");
    engine
}

fn apply(engine: &mut Engine, at: u64, yaml: &str) -> (bool, usize) {
    let command = Command::Apply { yaml: yaml.into() };
    match engine
        .handle(Request::Do { cluster: ONE, epoch: 1, at: Time::from_secs(at), command, seen: Time::ZERO })
        .as_slice()
    {
        [Reply::Done { recorded, diagnostics, .. }, Reply::Frames { .. }] => {
            assert!(diagnostics.iter().all(|d| d.line >= 1 && d.column >= 1), "{diagnostics:?}");
            (recorded.is_some(), diagnostics.len())
        }
        other => panic!("{other:?}"),
    }
}

fn answered(engine: &mut Engine, to: u64) -> u64 {
    let mut last = 0;
    for _ in 0..10_000 {
        let request = Request::Advance { cluster: ONE, epoch: 1, to: Time::from_secs(to), step: Span::from_secs(1) };
        let Some(Reply::Frames { frames, reached, .. }) = engine.handle(request).into_iter().next() else { panic!() };
        last = frames.last().map_or(last, |f| f.totals.0[0]);
        if reached >= Time::from_secs(to) {
            return last;
        }
    }
    panic!("never there");
}

#[test]
fn nonsense_is_told_and_traffic_goes_on() {
    let mut engine = open(WEB, false);
    let long = "a: 1\n".repeat(1_000_000);
    let deep = "[".repeat(100_000);
    let deep_block: String = (0..2_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let bomb: String = std::iter::once("a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain((0..30).map(|i| {
            let (this, before) = (char::from(b'b' + (i % 24)), char::from(b'a' + (i % 24)));
            format!("{this}: &{this} [{}]\n", vec![format!("*{before}"); 9].join(","))
        }))
        .collect();
    for (what, yaml) in [
        ("broken", "apiVersion: v1\nkind: [Service"),
        ("tab", "apiVersion: v1\n\tkind: Service"),
        ("unknown kind", "apiVersion: v1\nkind: Flux\nmetadata: {name: x}"),
        ("not ours", "apiVersion: lab/v1\nkind: Cluster\nmetadata: {name: x}"),
        (
            "absurd port",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999999999999999999}]}",
        ),
        ("negative", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: -5}"),
        ("nul", "a\0b: c"),
        ("only a BOM", "\u{feff}"),
        ("long", long.as_str()),
        ("deep", deep.as_str()),
        ("deep block", deep_block.as_str()),
        ("bomb", bomb.as_str()),
    ] {
        let (recorded, mistakes) = apply(&mut engine, 3, yaml);
        assert!(!recorded, "{what}");
        assert!(mistakes > 0 || yaml == "\u{feff}", "{what}: nothing was said");
    }
    assert!(answered(&mut engine, 10) > 300);
}

#[test]
fn faults_that_mean_nothing_are_nothing() {
    let mut engine = open(WEB, false);
    let nobody = PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth: u32::MAX };
    let hook = Fault::RemoveRule { node: "node-a".into(), namespace: "default".into(), service: "web".into() };
    for fault in [Fault::KillPod { pod: nobody }, Fault::PowerOff { node: "x".into() }, hook] {
        let request = Request::Do {
            cluster: ONE,
            epoch: 1,
            at: Time::from_secs(1),
            command: Command::Fault(fault),
            seen: Time::ZERO,
        };
        let replies = engine.handle(request);
        assert!(matches!(replies.first(), Some(Reply::Done { recorded: None, .. })), "{replies:?}");
    }
    assert!(engine.handle(Request::Crash).is_empty(), "no hooks, no crash");
    assert!(matches!(
        engine.handle(Request::Seek { cluster: ClusterId(9), epoch: 0, to: Time::ZERO, seen: Time::ZERO }).as_slice(),
        [Reply::Failed { .. }]
    ));
}

#[test]
fn hostile_scenarios_still_make_a_cluster() {
    for scenario in [
        "",
        "{",
        "apiVersion: lab/v1\nkind: Cluster\nspec: {nodes: 4000000000}",
        "apiVersion: lab/v1\nkind: Cluster\nspec: {nodes: 0}",
        "apiVersion: lab/v1\nkind: Cluster\nspec: {nodes: [{name: a}, {name: a}]}",
        "apiVersion: lab/v1\nkind: Client\nmetadata: {name: c}\nspec: {rate: 1e99, timeout: 99999999h}",
        "apiVersion: lab/v1\nkind: Client\nmetadata: {name: c}\nspec: {node: nowhere, target: \"http://10.96.0.1:443/\"}",
        "apiVersion: lab/v1\nkind: Workload\nmetadata: {name: c}\nspec: {serviceTime: 999999h}",
    ] {
        let mut engine = open(scenario, false);
        answered(&mut engine, 3);
    }
}

#[test]
fn messages_come_through_whole_or_not_at_all() {
    let request = Request::Check { cluster: None, ticket: 7, yaml: "a: b".into() };
    let bytes = encode(&request);
    assert_eq!(decode::<Request>(&bytes), Ok(request));
    for cut in 0..bytes.len() {
        assert!(decode::<Request>(&bytes[..cut]).is_err());
    }
    let mut other = bytes.clone();
    other[0] ^= 1;
    assert!(decode::<Request>(&other).is_err());
}
