//! The configuration as text: virtual servers as `ipvsadm -Ln` lists them, sets, the addresses of `kube-ipvs0`, and the
//! input of `iptables-restore`.

use super::table::{ServerKey, Table, VirtualServer};
use crate::Table as IptablesTable;
use crate::text::iptables_restore_tables;
use std::fmt::Write;

/// What `ipvsadm` says after the address.
pub(crate) fn flags(server: &VirtualServer) -> String {
    let mut out = server.scheduler.name().to_owned();
    if let Some(seconds) = server.persistence {
        let _ = write!(out, " persistent {seconds}");
    }
    if server.source_hash {
        out.push_str(" (flag-source-hash)");
    }
    out
}

/// `TCP 10.96.0.1:80`.
pub(crate) fn server_name(key: &ServerKey) -> String {
    format!("{} {}", key.proto.name().to_ascii_uppercase(), key.addr)
}

/// Everything, in four sections.
pub fn listing(table: &Table) -> String {
    let mut out = String::from("[ipvs]\nProt LocalAddress:Port Scheduler Flags\n");
    out.push_str("  -> RemoteAddress:Port Forward Weight\n");
    let mut servers: Vec<&VirtualServer> = table.servers().values().map(|s| &**s).collect();
    servers.sort_by_key(|s| (s.key.proto.name(), s.key.addr));
    for server in servers {
        let _ = writeln!(out, "{} {}", server_name(&server.key), flags(server));
        for to in &server.destinations {
            let _ = writeln!(out, "  -> {} Masq {}", to.addr, to.weight);
        }
    }
    out.push_str("[ipset]\n");
    let sets = table.base().sets.iter().enumerate();
    let mut sets: Vec<_> = sets.filter(|(at, _)| table.filled_sets() & 1 << at != 0).collect();
    sets.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    for (at, set) in sets {
        let _ = writeln!(out, "{} {}", set.name, set.kind.name());
        let mut entries: Vec<String> = table.entries(at as u16).map(|e| e.to_string()).collect();
        entries.sort();
        for entry in entries {
            let _ = writeln!(out, "  {entry}");
        }
    }
    out.push_str("[kube-ipvs0]\n");
    for ip in table.bound() {
        let _ = writeln!(out, "  {ip}");
    }
    out.push_str("[iptables]\n");
    iptables_restore_tables(&mut out, table.rules(), &[IptablesTable::Nat, IptablesTable::Filter]);
    out
}
