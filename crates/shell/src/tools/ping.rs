//! `ping` (iputils): why a cluster IP answers in one mode of kube-proxy and not in another.
//!
//! iptables: no rule translates ICMP, so the echo leaves the node for an address that nobody has. nftables: the check
//! of cluster IPs rejects it. IPVS: the address is the node's own, on kube-ipvs0, and KUBE-IPVS-FILTER rejects what
//! is for none of its ports.

use super::{Place, fail_with};
use crate::{Step, World};
use cluster::dns::{DnsName, RecordType};
use datapath::Entry;
use datapath::ipvs::Echo;
use kube_api::{Pod, Service};
use lab_base::{Span, Time};
use lab_protocol::ProxyMode;
use std::net::IpAddr;

/// What comes back of an echo request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Echo,
    Unreachable,
    Nothing,
}

pub fn run(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let (mut count, mut host, mut wait) = (None, None, Span::from_secs(10));
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let (flag, inline) = if word.starts_with('-') { word.split_at(word.len().min(2)) } else { (word.as_str(), "") };
        let mut number = || {
            let text = if inline.is_empty() { rest.next().cloned().unwrap_or_default() } else { inline.to_owned() };
            text.parse::<u64>().ok().filter(|n| (1..=1_000).contains(n))
        };
        match flag {
            "-c" => match number() {
                Some(n) => count = Some(n),
                None => return fail_with(world, 1, "ping: invalid argument: out of range: 1 <= value <= 1000"),
            },
            "-W" | "-w" => match number() {
                Some(n) => wait = Span::from_secs(n),
                None => return fail_with(world, 1, "ping: invalid argument"),
            },
            "-n" | "-4" | "-q" => {}
            flag if flag.starts_with('-') => {
                return fail_with(world, 2, &format!("ping: {word} is not simulated here"));
            }
            name => host = Some(name.to_owned()),
        }
    }
    let Some(host) = host else { return fail_with(world, 1, "ping: usage error: Destination address required") };
    let Some(to) = resolve(world, place, &host) else {
        return fail_with(world, 2, &format!("ping: {host}: Name or service not known"));
    };
    world.say(&format!("PING {host} ({to}) 56(84) bytes of data."));
    let begun = world.now();
    let place = place.clone();
    let (mut sent, mut received, mut errors) = (0_u64, 0_u64, 0_u64);
    let mut last = begun;
    Step::Waiting(Box::new(move |world| {
        let now = world.now();
        while count.is_none_or(|c| sent < c) && now >= begun + Span::from_secs(1).times(sent) {
            sent += 1;
            last = now;
            match send(world, &place, to) {
                Reply::Echo => {
                    received += 1;
                    world.say(&format!(
                        "64 bytes from {to}: icmp_seq={sent} ttl=64 time={} ms",
                        round_trip(world, &place, to)
                    ));
                }
                Reply::Unreachable => {
                    errors += 1;
                    let from = world.cluster().machine(&place.node).map(|m| m.ip.to_string()).unwrap_or_default();
                    world.say(&format!("From {from} icmp_seq={sent} Destination Port Unreachable"));
                }
                Reply::Nothing => {}
            }
        }
        let all = count.is_some_and(|c| sent >= c);
        if !all || (received + errors < sent && now < last + wait) {
            return None;
        }
        let lost = 100 * (sent - received) / sent.max(1);
        let time = last.since(begun).as_micros() / 1_000;
        let noted = if errors > 0 { format!(", +{errors} errors") } else { String::new() };
        world.say(&format!("\n--- {host} ping statistics ---\n{sent} packets transmitted, {received} received{noted}, {lost}% packet loss, time {time}ms"));
        if received > 0 {
            let t = round_trip(world, &place, to);
            world.say(&format!("rtt min/avg/max/mdev = {t}/{t}/{t}/0.000 ms"));
        } else {
            world.say("");
        }
        Some(i32::from(received == 0))
    }))
}

fn resolve(world: &World<'_>, place: &Place, host: &str) -> Option<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Some(ip);
    }
    let pod = place.pod.as_ref()?;
    let found = world.cluster().look_up(&pod.metadata.namespace, &DnsName::parse(host)?, RecordType::A)?;
    found.answer.addresses().next()
}

/// Between nodes or within one: what links take.
fn round_trip(world: &World<'_>, place: &Place, to: IpAddr) -> &'static str {
    let near = world.cluster().machine(&place.node).is_some_and(|m| m.ip == to)
        || world.cluster().store().pods_on(&place.node).any(|p| p.status.pod_ip == to.to_string());
    if near { "0.130" } else { "0.600" }
}

fn send(world: &World<'_>, place: &Place, to: IpAddr) -> Reply {
    let cluster = world.cluster();
    let now: Time = cluster.now();
    let Some(machine) = cluster.machine(&place.node).filter(|m| m.powered) else { return Reply::Nothing };
    let (from, entry) = match &place.pod {
        Some(pod) => match pod.status.pod_ip.parse() {
            Ok(ip) => (ip, Entry::Pod),
            Err(_) => return Reply::Nothing,
        },
        None => (machine.ip, Entry::Process),
    };
    if to.is_loopback() || to == from {
        return Reply::Echo;
    }
    match machine.kernel.echo(now, from, to, entry) {
        Echo::Answered => return Reply::Echo,
        Echo::Refused => return Reply::Unreachable,
        Echo::Lost => return Reply::Nothing,
        Echo::Elsewhere => {}
    }
    // A Pod or another node.
    let text = to.to_string();
    if let Some(pod) = cluster.store().list::<Pod>().find(|p| p.status.pod_ip == text && !p.is_finished()) {
        let there = cluster.machine(&pod.spec.node_name);
        let same = pod.spec.node_name == place.node;
        let linked = there.is_some_and(|m| m.powered && (same || m.is_reachable() && machine.is_reachable()));
        let up = cluster.process_of(pod.metadata.uid).is_some() && !cluster.pod_is_cut(pod.metadata.uid);
        return if linked && up { Reply::Echo } else { Reply::Nothing };
    }
    if let Some(other) = cluster.machines().find(|m| m.ip == to) {
        return if other.is_reachable() && machine.is_reachable() { Reply::Echo } else { Reply::Nothing };
    }
    let of_service = cluster.store().list::<Service>().any(|s| s.spec.cluster_ip == text);
    if machine.mode == ProxyMode::Nftables && of_service {
        return Reply::Unreachable;
    }
    Reply::Nothing
}
