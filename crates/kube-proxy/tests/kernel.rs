//! A real kernel under the printed rules: network namespaces wired as a cluster, `iptables-restore` and `nft`, real
//! connections, compared with what the simulated kernel computes from the same rules.
//!
//! It needs Linux, root, `ip`, `iptables-restore` and `nft`; without one of them it is skipped, and says why. The node is
//! a namespace with a link to one of its own for each address that sends or answers. A last one, where the node's default
//! route leads, answers for whatever the rules leave untranslated.
//!
//! Run inside a namespace, this program is a server or a client there: see [`role`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use datapath::{ChainRef, Entry, Flow, Kernel, KernelConfig, L4, Observed, Table, rule_text};
use kube_api::{IpFamily, Object};
use kube_proxy::{Mode, Rules, Settings};
use lab_base::Time;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "a_real_kernel_sends_connections_where_the_rules_say";
const NODE: &str = "192.168.10.11";
/// Scenarios of one family, without affinity, whose endpoints are all Pods.
const CASES: [&str; 9] = [
    "clusterip-three",
    "nodeport-basic",
    "nodeport-etp-local-both",
    "nodeport-tcp-udp-same-number",
    "external-ip",
    "lb-source-ranges",
    "cond-all-terminating-one-serving",
    "masquerade-all",
    "udp-no-endpoints",
];
/// How many connections of each kind.
const CONNECTIONS: u32 = 40;
const PATIENCE: Duration = Duration::from_millis(400);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "role") {
        return role(&args[1..]);
    }
    if args.iter().any(|a| a == "--list" || (!a.starts_with('-') && !NAME.contains(a.as_str()))) {
        return;
    }
    let (outcome, counts) = match prepare() {
        Err(why) => (format!("ignored, {why}"), [0, 0, 1]),
        Ok(tools) => match compare_all(&tools) {
            Ok(rows) => (format!("ok\n{rows} kinds of connections compared"), [1, 0, 0]),
            Err(failures) => (format!("FAILED\n{failures}"), [0, 1, 0]),
        },
    };
    let [passed, failed, ignored] = counts;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\nrunning 1 test\ntest {NAME} ... {outcome}\n");
    println!("test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed != 0 {
        std::process::exit(101);
    }
}

/// What a server or client does in its namespace. `serve IP:PORT/PROTO...` answers each connection with its own address
/// and the client's; it ends with its standard input. `dial N IP:PORT/PROTO` prints a line for each of N connections.
fn role(args: &[String]) {
    let target = |text: &str| {
        let (addr, proto) = text.split_once('/').unwrap();
        (addr.parse::<SocketAddr>().unwrap(), proto == "UDP")
    };
    match args.split_first().map(|(what, rest)| (what.as_str(), rest)) {
        Some(("serve", places)) => {
            for (addr, udp) in places.iter().map(|p| target(p)) {
                if udp {
                    let socket = UdpSocket::bind(addr).unwrap();
                    std::thread::spawn(move || {
                        while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
                            let _ = socket.send_to(format!("{addr} {}", peer.ip()).as_bytes(), peer);
                        }
                    });
                } else {
                    let listener = TcpListener::bind(addr).unwrap();
                    std::thread::spawn(move || {
                        for mut stream in listener.incoming().flatten() {
                            let peer = stream.peer_addr().map(|p| p.ip().to_string()).unwrap_or_default();
                            let _ = stream.write_all(format!("{addr} {peer}").as_bytes());
                        }
                    });
                }
            }
            println!("ready");
            let _ = std::io::stdin().read(&mut [0]);
        }
        Some(("dial", [n, to])) => {
            let (addr, udp) = target(to);
            for _ in 0..n.parse::<u32>().unwrap() {
                println!("{}", if udp { ask(addr) } else { dial(addr) }.unwrap_or_else(told));
            }
        }
        _ => panic!("{args:?}"),
    }
}

fn told(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".into(),
        // A datagram that OUTPUT rejects isn't sent; here as in the records it counts as lost.
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::PermissionDenied => "timeout".into(),
        other => format!("{other:?}"),
    }
}

fn dial(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(if addr.ip().is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" })?;
    socket.connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"?")?;
    let mut answer = [0; 64];
    let n = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
}

/// Runs a command with this input. What it prints, or what it complains.
fn run(command: &[&str], input: &str) -> Result<String, String> {
    let (program, args) = command.split_first().unwrap();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", command.join(" "), complaint.lines().next().unwrap_or("it failed")))
}

/// The programs that load rules.
struct Tools {
    iptables_restore: &'static str,
}

