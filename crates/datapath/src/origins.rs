//! From the text of a kernel's rules back to where they come from.

use crate::ipvs::{flags, server_name};
use crate::{Base, Kernel, OriginId, Ruleset, nft, rule_text};
use std::collections::BTreeMap;

impl Kernel {
    /// Where the lines of [`Kernel::rules_text`] come from, by the line; those that are always there are left out. A real
    /// server's line has that of its virtual server before it, and its weight is left out.
    pub fn rule_origins(&self) -> BTreeMap<String, OriginId> {
        let mut found = BTreeMap::new();
        let mut put = |text: String, origin: OriginId| {
            if origin != OriginId::NONE {
                found.insert(text, origin);
            }
        };
        match (self.nft(), self.ipvs()) {
            (Some(table), _) => of_nft(table, &mut put),
            (_, Some(table)) => {
                for server in table.servers().values() {
                    let name = format!("{} {}", server_name(&server.key), flags(server));
                    for to in &server.destinations {
                        put(format!("{name}\n  -> {} Masq", to.addr), to.origin);
                    }
                    put(name, server.origin);
                }
                of_iptables(table.rules(), &mut put);
            }
            _ => of_iptables(self.rules(), &mut put),
        }
        found
    }
}

fn of_iptables(rules: &Ruleset, put: &mut dyn FnMut(String, OriginId)) {
    let base: &Base = rules.base();
    for (_, segment) in rules.segments() {
        for rule in segment.written() {
            put(rule_text(base, Some(segment), segment.list(), rule), rule.origin);
        }
    }
}

fn of_nft(table: &nft::Table, put: &mut dyn FnMut(String, OriginId)) {
    for (_, segment) in table.segments() {
        for rule in segment.rules() {
            put(nft::rule_text(table, Some(segment), rule), rule.origin);
        }
        for element in segment.elements() {
            put(nft::element_text(table, segment, element), element.origin);
        }
    }
}
