//! `servicelab flow`: where a node sends a connection, computed from its rules.

use crate::arguments::Arguments;
use crate::rules::{self, Failure, Mode};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4, Observed, OriginId, Share, TraceStep};
use kube_api::{IpFamily, Node, Object, Release};
use kube_proxy::{Proxier, Settings, proxier_of};
use lab_base::{Dice, Source, Time};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// How the command is called.
pub const USAGE: &str = "servicelab flow -f FILE... [--settings FILE] [--release 1.30..1.36] --node NODE \
--mode iptables|nftables|ipvs --from KIND[:IP] --to IP:PORT/PROTO [--trace]";

/// What `--help` says besides.
pub const HELP: &str = "
KIND and the address that it has when none is given (IPv4, IPv6):
  pod         a Pod of the node                 200 in the node's podCIDR, as 10.244.1.200, fd00:10:244:1::200
  remote-pod  a Pod of another node             200 in that node's podCIDR; alone: 10.244.250.200, fd00:10:244:fa::200
  node        a process of the node             the node's first InternalIP
  localhost   a process of the node             127.0.0.1, ::1
  external    a client outside of the cluster   203.0.113.10, 2001:db8::10
PROTO is TCP, UDP or SCTP; an IPv6 address stands in brackets: [fd00:10:96::1]:80/TCP.
In IPVS mode a process of the node that connects to an address of kube-ipvs0 has that same address as source when none
is given: Linux takes a local destination's own address.

Shares are those of very many new connections from this source to this destination. In iptables and nftables mode each
connection is drawn. In IPVS mode nothing is drawn; by scheduler (ipvsScheduler in the settings) a share means:
  rr, wrr        the long run: each real server in turn, by weight
  lc, wlc        the long run of connections that stay open, all alike: by weight in wlc
  sed, nq        the same, by weight
  sh             1 for the real server of the source address, else none
  dh             1 for the real server of the destination address, else none
  mh             1 for the real server of the source address and port (the port is 40000)
  lblc, lblcr    1 for the real server that the destination address has, or gets with the next connection
With session affinity they are the shares of a source that comes for the first time.

With --trace the answer also holds the rules that one connection met, in order.
";

/// The client's port.
const SOURCE_PORT: u16 = 40_000;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Pod of the node.
    Pod,
    /// A Pod of another node.
    RemotePod,
    /// A process of the node.
    Node,
    /// A process of the node, from its loopback address.
    Localhost,
    /// A client outside of the cluster.
    External,
}

impl Kind {
    /// `remote-pod`, as in `--from`.
    pub fn parse(text: &str) -> Option<Kind> {
        Some(match text {
            "pod" => Kind::Pod,
            "remote-pod" => Kind::RemotePod,
            "node" => Kind::Node,
            "localhost" => Kind::Localhost,
            "external" => Kind::External,
            _ => return None,
        })
    }
    const fn entry(self) -> Entry {
        match self {
            Kind::Pod => Entry::Pod,
            Kind::Node | Kind::Localhost => Entry::Process,
            Kind::RemotePod | Kind::External => Entry::Wire,
        }
    }
}

/// A destination as `IP:PORT/PROTO`.
pub fn destination(text: &str) -> Option<(SocketAddr, L4)> {
    let (addr, proto) = text.rsplit_once('/')?;
    let proto = match proto.to_ascii_uppercase().as_str() {
        "TCP" => L4::Tcp,
        "UDP" => L4::Udp,
        "SCTP" => L4::Sctp,
        _ => return None,
    };
    Some((addr.parse().ok()?, proto))
}

/// Whether endpoints see the node's address instead of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masquerade {
    /// All of them, or none.
    Same(bool),
    /// Some of them.
    Mixed,
}

impl Serialize for Masquerade {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Masquerade::Same(all) => s.serialize_bool(*all),
            Masquerade::Mixed => s.serialize_str("mixed"),
        }
    }
}

/// What becomes of a connection.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// What the client sees.
    pub verdict: Observed,
    /// The endpoints and the part of the connections that each gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<BTreeMap<String, f64>>,
    /// Whether their source is the node's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masquerade: Option<Masquerade>,
    /// The endpoints that see the node's address, if not all see the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masqueraded_endpoints: Option<BTreeSet<String>>,
    /// The rules that one connection met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Met>>,
}

