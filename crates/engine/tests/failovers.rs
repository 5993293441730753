//! The page asks what a failure took away, at the moment that it shows.

use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{
    ClusterId, Command, Failover, Fault, PartKind, PodRef, Reply, Request, SettingKey, SettingValue, decode, encode,
};

const SCENARIO: &str = include_str!("../../cluster/tests/data/web.yaml");
const ONE: ClusterId = ClusterId(1);

fn ask(engine: &mut Engine, at: Time) -> Vec<Failover> {
    let request: Request = decode(&encode(&Request::Failovers { cluster: ONE, ticket: 7, at })).expect("a request");
    let reply: Reply = engine.handle(request).pop().expect("an answer");
    match decode(&encode(&reply)).expect("a reply") {
        Reply::Failovers { ticket: 7, failovers } => failovers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn failovers_are_told_as_of_the_shown_moment() {
    let mut engine = Engine::new();
    engine.handle(Request::Open {
        cluster: ONE,
        scenario: SCENARIO.into(),
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    });
    let at = Time::from_secs(10);
    let pod = PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth: 2 };
    let command = Command::Fault(Fault::KillProcess { pod });
    engine.handle(Request::Do { cluster: ONE, epoch: 1, at, command, seen: at });
    while !matches!(
        engine
            .handle(Request::Advance { cluster: ONE, epoch: 1, to: Time::from_secs(40), step: Span::from_secs(1) })
            .last(),
        Some(Reply::Frames { reached, .. }) if *reached >= Time::from_secs(40)
    ) {}

    assert_eq!(ask(&mut engine, Time::from_secs(9)), [], "nothing had failed");
    // The engine has run ahead; the page shows the moment of the failure.
    let then = ask(&mut engine, at).remove(0);
    assert_eq!((then.at, then.until), (at, None));
    let part = &then.courses[0].parts;
    assert_eq!((part.len(), part[0].kind, part[0].to), (1, PartKind::Detection, None));
    // What will notice it is known at once.
    assert_eq!(part[0].settings[0].key, SettingKey::RelistPeriod);
    assert_eq!(part[0].settings[0].value, SettingValue::Time(Span::from_secs(1)));

    let now = ask(&mut engine, Time::from_secs(40)).remove(0);
    let course = &now.courses[0];
    assert_eq!(course.parts.iter().map(|p| p.kind).collect::<Vec<_>>(), PartKind::ALL);
    assert_eq!(course.until, now.until);
    assert!(now.until.is_some());
    // To ask changes nothing.
    assert_eq!(ask(&mut engine, Time::from_secs(40)).remove(0), now);
}
