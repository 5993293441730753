//! What has happened: one set of facts for lesson checks, charts, tables and reports.

use crate::failover::Failovers;
use crate::kubelet::Sandbox;
use crate::traffic::Request;
use kube_api::{NamespacedName, Uid};
use lab_base::{OrdMap, Time, Vector};
use lab_protocol::{Counts, Fault, Mark, MarkKind, Outcome, Phrase};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Requests that are remembered one by one.
const MAX_REQUESTS: usize = 200_000;
/// Marks that are remembered.
const MAX_MARKS: usize = 2_000;
/// Seconds of the charts that are remembered.
const MAX_SECONDS: usize = 3_600;

/// A request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RequestFact {
    /// When its client knew.
    pub ended: Time,
    /// When it was sent.
    pub sent: Time,
    /// Whose.
    pub client: u64,
    /// The Service whose address was used.
    pub service: Option<Uid>,
    /// The Pod that was chosen.
    pub pod: Option<Uid>,
    /// How it ended.
    pub outcome: Outcome,
    /// How many attempts it took.
    pub attempts: u8,
    /// Status of the answer, or 0.
    pub status: u16,
}

/// One second of the charts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SecondFact {
    /// Answered, by Pod.
    pub pods: OrdMap<Uid, u32>,
    /// By how they ended.
    pub counts: Counts,
}

/// A Pod's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PodTally {
    /// Answered.
    pub answered: u64,
    /// Failed on the way to it or in it.
    pub failed: u64,
}

/// A Pod that is gone while rules may still point at it.
#[derive(Clone, Debug, Serialize)]
pub struct Ghost {
    /// Its uid.
    pub uid: Uid,
    /// Its name.
    pub key: NamespacedName,
    /// Node that it was on.
    pub node: String,
    /// Address that it had.
    pub ip: IpAddr,
    /// Since when it is gone.
    pub since: Time,
}

/// Something that a person did, roles resolved to names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Deed {
    /// An object was created or changed.
    Applied {
        /// `Service`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An object was deleted.
    Deleted {
        /// `Service`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Something was broken or mended.
    Fault {
        /// What.
        fault: Fault,
        /// Name of the Pod.
        pod: Option<String>,
        /// Name of its Deployment.
        deployment: Option<String>,
        /// Name of the node.
        node: Option<String>,
    },
}

/// A Pod's object, once it was removed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GonePod {
    /// The Pod as it was last.
    pub pod: Arc<kube_api::Pod>,
    /// When it was removed.
    pub at: Time,
}

/// Everything that is remembered of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    requests: Vector<RequestFact>,
    totals: Counts,
    retried: Counts,
    seconds: OrdMap<u32, SecondFact>,
    pods: OrdMap<Uid, PodTally>,
    hues: OrdMap<Uid, u8>,
    ghosts: OrdMap<IpAddr, Ghost>,
    marks: Vector<Mark>,
    last_mark: u64,
    deeds: Vector<(Time, Deed)>,
    gone: Vector<GonePod>,
    /// Follows from the state; not hashed.
    #[serde(skip)]
    failovers: Failovers,
}

impl Facts {
    /// Requests that ended, in order of their end.
    pub fn requests(&self) -> &Vector<RequestFact> {
        &self.requests
    }
    /// Requests that ended in `[from, to)`.
    pub fn requests_in(&self, from: Time, to: Time) -> impl Iterator<Item = &RequestFact> {
        let start = self.first_at(from);
        (start..self.requests.len()).filter_map(|i| self.requests.get(i)).take_while(move |r| r.ended < to)
    }
    fn first_at(&self, from: Time) -> usize {
        let (mut low, mut high) = (0, self.requests.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.requests.get(middle).is_some_and(|r| r.ended < from) { low = middle + 1 } else { high = middle }
        }
        low
    }
    /// All requests that ended.
    pub fn totals(&self) -> Counts {
        self.totals
    }
    /// Seconds of the charts.
    pub fn seconds(&self) -> &OrdMap<u32, SecondFact> {
        &self.seconds
    }
    /// A Pod's requests.
    pub fn pod(&self, uid: Uid) -> PodTally {
        self.pods.get(&uid).copied().unwrap_or_default()
    }
    /// A Pod's hue (0 to 5).
    pub fn hue(&self, uid: Uid) -> u8 {
        self.hues.get(&uid).copied().unwrap_or((uid.0 % 6) as u8)
    }
    /// Pods that are gone while rules may still point at them, by address.
    pub fn ghosts(&self) -> &OrdMap<IpAddr, Ghost> {
        &self.ghosts
    }
    /// Things that happened.
    pub fn marks(&self) -> &Vector<Mark> {
        &self.marks
    }
    /// What people did.
    pub fn deeds(&self) -> &Vector<(Time, Deed)> {
        &self.deeds
    }
    /// Pods whose objects were removed.
    pub fn gone_pods(&self) -> &Vector<GonePod> {
        &self.gone
    }