/// A rule that a connection met.
#[derive(Clone, Debug, Serialize)]
pub struct Met {
    /// The rule and what it did.
    #[serde(flatten)]
    pub step: TraceStep,
    /// What in the cluster asks for the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

fn origin(proxier: &Proxier, id: OriginId) -> Option<String> {
    let origin = proxier.origin(id)?;
    let endpoint = origin.endpoint.map(|e| format!(", endpoint {e}")).unwrap_or_default();
    Some(format!("Service {}/{} {}{endpoint}", origin.service.namespace, origin.service.name, origin.field))
}

/// The network stack of one node after one full sync of its kube-proxy.
pub struct Stack {
    node: String,
    objects: Arc<Vec<Object>>,
    proxier: Proxier,
    kernel: Kernel,
}

impl Stack {
    /// The node's stack for one address family.
    pub fn new(
        objects: &Arc<Vec<Object>>,
        settings: &Arc<Settings>,
        mode: Mode,
        node: &str,
        family: IpFamily,
    ) -> Result<Stack, Failure> {
        let invalid = |e: kube_proxy::UnknownNode| Failure::Invalid(e.to_string());
        let mut proxier = proxier_of(objects, node, settings.clone(), family).map_err(invalid)?.in_mode(mode);
        let mut addresses = proxier.node().addresses.clone();
        addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        // kube-proxy sets it in iptables mode, for node ports on 127.0.0.1.
        let route_localnet = mode == Mode::Iptables;
        let mut kernel = Kernel::new(KernelConfig { addresses, route_localnet, ..KernelConfig::default() });
        proxier.sync_rules().load(&mut kernel, Time::ZERO);
        Ok(Stack { node: node.into(), objects: objects.clone(), proxier, kernel })
    }
    fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.objects.iter().filter_map(|o| match o {
            Object::Node(node) => Some(node),
            _ => None,
        })
    }
    /// The address of a client of this kind that none is given for.
    pub fn address(&self, kind: Kind) -> Result<IpAddr, Failure> {
        let v4 = self.proxier.family() == IpFamily::V4;
        let of_family = |ip: &IpAddr| ip.is_ipv4() == v4;
        let pod_of = |own: bool| {
            let node = self.nodes().find(|n| (n.metadata.name == self.node) == own)?;
            let cidrs = node.spec.pod_cidrs.iter().filter_map(|c| c.parse::<datapath::Cidr>().ok());
            cidrs.map(datapath::Cidr::addr).find(of_family).map(|ip| match ip {
                IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() | 200)),
                IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() | 0x200)),
            })
        };
        let fixed = |a: [u8; 4], b: [u16; 8]| if v4 { IpAddr::from(a) } else { IpAddr::from(b) };
        Ok(match kind {
            Kind::Pod => {
                pod_of(true).unwrap_or_else(|| fixed([10, 244, 1, 200], [0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0x200]))
            }
            Kind::RemotePod => {
                pod_of(false).unwrap_or_else(|| fixed([10, 244, 250, 200], [0xfd00, 0x10, 0x244, 0xfa, 0, 0, 0, 0x200]))
            }
            Kind::Node => {
                let own = self.proxier.node().addresses.iter().copied().find(of_family);
                own.ok_or_else(|| {
                    let family = self.proxier.family();
                    Failure::Invalid(format!("Node {:?} has no {family} InternalIP", self.node))
                })?
            }
            Kind::Localhost => fixed([127, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1]),
            Kind::External => fixed([203, 0, 113, 10], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]),
        })
    }
    /// What becomes of a connection.
    pub fn answer(
        &self,
        kind: Kind,
        from: Option<IpAddr>,
        to: (SocketAddr, L4),
        trace: bool,
    ) -> Result<Answer, Failure> {
        let bound = self.kernel.ipvs().is_some_and(|table| table.is_bound(to.0.ip()));
        let ip = match from {
            Some(ip) => ip,
            None if bound && kind == Kind::Node => to.0.ip(),
            None => self.address(kind)?,
        };
        let flow = Flow { proto: to.1, src: SocketAddr::new(ip, SOURCE_PORT), dst: to.0 };
        let shares = self.kernel.shares(Time::ZERO, flow, kind.entry());
        let mut answer = answer(&shares, |s| s.observed(&flow, kind.entry(), self.kernel.config()));
        if trace {
            let mut bits = |i: u32| Dice::new(0).roll(Source::Statistic, 0, u64::from(i)).u32();
            let (_, steps) = self.kernel.trace(Time::ZERO, flow, kind.entry(), &mut bits);
            let met = steps.into_iter().map(|step| Met { from: origin(&self.proxier, step.origin), step });
            answer.trace = Some(met.collect());
        }
        Ok(answer)
    }
}

