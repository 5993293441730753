//! IPVS mode: what a client meets, where the other modes differ, and what settings and bad input do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::ipvs::{Echo, Element, Load, ServerKey};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4, Verdict};
use kube_api::manifest::{Content, parse_as};
use kube_api::{IpFamily, NamespacedName, Object, Release};
use kube_proxy::{Mode, NodeContext, Proxier, Settings};
use lab_base::Time;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

fn objects(text: &str) -> Vec<Object> {
    let parsed = parse_as(text, Release::OLDEST);
    let objects = parsed.manifests.into_iter().filter_map(|m| match m.content {
        Content::Object(mut object) => {
            kube_api::defaults::apply(&mut object);
            Some(object)
        }
        Content::Lab { .. } => None,
    });
    objects.collect()
}

/// A node with its kube-proxy and its kernel.
struct Node {
    proxier: Proxier,
    kernel: Kernel,
}

impl Node {
    fn new(mode: Mode, settings: Settings) -> Node {
        let addresses: Vec<IpAddr> = vec!["192.168.10.11".parse().unwrap()];
        let context = NodeContext { name: "node-a".into(), addresses: addresses.clone(), ..NodeContext::default() };
        let proxier = Proxier::new(Arc::new(settings), context, IpFamily::V4).in_mode(mode);
        let route_localnet = mode == Mode::Iptables;
        Node { proxier, kernel: Kernel::new(KernelConfig { addresses, route_localnet, ..KernelConfig::default() }) }
    }
    fn of(mode: Mode, text: &str) -> Node {
        let mut node = Node::new(mode, Settings::default());
        node.apply(Time::ZERO, text);
        node
    }
    fn apply(&mut self, now: Time, text: &str) {
        self.take(now, objects(text));
    }
    fn take(&mut self, now: Time, objects: impl IntoIterator<Item = Object>) {
        for object in objects {
            match object {
                Object::Service(s) => self.proxier.set_service(&s.metadata.key(), Some(s)),
                Object::EndpointSlice(s) => self.proxier.set_endpoint_slice(&s.metadata.key(), Some(s)),
                _ => {}
            }
        }
        self.proxier.sync_rules().load(&mut self.kernel, now);
    }
    /// What becomes of a connection.
    fn meets(&mut self, from: &str, entry: Entry, to: &str) -> (Verdict, SocketAddr, bool) {
        let flow = Flow { proto: L4::Tcp, src: from.parse().unwrap(), dst: to.parse().unwrap() };
        let opened = self.kernel.open(Time::ZERO, flow, entry, &mut |_| 0);
        (opened.verdict, opened.nat.dst, opened.nat.src.ip() != flow.src.ip())
    }
    fn verdicts(&self, from: &str, entry: Entry, to: &str) -> BTreeSet<Verdict> {
        let flow = Flow { proto: L4::Tcp, src: from.parse().unwrap(), dst: to.parse().unwrap() };
        self.kernel.shares(Time::ZERO, flow, entry).iter().map(|s| s.verdict).collect()
    }
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1]
  externalIPs: [198.18.0.1]
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]
POLICY
status: {loadBalancer: {ingress: [{ip: 198.51.100.1}]}}
";

fn service(policy: &str) -> String {
    SERVICE.replace("POLICY", policy)
}

/// A slice with these endpoints: address and node.
fn slice(endpoints: &[(&str, &str)]) -> String {
    let mut text = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, protocol: TCP, port: 8080}]
endpoints:"
        .to_owned();
    for (ip, node) in endpoints {
        text += &format!("\n- {{addresses: [{ip}], conditions: {{ready: true}}, nodeName: {node}}}");
    }
    if endpoints.is_empty() { text + " []\n" } else { text + "\n" }
}

const POD: &str = "10.244.1.200:40000";
const CLIENT: &str = "203.0.113.10:40000";
const BOTH: &[(&str, &str)] = &[("10.244.1.5", "node-a"), ("10.244.2.5", "node-b")];

