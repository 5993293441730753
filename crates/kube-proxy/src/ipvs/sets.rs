//! The ipsets (`ipsetInfo`).

use datapath::ipvs::{SetInfo, SetKind};
use kube_api::IpFamily;

/// Places of the sets in [`datapath::ipvs::Base::sets`].
pub(crate) mod at {
    pub(crate) const LOOP_BACK: u16 = 0;
    pub(crate) const CLUSTER_IP: u16 = 1;
    pub(crate) const EXTERNAL_IP: u16 = 2;
    pub(crate) const EXTERNAL_IP_LOCAL: u16 = 3;
    pub(crate) const LOAD_BALANCER: u16 = 4;
    pub(crate) const LOAD_BALANCER_FW: u16 = 5;
    pub(crate) const LOAD_BALANCER_LOCAL: u16 = 6;
    pub(crate) const SOURCE_IP: u16 = 7;
    pub(crate) const SOURCE_CIDR: u16 = 8;
    pub(crate) const NODE_PORT_TCP: u16 = 9;
    pub(crate) const NODE_PORT_LOCAL_TCP: u16 = 10;
    pub(crate) const NODE_PORT_UDP: u16 = 11;
    pub(crate) const NODE_PORT_LOCAL_UDP: u16 = 12;
    pub(crate) const NODE_PORT_SCTP: u16 = 13;
    pub(crate) const NODE_PORT_LOCAL_SCTP: u16 = 14;
    pub(crate) const HEALTH_CHECK: u16 = 15;
    pub(crate) const IPVS_IPS: u16 = 16;
}

/// Name without `KUBE-`, type and comment, in the order of [`at`].
const SETS: [(&str, SetKind, &str); 17] = [
    ("LOOP-BACK", SetKind::HashIpPortIp, "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"),
    ("CLUSTER-IP", SetKind::HashIpPort, "Kubernetes service cluster ip + port for masquerade purpose"),
    ("EXTERNAL-IP", SetKind::HashIpPort, "Kubernetes service external ip + port for masquerade and filter purpose"),
    (
        "EXTERNAL-IP-LOCAL",
        SetKind::HashIpPort,
        "Kubernetes service external ip + port with externalTrafficPolicy=local",
    ),
    ("LOAD-BALANCER", SetKind::HashIpPort, "Kubernetes service lb portal"),
    (
        "LOAD-BALANCER-FW",
        SetKind::HashIpPort,
        "Kubernetes service load balancer ip + port for load balancer with sourceRange",
    ),
    (
        "LOAD-BALANCER-LOCAL",
        SetKind::HashIpPort,
        "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
    ),
    (
        "LOAD-BALANCER-SOURCE-IP",
        SetKind::HashIpPortIp,
        "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
    ),
    (
        "LOAD-BALANCER-SOURCE-CIDR",
        SetKind::HashIpPortNet,
        "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
    ),
    ("NODE-PORT-TCP", SetKind::BitmapPort, "Kubernetes nodeport TCP port for masquerade purpose"),
    ("NODE-PORT-LOCAL-TCP", SetKind::BitmapPort, "Kubernetes nodeport TCP port with externalTrafficPolicy=local"),
    ("NODE-PORT-UDP", SetKind::BitmapPort, "Kubernetes nodeport UDP port for masquerade purpose"),
    ("NODE-PORT-LOCAL-UDP", SetKind::BitmapPort, "Kubernetes nodeport UDP port with externalTrafficPolicy=local"),
    (
        "NODE-PORT-SCTP-HASH",
        SetKind::HashIpPort,
        "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
    ),
    (
        "NODE-PORT-LOCAL-SCTP-HASH",
        SetKind::HashIpPort,
        "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
    ),
    ("HEALTH-CHECK-NODE-PORT", SetKind::BitmapPort, "Kubernetes health check node port"),
    ("IPVS-IPS", SetKind::HashIp, "Addresses on the ipvs interface"),
];

/// The longest name of a set: `IPSET_MAXNAMELEN` without the end.
const MAX_NAME: usize = 31;

/// All sets. Those of IPv6 have another prefix, and are cut to what a set's name may have (`NewIPSet`).
pub(crate) fn sets(family: IpFamily) -> Vec<SetInfo> {
    let prefix = if family == IpFamily::V4 { "KUBE-" } else { "KUBE-6-" };
    let named = |(name, kind, _): &(&str, SetKind, &str)| {
        let mut name = format!("{prefix}{name}");
        name.truncate(MAX_NAME);
        SetInfo { name: name.into(), kind: *kind }
    };
    SETS.iter().map(named).collect()
}

/// What a set is for, as its rules say.
pub(crate) fn comment(set: u16) -> &'static str {
    SETS.get(usize::from(set)).map_or("", |(_, _, comment)| comment)
}
