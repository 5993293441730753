//! kube-proxy's modes in a running cluster. Bounds come from kube-proxy's own constants.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{Machine, SYNC_PERIOD, Timeline, min_sync_period};
use datapath::{Entry, Flow, L4, Verdict};
use kube_api::manifest::{Content, parse};
use kube_api::{EndpointSlice, IpFamily, Object, Service};
use kube_proxy::Mode;
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef, ProxyMode};

const MODES: [ProxyMode; 3] = [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Ipvs];

/// A Deployment of four behind a Service, a client on node-a, and this Cluster.
fn scenario(cluster: &str) -> String {
    let (_, rest) = include_str!("data/web.yaml").split_once("---\n").unwrap();
    format!("apiVersion: lab/v1\nkind: Cluster\nspec: {cluster}\n---\n{rest}")
}

fn run(text: &str) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn in_mode(mode: ProxyMode) -> Timeline {
    run(&scenario(&format!("{{seed: 5, kubeProxy: {{mode: {}}}}}", mode.name())))
}

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn delete(nth: u32) -> Command {
    let pod = PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth };
    Command::Fault(Fault::DeletePod { pod })
}

/// How the requests that were sent in a stretch of time ended.
fn outcomes(timeline: &Timeline, from: f64, to: f64) -> Vec<(f64, Outcome)> {
    let facts = timeline.cluster().facts();
    facts
        .requests_in(at(from), at(to + 5.0))
        .map(|r| (r.sent.as_secs_f64(), r.outcome))
        .filter(|(t, _)| (from..to).contains(t))
        .collect()
}

/// When syncs of a node ended.
fn syncs(timeline: &Timeline, node: &str) -> Vec<f64> {
    let marks = timeline.cluster().facts().marks().iter();
    let object = format!("Node/{node}");
    marks.filter(|m| m.phrase.id == "mark-proxy-synced" && m.object == object).map(|m| m.at.as_secs_f64()).collect()
}

/// What `servicelab rules` prints for the objects that the API server holds.
fn printed(timeline: &Timeline, node: &str, mode: Mode) -> String {
    let store = timeline.cluster().store();
    let mut objects: Vec<Object> = store.list::<kube_api::Node>().cloned().map(Object::Node).collect();
    objects.extend(store.list::<Service>().cloned().map(Object::Service));
    objects.extend(store.list::<EndpointSlice>().cloned().map(Object::EndpointSlice));
    let proxier = kube_proxy::proxier_of(&objects, node, Default::default(), IpFamily::V4).unwrap();
    proxier.in_mode(mode).sync_rules().text()
}

fn flow(proto: L4, client: u16, to: &str) -> Flow {
    Flow { proto, src: format!("10.244.1.200:{client}").parse().unwrap(), dst: to.parse().unwrap() }
}

fn web_ip(timeline: &Timeline) -> String {
    let found = timeline.cluster().store().list::<Service>().find(|s| s.metadata.name == "web").unwrap();
    found.spec.cluster_ip.clone()
}

#[test]
fn each_node_runs_the_rules_of_its_own_mode() {
    let nodes = "{seed: 5, kubeProxy: {mode: nftables}, nodes: [{name: node-a, kubeProxy: {mode: iptables}}, \
                 {name: node-b}, {name: node-c, kubeProxy: {mode: ipvs, ipvsScheduler: wlc}}]}";
    let mut text = scenario(nodes);
    for node in ["node-b", "node-c"] {
        text += &format!(
            "---\napiVersion: lab/v1\nkind: Client\nmetadata: {{name: on-{node}}}\nspec: {{node: {node}, target: 'http://web/', rate: 40}}\n"
        );
    }
    let mut timeline = run(&text);
    timeline.execute_at(at(10.0), delete(2));
    timeline.seek(at(40.0));
    for (node, mode) in [("node-a", Mode::Iptables), ("node-b", Mode::Nftables)] {
        let machine = timeline.cluster().machine(node).unwrap();
        assert_eq!(machine.kernel.rules_text(), printed(&timeline, node, mode), "{node}");
    }
    let ipvs = timeline.cluster().machine("node-c").unwrap().kernel.rules_text();
    assert_eq!(
        ipvs,
        printed(&timeline, "node-c", Mode::Ipvs).replace(":80 rr\n", ":80 wlc\n").replace(":443 rr\n", ":443 wlc\n")
    );
    let totals = timeline.cluster().facts().totals();
    // A Pod that ends closes its socket at once, and each node's rules follow in a few tenths of a second.
    assert!(totals.total() > 4_000 && totals.failed() < 40, "{totals:?}");
}

