//! A packet in a node's kernel: the rules that it meets, the one that decides, and what other modes would do.

use crate::cluster::Cluster;
use crate::machine::Machine;
use crate::traffic::RequestId;
use datapath::{Entry, Flow, Kernel, KernelConfig, Nat, Opened, OriginId, TraceStep, Verdict};
use kube_proxy::{Mode, Proxier};
use lab_protocol::{Chapter, FieldRef, Id, ModeStory, Phrase, ProxyMode, RuleMet, Tone};

/// Rules that didn't hold and are shown one after the other; of more the rest are counted.
const SHOWN: usize = 6;

impl Cluster {
    /// The first packet of a connection comes to a node's kernel: what it will meet there.
    #[inline]
    pub(crate) fn saw_rules(
        &mut self,
        id: RequestId,
        node: &str,
        flow: Flow,
        entry: Entry,
        chance: &mut dyn FnMut(u32) -> u32,
    ) {
        if self.witness.is_some() {
            self.count_rules(node, flow, entry, chance);
            if self.follows(id) {
                self.write_rules(node, flow, entry, chance);
            }
        }
    }

    #[inline(never)]
    fn write_rules(&mut self, node: &str, flow: Flow, entry: Entry, chance: &mut dyn FnMut(u32) -> u32) {
        let Some(machine) = self.machines.get(node).cloned() else { return };
        let now = self.now;
        let known =
            machine.kernel.conntrack().get(now, &flow).filter(|e| e.state != datapath::ConntrackState::TimeWait);
        let (opened, steps) = machine.kernel.trace(now, flow, entry, chance);
        let field = field(&machine.loaded, opened.decided_by);
        let rules = rules_met(&machine.loaded, steps);
        let of = self.service_of_flow(&flow);
        self.write_service(of, flow.dst);
        let sent_on = opened.nat.dst != flow.dst;
        let (tone, verdict) = verdict(&opened, &flow);
        let text = Phrase::new("why-rules").with("node", node).with("mode", machine.mode.name());
        self.tell(Chapter { at: now, text, rules, ..Chapter::default() });
        match known {
            Some(entry) => {
                let text = Phrase::new("why-tracked").with("address", entry.nat.dst);
                self.step(text.with("node", node));
            }
            None => self.tell(Chapter { at: now, tone, text: verdict, field, ..Chapter::default() }),
        }
        if known.is_none() && opened.verdict == Verdict::Forward && !sent_on && of.is_some() {
            self.write_no_rule(&machine, &flow);
        }
        if opened.nat.src != flow.src {
            let text = Phrase::new("why-masquerade").with("from", flow.src.ip()).with("to", opened.nat.src.ip());
            self.step(text);
        }
        if known.is_none() && sent_on && opened.verdict == Verdict::Forward {
            let shares = machine.kernel.shares(now, flow, entry);
            let share = shares.iter().filter(|s| s.dst == opened.nat.dst).map(|s| s.probability).sum();
            self.write_endpoint(opened.nat.dst, share);
        }
        let kept = known.is_none() && matches!(opened.verdict, Verdict::Forward | Verdict::Local);
        if kept && opened.nat != (Nat { src: flow.src, dst: flow.dst }) {
            let text = Phrase::new("why-conntrack").with("node", node).with("proto", flow.proto);
            self.step(text.with("from", flow.src).with("address", flow.dst).with("to", opened.nat.dst));
        }
        if self.witness.as_ref().is_some_and(|w| w.modes) {
            let modes = self.in_each_mode(&machine, flow, entry, chance);
            if let Some(witness) = &mut self.witness {
                witness.story.modes = modes;
            }
        }
    }

    /// A Service's address for which this node has no rule: not yet, or not any more.
    fn write_no_rule(&mut self, machine: &Machine, flow: &Flow) {
        let own = |p: &kube_proxy::service_change_tracker::ServicePortInfo| p.cluster_ip == flow.dst.ip();
        let text = match (machine.loaded.service_ports().any(own), machine.behind_since()) {
            (true, _) => Phrase::new("why-rule-deleted"),
            (false, Some(since)) => {
                Phrase::new("why-not-synced").with("seconds", crate::proxy::seconds(self.now.since(since)))
            }
            _ => return,
        };
        let text = text.with("node", &machine.name);
        self.tell(Chapter { at: self.now, tone: Tone::Cause, text, ..Chapter::default() });
    }