    /// Attempts that failed and were made again, by how they ended. The last attempt of a request isn't among them.
    pub fn retried(&self) -> Counts {
        self.retried
    }

    /// Failures that took endpoints away, and what followed.
    pub fn failovers(&self) -> &Failovers {
        &self.failovers
    }

    pub(crate) fn failovers_mut(&mut self) -> &mut Failovers {
        &mut self.failovers
    }

    /// A request has ended.
    pub(crate) fn count(&mut self, ended: Time, request: &Request, outcome: Outcome) {
        let Request { client, service, pod, began: sent, attempt, error, .. } = *request;
        let status = match outcome {
            Outcome::Answered => 200,
            Outcome::ServerError => error,
            _ => 0,
        };
        let attempts = attempt.saturating_add(1);
        let fact = RequestFact { ended, sent, client, service, pod, outcome, attempts, status };
        self.requests.push_back(fact);
        if self.requests.len() > MAX_REQUESTS {
            self.requests.pop_front();
        }
        self.totals.add(outcome);
        let second = u32::try_from(ended.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        let entry = self.seconds.entry(second).or_default();
        entry.counts.add(outcome);
        if let Some(uid) = pod {
            let tally = self.pods.entry(uid).or_default();
            if outcome == Outcome::Answered {
                tally.answered += 1;
                *entry.pods.entry(uid).or_default() += 1;
            } else {
                tally.failed += 1;
            }
        }
        if self.seconds.len() > MAX_SECONDS
            && let Some(first) = self.seconds.get_min().map(|(k, _)| *k)
        {
            self.seconds.remove(&first);
        }
    }

    /// An attempt has failed after which another one is made.
    pub(crate) fn count_attempt(&mut self, pod: Option<Uid>, outcome: Outcome) {
        self.retried.add(outcome);
        if let Some(uid) = pod {
            self.pods.entry(uid).or_default().failed += 1;
        }
    }

    pub(crate) fn mark(&mut self, at: Time, kind: MarkKind, object: String, phrase: Phrase) {
        self.last_mark += 1;
        self.marks.push_back(Mark { seq: self.last_mark, at, kind, object, phrase });
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_front();
        }
    }

    /// What happened before time zero is not part of the story.
    pub(crate) fn forget_marks(&mut self) {
        self.marks.clear();
        self.deeds.clear();
        self.gone.clear();
        self.failovers.forget();
    }

    pub(crate) fn deed(&mut self, at: Time, deed: Deed) {
        self.deeds.push_back((at, deed));
    }

    pub(crate) fn pod_gone(&mut self, at: Time, pod: Arc<kube_api::Pod>) {
        self.gone.push_back(GonePod { pod, at });
        if self.gone.len() > MAX_MARKS {
            self.gone.pop_front();
        }
    }

    /// Gives a Pod a hue that no living Pod has, while there is one.
    pub(crate) fn choose_hue(&mut self, uid: Uid, living: &OrdMap<Uid, Arc<Sandbox>>) {
        let mut used = [0u32; 6];
        for other in living.keys().filter(|u| **u != uid) {
            if let Some(hue) = self.hues.get(other) {
                used[usize::from(*hue) % 6] += 1;
            }
        }
        let hue = (0..6u8).min_by_key(|h| used[usize::from(*h)]).unwrap_or(0);
        self.hues.insert(uid, hue);
    }

    pub(crate) fn leave_ghost(&mut self, sandbox: &Sandbox, since: Time) {
        if let Some(ip) = sandbox.ip {
            let ghost = Ghost { uid: sandbox.uid, key: sandbox.key.clone(), node: sandbox.node.to_string(), ip, since };
            self.ghosts.insert(ip, ghost);
            // Only as many as can matter: rules are seconds old at most, or their node is off.
            if self.ghosts.len() > 500
                && let Some(oldest) = self.ghosts.values().min_by_key(|g| g.since).map(|g| g.ip)
            {
                self.ghosts.remove(&oldest);
            }
        }
    }

    /// The Pod that had this address, if nobody has it now.
    pub(crate) fn ghost_at(&self, ip: IpAddr) -> Option<Uid> {
        self.ghosts.get(&ip).map(|g| g.uid)
    }
}