#[test]
fn ipvs_takes_turns_where_the_others_draw() {
    let counts = |mode| {
        let mut timeline = in_mode(mode);
        timeline.seek(at(30.0));
        timeline.cluster().pod_views().iter().map(|p| p.answered).collect::<Vec<_>>()
    };
    let spread = |counts: &[u64]| counts.iter().max().unwrap() - counts.iter().min().unwrap();
    let ipvs = counts(ProxyMode::Ipvs);
    assert!(ipvs.len() == 4 && spread(&ipvs) <= 3, "{ipvs:?}");
    for mode in [ProxyMode::Iptables, ProxyMode::Nftables] {
        let drawn = counts(mode);
        assert!(spread(&drawn) > 3, "{mode:?} {drawn:?}");
    }
}

/// SPEC 6.1: "minSyncPeriod 1 s (iptables, nftables), 0 (IPVS)"; the first change syncs at once, bursts coalesce.
#[test]
fn syncs_keep_the_distance_of_their_mode() {
    for mode in MODES {
        let mut timeline = in_mode(mode);
        for (t, nth) in [(5.0, 1), (5.2, 2), (5.4, 3)] {
            timeline.execute_at(at(t), delete(nth));
        }
        timeline.seek(at(20.0));
        let all = syncs(&timeline, "node-a");
        let early = all.iter().filter(|t| (5.0..5.9).contains(*t)).count();
        assert!(all.iter().any(|t| (5.0..5.15).contains(t)), "{mode:?}: the first change at once: {all:?}");
        assert_eq!(early >= 3, mode == ProxyMode::Ipvs, "{mode:?}: {all:?}");
        // A sync takes 15 to 60 ms, so their ends may be that much nearer than their beginnings.
        let gap = all.windows(2).map(|w| w[1] - w[0]).fold(f64::MAX, f64::min);
        assert!(gap >= min_sync_period(mode).as_secs_f64() - 0.046, "{mode:?}: {all:?}");
    }
}

/// SPEC 6.1: syncPeriod 30 s. What somebody changed behind kube-proxy's back holds until then.
#[test]
fn a_full_sync_puts_back_what_was_taken() {
    for mode in MODES {
        let mut timeline = in_mode(mode);
        let fault = Fault::RemoveRule { node: "node-a".into(), namespace: "default".into(), service: "web".into() };
        assert!(timeline.execute_at(at(5.0), Command::Fault(fault)).0.is_some());
        let before = timeline.cluster().machine("node-a").unwrap().kernel.rules_text();
        timeline.seek(at(60.0));
        let after = timeline.cluster().machine("node-a").unwrap().kernel.rules_text();
        assert_ne!(before, after, "{mode:?}");
        let lost = outcomes(&timeline, 5.0, 28.0);
        assert!(lost.len() > 500 && lost.iter().all(|(_, o)| *o != Outcome::Answered), "{mode:?}");
        let due = 0.1 + SYNC_PERIOD.as_secs_f64();
        let healed = outcomes(&timeline, due, 50.0);
        assert!(healed.len() > 300 && healed.iter().all(|(_, o)| *o == Outcome::Answered), "{mode:?}");
    }
}