/// SPEC 6.6: "Addresses bound on dummy kube-ipvs0, so every ClusterIP:port not served ... refuses and all ClusterIPs look
/// local". A ping is refused too, since the last rule of KUBE-IPVS-FILTER takes any protocol
/// (kubernetes/website#41002).
#[test]
fn cluster_ips_are_local_and_refuse_what_is_not_served() {
    let mut ipvs = Node::of(Mode::Ipvs, &(service("") + &slice(BOTH)));
    let mut iptables = Node::of(Mode::Iptables, &(service("") + &slice(BOTH)));
    for to in ["10.96.0.1:81", "10.96.0.1:22", "198.51.100.1:81"] {
        assert_eq!(ipvs.meets(POD, Entry::Pod, to).0, Verdict::Reject, "{to}");
        assert_eq!(ipvs.meets("192.168.10.11:1", Entry::Process, to).0, Verdict::Reject, "{to}");
        assert_eq!(iptables.meets(POD, Entry::Pod, to).0, Verdict::Forward, "{to} goes where routes lead");
    }
    let echo = |node: &Node, to: &str| {
        node.kernel.echo(Time::ZERO, POD.parse::<SocketAddr>().unwrap().ip(), to.parse().unwrap(), Entry::Pod)
    };
    assert_eq!(echo(&ipvs, "10.96.0.1"), Echo::Refused);
    assert_eq!(echo(&ipvs, "192.168.10.11"), Echo::Answered);
    assert_eq!(echo(&ipvs, "10.96.0.2"), Echo::Elsewhere);
    assert_eq!(echo(&iptables, "10.96.0.1"), Echo::Elsewhere);
}

/// conformance/README.md: "a Service without endpoints is a virtual server without real servers"; SPEC 6.6: the refusal is
/// IPVS's own, so it meets the node's processes at addresses from outside too, which iptables lets pass.
#[test]
fn without_endpoints_everybody_is_refused() {
    let ipvs = Node::of(Mode::Ipvs, &(service("") + &slice(&[])));
    let iptables = Node::of(Mode::Iptables, &(service("") + &slice(&[])));
    let node = "192.168.10.11:40000";
    for to in ["10.96.0.1:80", "198.18.0.1:80", "198.51.100.1:80", "192.168.10.11:30080"] {
        for (from, entry) in [(POD, Entry::Pod), (CLIENT, Entry::Wire), (node, Entry::Process)] {
            assert_eq!(ipvs.verdicts(from, entry, to), [Verdict::Reject].into(), "{from} {to}");
        }
        assert_eq!(iptables.verdicts(POD, Entry::Pod, to), [Verdict::Reject].into(), "{to}");
    }
    assert_eq!(iptables.verdicts(node, Entry::Process, "198.51.100.1:80"), [Verdict::Forward].into());
}

/// conformance/README.md: "Local policy with no local endpoint falls back to cluster endpoints".
#[test]
fn policy_local_without_an_endpoint_here_goes_elsewhere() {
    let text = service("  externalTrafficPolicy: Local") + &slice(&BOTH[1..]);
    let (mut ipvs, iptables) = (Node::of(Mode::Ipvs, &text), Node::of(Mode::Iptables, &text));
    let elsewhere: SocketAddr = "10.244.2.5:8080".parse().unwrap();
    for to in ["198.18.0.1:80", "198.51.100.1:80", "192.168.10.11:30080"] {
        assert_eq!(ipvs.meets(CLIENT, Entry::Wire, to), (Verdict::Forward, elsewhere, false), "{to}");
        assert_eq!(iptables.verdicts(CLIENT, Entry::Wire, to), [Verdict::Drop].into(), "{to}");
    }
    // With one here, all use that one: Pods of the node too, whom iptables sends anywhere.
    let text = service("  externalTrafficPolicy: Local") + &slice(BOTH);
    let mut ipvs = Node::of(Mode::Ipvs, &text);
    let here: SocketAddr = "10.244.1.5:8080".parse().unwrap();
    for from in [POD, "10.244.1.201:1", "10.244.1.202:1"] {
        assert_eq!(ipvs.meets(from, Entry::Pod, "198.51.100.1:80").1, here);
    }
}

/// There are no virtual servers at loopback addresses, and what comes from one can't leave the node
/// (`crosses_local_route_boundary` in `net/netfilter/ipvs/ip_vs_xmit.c`).
#[test]
fn localhost_has_no_node_ports_and_reaches_no_pods() {
    let text = service("") + &slice(BOTH);
    let (mut ipvs, mut iptables) = (Node::of(Mode::Ipvs, &text), Node::of(Mode::Iptables, &text));
    let seen = ipvs.meets("127.0.0.1:40000", Entry::Process, "127.0.0.1:30080");
    assert_eq!(seen, (Verdict::Local, "127.0.0.1:30080".parse().unwrap(), false), "nobody listens there");
    assert_eq!(ipvs.meets("127.0.0.1:40000", Entry::Process, "10.96.0.1:80").0, Verdict::Drop);
    assert_eq!(iptables.meets("127.0.0.1:40000", Entry::Process, "127.0.0.1:30080").0, Verdict::Forward);
}

