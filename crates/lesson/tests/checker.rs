//! Tasks are ticked by what happened, when it happened.
#![allow(clippy::unwrap_used)]

use lab_base::{Span, Time};
use lab_protocol::{Counts, Outcome, Phrase, TaskReport};
use lesson::*;
use std::collections::BTreeMap;

/// A cluster with one Service `web` that does as the test says.
#[derive(Default)]
struct Fake {
    now: Time,
    service: Option<ServiceFact>,
    endpoints: EndpointsFact,
    nodes: Vec<NodeRules>,
    pods: Vec<PodFact>,
    commands: Vec<CommandFact>,
    /// When, how, and by which Pod.
    ended: Vec<(Time, Outcome, &'static str)>,
}

impl Facts for Fake {
    fn now(&self) -> Time {
        self.now
    }
    fn service(&self, _: &str, name: &str) -> Option<ServiceFact> {
        self.service.clone().filter(|_| name == "web")
    }
    fn endpoints(&self, _: &str, _: &str) -> EndpointsFact {
        self.endpoints.clone()
    }
    fn synced_endpoints(&self, _: &str, _: &str) -> Vec<NodeRules> {
        self.nodes.clone()
    }
    fn requests(&self, query: &RequestQuery<'_>) -> RequestFacts {
        let mut counts = Counts::default();
        let mut by_pod = BTreeMap::new();
        for (at, outcome, pod) in &self.ended {
            if (query.from..query.to).contains(at) {
                counts.add(*outcome);
                if *outcome == Outcome::Answered {
                    *by_pod.entry((*pod).to_owned()).or_insert(0) += 1;
                }
            }
        }
        RequestFacts { counts, by_pod: by_pod.into_iter().collect(), ..RequestFacts::default() }
    }
    fn deployment(&self, _: &str, _: &str) -> Option<DeploymentFact> {
        None
    }
    fn pods(&self, _: &str, _: &BTreeMap<String, String>, since: Time) -> Vec<PodFact> {
        self.pods.iter().filter(|p| p.gone.is_none_or(|t| t >= since)).cloned().collect()
    }
    fn commands(&self, since: Time) -> Vec<CommandFact> {
        self.commands.iter().filter(|c| c.at >= since).cloned().collect()
    }
}

fn catalogue(language: &str) -> BTreeMap<String, String> {
    let path = format!("{}/../../public/i18n/{language}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// In English; the phrase and its arguments have to be in both catalogues.
fn say(phrase: &Phrase) -> String {
    let texts = ["zh", "en"].map(|language| {
        let mut text = catalogue(language).remove(&phrase.id).unwrap_or_else(|| panic!("{language}: {}", phrase.id));
        for (name, value) in &phrase.args {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        assert!(!text.contains('{'), "{language}: {}: {text}", phrase.id);
        text
    });
    texts[1].clone()
}

/// `TASK: solved at T` or `TASK: EXPECTED | SEEN`.
fn tell(reports: &[TaskReport]) -> Vec<String> {
    let line = |r: &TaskReport| match (&r.solved_at, &r.finding) {
        (Some(at), _) => format!("{}: solved at {at}", r.id),
        (_, Some(f)) => format!("{}: {} | {}", r.id, say(&f.expected), say(&f.seen)),
        _ => format!("{}: ?", r.id),
    };
    reports.iter().map(line).collect()
}

fn spec(checks: &str) -> LessonSpec {
    let task = |id: &str, after: &str, checks: &str| {
        format!(
            "- id: {id}\n  after: {after}\n  text: {{en: a, zh: a}}\n  hints: [{{en: a, zh: a}}]\n  \
             explain: {{en: a, zh: a}}\n  solution: [{{wait: 1s}}]\n  checks: {checks}\n"
        )
    };
    let (one, two) = checks.split_once(" THEN ").unwrap_or((checks, "[{id: x, service: {name: web}}]"));
    let yaml = format!("id: t\nminutes: 1\ntasks:\n{}{}", task("one", "[]", one), task("two", "[one]", two));
    lesson(&yaml).unwrap_or_else(|e| panic!("{e:?}\n{yaml}"))
}

fn at(fake: &mut Fake, checker: &mut Checker, millis: u64) -> String {
    fake.now = Time::from_millis(millis);
    checker.step(fake);
    tell(&checker.reports())[0].clone()
}

fn web(selector: &str, selected: u32) -> Option<ServiceFact> {
    let selector = selector.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
    Some(ServiceFact { type_: "ClusterIP".into(), ports: vec![80], selector, selected, ..ServiceFact::default() })
}

fn node(name: &str, addresses: &[&str]) -> NodeRules {
    let share = 1.0 / addresses.len() as f64;
    NodeRules { node: name.into(), endpoints: addresses.iter().map(|a| ((*a).to_owned(), share)).collect() }
}

#[test]
fn the_first_check_that_fails_speaks() {
    let spec = spec("[{id: a, service: {name: web, port: 8080}}, {id: b, service: {name: web, selects: {min: 1}}}]");
    let (mut fake, mut c) = (Fake::default(), Checker::new(&spec, &[]));
    let expected = "one: Service web exists in namespace default | there is no such Service";
    assert_eq!(at(&mut fake, &mut c, 0), expected);
    fake.service = web("", 0);
    assert_eq!(at(&mut fake, &mut c, 100), "one: Service web offers port 8080 | its ports: 80");
    assert_eq!(c.failing("one"), Some("a"));
    fake.service.as_mut().unwrap().ports = vec![80, 8080];
    let expected = "one: Pods that the selector of Service web matches: ≥ 1 | ";
    let said = at(&mut fake, &mut c, 200);
    assert_eq!(said, format!("{expected}it has no selector, so the list of its endpoints isn't kept"));
    fake.service = web("app=x", 0);
    fake.service.as_mut().unwrap().ports = vec![8080];
    assert_eq!(at(&mut fake, &mut c, 300), format!("{expected}its selector app=x matches no Pod"));
    assert_eq!(c.failing("one"), Some("b"));
    fake.service.as_mut().unwrap().selected = 1;
    assert_eq!(at(&mut fake, &mut c, 400), "one: solved at 0.400s");
}

#[test]
fn only_changes_are_told_and_tasks_wait_for_each_other() {
    let spec = spec("[{id: a, service: {name: web}}]");
    let (mut fake, mut c) = (Fake::default(), Checker::new(&spec, &[]));
    assert_eq!(tell(&c.step(&fake))[1], "two: Task 1 is solved first | not yet");
    fake.now = Time::from_secs(1);
    assert_eq!(tell(&c.step(&fake)), Vec::<String>::new());
    fake.service = web("app=web", 3);
    assert_eq!(tell(&c.step(&fake)), ["one: solved at 1.000s", "two: solved at 1.000s"]);
    fake.service = None;
    fake.now = Time::from_secs(2);
    assert_eq!(tell(&c.step(&fake)), Vec::<String>::new(), "a solved task stays solved");
}

#[test]
fn what_was_solved_before_is_kept() {
    let spec = spec("[{id: a, service: {name: web}}]");
    let mut c = Checker::new(&spec, &["one".to_owned()]);
    assert_eq!(c.solved(), [("one".to_owned(), Time::ZERO)]);
    let fake = Fake { service: web("app=web", 3), now: Time::from_secs(1), ..Fake::default() };
    assert_eq!(tell(&c.step(&fake)), ["two: solved at 1.000s"]);
    let mut back = Checker::new(&spec, &[]);
    back.keep(&c.solved());
    assert_eq!(back.solved(), c.solved());
}

#[test]
fn a_check_can_have_to_hold_for_a_while() {
    let spec = spec("[{id: a, service: {name: web}, for: 2s}]");
    let (mut fake, mut c) = (Fake { service: web("", 0), ..Fake::default() }, Checker::new(&spec, &[]));
    let expected = "one: Service web exists in namespace default | so for";
    assert_eq!(at(&mut fake, &mut c, 1_000), format!("{expected} 0 s, needed for 2 s"));
    assert_eq!(c.failing("one"), Some("a"));
    assert_eq!(at(&mut fake, &mut c, 2_500), format!("{expected} 1.5 s, needed for 2 s"));
    fake.service = None;
    at(&mut fake, &mut c, 2_600);
    fake.service = web("", 0);
    assert_eq!(at(&mut fake, &mut c, 3_000), format!("{expected} 0 s, needed for 2 s"));
    assert_eq!(at(&mut fake, &mut c, 5_000), "one: solved at 5.000s");
}

fn deleted(secs: u64) -> CommandFact {
    let pod = Some("web-1".to_owned());
    let what = Deed::Fault { kind: "deletePod", pod, deployment: Some("web".into()), node: None };
    CommandFact { at: Time::from_secs(secs), what }
}

#[test]
fn within_counts_from_the_last_deed() {
    let spec = spec(
        "[{id: done, command: {fault: {type: deletePod, deployment: web}}}, \
          {id: fast, since: done, within: 3s, rules: {service: web, endpoints: 2}}]",
    );
    let (mut fake, mut c) = (Fake { service: web("", 0), ..Fake::default() }, Checker::new(&spec, &[]));
    fake.nodes = vec![node("a", &["x:1", "y:1", "z:1"])];
    assert_eq!(at(&mut fake, &mut c, 0), "one: A Pod has been deleted (web) | not yet");
    fake.commands.push(deleted(1));
    let expected = "one: Endpoints of Service web in the rules of every node: 2 |";
    assert_eq!(at(&mut fake, &mut c, 1_000), format!("{expected} a: 3"));
    fake.nodes = vec![node("a", &["x:1", "y:1"])];
    assert_eq!(at(&mut fake, &mut c, 5_000), format!("{expected} after 4 s, wanted within 3 s"));
    fake.commands.push(deleted(6));
    assert_eq!(at(&mut fake, &mut c, 6_000), "one: solved at 6.000s");
}

#[test]
fn never_and_during_watch_the_whole_time() {
    let never = spec("[{id: a, service: {name: web, selects: {min: 1}}, never: 10s}]");
    let during = spec("[{id: a, service: {name: web, selects: 0}, during: 10s}]");
    for spec in [&never, &during] {
        let (mut fake, mut c) = (Fake { service: web("app=x", 0), ..Fake::default() }, Checker::new(spec, &[]));
        let expected = "one: Pods that the selector of Service web matches: 0 | ";
        assert_eq!(at(&mut fake, &mut c, 4_000), format!("{expected}4 s of 10 s seen so far"));
        let mut good = c.clone();
        fake.service = web("app=x", 1);
        let broken = format!("{expected}its selector app=x matches 1");
        assert_eq!(at(&mut fake, &mut c, 5_000), broken);
        fake.service = web("app=x", 0);
        assert_eq!(at(&mut fake, &mut c, 11_000), broken, "it happened");
        assert_eq!(at(&mut fake, &mut good, 11_000), "one: solved at 11.000s");
    }
}

#[test]
fn requests_count_in_their_window() {
    let spec = spec(
        "[{id: a, requests: {client: f, service: web, refused: {min: 2}}, last: 1s}] THEN \
          [{id: b, requests: {client: f, failed: 0}, during: 2s}]",
    );
    let (mut fake, mut c) = (Fake::default(), Checker::new(&spec, &[]));
    let expected = "one: Requests refused in the last 1 s (f → web): ≥ 2 | ";
    assert_eq!(at(&mut fake, &mut c, 0), format!("{expected}0 of 0"));
    fake.ended.push((Time::from_millis(500), Outcome::Refused, ""));
    fake.ended.push((Time::from_millis(600), Outcome::Refused, ""));
    assert_eq!(at(&mut fake, &mut c, 900), format!("{expected}0.9 s of 1 s seen so far"));
    let mut late = c.clone();
    assert_eq!(
        at(&mut fake, &mut late, 1_550),
        format!("{expected}1 of 1; failed ones were mostly refused"),
        "an older one no longer counts"
    );
    assert_eq!(at(&mut fake, &mut c, 1_400), "one: solved at 1.400s");
    assert_eq!(tell(&c.reports())[1], "two: Requests failed (f): 0 | 0 s of 2 s seen so far");
    fake.ended.push((Time::from_millis(1_500), Outcome::TimedOut, ""));
    at(&mut fake, &mut c, 1_600);
    let broken = "two: Requests failed (f): 0 | 1 of 1; failed ones mostly timed out";
    assert_eq!(tell(&c.reports())[1], broken, "more than allowed is told before the time is over");
}

#[test]
fn pods_that_answered_are_counted_once_each() {
    let spec =
        spec("[{id: a, requests: {client: f, pods: {min: 2}}}, {id: b, requests: {client: f, pods: 1}, last: 1s}]");
    let (mut fake, mut c) = (Fake::default(), Checker::new(&spec, &[]));
    for (at, outcome, pod) in
        [(100, Outcome::Answered, "p1"), (200, Outcome::Answered, "p1"), (300, Outcome::Reset, "p2")]
    {
        fake.ended.push((Time::from_millis(at), outcome, pod));
    }
    assert_eq!(at(&mut fake, &mut c, 400), "one: Pods that answered (f): ≥ 2 | 1");
    fake.ended.push((Time::from_millis(450), Outcome::Answered, "p2"));
    assert_eq!(at(&mut fake, &mut c, 1_000), "one: Pods that answered in the last 1 s (f): 1 | 2");
    assert_eq!(at(&mut fake, &mut c, 1_250), "one: solved at 1.250s", "p2 alone has answered since 0.25 s");
}

#[test]
fn shares_are_judged_by_what_chance_allows() {
    let spec = spec("[{id: a, shares: {service: web, client: f, requests: 90}}]");
    let pods = ["p1", "p2", "p3"];
    let split = |counts: [usize; 3]| {
        let mut fake = Fake { service: web("app=web", 3), now: Time::from_secs(9), ..Fake::default() };
        fake.nodes = vec![node("a", &["1:80", "2:80", "3:80"]), node("b", &["1:80", "2:80", "3:80"])];
        for (i, pod) in pods.iter().enumerate() {
            let ip = (i + 1).to_string();
            fake.pods.push(PodFact { name: (*pod).into(), ip, ready: true, ..PodFact::default() });
            fake.ended.extend(vec![(Time::from_secs(1), Outcome::Answered, *pod); counts[i]]);
        }
        let mut c = Checker::new(&spec, &[]);
        c.step(&fake);
        tell(&c.reports())[0].clone()
    };
    assert_eq!(split([30, 38, 22]), "one: solved at 9.000s");
    assert!(split([30, 30, 20]).starts_with("one: Answered requests to judge the shares of Service web by: ≥ 90"));
    assert_eq!(
        split([90, 5, 5]),
        "one: Requests answered by Pod p1, of 100: 15–53, as far as chance allows | 90".replace("15–53", &bounds())
    );
}

fn bounds() -> String {
    let (low, high) = binomial_interval(100, 1.0 / 3.0, 1e-4 / 3.0);
    assert!((10..20).contains(&low) && (50..60).contains(&high));
    format!("{low}–{high}")
}

#[test]
fn once_stays() {
    let spec = spec(
        "[{id: whole, rules: {service: web, endpoints: 2}, once: true}, \
          {id: gone, since: whole, pods: {selector: {app: web}, gone: {min: 1}}}]",
    );
    let (mut fake, mut c) = (Fake { service: web("", 0), ..Fake::default() }, Checker::new(&spec, &[]));
    fake.pods.push(PodFact { gone: Some(Time::from_millis(500)), ..PodFact::default() });
    fake.nodes = vec![node("a", &["x:1", "y:1"])];
    assert_eq!(at(&mut fake, &mut c, 1_000), "one: Pods with app=web that are gone: ≥ 1 | 0");
    fake.nodes = vec![node("a", &["x:1"])];
    fake.pods.push(PodFact { gone: Some(Time::from_millis(1_500)), ..PodFact::default() });
    assert_eq!(at(&mut fake, &mut c, 2_000), "one: solved at 2.000s");
    assert_eq!(Span::from_secs(2), Time::from_secs(2).since(Time::ZERO));
}