#[test]
fn a_mode_is_switched_on_the_running_cluster() {
    for from in MODES {
        for to in MODES.into_iter().filter(|to| *to != from) {
            let mut timeline = in_mode(from);
            let switch = Command::SetProxyMode { node: "node-a".into(), mode: to };
            assert!(timeline.execute_at(at(10.0), switch.clone()).0.is_some());
            assert!(timeline.execute_at(at(10.0), switch).0.is_none(), "it has that mode");
            timeline.seek(at(25.0));
            // Its container starts within 0.8 to 1.6 s, then it lists and syncs; till then there are no rules.
            let gap = outcomes(&timeline, 10.0, 10.8);
            assert!(gap.iter().all(|(_, o)| *o == Outcome::TimedOut), "{from:?} {to:?} {gap:?}");
            let others = outcomes(&timeline, 0.0, 9.9).into_iter().chain(outcomes(&timeline, 11.8, 20.0));
            assert!(others.clone().count() > 600);
            assert!(others.into_iter().all(|(_, o)| o == Outcome::Answered), "{from:?} {to:?}");
            let mode = [Mode::Iptables, Mode::Nftables, Mode::Ipvs][MODES.iter().position(|m| *m == to).unwrap()];
            let text = timeline.cluster().machine("node-a").unwrap().kernel.rules_text();
            assert_eq!(text, printed(&timeline, "node-a", mode));
            let recording = timeline.recording();
            let json = serde_json::to_string(&recording).unwrap();
            let read: cluster::Recording = serde_json::from_str(&json).unwrap();
            assert_eq!(read.replay(), timeline.cluster().state_hash());
        }
    }
    let mut timeline = in_mode(ProxyMode::Iptables);
    timeline.execute_at(at(1.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
    for node in ["node-b", "node-x"] {
        let switch = Command::SetProxyMode { node: node.into(), mode: ProxyMode::Ipvs };
        assert!(timeline.execute_at(at(2.0), switch).0.is_none(), "{node}: off, or not there");
    }
}

/// Connections that conntrack translates go on whatever rules come; those of virtual servers end with them.
#[test]
fn established_connections_outlive_a_switch_unless_ipvs_has_them() {
    for from in MODES {
        let timeline = in_mode(from);
        let mut machine: Machine = timeline.cluster().machine("node-a").unwrap().clone();
        let flow = flow(L4::Tcp, 40_000, &format!("{}:80", web_ip(&timeline)));
        let opened = machine.kernel.open(at(1.0), flow, Entry::Pod, &mut |_| 7);
        assert_eq!(opened.verdict, Verdict::Forward);
        assert_eq!(machine.kernel.replied(at(1.1), flow), Some(opened.nat));
        let to = if from == ProxyMode::Iptables { ProxyMode::Nftables } else { ProxyMode::Iptables };
        machine.restart_proxy(to);
        let after = machine.kernel.established(at(2.0), flow);
        assert_eq!(after, (from != ProxyMode::Ipvs).then_some(opened.nat), "{from:?}");
        // And from conntrack to virtual servers.
        if to != ProxyMode::Ipvs && from != ProxyMode::Ipvs {
            machine.restart_proxy(ProxyMode::Ipvs);
            machine.proxier = timeline.cluster().machine("node-a").unwrap().proxier.clone().in_mode(Mode::Ipvs);
            machine.begin_sync();
            machine.load_rules(at(3.0));
            assert_eq!(machine.kernel.established(at(3.1), flow), Some(opened.nat), "{from:?}");
        }
    }
}

/// SPEC 6.7: connections of UDP clients to an endpoint that is gone are deleted after the sync, in every release and mode.
#[test]
fn a_sync_deletes_stale_udp_connections() {
    let objects = "apiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: default}\nspec: {clusterIP: 10.96.0.53, clusterIPs: [10.96.0.53], ports: [{name: dns, protocol: UDP, port: 53}]}\n---\n\
        apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: dns-1, namespace: default, labels: {kubernetes.io/service-name: dns}}\n\
        addressType: IPv4\nports: [{name: dns, protocol: UDP, port: 53}]\nendpoints: [{addresses: [10.244.2.9]}]\n";
    let read = |text: &str| -> Vec<Object> {
        let all = parse(text).manifests.into_iter().filter_map(|m| match m.content {
            Content::Object(mut object) => {
                kube_api::defaults::apply(&mut object);
                Some(object)
            }
            Content::Lab { .. } => None,
        });
        all.collect()
    };
    for release in ["1.30", "1.31", "1.32", "1.36"] {
        for mode in MODES {
            let text = scenario(&format!("{{release: '{release}', kubeProxy: {{mode: {}}}}}", mode.name()));
            let timeline = run(&text);
            let mut machine: Machine = timeline.cluster().machine("node-a").unwrap().clone();
            let apply = |machine: &mut Machine, text: &str, now| {
                for object in read(text) {
                    match object {
                        Object::Service(s) => machine.proxier.set_service(&s.metadata.key(), Some(s)),
                        Object::EndpointSlice(s) => machine.proxier.set_endpoint_slice(&s.metadata.key(), Some(s)),
                        _ => {}
                    }
                }
                machine.begin_sync();
                machine.load_rules(now);
            };
            apply(&mut machine, objects, at(1.0));
            let flow = flow(L4::Udp, 40_000, "10.96.0.53:53");
            let send =
                |machine: &mut Machine, now| machine.kernel.open(now, flow, Entry::Pod, &mut |_| 0).nat.dst.to_string();
            assert_eq!(send(&mut machine, at(2.0)), "10.244.2.9:53");
            apply(&mut machine, &objects.replace("10.244.2.9", "10.244.3.9"), at(3.0));
            assert_eq!(
                machine.kernel.conntrack().iter(at(3.0)).filter(|(f, _)| *f == flow).count(),
                0,
                "{release} {mode:?}"
            );
            assert_eq!(send(&mut machine, at(4.0)), "10.244.3.9:53", "{release} {mode:?}");
        }
    }
}

#[test]
fn a_proxy_that_cannot_be_is_told_with_its_place() {
    for (spec, path) in [
        ("{kubeProxy: {mode: ebpf}}", "spec.kubeProxy.mode"),
        ("{kubeProxy: {ipvsScheduler: best}}", "spec.kubeProxy.ipvsScheduler"),
        ("{nodes: [{name: a}, {name: b, kubeProxy: {ipvsScheduler: best}}]}", "spec.nodes[1].kubeProxy.ipvsScheduler"),
        ("{kubeProxy: {modus: ipvs}}", "spec.kubeProxy.modus"),
    ] {
        let (_, diagnostics, _) =
            Timeline::new(&format!("apiVersion: lab/v1\nkind: Cluster\nspec: {spec}\n"), None, ());
        let told: Vec<_> = diagnostics.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(told, [path], "{diagnostics:?}");
    }
}

#[test]
fn min_sync_periods_are_kube_proxys() {
    assert_eq!(MODES.map(min_sync_period), [Span::from_secs(1), Span::from_secs(1), Span::ZERO]);
}