/// `lbNoNodeAccessIPPortProtocolEntries`: a process of the node has the balancer's address itself as source, which no rule
/// before IPVS tells from an allowed one.
#[test]
fn source_ranges_hold_for_the_nodes_own_processes() {
    let vip = "198.51.100.1:40000";
    let ranges = |list: &str| service(&format!("  loadBalancerSourceRanges: {list}")) + &slice(BOTH);
    let mut without = Node::of(Mode::Ipvs, &ranges("[203.0.113.0/24]"));
    assert_eq!(without.meets(vip, Entry::Process, "198.51.100.1:80").0, Verdict::Drop);
    assert_eq!(without.meets(vip, Entry::Process, "10.96.0.1:80").0, Verdict::Forward);
    assert_eq!(without.meets(CLIENT, Entry::Wire, "198.51.100.1:80").0, Verdict::Forward);
    assert_eq!(without.meets(POD, Entry::Pod, "198.51.100.1:80").0, Verdict::Drop);
    let mut with = Node::of(Mode::Ipvs, &ranges("[192.168.10.0/24]"));
    assert_eq!(with.meets(vip, Entry::Process, "198.51.100.1:80").0, Verdict::Forward);
    assert_eq!(with.meets(CLIENT, Entry::Wire, "198.51.100.1:80").0, Verdict::Drop);
    // ipset(8), hash:ip,port,net: "Network address with zero prefix size cannot be stored": such a range lets nobody in.
    let mut all = Node::of(Mode::Ipvs, &ranges("[0.0.0.0/0]"));
    assert_eq!(all.meets(CLIENT, Entry::Wire, "198.51.100.1:80").0, Verdict::Drop);
}

#[test]
fn an_ended_endpoint_drains_and_a_deleted_service_leaves_nothing() {
    let mut node = Node::of(Mode::Ipvs, &(service("") + &slice(BOTH)));
    let key = ServerKey { proto: L4::Tcp, addr: "10.96.0.1:80".parse().unwrap() };
    assert_eq!(node.meets(POD, Entry::Pod, "10.96.0.1:80").1.to_string(), "10.244.1.5:8080");
    node.apply(Time::from_secs(5), &slice(&BOTH[1..]));
    let servers: Vec<(String, u32)> =
        node.kernel.ipvs_state().real_servers(&key).unwrap().iter().map(|s| (s.addr.to_string(), s.weight)).collect();
    assert_eq!(servers, [("10.244.1.5:8080".to_owned(), 0), ("10.244.2.5:8080".to_owned(), 1)]);
    assert_eq!(node.kernel.ipvs_state().load(&key, servers[0].0.parse().unwrap()), Load { active: 1, inactive: 0 });
    let web = NamespacedName::new("default", "web");
    node.proxier.set_service(&web, None);
    node.proxier.sync_rules().load(&mut node.kernel, Time::from_secs(6));
    let table = node.kernel.ipvs().unwrap();
    assert_eq!((table.servers().len(), table.bound().count(), table.filled_sets()), (0, 0, 0));
    assert_eq!(node.kernel.ipvs_state().real_servers(&key), None);
}

#[test]
fn a_broken_node_is_seen() {
    let key = ServerKey { proto: L4::Tcp, addr: "10.96.0.1:80".parse().unwrap() };
    let text = service("") + &slice(BOTH);
    let mut without_server = Node::of(Mode::Ipvs, &text);
    let mut table = (**without_server.kernel.ipvs().unwrap()).clone();
    assert!(table.remove_server(&key));
    without_server.kernel.load_ipvs(Time::ZERO, Arc::new(table));
    assert_eq!(without_server.meets(POD, Entry::Pod, "10.96.0.1:80").0, Verdict::Local);
    let mut without_entry = Node::of(Mode::Ipvs, &text);
    let mut table = (**without_entry.kernel.ipvs().unwrap()).clone();
    assert!(table.remove_entry("KUBE-CLUSTER-IP", Element::IpPort(key.addr.ip(), L4::Tcp, 80)));
    without_entry.kernel.load_ipvs(Time::ZERO, Arc::new(table));
    assert_eq!(without_entry.meets(POD, Entry::Pod, "10.96.0.1:80").0, Verdict::Reject);
}

#[test]
fn settings_choose_scheduler_mark_and_addresses() {
    let text = |settings: Settings| {
        let mut node = Node::new(Mode::Ipvs, settings);
        node.apply(Time::ZERO, &(service("") + &slice(BOTH)));
        node.proxier.rules().text()
    };
    for scheduler in ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq"] {
        let seen = text(Settings { ipvs_scheduler: scheduler.into(), ..Settings::default() });
        assert!(seen.contains(&format!("TCP 10.96.0.1:80 {scheduler}\n")), "{scheduler}");
    }
    let seen = text(Settings { ipvs_scheduler: "mh".into(), ..Settings::default() });
    assert!(seen.contains("TCP 10.96.0.1:80 mh (flag-source-hash)\n"));
    let unknown = Settings { ipvs_scheduler: "best".into(), ..Settings::default() };
    assert!(
        unknown.check().unwrap_err().to_string().starts_with("ipvsScheduler: unknown scheduler \"best\"; one of rr,")
    );
    let seen = text(Settings { masquerade_bit: 20, ..Settings::default() });
    assert!(seen.contains("-A KUBE-MARK-MASQ -j MARK --or-mark 0x00100000\n"));
    let seen = text(Settings { masquerade_all: true, ..Settings::default() });
    assert!(seen.contains("--match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ\n"));
    let seen = text(Settings { no_local_detector: true, ..Settings::default() });
    assert!(seen.contains("--match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ\n"));
    // Where no address serves node ports there is neither a virtual server nor an entry for them.
    for chosen in ["127.0.0.0/8", "10.0.0.0/8"] {
        let seen = text(Settings { node_port_addresses: vec![chosen.into()], ..Settings::default() });
        assert!(!seen.contains("30080"), "{chosen}");
    }
}

