//! `cat`, `env`, `hostname`, `ip`: what a Pod or a node tells of itself.

use super::{Place, fail_with};
use crate::{Step, World};
use cluster::dns::{DNS_ADDRESS, Resolver};
use kube_api::{ContainerState, Pod, Service};
use lab_protocol::ProxyMode;
use std::net::IpAddr;
use std::sync::Arc;

/// `cat FILE...`
pub fn cat(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let mut code = 0;
    for name in words.iter().filter(|w| !w.starts_with('-')) {
        match file(world, place, name) {
            Some(text) => world.out.stdout.push_str(&text),
            None => {
                world.complain(&format!("cat: {name}: No such file or directory"));
                code = 1;
            }
        }
    }
    Step::Done(code)
}

fn file(world: &World<'_>, place: &Place, name: &str) -> Option<String> {
    match (name, &place.pod) {
        ("/etc/resolv.conf", Some(pod)) => {
            Some(Resolver::cluster_first(DNS_ADDRESS, &pod.metadata.namespace).to_string())
        }
        ("/etc/hostname", _) => Some(format!("{}\n", host(place))),
        ("/etc/hosts", Some(pod)) => {
            let (ip, host) = (&pod.status.pod_ip, host(place));
            let own = if pod.spec.subdomain.is_empty() || pod.spec.hostname.is_empty() {
                host
            } else {
                let (subdomain, namespace) = (&pod.spec.subdomain, &pod.metadata.namespace);
                format!("{host}.{subdomain}.{namespace}.svc.cluster.local\t{host}")
            };
            Some(format!(
                "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{ip}\t{own}\n"
            ))
        }
        ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", Some(pod)) => Some(pod.metadata.namespace.clone()),
        ("/etc/hosts", None) => {
            let mut text = String::from("127.0.0.1\tlocalhost\n");
            world.cluster().machines().for_each(|m| text += &format!("{}\t{}\n", m.ip, m.name));
            Some(text)
        }
        _ => None,
    }
}

fn host(place: &Place) -> String {
    match &place.pod {
        Some(pod) if !pod.spec.hostname.is_empty() => pod.spec.hostname.clone(),
        Some(pod) => pod.metadata.name.clone(),
        None => place.node.clone(),
    }
}

/// `hostname`, `hostname -i`
pub fn hostname(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let line = match words.first().map(String::as_str) {
        Some("-i" | "-I") => address(world, place).map(|ip| ip.to_string()).unwrap_or_default(),
        _ => host(place),
    };
    world.say(&line);
    Step::Done(0)
}

fn address(world: &World<'_>, place: &Place) -> Option<IpAddr> {
    match &place.pod {
        Some(pod) => pod.status.pod_ip.parse().ok(),
        None => world.cluster().machine(&place.node).map(|m| m.ip),
    }
}

/// `env`, `printenv [NAME]`: what the container got of Services when it started, and doesn't learn of later.
pub fn env(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let mut all = vec![
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOSTNAME".to_owned(), host(place)),
    ];
    if let Some(pod) = &place.pod {
        let started = started(pod);
        let services: Vec<Arc<Service>> = world
            .cluster()
            .store()
            .list::<Service>()
            .filter(|s| s.metadata.creation_timestamp <= started)
            .cloned()
            .collect();
        all.extend(cluster::service_environment(&services, &pod.metadata.namespace, true));
    }
    all.push(("HOME".to_owned(), "/root".to_owned()));
    match words.iter().find(|w| !w.starts_with('-')) {
        Some(name) => match all.iter().find(|(k, _)| k == name) {
            Some((_, value)) => world.say(value),
            None => return Step::Done(1),
        },
        None => all.iter().for_each(|(k, v)| world.say(&format!("{k}={v}"))),
    }
    Step::Done(0)
}

fn started(pod: &Pod) -> Option<lab_base::Time> {
    pod.status.container_statuses.iter().find_map(|s| match s.state {
        ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    })
}

/// `ip addr`, `ip route`.
pub fn ip(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|w| !w.starts_with('-')).collect();
    let Some(own) = address(world, place) else { return fail_with(world, 1, "Cannot find device \"eth0\"") };
    let gateway = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.1")
        }
        IpAddr::V6(ip) => ip.to_string(),
    };
    let net = |ip: IpAddr| gateway(ip).trim_end_matches(".1").to_owned() + ".0/24";
    match &words[..] {
        [] | ["a" | "addr" | "address", ..] => {
            world.say("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever");
            let name = if place.pod.is_some() { "eth0@if7" } else { "eth0" };
            world.say(&format!("2: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000\n    link/ether {} brd ff:ff:ff:ff:ff:ff\n    inet {own}/24 brd {}255 scope global eth0\n       valid_lft forever preferred_lft forever", mac(own), gateway(own).trim_end_matches('1')));
            // IPVS mode binds every cluster IP to a device of its own, so that the node takes the packets as its own.
            let bound: Vec<IpAddr> = match world.cluster().machine(&place.node).filter(|m| m.mode == ProxyMode::Ipvs) {
                Some(machine) if place.pod.is_none() => {
                    machine.kernel.ipvs().map(|t| t.bound().collect()).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            if !bound.is_empty() {
                world.say("3: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN group default");
                world.say(&format!("    link/ether {} brd ff:ff:ff:ff:ff:ff", mac(own)));
                for ip in bound {
                    world.say(&format!(
                        "    inet {ip}/32 scope global kube-ipvs0\n       valid_lft forever preferred_lft forever"
                    ));
                }
            }
            Step::Done(0)
        }
        ["r" | "route", ..] => {
            world.say(&format!("default via {} dev eth0", gateway(own)));
            world.say(&format!("{} dev eth0 scope link src {own}", net(own)));
            if place.pod.is_none() {
                let routes: Vec<String> = world
                    .cluster()
                    .machines()
                    .map(|m| {
                        let cidr = format!("10.244.{}.0/24", m.index);
                        if *m.name == *place.node {
                            format!("{cidr} dev cni0")
                        } else {
                            format!("{cidr} via {} dev eth0", m.ip)
                        }
                    })
                    .collect();
                routes.iter().for_each(|r| world.say(r));
            }
            Step::Done(0)
        }
        [other, ..] => {
            let line = format!("Object \"{other}\" is unknown, try \"ip help\".");
            fail_with(world, 1, &line)
        }
    }
}

/// An address that follows from the IP, as Docker's were made.
fn mac(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
        }
        IpAddr::V6(_) => "02:42:00:00:00:01".into(),
    }
}