fn answer(shares: &[Share], observed: impl Fn(&Share) -> Observed) -> Answer {
    let mut endpoints: BTreeMap<String, f64> = BTreeMap::new();
    let (mut masqueraded, mut plain) = (BTreeSet::new(), false);
    for share in shares.iter().filter(|s| observed(s) == Observed::Dnat) {
        *endpoints.entry(share.dst.to_string()).or_default() += share.probability;
        if share.masquerade {
            masqueraded.insert(share.dst.to_string());
        } else {
            plain = true;
        }
    }
    if endpoints.is_empty() {
        let verdict = shares.first().map_or(Observed::None, observed);
        return Answer { verdict, endpoints: None, masquerade: None, masqueraded_endpoints: None, trace: None };
    }
    let (masquerade, list) = match (masqueraded.is_empty(), plain) {
        (false, true) => (Masquerade::Mixed, Some(masqueraded)),
        (none, _) => (Masquerade::Same(!none), None),
    };
    Answer {
        verdict: Observed::Dnat,
        endpoints: Some(endpoints),
        masquerade: Some(masquerade),
        masqueraded_endpoints: list,
        trace: None,
    }
}

struct Options {
    mode: Mode,
    node: String,
    from: (Kind, Option<IpAddr>),
    to: (SocketAddr, L4),
    settings: Option<String>,
    release: Release,
    files: Vec<String>,
    trace: bool,
}

fn source(text: &str) -> Result<(Kind, Option<IpAddr>), Failure> {
    let (kind, ip) = text.split_once(':').map_or((text, None), |(kind, ip)| (kind, Some(ip)));
    let kind = Kind::parse(kind).ok_or_else(|| {
        Failure::Usage(format!("--from {text:?}: unknown kind {kind:?}; pod, remote-pod, node, localhost or external"))
    })?;
    let ip = ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']'));
    let parse = |ip: &str| ip.parse().map_err(|_| Failure::Usage(format!("--from {text:?}: {ip:?} is no IP address")));
    Ok((kind, ip.map(parse).transpose()?))
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let (mut mode, mut node, mut from, mut to, mut settings) = (None, None, None, None, None);
    let (mut files, mut trace, mut release) = (Vec::new(), false, Release::default());
    let mut args = Arguments::new(args);
    while let Some(name) = args.next() {
        match name {
            "--mode" => mode = Some(rules::mode(&args.value()?)?),
            "--node" => node = Some(args.value()?),
            "--from" => from = Some(source(&args.value()?)?),
            "--to" => {
                let text = args.value()?;
                let bad = || Failure::Usage(format!("--to {text:?}: not IP:PORT/PROTO, as 10.96.0.1:443/TCP"));
                to = Some(destination(&text).ok_or_else(bad)?);
            }
            "--settings" => settings = Some(args.value()?),
            "--release" => release = args.value()?.parse().map_err(Failure::Usage)?,
            "-f" | "--filename" => files.push(args.value()?),
            "--trace" => trace = true,
            _ => return Err(args.unknown()),
        }
    }
    let missing = |name| Failure::Usage(format!("{name} is missing"));
    let (from, to) = (from.ok_or_else(|| missing("--from"))?, to.ok_or_else(|| missing("--to"))?);
    if let Some(ip) = from.1.filter(|ip| ip.is_ipv4() != to.0.is_ipv4()) {
        return Err(Failure::Usage(format!("{ip} and {} are of different families", to.0.ip())));
    }
    if files.is_empty() {
        return Err(missing("-f"));
    }
    let (mode, node) = (mode.ok_or_else(|| missing("--mode"))?, node.ok_or_else(|| missing("--node"))?);
    Ok(Options { mode, node, from, to, settings, release, files, trace })
}