    /// The same packet with the rules that each mode of kube-proxy makes of what this node's has written, as the first of
    /// its connection.
    fn in_each_mode(
        &self,
        machine: &Machine,
        flow: Flow,
        entry: Entry,
        chance: &mut dyn FnMut(u32) -> u32,
    ) -> Vec<ModeStory> {
        let now = self.now;
        let modes = [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Ipvs];
        let each = modes.map(|mode| {
            let own = mode == machine.mode;
            let (kernel, proxier) = if own {
                let mut kernel = machine.kernel.clone();
                kernel.delete_conntrack(now, |other, _| *other == flow);
                (kernel, machine.loaded.clone())
            } else {
                render(machine, mode, now)
            };
            let (opened, steps) = kernel.trace(now, flow, entry, chance);
            let mut shares: Vec<(String, f32)> = Vec::new();
            for share in kernel.shares(now, flow, entry).iter().filter(|s| s.dst != flow.dst) {
                let to = share.dst.to_string();
                match shares.iter_mut().find(|(other, _)| *other == to) {
                    Some((_, part)) => *part += share.probability as f32,
                    None => shares.push((to, share.probability as f32)),
                }
            }
            let (verdict, walked) = (verdict(&opened, &flow).1, opened.rules_walked);
            ModeStory { mode, own, verdict, walked, shares, rules: rules_met(&proxier, steps) }
        });
        each.into()
    }
}

/// A kernel like the machine's, with the rules that its kube-proxy would have written in this mode.
fn render(machine: &Machine, mode: ProxyMode, now: lab_base::Time) -> (Kernel, Proxier) {
    let of = match mode {
        ProxyMode::Iptables => Mode::Iptables,
        ProxyMode::Nftables => Mode::Nftables,
        ProxyMode::Ipvs => Mode::Ipvs,
    };
    let mut proxier = machine.loaded.clone().in_mode(of);
    let config = KernelConfig { route_localnet: mode == ProxyMode::Iptables, ..machine.kernel.config().clone() };
    let mut kernel = Kernel::new(config);
    proxier.sync_rules().load(&mut kernel, now);
    (kernel, proxier)
}

/// What became of a packet, in words.
fn verdict(opened: &Opened, flow: &Flow) -> (Tone, Phrase) {
    let (to, ruled) = (opened.nat.dst, opened.decided_by != OriginId::NONE);
    match opened.verdict {
        Verdict::Forward if to != flow.dst => (Tone::Step, Phrase::new("why-dnat").with("address", to)),
        Verdict::Forward => (Tone::Step, Phrase::new("why-untouched").with("address", to)),
        Verdict::Local => (Tone::Bad, Phrase::new("why-local").with("address", to)),
        Verdict::Reject => (Tone::Bad, Phrase::new("why-reject")),
        Verdict::Drop if ruled => (Tone::Bad, Phrase::new("why-drop")),
        Verdict::Drop => (Tone::Bad, Phrase::new("why-drop-quiet")),
    }
}

pub(super) fn field(proxier: &Proxier, origin: OriginId) -> Option<FieldRef> {
    let origin = proxier.origin(origin)?;
    Some(FieldRef {
        object: Id(origin.uid.0),
        kind: "Service".into(),
        namespace: origin.service.namespace,
        name: origin.service.name,
        field: origin.field,
    })
}

/// The steps of a trace. Of many rules of a chain that don't hold, the first are told and the others counted.
fn rules_met(proxier: &Proxier, steps: Vec<TraceStep>) -> Vec<RuleMet> {
    let (mut met, mut run): (Vec<RuleMet>, usize) = (Vec::new(), 0);
    let mut left_out = 0;
    let mut last: Option<std::sync::Arc<str>> = None;
    for step in steps {
        if last.as_ref() != Some(&step.chain) {
            (run, left_out, last) = (0, 0, Some(step.chain.clone()));
        }
        run = if step.matched { 0 } else { run + 1 };
        if run > SHOWN {
            left_out += 1;
            continue;
        }
        met.push(RuleMet {
            hook: step.hook.into(),
            table: step.table.into(),
            chain: step.chain.to_string(),
            number: step.number,
            text: step.text,
            failed: step.failed.unwrap_or_default(),
            decided: step.decided,
            left_out: std::mem::take(&mut left_out),
            field: field(proxier, step.origin),
        });
    }
    met
}