/// Whether all that it needs is here; else what isn't.
fn prepare() -> Result<Tools, String> {
    if !cfg!(target_os = "linux") {
        return Err("needs Linux".into());
    }
    run(&["ip", "-V"], "").map_err(|_| "needs ip (iproute2)".to_owned())?;
    let probe = Namespace::new("probe").map_err(|_| "needs root, to make network namespaces".to_owned())?;
    let inside = |command: &[&str], input: &str| run(&[&["ip", "netns", "exec", &probe.name], command].concat(), input);
    inside(&["nft", "-f", "-"], "add table ip probe\n").map_err(|_| "needs nft and nf_tables".to_owned())?;
    // What the rules ask of the kernel.
    let rules = "*nat\n-A POSTROUTING -m comment --comment c -m statistic --mode random --probability 0.5 -j MASQUERADE --random-fully\nCOMMIT\n\
                 *filter\n-A INPUT -m conntrack --ctstate NEW -m addrtype --dst-type LOCAL -m mark --mark 1/1 -j REJECT\nCOMMIT\n";
    for iptables_restore in ["iptables-restore", "iptables-nft-restore", "iptables-legacy-restore"] {
        if inside(&[iptables_restore], rules).is_ok() {
            return Ok(Tools { iptables_restore });
        }
    }
    Err("needs iptables-restore, and a kernel with its matches".into())
}

/// A network namespace; it goes with this.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(what: &str) -> Result<Namespace, String> {
        let name = format!("lab{}-{what}", std::process::id());
        run(&["ip", "netns", "add", &name], "")?;
        let namespace = Namespace { name };
        namespace.exec(&["ip", "link", "set", "lo", "up"], "")?;
        Ok(namespace)
    }
    fn exec(&self, command: &[&str], input: &str) -> Result<String, String> {
        run(&[&["ip", "netns", "exec", &self.name], command].concat(), input)
    }
    fn sysctl(&self, key: &str, value: u8) -> Result<(), String> {
        self.exec(&["sh", "-c", &format!("echo {value} > /proc/sys/net/ipv4/{key}")], "").map(drop)
    }
    /// This program, as server or client in here.
    fn play(&self, args: &[String]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(std::env::current_exe().unwrap()).arg("role").args(args);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(&["ip", "netns", "del", &self.name], "");
    }
}

fn host(ip: &str) -> String {
    format!("{ip}/32")
}

/// A server in its namespace; it goes with this.
struct Server(Child);

