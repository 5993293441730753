//! What *Why?* tells is what ran: its endpoint is conntrack's and that of the dot, its end the one that was shown.

use cluster::Timeline;
use datapath::{Flow, L4};
use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{
    Chapter, ClusterId, Command, Fault, FieldRef, Frame, Id, LineNote, Motion, Outcome, ProxyMode, Reply, Request,
    RulesView, Story, Tone,
};
use std::collections::BTreeMap;

const ONE: ClusterId = ClusterId(1);
/// Three nodes in three modes, clients of all kinds, and things that break.
const BUSY: &str = include_str!("data/why.yaml");

struct Page {
    engine: Engine,
    frames: Vec<Frame>,
    epoch: u32,
}

impl Page {
    fn open(scenario: &str) -> Page {
        let mut engine = Engine::new();
        let replies = engine.handle(Request::Open {
            cluster: ONE,
            scenario: scenario.into(),
            seed: None,
            lesson: String::new(),
            solved: Vec::new(),
            commands: Vec::new(),
            at: Time::ZERO,
            hooks: true,
        });
        let Some(Reply::Opened { diagnostics, .. }) = replies.first() else { panic!("opened") };
        assert!(diagnostics.iter().all(|d| !d.error), "{diagnostics:?}");
        let mut page = Page { engine, frames: Vec::new(), epoch: 0 };
        page.take(replies);
        page
    }
    fn take(&mut self, replies: Vec<Reply>) -> Time {
        let mut at = Time::ZERO;
        for reply in replies {
            if let Reply::Frames { frames, reached, .. } = reply {
                self.frames.extend(frames);
                at = reached;
            }
        }
        at
    }
    fn run(&mut self, to: Time) {
        let (step, epoch) = (Span::from_millis(500), self.epoch);
        loop {
            let replies = self.engine.handle(Request::Advance { cluster: ONE, epoch, to, step });
            if self.take(replies) >= to {
                return;
            }
        }
    }
    fn command(&mut self, at: Time, command: Command) {
        let replies = self.engine.handle(Request::Do { cluster: ONE, epoch: 1, at, command, seen: at });
        let done = replies.iter().any(|r| matches!(r, Reply::Done { recorded: Some(_), .. }));
        assert!(done, "{replies:?}");
        self.take(replies);
    }
    /// The last word on each request.
    fn motions(&self) -> BTreeMap<u64, Motion> {
        self.frames.iter().flat_map(|f| &f.motions).map(|m| (m.id, m.clone())).collect()
    }
    fn why(&mut self, motion: &Motion, modes: bool) -> Story {
        let request = Request::Why { cluster: ONE, ticket: 1, request: motion.id, sent: motion.sent, modes };
        match self.engine.handle(request).pop() {
            Some(Reply::Why { ticket: 1, story: Some(story) }) => *story,
            other => panic!("{motion:?}: {other:?}"),
        }
    }
    fn why_pod(&mut self, at: Time, pod: Id, service: Id, node: &str) -> Story {
        let request = Request::WhyPod { cluster: ONE, ticket: 2, at, pod, service, node: node.into() };
        match self.engine.handle(request).pop() {
            Some(Reply::Why { story: Some(story), .. }) => *story,
            other => panic!("{other:?}"),
        }
    }
    fn service(&self, name: &str) -> Id {
        self.frames.iter().flat_map(|f| &f.services).find(|s| s.name == name).expect("a Service").id
    }
}

fn chapter<'a>(story: &'a Story, id: &str) -> &'a Chapter {
    let ids: Vec<_> = story.chapters.iter().map(|c| &c.text.id).collect();
    story.chapters.iter().find(|c| c.text.id == id).unwrap_or_else(|| panic!("{id} in {ids:?}"))
}

fn has(story: &Story, id: &str) -> bool {
    story.chapters.iter().any(|c| c.text.id == id)
}

fn arg<'a>(chapter: &'a Chapter, name: &str) -> &'a str {
    chapter.text.args.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_else(|| panic!("{chapter:?}"))
}