/// Overlapping addresses: the last service port that asks for one has it; the others have it back when that one goes.
#[test]
fn of_services_with_the_same_address_the_last_one_has_it() {
    let other = (service("") + &slice(&[("10.244.3.5", "node-c")]))
        .replace("name: web,", "name: zeb,")
        .replace("service-name: web", "service-name: zeb")
        .replace("name: web-1", "name: zeb-1")
        .replace("10.96.0.1", "10.96.0.9")
        .replace("30080", "30081");
    let mut node = Node::of(Mode::Ipvs, &(service("") + &slice(&BOTH[..1]) + "---\n" + &other));
    assert_eq!(node.meets(POD, Entry::Pod, "198.18.0.1:80").1.to_string(), "10.244.3.5:8080");
    assert_eq!(node.meets(POD, Entry::Pod, "10.96.0.1:80").1.to_string(), "10.244.1.5:8080");
    node.proxier.set_service(&NamespacedName::new("default", "zeb"), None);
    node.proxier.sync_rules().load(&mut node.kernel, Time::from_secs(1));
    assert_eq!(node.meets("10.244.1.201:1", Entry::Pod, "198.18.0.1:80").1.to_string(), "10.244.1.5:8080");
    assert_eq!(node.meets("10.244.1.201:2", Entry::Pod, "10.96.0.9:80").0, Verdict::Forward, "no longer local");
}

/// Nothing of this stops any mode, and what can't be used is left out.
#[test]
fn bad_input_is_left_out_and_the_rest_stands() {
    let mut ports = String::new();
    let mut named = String::new();
    for n in 0..10_000u32 {
        ports += &format!("  - {{name: p{n}, port: {}, targetPort: 8080}}\n", n + 1);
        named += &format!("- {{name: p{n}, protocol: TCP, port: 8080}}\n");
    }
    let many = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: many, namespace: default}}\nspec:\n  clusterIP: 10.96.0.7\n  ports:\n{ports}---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: many-1, namespace: default, labels: {{kubernetes.io/service-name: many}}}}\n\
         addressType: IPv4\nendpoints: [{{addresses: [10.244.1.5]}}]\nports:\n{named}"
    );
    // The API server lets none of these in, and the command line complains as it does. kube-proxy only looks.
    let bad = ["300.1.2.3", "fd00::5", "", "10.244.1.5/24", "10.244.1.5"];
    let mut good = objects(&slice(&bad.map(|_| ("10.244.1.9", "node-a"))));
    let Some(Object::EndpointSlice(slice_of_bad)) = good.first_mut() else { panic!("{good:?}") };
    for (endpoint, address) in Arc::make_mut(slice_of_bad).endpoints.iter_mut().zip(bad) {
        endpoint.addresses = vec![address.to_owned()];
    }
    let mut service_of_bad = objects(&service(""));
    let Some(Object::Service(of_bad)) = service_of_bad.first_mut() else { panic!("{service_of_bad:?}") };
    Arc::make_mut(of_bad).spec.external_ips = vec!["fd00::18".into(), "no address".into()];
    Arc::make_mut(of_bad).status.load_balancer.ingress[0].ip = "198.51.100".into();
    for mode in [Mode::Iptables, Mode::Nftables, Mode::Ipvs] {
        let mut node = Node::new(mode, Settings::default());
        node.take(Time::ZERO, good.iter().chain(&service_of_bad).cloned());
        assert_eq!(node.meets(POD, Entry::Pod, "10.96.0.1:80").1.to_string(), "10.244.1.5:8080", "{mode:?}");
        let told = node.proxier.endpoints(&NamespacedName::new("default", "web"), "http");
        assert_eq!(told.len(), 1, "{mode:?}");

        let mut node = Node::of(mode, &many);
        for port in [1, 5_000, 10_000] {
            let to = format!("10.96.0.7:{port}");
            assert_eq!(node.meets(POD, Entry::Pod, &to).1.to_string(), "10.244.1.5:8080", "{mode:?} {to}");
        }
    }
}
