//! A name that is asked for in packets: where CoreDNS runs in Pods a question is a datagram to the cluster IP of `kube-dns`,
//! through the rules of the client's node to one of those Pods.
//!
//! The resolver is the C library's (glibc `resolv/res_send.c`): a question that nobody answers is sent again after five
//! seconds, once; one that the kernel refuses, since the Service has no endpoints, is sent again at once.

use super::link::LOCAL_DELAY;
use super::request::{Request, RequestId};
use crate::cluster::Cluster;
use crate::dns::{Answer, DNS_ADDRESS, Question, Rcode, RecordType, Resolution, Tried};
use crate::event::Event;
use crate::target::Target;
use crate::why::Saw;
use datapath::{Entry, Flow, L4, Verdict};
use lab_base::{Source, Span};
use lab_protocol::Outcome;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// How long the resolver waits for an answer (`RES_TIMEOUT`).
const TIMEOUT: Span = Span::from_secs(5);
/// How often it asks (`RES_DFLRETRY`).
const ATTEMPTS: u8 = 2;
/// What a question costs CoreDNS: assumed.
const WORK: (Span, Span) = (Span::from_micros(60), Span::from_micros(200));
/// DNS.
const PORT: u16 = 53;

/// How far a client has come in asking for a name.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Lookup {
    /// The answers so far, one for each name of the search list that was asked for.
    tried: Vec<(String, Rcode)>,
    /// How often the present name was asked for in vain.
    vain: u8,
    /// Datagrams sent, for draws.
    sent: u64,
    /// Whether the last one was refused, and not lost.
    refused: bool,
}

/// What became of one datagram.
enum Reply {
    /// An answer, and how long it took.
    Answer(Answer, Span),
    /// ICMP port unreachable.
    Refused,
    /// Nothing.
    Silence,
}

impl Cluster {
    /// Begins to ask for the name of a request's target.
    pub(super) fn begin_lookup(&mut self, id: RequestId) {
        self.dns.lookups.insert(id, Lookup::default());
        self.ask_dns(id);
    }

    /// Sends the next question of a lookup.
    pub(crate) fn ask_dns(&mut self, id: RequestId) {
        let now = self.now;
        let Some(mut lookup) = self.dns.lookups.remove(&id) else { return };
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let Some(Target::Name(name, port)) = client.target.clone() else { return };
        if lookup.vain == ATTEMPTS {
            // EAI_AGAIN: the resolver doesn't go on along the search list.
            self.saw(id, Saw::NoDns { outside: false });
            let outcome = if lookup.refused { Outcome::NoSuchName } else { Outcome::TimedOut };
            self.decide(id, now, outcome, now.min(request.give_up.0));
            self.events.plan(now, Event::Finish(id, outcome));
            return;
        }
        let candidates = client.resolver.candidates(&name);
        let Some(candidate) = candidates.get(lookup.tried.len()).cloned() else { return };
        let question = Question::new(candidate.clone(), RecordType::A);
        let reply = self.question(&client, &request, &question, lookup.sent);
        lookup.sent += 1;
        let (answer, at) = match reply {
            Reply::Answer(answer, takes) => (answer, now + takes),
            vain => {
                lookup.refused = matches!(vain, Reply::Refused);
                lookup.vain += 1;
                let wait = if lookup.refused { LOCAL_DELAY } else { TIMEOUT };
                if !lookup.refused {
                    let left = TIMEOUT.times(u64::from(ATTEMPTS + 1 - lookup.vain));
                    self.decide(id, now, Outcome::TimedOut, (now + left).min(request.give_up.0));
                }
                self.dns.lookups.insert(id, lookup);
                self.events.plan(now + wait, Event::AskDns(id));
                return;
            }
        };
        lookup.vain = 0;
        lookup.tried.push((candidate.clone(), answer.rcode));
        let found = !answer.answer.is_empty();
        if !found && lookup.tried.len() < candidates.len() {
            self.dns.lookups.insert(id, lookup);
            self.events.plan(at, Event::AskDns(id));
            return;
        }
        let tried = lookup.tried.into_iter().map(|(name, rcode)| Tried { name, rcode }).collect();
        let resolution = Resolution { tried, name: found.then_some(candidate), answer };
        self.learned(id, &client, &resolution, port, at);
    }