impl Server {
    fn start(namespace: &Namespace, places: &[String]) -> Result<Server, String> {
        let args: Vec<String> = [&["serve".to_owned()], places].concat();
        let mut command = namespace.play(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| format!("server: {e}"))?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).map_err(|e| e.to_string())?;
        if ready.trim() == "ready" { Ok(Server(child)) } else { Err(format!("no server at {places:?}")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A row of `flows.json`: who connects to what.
#[derive(Deserialize)]
struct Row {
    node: String,
    from: String,
    from_ip: String,
    to: String,
}

impl Row {
    fn flow(&self) -> (Flow, Entry) {
        let (to, proto) = self.to.split_once('/').unwrap();
        let entry = match self.from.as_str() {
            "pod" => Entry::Pod,
            "node" | "localhost" => Entry::Process,
            _ => Entry::Wire,
        };
        let proto = if proto == "UDP" { L4::Udp } else { L4::Tcp };
        (Flow { proto, src: SocketAddr::new(self.from_ip.parse().unwrap(), 40_000), dst: to.parse().unwrap() }, entry)
    }
}

/// A node, and around it a namespace for each address.
struct World {
    node: Namespace,
    others: BTreeMap<IpAddr, Namespace>,
    _sink: Namespace,
    _servers: Vec<Server>,
}

impl World {
    /// `clients`: who connects; `endpoints`: who answers; `untranslated`: what may leave the node as it came.
    fn new(
        clients: &BTreeSet<IpAddr>,
        endpoints: &BTreeMap<IpAddr, BTreeSet<String>>,
        untranslated: &BTreeMap<IpAddr, BTreeSet<String>>,
    ) -> Result<World, String> {
        let node = Namespace::new("node")?;
        for key in ["ip_forward", "conf/all/rp_filter", "conf/default/rp_filter"] {
            node.sysctl(key, u8::from(key == "ip_forward"))?;
        }
        let link = |n: usize, of: &Namespace| -> Result<(), String> {
            let (near, far) = (format!("lab{n}"), format!("far{n}"));
            node.exec(&["ip", "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &of.name], "")?;
            // MASQUERADE takes the address of the link by which a packet leaves.
            node.exec(&["ip", "address", "add", &host(NODE), "dev", &near], "")?;
            node.exec(&["ip", "link", "set", &near, "up"], "")?;
            of.exec(&["ip", "link", "set", &far, "up"], "")?;
            of.exec(&["ip", "route", "add", &host(NODE), "dev", &far], "").map(drop)
        };
        let (mut others, mut servers) = (BTreeMap::new(), Vec::new());
        let all: BTreeSet<IpAddr> = clients.iter().chain(endpoints.keys()).copied().collect();
        for (n, address) in all.into_iter().enumerate() {
            let namespace = Namespace::new(&format!("n{n}"))?;
            link(n, &namespace)?;
            let (ip, far) = (host(&address.to_string()), format!("far{n}"));
            namespace.exec(&["ip", "address", "add", &ip, "dev", &far], "")?;
            namespace.exec(&["ip", "route", "add", "default", "via", NODE, "dev", &far], "")?;
            node.exec(&["ip", "route", "add", &ip, "dev", &format!("lab{n}"), "src", NODE], "")?;
            if let Some(places) = endpoints.get(&address) {
                servers.push(Server::start(&namespace, &places.iter().cloned().collect::<Vec<_>>())?);
            }
            others.insert(address, namespace);
        }
        let sink = Namespace::new("sink")?;
        link(99, &sink)?;
        for ip in untranslated.keys() {
            sink.exec(&["ip", "address", "add", &host(&ip.to_string()), "dev", "lo"], "")?;
        }
        sink.exec(&["ip", "address", "add", "169.254.2.2/32", "dev", "far99"], "")?;
        sink.exec(&["ip", "route", "add", "default", "via", NODE, "dev", "far99"], "")?;
        node.exec(&["ip", "route", "add", "169.254.2.2/32", "dev", "lab99"], "")?;
        node.exec(&["ip", "route", "add", "default", "via", "169.254.2.2", "dev", "lab99", "src", NODE], "")?;
        let places: Vec<String> = untranslated.values().flatten().cloned().collect();
        servers.push(Server::start(&sink, &places)?);
        Ok(World { node, others, _sink: sink, _servers: servers })
    }
    /// Loads the rules in place of those that are there.
    fn load(&self, tools: &Tools, rules: &Rules) -> Result<(), String> {
        let restore = |text: &str, flush: bool| {
            let keep = if flush { &[][..] } else { &["--noflush"] };
            self.node.exec(&[&[tools.iptables_restore], keep].concat(), text)
        };
        restore("*filter\nCOMMIT\n*nat\nCOMMIT\n", true)?;
        let _ = self.node.exec(&["nft", "delete", "table", "ip", "kube-proxy"], "");
        self.node.sysctl("conf/all/route_localnet", u8::from(matches!(rules, Rules::Iptables(_))))?;
        match rules {
            Rules::Iptables(list) => {
                restore(&rules.text(), false)?;
                restore(&by_hand(list), false)?;
            }
            Rules::Nftables(_) => {
                self.node.exec(&["nft", "-f", "-"], &rules.text())?;
            }
            Rules::Ipvs(_) => {}
        }
        Ok(())
    }
    fn connect(&self, row: &Row, n: u32) -> Result<Vec<String>, String> {
        let (flow, entry) = row.flow();
        let namespace = if entry == Entry::Process { &self.node } else { &self.others[&flow.src.ip()] };
        let args = ["dial".to_owned(), n.to_string(), row.to.clone()];
        let output = namespace.play(&args).output().map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// The chains and jumps that no payload holds: kube-proxy makes them when it starts, kubelet some others.
fn by_hand(rules: &datapath::Ruleset) -> String {
    let base = rules.base();
    let mut text = String::new();
    for table in [Table::Filter, Table::Nat] {
        let _ = writeln!(text, "*{}", table.name());
        let hidden = |c: u16| base.chains.get(usize::from(c)).filter(|c| c.table == table && !c.printed);
        for chain in (0..base.chains.len() as u16).filter_map(hidden).filter(|c| c.hook.is_none()) {
            let _ = writeln!(text, ":{} - [0:0]", chain.name);
        }
        for rule in base.head.rules() {
            if let ChainRef::Shared(c) = rule.chain
                && hidden(c).is_some()
            {
                let _ = writeln!(text, "{}", rule_text(base, None, &base.head, rule));
            }
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// What differs between the connections of a row and what the rules say, if anything.
fn compare(row: &Row, kernel: &Kernel, answers: &[String]) -> Result<(), String> {
    let (flow, entry) = row.flow();
    let shares = kernel.shares(Time::ZERO, flow, entry);
    let config = kernel.config();
    let local = flow.dst.ip().is_loopback() || config.addresses.contains(&flow.dst.ip());
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for share in &shares {
        let client = if share.masquerade { NODE.to_owned() } else { flow.src.ip().to_string() };
        let seen = match share.observed(&flow, entry, config) {
            Observed::Dnat => format!("{} {client}", share.dst),
            Observed::Reject => "refused".into(),
            Observed::Drop => "timeout".into(),
            Observed::None if local => "refused".into(),
            Observed::None => format!("{} {client}", flow.dst),
        };
        *expected.entry(seen).or_default() += share.probability;
    }
    let n = answers.len() as f64;
    let count = |what: &str| answers.iter().filter(|a| *a == what).count() as f64;
    if let Some(stray) = answers.iter().find(|a| !expected.contains_key(*a)) {
        return Err(format!("{stray:?}, expected {expected:?}"));
    }
    for (what, share) in &expected {
        // Five standard deviations, and a few more where there are hardly any.
        let far = (count(what) - share * n).abs();
        if far > 5.0 * (share * (1.0 - share) * n).sqrt() + 3.0 {
            return Err(format!("{what}: {} of {n}, expected {expected:?}", count(what)));
        }
    }
    Ok(())
}

/// The simulated kernel of node-a, and the rules that both kernels get.
fn simulated(objects: &[Object], settings: &Arc<Settings>, mode: Mode) -> (Kernel, Rules) {
    let proxier = kube_proxy::proxier_of(objects, "node-a", settings.clone(), IpFamily::V4).unwrap();
    let rules = proxier.in_mode(mode).sync_rules();
    let addresses = vec![NODE.parse().unwrap(), [127, 0, 0, 1].into()];
    let route_localnet = mode == Mode::Iptables;
    let mut kernel = Kernel::new(KernelConfig { addresses, route_localnet, ..KernelConfig::default() });
    rules.load(&mut kernel, Time::ZERO);
    (kernel, rules)
}

/// How many rows were compared, or what went wrong.
fn compare_all(tools: &Tools) -> Result<usize, String> {
    let (mut compared, mut failures) = (0, String::new());
    for case in common::cases().into_iter().filter(|c| CASES.iter().any(|name| c.ends_with(name))) {
        let (objects, settings) = common::read(&case);
        let text = std::fs::read_to_string(case.join("flows.json")).map_err(|e| e.to_string())?;
        let rows: Vec<Row> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let usable = |r: &Row| r.node == "node-a" && r.to.ends_with("P") && !r.to.ends_with("SCTP");
        let mut rows: Vec<Row> = rows.into_iter().filter(usable).collect();
        // A source is the only address of its namespace; the node has two.
        rows.retain(|r| r.from_ip.parse::<IpAddr>().is_ok() && (r.from == "localhost") == r.to.starts_with("127."));

        let outside = |r: &&Row| r.from != "node" && r.from != "localhost";
        let clients: BTreeSet<IpAddr> = rows.iter().filter(outside).map(|r| r.flow().0.src.ip()).collect();
        let mut endpoints: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        let mut untranslated: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for mode in [Mode::Iptables, Mode::Nftables] {
            let (kernel, _) = simulated(&objects, &settings, mode);
            for row in &rows {
                let (flow, entry) = row.flow();
                let proto = if flow.proto == L4::Udp { "UDP" } else { "TCP" };
                for share in kernel.shares(Time::ZERO, flow, entry).iter().filter(|s| s.dst != flow.dst) {
                    endpoints.entry(share.dst.ip()).or_default().insert(format!("{}/{proto}", share.dst));
                }
                if !flow.dst.ip().is_loopback() && flow.dst.ip().to_string() != NODE {
                    untranslated.entry(flow.dst.ip()).or_default().insert(row.to.clone());
                }
            }
        }
        let world = World::new(&clients, &endpoints, &untranslated)?;
        for mode in [Mode::Iptables, Mode::Nftables] {
            let (kernel, rules) = simulated(&objects, &settings, mode);
            world.load(tools, &rules)?;
            for row in &rows {
                let refused =
                    kernel.shares(Time::ZERO, row.flow().0, row.flow().1).iter().all(|s| s.dst == row.flow().0.dst);
                let answers = world.connect(row, if refused { 2 } else { CONNECTIONS })?;
                compared += 1;
                if let Err(why) = compare(row, &kernel, &answers) {
                    let case = case.file_name().unwrap().to_string_lossy();
                    let _ = writeln!(failures, "{case} {mode:?}: {} {} -> {}: {why}", row.from, row.from_ip, row.to);
                }
            }
        }
    }
    if failures.is_empty() { Ok(compared) } else { Err(failures) }
}
