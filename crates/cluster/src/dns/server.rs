//! CoreDNS in the simulated cluster, as kubeadm sets it up.
//!
//! It runs beside the API server, on no node, and hears of changes at once. Packets to it aren't simulated one by one:
//! a question takes the time of a round trip, and gets no answer while CoreDNS is stopped or the node is cut off. A scenario
//! can have it in Pods behind the Service `kube-dns` instead: then a question is a packet (`traffic/lookup.rs`).

use super::cache::Cache;
use super::message::{Answer, Question, Rcode, RecordType};
use super::name::{DnsName, split_zone};
use super::records::Knowledge;
use super::resolver::{Resolution, Resolver};
use super::zones::Zones;
use crate::cluster::Cluster;
use crate::scenario::parse_duration;
use crate::store::Store;
use crate::traffic::{Lookup, RequestId};
use kube_api::{NamespacedName, Release, Uid};
use lab_base::{OrdMap, Span, Time};
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;

/// Cluster IP of `kube-system/kube-dns` (`--cluster-dns`): the tenth of the Service CIDR.
pub const DNS_ADDRESS: &str = "10.96.0.10";

/// From asking a server that doesn't answer until the C library gives up: 5 s, twice (`RES_TIMEOUT`, `RES_DFLRETRY`).
pub(crate) const GIVES_UP_AFTER: Span = Span::from_secs(10);

/// `cache 30` in kubeadm's Corefile.
const CACHE: Span = Span::from_secs(30);
/// kubeadm's Corefile has `disable success cluster.local` since this release (kubernetes/kubernetes#128359).
const UNCACHED_SINCE: Release = Release(32);

/// `dns` of a scenario's Cluster: what of kubeadm's Corefile is different.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DnsConfig {
    /// `ttl` of the `kubernetes` plugin, in seconds.
    pub ttl: u32,
    /// How long CoreDNS keeps answers of the cluster's own zone; None: as kubeadm has it in the release.
    #[serde(deserialize_with = "optional_duration")]
    pub cache: Option<Span>,
    /// Whether it runs in two Pods of the Deployment `kube-system/coredns`, behind the Service `kube-system/kube-dns`.
    pub pods: bool,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig { ttl: Zones::default().ttl, cache: None, pods: false }
    }
}

/// `dnsCache` of a client: how long it keeps the addresses of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub enum DnsCache {
    /// It asks before each connection (the C library).
    #[default]
    None,
    /// As long as the record says (a resolver on the host, Go's and Node's agents with a cache).
    Ttl,
    /// For this time, whatever the record says (the JVM: 30 s, or as long as it runs).
    For(Span),
}

impl<'de> Deserialize<'de> for DnsCache {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match String::deserialize(d)?.as_str() {
            "none" => Ok(DnsCache::None),
            "ttl" => Ok(DnsCache::Ttl),
            text => parse_duration(text)
                .map(DnsCache::For)
                .ok_or_else(|| serde::de::Error::custom("expected none, ttl or a time such as 30s")),
        }
    }
}

fn optional_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Span>, D::Error> {
    let text = String::deserialize(d)?;
    let wrong = || serde::de::Error::custom("expected a time such as 250ms, 20s or 2m");
    parse_duration(&text).ok_or_else(wrong).map(Some)
}

impl DnsCache {
    /// How long an answer is kept.
    pub(crate) fn keeps(self, answer: &Answer) -> Span {
        match self {
            DnsCache::None => Span::ZERO,
            DnsCache::Ttl => Span::from_secs(answer.ttl().unwrap_or(0).into()),
            DnsCache::For(span) => span,
        }
    }
}

/// CoreDNS.
#[derive(Clone, Debug, Serialize)]
pub struct DnsServer {
    /// Whether it runs.
    pub running: bool,
    /// Its Corefile. Follows from the scenario; not hashed.
    #[serde(skip)]
    zones: Arc<Zones>,
    /// How long it keeps answers at most.
    keeps: Span,
    cache: Cache,
    /// What each of its processes keeps, if it runs in Pods: by Pod and number of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pods: Option<OrdMap<(Uid, u32), Arc<Cache>>>,
    /// Names that clients are asking for in packets.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub(crate) lookups: OrdMap<RequestId, Lookup>,
    /// What resolvers made of names, as long as nothing changes.
    #[serde(skip)]
    found: Found,
}

/// Names that were looked up, at one revision of what they are made of: most requests begin with the same question.
#[derive(Clone, Debug, Default)]
struct Found {
    revision: u64,
    names: Arc<Vec<(Resolver, DnsName, Arc<Resolution>)>>,
}

/// Names that are remembered.
const MAX_FOUND: usize = 64;

impl Found {
    fn get(&self, revision: u64, resolver: &Resolver, name: &DnsName) -> Option<Arc<Resolution>> {
        let same = |(r, n, _): &&(Resolver, DnsName, _)| n == name && r == resolver;
        self.names.iter().filter(|_| self.revision == revision).find(same).map(|(_, _, found)| found.clone())
    }
    fn add(&mut self, revision: u64, resolver: &Resolver, name: &DnsName, found: &Arc<Resolution>) {
        if self.revision != revision || self.names.len() >= MAX_FOUND {
            *self = Found { revision, ..Found::default() };
        }
        Arc::make_mut(&mut self.names).push((resolver.clone(), name.clone(), found.clone()));
    }
}