#[test]
fn what_why_says_is_what_ran() {
    let mut page = Page::open(BUSY);
    let until = Time::from_secs(45);
    page.run(until);
    let (mut alone, _, _) = Timeline::new(BUSY, None, ());
    alone.seek(until);
    let hash = alone.cluster().state_hash();
    let motions = page.motions();
    assert!(motions.len() > 3_000, "{}", motions.len());
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut tracked, mut decided) = (0, 0);
    for motion in motions.values().filter(|m| m.id % 9 == 0 && m.ends < until) {
        let story = page.why(motion, false);
        assert_eq!(story.outcome, Some(motion.outcome), "{motion:?} {story:?}");
        assert_eq!(story.pod, motion.pod, "{motion:?} {story:?}");
        let last = story.chapters.last().expect("an end");
        assert_eq!(last.at, motion.ends, "{motion:?} {story:?}");
        assert_eq!(last.tone == Tone::Good, motion.outcome == Outcome::Answered);
        *seen.entry(motion.outcome.key()).or_default() += 1;
        // A failure names what went wrong before its end.
        let told = story.chapters.iter().filter(|c| matches!(c.tone, Tone::Bad | Tone::Cause)).count();
        let slow = has(&story, "why-gave-up") || has(&story, "why-served") || has(&story, "why-served-late");
        let whole = motion.outcome == Outcome::Answered || told > 1 || slow;
        assert!(whole, "no cause: {motion:?} {:#?}", story.chapters);
        let rules: Vec<_> = story.chapters.iter().flat_map(|c| &c.rules).collect();
        if rules.iter().any(|r| r.decided) && !story.endpoint.is_empty() {
            let by: Vec<_> = rules.iter().filter(|r| r.decided).collect();
            assert!(by.iter().all(|r| r.failed.is_empty()), "{by:?}");
            decided += 1;
        }
        let noted: Vec<&Chapter> = story.chapters.iter().filter(|c| c.text.id == "why-conntrack").collect();
        let Some(last) = noted.last() else { continue };
        assert_eq!(arg(last, "to"), story.endpoint, "{motion:?}");
        for noted in noted {
            let proto = if arg(noted, "proto") == "udp" { L4::Udp } else { L4::Tcp };
            let end = |name: &str| arg(noted, name).parse().expect("an address");
            let flow = Flow { proto, src: end("from"), dst: end("address") };
            let then = alone.cluster_at(noted.at);
            let entry = then.machine(arg(noted, "node")).and_then(|m| m.kernel.conntrack().get(noted.at, &flow));
            assert_eq!(entry.map(|e| e.nat.dst.to_string()).as_deref(), Some(arg(noted, "to")), "{motion:?}");
            tracked += 1;
        }
    }
    assert!(tracked > 300 && decided > 250, "{tracked} {decided} {seen:?}");
    for outcome in [Outcome::Answered, Outcome::Refused, Outcome::TimedOut, Outcome::Reset, Outcome::NoSuchName] {
        assert!(seen.contains_key(outcome.key()), "{seen:?}");
    }
    // Asking has changed nothing.
    assert_eq!(alone.cluster().state_hash(), hash);
    let Some(Reply::Recording { json, .. }) = page.engine.handle(Request::Record { cluster: ONE, ticket: 1 }).pop()
    else {
        panic!("a recording");
    };
    assert!(json.contains(&hash), "the run stays where it is");
}

#[test]
fn the_same_connection_in_each_mode() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(3));
    let web = page.service("web");
    let motions = page.motions();
    let of_web: Vec<_> = motions.values().filter(|m| m.service == Some(web) && m.pod.is_some()).take(60).collect();
    for motion in of_web {
        let story = page.why(motion, true);
        assert_eq!(
            story.modes.iter().map(|m| m.mode).collect::<Vec<_>>(),
            [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Ipvs]
        );
        assert_eq!(story.modes.iter().filter(|m| m.own).count(), 1);
        for mode in &story.modes {
            assert_eq!(mode.verdict.id, "why-dnat", "{mode:?}");
            assert_eq!(mode.rules.iter().filter(|r| r.decided).count(), 1, "{mode:?}");
            // Four Pods are ready: each mode gives each a quarter.
            assert_eq!(mode.shares.len(), 4, "{mode:?}");
            assert!(mode.shares.iter().all(|(_, share)| (share - 0.25).abs() < 1e-6), "{:?}", mode.shares);
        }
        let own = story.modes.iter().find(|m| m.own).expect("the node's own");
        if !has(&story, "why-tracked") {
            let to = own.verdict.args.iter().find(|(n, _)| n == "address").map(|(_, v)| v.clone());
            assert_eq!(to, Some(story.endpoint.clone()), "{story:?}");
        }
    }
}