/// Runs the command.
pub fn run(args: &[String]) -> Result<String, Failure> {
    if args.iter().any(|a| a == "--help" || a == "-h") {
        return Ok(format!("usage: {USAGE}\n{HELP}"));
    }
    let options = options(args)?;
    let (objects, settings) = rules::input(&options.files, options.settings.as_deref(), options.release)?;
    let family = IpFamily::of(options.to.0.ip());
    let stack = Stack::new(&Arc::new(objects), &settings, options.mode, &options.node, family)?;
    let answer = stack.answer(options.from.0, options.from.1, options.to, options.trace)?;
    let text = serde_json::to_string_pretty(&answer).map_err(|e| Failure::Invalid(e.to_string()))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the command on a recorded case.
    fn flow(case: &str, rest: &[&str]) -> Result<serde_json::Value, Failure> {
        let file = format!("{}/../kube-proxy/tests/data/proxy/{case}/manifests.yaml", env!("CARGO_MANIFEST_DIR"));
        let mut args =
            vec!["-f".to_owned(), file, "--node=node-a".to_owned(), "--release".to_owned(), "1.30".to_owned()];
        args.extend(rest.iter().map(|a| (*a).to_owned()));
        run(&args).map(|text| serde_json::from_str(&text).unwrap())
    }

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn an_answer_has_the_keys_that_it_needs_and_no_other() {
        for mode in ["--mode=iptables", "--mode=nftables", "--mode=ipvs"] {
            let seen = flow("clusterip-three", &[mode, "--from", "pod", "--to", "10.96.0.11:80/TCP"]);
            let all = seen.unwrap();
            assert_eq!((keys(&all), &all["masquerade"]), (vec!["endpoints", "masquerade", "verdict"], &false.into()));
            let shares: f64 = all["endpoints"].as_object().unwrap().values().filter_map(|v| v.as_f64()).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{shares}");
            let hairpin = flow("lb-source-ranges", &[mode, "--from", "pod:10.244.1.5", "--to", "10.96.3.6:80/TCP"]);
            let hairpin = hairpin.unwrap();
            assert_eq!(keys(&hairpin), ["endpoints", "masquerade", "masqueraded_endpoints", "verdict"]);
            assert_eq!(hairpin["masquerade"], "mixed");
            assert_eq!(hairpin["masqueraded_endpoints"], serde_json::json!(["10.244.1.5:8080"]));
            let dropped =
                flow("lb-source-ranges", &[mode, "--from", "external:192.0.2.9", "--to", "198.51.100.6:80/tcp"]);
            assert_eq!(dropped.unwrap(), serde_json::json!({"verdict": "drop"}));
        }
    }

    #[test]
    fn a_trace_tells_the_rule_that_decided_and_the_field_that_asks_for_it() {
        for mode in ["--mode=iptables", "--mode=nftables", "--mode=ipvs"] {
            let args = [mode, "--from", "external:192.0.2.9", "--to", "198.51.100.6:80/TCP", "--trace"];
            let seen = flow("lb-source-ranges", &args).unwrap();
            let steps = seen["trace"].as_array().unwrap();
            let last = steps.last().unwrap();
            assert_eq!((&last["decided"], &last["matched"]), (&true.into(), &true.into()));
            assert_eq!(last["from"], "Service default/web spec.loadBalancerSourceRanges[0]");
            assert_eq!(steps.iter().filter(|s| s["decided"] == true).count(), 1);
            let unmet = steps.iter().filter(|s| s["matched"] == false);
            assert!(unmet.clone().all(|s| s["failed"].is_string()), "{steps:?}");
            assert_eq!(unmet.count() > 0, mode != "--mode=nftables", "a verdict map finds what iptables walks to");
        }
    }

    #[test]
    fn sources_without_an_address_have_the_one_that_help_names() {
        let file =
            format!("{}/../kube-proxy/tests/data/proxy/dual-stack-nodeport/manifests.yaml", env!("CARGO_MANIFEST_DIR"));
        let (objects, settings) = rules::input(&[file], None, Release::OLDEST).unwrap();
        let objects = Arc::new(objects);
        let kinds = [Kind::Pod, Kind::RemotePod, Kind::Node, Kind::Localhost, Kind::External];
        let of = |family| {
            let stack = Stack::new(&objects, &settings, Mode::Nftables, "node-a", family).unwrap();
            kinds.map(|kind| stack.address(kind).unwrap().to_string())
        };
        let v4 = ["10.244.1.200", "10.244.2.200", "192.168.10.11", "127.0.0.1", "203.0.113.10"];
        assert_eq!(of(IpFamily::V4), v4);
        let v6 = ["fd00:10:244:1::200", "fd00:10:244:2::200", "fd00:192:168:10::11", "::1", "2001:db8::10"];
        assert_eq!(of(IpFamily::V6), v6);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let base = ["--mode", "iptables", "--from", "pod", "--to", "10.96.0.11:80/TCP"];
        let with = |at: usize, value: &'static str| {
            let mut args = base;
            args[at] = value;
            flow("clusterip-three", &args).unwrap_err().to_string()
        };
        assert!(with(1, "ebpf").contains("unknown mode \"ebpf\""));
        assert!(with(3, "moon").contains("unknown kind \"moon\""));
        assert!(with(3, "pod:10.0.0").contains("\"10.0.0\" is no IP address"));
        assert!(with(3, "pod:[fd00::1]").contains("different families"));
        for to in
            ["10.96.1.3:80", "10.96.1.3/TCP", "10.96.1.3:80/ICMP", "fd00::1:80/TCP", "x:80/TCP", "10.96.1.3:99999/TCP"]
        {
            assert!(with(5, to).contains("not IP:PORT/PROTO"), "{to}");
        }
        let mut args = base.to_vec();
        args.push("--node=node-x");
        assert!(flow("clusterip-three", &args).unwrap_err().to_string().starts_with("no Node named \"node-x\""));
        assert!(flow("clusterip-three", &base[..4]).unwrap_err().to_string().starts_with("--to is missing"));
    }
}
