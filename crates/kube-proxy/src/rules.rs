//! A node's rules, whatever their kind.

use crate::service_change_tracker::ServicePortName;
use datapath::{Kernel, Ruleset, iptables_restore, ipvs, nft};
use lab_base::Time;
use std::sync::Arc;

/// The kind of rules that a kube-proxy writes (`mode` in its configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// iptables.
    #[default]
    Iptables,
    /// nftables.
    Nftables,
    /// IPVS, with iptables rules over ipsets.
    Ipvs,
}

/// A node's rules, of the kind that its kube-proxy writes.
#[derive(Clone, Debug)]
pub enum Rules {
    /// iptables.
    Iptables(Arc<Ruleset>),
    /// nftables.
    Nftables(Arc<nft::Table>),
    /// IPVS.
    Ipvs(Arc<ipvs::Table>),
}

impl Rules {
    pub(crate) fn none(mode: Mode) -> Rules {
        match mode {
            Mode::Iptables => Rules::Iptables(Arc::default()),
            Mode::Nftables => Rules::Nftables(Arc::default()),
            Mode::Ipvs => Rules::Ipvs(Arc::default()),
        }
    }
    /// Puts them into a kernel, in place of those that it has.
    pub fn load(&self, kernel: &mut Kernel, now: Time) {
        match self {
            Rules::Iptables(rules) => kernel.load(rules.clone()),
            Rules::Nftables(table) => kernel.load_nft(table.clone()),
            Rules::Ipvs(table) => kernel.load_ipvs(now, table.clone()),
        }
    }
    /// The text that `iptables-restore` or `nft -f` reads; for IPVS a listing of everything.
    pub fn text(&self) -> String {
        match self {
            Rules::Iptables(rules) => iptables_restore(rules),
            Rules::Nftables(table) => nft::nft_script(table),
            Rules::Ipvs(table) => ipvs::listing(table),
        }
    }
    /// The same without those of some service ports.
    pub fn without(&self, ports: &[ServicePortName]) -> Rules {
        let mut fewer = self.clone();
        for port in ports {
            fewer.remove(&port.key());
        }
        fewer
    }
    pub(crate) fn remove(&mut self, key: &Arc<str>) {
        match self {
            Rules::Iptables(rules) => Arc::make_mut(rules).set_segment(key, None),
            Rules::Nftables(table) => Arc::make_mut(table).set_segment(key, None),
            Rules::Ipvs(table) => {
                let table = Arc::make_mut(table);
                table.set_segment(key, None);
                table.rules_mut().set_segment(key, None);
            }
        }
    }
}