#[test]
fn a_deleted_rule_is_named() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(2));
    let web = page.service("web");
    let fault = Fault::RemoveRule { node: "node-a".into(), namespace: "default".into(), service: "web".into() };
    page.command(Time::from_secs(2), Command::Fault(fault));
    page.run(Time::from_secs(4));
    let failed = page.motions().into_values().find(|m| {
        m.service == Some(web) && m.sent > Time::from_secs(2) && m.outcome == Outcome::TimedOut && m.pod.is_none()
    });
    let story = page.why(&failed.expect("a request that meets no rule"), false);
    assert_eq!(arg(chapter(&story, "why-rule-deleted"), "node"), "node-a");
    chapter(&story, "why-nobody");
    chapter(&story, "why-end-timed-out");
    // And the Pods say so, too.
    let pod = page.frames.iter().flat_map(|f| &f.pods).find(|p| p.deployment == "web").expect("a Pod").id;
    let story = page.why_pod(Time::from_secs(3), pod, web, "node-a");
    assert_eq!(story.chapters[0].text.id, "why-pod-no");
    chapter(&story, "why-rule-deleted");
    let story = page.why_pod(Time::from_secs(1), pod, web, "node-a");
    assert_eq!(story.chapters[0].text.id, "why-pod-yes");
    assert_eq!(arg(chapter(&story, "why-pod-rules"), "percent"), "25");
}

#[test]
fn a_wrong_selector_is_named() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(2));
    let lonely = page.service("lonely");
    let refused = page.motions().into_values().find(|m| m.service == Some(lonely)).expect("a request");
    assert_eq!(refused.outcome, Outcome::Refused);
    let story = page.why(&refused, false);
    let text = &chapter(&story, "why-reject");
    assert_eq!(text.field.as_ref().map(|f| (f.name.as_str(), f.field.as_str())), Some(("lonely", "spec.selector")));
    let pod = page.frames.iter().flat_map(|f| &f.pods).find(|p| p.deployment == "web").expect("a Pod").id;
    let story = page.why_pod(Time::from_secs(2), pod, lonely, "node-b");
    let label = chapter(&story, "why-pod-label");
    assert_eq!((arg(label, "has"), arg(label, "wanted")), ("app=web", "app=wep"));
    assert_eq!((label.tone, story.chapters[0].tone), (Tone::Bad, Tone::Bad));
}

#[test]
fn the_line_behind_a_field() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(1));
    let field = FieldRef {
        object: page.service("lonely"),
        kind: "Service".into(),
        namespace: "default".into(),
        name: "lonely".into(),
        field: "spec.selector".into(),
    };
    let mut locate = |yaml: &str| {
        let at = Time::from_secs(1);
        let request = Request::Locate { cluster: ONE, ticket: 3, at, yaml: yaml.into(), field: field.clone() };
        match page.engine.handle(request).pop() {
            Some(Reply::Located { place, .. }) => place,
            other => panic!("{other:?}"),
        }
    };
    let text = |selector: &str| {
        format!(
            "# a comment\napiVersion: v1\nkind: Service\nmetadata: {{name: lonely}}\nspec:\n  ports: [{{port: 80}}]\n  selector: {selector}\n"
        )
    };
    let place = locate(&text("{app: wep}")).expect("a place");
    assert_eq!((place.line, place.column, place.same), (7, 3, true));
    assert!(!locate(&text("{app: web}")).expect("a place").same, "the text has changed");
    assert_eq!(locate("apiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {ports: [{port: 80}]}\n"), None);
}

