//! nftables mode where settings differ from those of the recorded tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use kube_api::IpFamily;
use kube_proxy::{Mode, NodeContext, Proxier, Settings};
use std::net::IpAddr;
use std::sync::Arc;

fn lines(settings: Settings, addresses: &[&str], family: IpFamily) -> Vec<String> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let node = NodeContext { name: "n".into(), addresses, ..NodeContext::default() };
    let mut proxier = Proxier::new(Arc::new(settings), node, family).in_mode(Mode::Nftables);
    proxier.sync_rules().text().lines().map(str::to_owned).collect()
}

fn node_port_ips(settings: Settings, addresses: &[&str], family: IpFamily) -> Vec<String> {
    let all = lines(settings, addresses, family);
    all.into_iter()
        .filter_map(|l| Some(l.split_once("nodeport-ips { ")?.1.trim_end_matches(" }").to_owned()))
        .filter(|l| !l.starts_with("type"))
        .collect()
}

#[test]
fn unallocated_cluster_ips_are_dropped_where_their_ranges_are_known() {
    let cidrs = ["10.96.0.0/16", "fd00:10:96::/112", "172.30.0.0/16"];
    let service_cidrs = cidrs.iter().map(|c| c.parse().unwrap()).collect();
    let settings = Settings { service_cidrs, ..Settings::default() };
    let v4 = lines(settings.clone(), &["192.168.10.11"], IpFamily::V4);
    let checks: Vec<&String> = v4.iter().filter(|l| l.contains("rule ip kube-proxy cluster-ips-check")).collect();
    assert_eq!(checks.len(), 2);
    assert!(
        checks[0].ends_with("ip daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"")
    );
    assert!(
        checks[1].ends_with(
            "ip daddr { 10.96.0.0/16,172.30.0.0/16 } drop comment \"Drop traffic to unallocated ClusterIPs\""
        )
    );
    let v6 = lines(settings, &["192.168.10.11"], IpFamily::V6);
    assert!(v6.iter().any(|l| l.contains("ip6 daddr { fd00:10:96::/112 } drop")));
}

#[test]
fn node_ports_are_served_at_the_primary_address_or_the_chosen_ones() {
    let two = ["192.168.10.11", "172.16.0.1", "fd00::11"];
    let of = |list: &[&str]| Settings {
        node_port_addresses: list.iter().map(|c| (*c).to_owned()).collect(),
        ..Settings::default()
    };
    assert_eq!(node_port_ips(of(&[]), &two, IpFamily::V4), ["192.168.10.11"]);
    assert_eq!(
        node_port_ips(of(&["172.16.0.0/12", "192.168.0.0/16"]), &two, IpFamily::V4),
        ["172.16.0.1", "192.168.10.11"]
    );
    assert_eq!(node_port_ips(of(&["172.16.0.0/12"]), &two, IpFamily::V6), ["fd00::11"], "none of the family is none");
    assert!(node_port_ips(of(&["127.0.0.0/8"]), &two, IpFamily::V4).is_empty(), "never on localhost");
    assert!(node_port_ips(of(&[]), &["192.168.10.11"], IpFamily::V6).is_empty(), "a node without the family");
    let all = lines(of(&["::/0"]), &two, IpFamily::V6);
    assert!(!all.iter().any(|l| l.contains("nodeport-ips")));
    let services: Vec<&String> = all.iter().filter(|l| l.contains("vmap @service-nodeports")).collect();
    assert!(
        services[0].ends_with(
            "services fib daddr type local ip6 daddr != ::1 meta l4proto . th dport vmap @service-nodeports"
        )
    );
}