    /// One datagram to CoreDNS, and what comes back.
    fn question(&mut self, client: &super::Client, request: &Request, question: &Question, nth: u64) -> Reply {
        let now = self.now;
        let Ok(server) = DNS_ADDRESS.parse::<IpAddr>() else { return Reply::Silence };
        let luck = request.luck(client) ^ 0x444e_5300; // a client's questions have luck of their own
        let (dice, base) = (self.dice, request.ordinal * 64 + nth * 8);
        // Each question has a socket of its own.
        let port = 32_768 + dice.roll(Source::SourcePort, luck, base).below(28_232);
        let flow =
            Flow { proto: L4::Udp, src: SocketAddr::new(client.ip, port as u16), dst: SocketAddr::new(server, PORT) };
        let Some(machine) = self.machine_mut(&client.node).filter(|m| m.powered) else { return Reply::Silence };
        let entry = if client.ip == machine.ip { Entry::Process } else { Entry::Pod };
        let mut chance = |i: u32| dice.roll(Source::Statistic, luck, base + u64::from(i)).u32();
        let opened = machine.kernel.open(now, flow, entry, &mut chance);
        match opened.verdict {
            Verdict::Forward => {}
            Verdict::Drop => return Reply::Silence,
            Verdict::Reject | Verdict::Local => return Reply::Refused,
        }
        let to = opened.nat.dst;
        let Some(pod) = self.addresses.get(&to.ip()).copied() else { return Reply::Silence };
        let sent = Request { flow, to, pod: Some(pod), via: None, ordinal: base, ..request.clone() };
        if !self.passes(client, &sent, pod) || self.is_lost(client, &sent, Some(pod), 0) {
            return Reply::Silence;
        }
        let Some(sandbox) = self.sandboxes.get(&pod).cloned() else { return Reply::Silence };
        let there_and_back = self.transit(client, &sent, Some(pod)).times(2);
        let Some(container) = sandbox.server(PORT) else { return Reply::Refused };
        if sandbox.full {
            return Reply::Silence; // it hangs
        }
        if let Some(machine) = self.machine_mut(&client.node) {
            machine.kernel.replied(now, flow);
        }
        let work = dice.roll(Source::DnsDelay, luck, base).between(WORK.0, WORK.1);
        let work = Span::from_micros(work.as_micros() * u64::from(sandbox.slowed.max(1)));
        let process = (pod, sandbox.containers[container].life);
        let answer = self.dns.ask_pod(now, &self.store, process, question);
        Reply::Answer(answer, there_and_back + work)
    }

    /// The Pods of CoreDNS hang from now on, or do their work again. False: nothing changes for any.
    pub(crate) fn hang_dns(&mut self, hang: bool) -> bool {
        let own = |s: &&std::sync::Arc<crate::Sandbox>| {
            s.key.namespace == "kube-system" && s.pod.metadata.labels.get("k8s-app").is_some_and(|v| v == "kube-dns")
        };
        let pods: Vec<_> = self.sandboxes.values().filter(own).filter(|s| s.full != hang).map(|s| s.uid).collect();
        for pod in &pods {
            if hang {
                self.fill_pod(*pod);
            } else {
                self.mend_pod(*pod);
            }
        }
        !pods.is_empty()
    }

    /// Whether somebody would answer a question now: what `dig` and `nslookup` find out.
    pub(crate) fn dns_answers(&self) -> bool {
        let pods = || self.sandboxes.values().filter(|s| s.key.namespace == "kube-system" && !s.full && !s.cut);
        self.dns.running
            && (self.dns.pods.is_none()
                || pods()
                    .any(|s| s.server(PORT).is_some() && self.machines.get(&s.node).is_some_and(|m| m.is_reachable())))
    }
}