impl DnsServer {
    /// CoreDNS as a cluster of this release has it.
    pub fn new(config: &DnsConfig, release: Release) -> DnsServer {
        let keeps = config.cache.unwrap_or(if release < UNCACHED_SINCE { CACHE } else { Span::ZERO });
        let zones = Zones { ttl: config.ttl, ..Zones::default() };
        let pods = config.pods.then(OrdMap::new);
        let lookups = OrdMap::new();
        DnsServer {
            running: true,
            zones: zones.into(),
            keeps,
            cache: Cache::default(),
            pods,
            lookups,
            found: Found::default(),
        }
    }

    /// The answer at a moment, and whether it comes from the cache.
    fn answer(&self, cache: &Cache, now: Time, known: &dyn Knowledge, question: &Question) -> (Answer, bool) {
        if let Some(kept) = cache.get(now, &question.name, question.type_) {
            return (kept, true);
        }
        // There is no internet: names outside the cluster don't exist.
        (self.zones.answer(known, question, &mut |_| Answer::empty(Rcode::NxDomain)), false)
    }

    fn ask(&mut self, now: Time, store: &Store, question: &Question) -> Answer {
        let mut cache = core::mem::take(&mut self.cache);
        let answer = self.ask_with(&mut cache, now, store, question);
        self.cache = cache;
        answer
    }

    /// The answer of one of its Pods, which keeps it for itself.
    pub(crate) fn ask_pod(&mut self, now: Time, store: &Store, process: (Uid, u32), question: &Question) -> Answer {
        let mut cache = self.pods.as_ref().and_then(|all| all.get(&process)).cloned().unwrap_or_default();
        let answer = self.ask_with(Arc::make_mut(&mut cache), now, store, question);
        if self.keeps > Span::ZERO
            && let Some(all) = &mut self.pods
        {
            all.insert(process, cache);
        }
        answer
    }

    fn ask_with(&self, cache: &mut Cache, now: Time, store: &Store, question: &Question) -> Answer {
        let (answer, kept) = self.answer(cache, now, store, question);
        if !kept && let Some(ttl @ 1..) = answer.ttl() {
            // `cache`: the record's time to live, 5 s at least (`minttl`), and `keeps` at most.
            let span = Span::from_secs(ttl.max(5).into()).min(self.keeps);
            cache.keep(now, &question.name, question.type_, &answer, span);
        }
        answer
    }

    /// It stops, and forgets what it kept; or starts again.
    pub(crate) fn switch(&mut self, on: bool) -> bool {
        self.cache.clear();
        core::mem::replace(&mut self.running, on) != on
    }
}

impl Cluster {
    /// CoreDNS's answer as things stand. None: it doesn't run. Asking by hand leaves no trace in its cache.
    pub fn dns_answer(&self, question: &Question) -> Option<Answer> {
        self.dns_answers().then(|| self.dns.answer(&self.dns.cache, self.now, &self.store, question).0)
    }

    /// What the resolver of a Pod in a Namespace makes of a name. None: CoreDNS doesn't run.
    pub fn look_up(&self, namespace: &str, name: &DnsName, type_: RecordType) -> Option<Resolution> {
        let resolver = Resolver::cluster_first(DNS_ADDRESS, namespace);
        let mut ask = |q: &Question| self.dns.answer(&self.dns.cache, self.now, &self.store, q).0;
        self.dns_answers().then(|| resolver.resolve(name, type_, &mut ask))
    }

    /// The same for a client, through CoreDNS's cache.
    pub(crate) fn resolve_name(&mut self, resolver: &Resolver, name: &DnsName) -> Option<Arc<Resolution>> {
        let (now, store, dns) = (self.now, &self.store, &mut self.dns);
        if !dns.running {
            return None;
        }
        if dns.keeps > Span::ZERO {
            // What CoreDNS has kept depends on the moment.
            return Some(resolver.resolve(name, RecordType::A, &mut |q| dns.ask(now, store, q)).into());
        }
        let revision = store.names_revision();
        if let Some(found) = dns.found.get(revision, resolver, name) {
            return Some(found);
        }
        let found = Arc::new(resolver.resolve(name, RecordType::A, &mut |q| dns.ask(now, store, q)));
        dns.found.add(revision, resolver, name, &found);
        Some(found)
    }
}

/// The Service that an absolute name is about: its own name, or one of its endpoints.
pub(crate) fn service_of_name(name: &str) -> Option<NamespacedName> {
    let (before, _) = split_zone(name, "svc.cluster.local.")?;
    let mut labels = before.rsplit('.');
    let (namespace, service) = (labels.next()?, labels.next()?);
    Some(NamespacedName::new(namespace.to_ascii_lowercase(), service.to_ascii_lowercase()))
}