/// Every phrase of the stories stands in both catalogues and asks for nothing that it isn't given.
#[test]
fn stories_have_words() {
    let sources = [
        include_str!("../../cluster/src/why/way.rs"),
        include_str!("../../cluster/src/why/rules.rs"),
        include_str!("../../cluster/src/why/late.rs"),
        include_str!("../../cluster/src/why/pod.rs"),
    ];
    let mut ids: Vec<String> = Vec::new();
    for source in sources {
        let parts = source.split("\"why-").skip(1).filter_map(|rest| rest.split('"').next());
        ids.extend(parts.filter(|id| !id.contains('{')).map(|id| format!("why-{id}")));
    }
    ids.extend(Outcome::ALL.iter().map(|o| format!("why-end-{}", o.key())));
    assert!(ids.len() > 60, "{ids:?}");
    for language in [include_str!("../../../public/i18n/en.json"), include_str!("../../../public/i18n/zh.json")] {
        let words: BTreeMap<String, String> = serde_json::from_str(language).expect("a catalogue");
        let missing: Vec<_> = ids.iter().filter(|id| !words.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut page = Page::open(BUSY);
        page.run(Time::from_secs(12));
        for motion in page.motions().values().filter(|m| m.id % 40 == 0) {
            for Chapter { text, .. } in page.why(motion, false).chapters {
                let asked = words[&text.id].split('{').skip(1).filter_map(|part| part.split('}').next());
                for name in asked {
                    assert!(text.args.iter().any(|(n, _)| n == name), "{name}: {text:?}");
                }
            }
        }
    }
}

fn rules(page: &mut Page, node: &str, at: Time) -> RulesView {
    let request = Request::Rules { cluster: ONE, ticket: 4, at, node: node.into() };
    match page.engine.handle(request).pop() {
        Some(Reply::Rules { rules, .. }) => *rules,
        other => panic!("{other:?}"),
    }
}

/// Each line with what is known of it.
fn noted(rules: &RulesView) -> Vec<(&str, LineNote, Option<&FieldRef>)> {
    let lines: Vec<&str> = rules.text.lines().collect();
    let field = |n: &LineNote| rules.fields.get((n.field as usize).checked_sub(1)?);
    rules.notes.iter().map(|n| (lines[n.line as usize], *n, field(n))).collect()
}

/// The packets that a node's rules sent to endpoints are the requests that it forwarded, in each mode.
#[test]
fn rules_say_where_they_come_from_and_what_met_them() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(4));
    let at = Time::from_millis(3_500);
    let endpoint =
        [("node-a", "-j DNAT --to-destination 10.244."), ("node-b", "dnat to 10.244."), ("node-c", "  -> 10.244.")];
    for (node, ends) in endpoint {
        let rules = rules(&mut page, node, at);
        assert_eq!(rules.since, Time::ZERO, "no sync since the start");
        let to_web: Vec<_> = noted(&rules)
            .into_iter()
            .filter(|(line, _, f)| line.contains(ends) && f.is_some_and(|f| f.name == "web"))
            .collect();
        let (mut alone, _, _) = Timeline::new(BUSY, None, ());
        alone.seek(at);
        let entries = alone
            .cluster()
            .machine(node)
            .map(|m| m.kernel.conntrack().iter(at).filter(|(f, e)| f.proto == L4::Tcp && e.nat.dst != f.dst).count());
        let packets: u32 = to_web.iter().map(|(_, note, _)| note.packets).sum();
        assert_eq!(Some(packets as usize), entries, "{node}: {to_web:?}");
        assert!(packets > 20, "{node} {packets}");
        // A Service without endpoints is rejected, and says whose field that is.
        if node != "node-c" {
            let reject = noted(&rules)
                .into_iter()
                .find(|(_, _, f)| f.is_some_and(|f| f.name == "lonely" && f.field == "spec.selector"));
            assert!(reject.is_some(), "{node}");
        }
    }
}

#[test]
fn what_the_last_sync_changed_is_marked() {
    let mut page = Page::open(BUSY);
    page.run(Time::from_secs(6));
    // The process that was killed at 4 s has left the endpoints.
    for node in ["node-a", "node-b", "node-c"] {
        let before = rules(&mut page, node, Time::from_secs(3));
        // Two slices have changed, so there may be two syncs.
        let mut moments = (4_000..5_500).step_by(10).map(|ms| rules(&mut page, node, Time::from_millis(ms)));
        let after = moments.find(|r| !r.removed.is_empty()).expect("a sync that takes lines away");
        let old: Vec<&str> = before.text.lines().collect();
        let new: Vec<&str> = after.text.lines().filter(|l| !old.contains(l)).collect();
        let marked: Vec<&str> = noted(&after).into_iter().filter(|(_, n, _)| n.new).map(|(line, ..)| line).collect();
        assert!(
            (node == "node-c" || !marked.is_empty()) && marked.iter().all(|l| new.contains(l)),
            "{node} {marked:?}"
        );
        assert!(after.removed.iter().all(|l| old.contains(&l.as_str())), "{node}");
    }
}
