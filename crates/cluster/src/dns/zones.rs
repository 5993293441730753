//! CoreDNS's `kubernetes` plugin (`plugin/kubernetes/{handler,kubernetes,parse,reverse}.go`, `plugin/backend_lookup.go`).
//!
//! Wildcards (`*`, `any`) went with CoreDNS 1.9; the releases of Kubernetes that are simulated ship later ones.

use super::message::{Answer, Data, Question, Rcode, Record, RecordType};
use super::name::{address_of_reverse, is_reverse, split_zone};
use super::records::Knowledge;
use kube_api::{Endpoint, EndpointSlice, NamespacedName, Service, ServiceType};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// `DNSSchemaVersion`: the version of the specification, told under `dns-version`.
const SCHEMA_VERSION: &str = "1.1.0";
/// Seconds for which that may be kept.
const SCHEMA_TTL: u32 = 28_800;
/// Longest chain of aliases (`plugin.A`).
const MAX_ALIASES: usize = 7;

/// `pods`: whether addresses of Pods have names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodRecords {
    /// None has.
    #[default]
    Disabled,
    /// Every address has one in every Namespace, asked or not (kubeadm).
    Insecure,
    /// Those of Pods that are there have one.
    Verified,
}

/// The plugin as a Corefile sets it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// Absolute names of the zones that it answers for; Services are in the first that has no addresses for names.
    pub zones: Vec<String>,
    /// `ttl`: seconds for which a record may be kept.
    pub ttl: u32,
    /// `pods`.
    pub pods: PodRecords,
    /// `namespaces`: those that are told of; empty: all.
    pub namespaces: BTreeSet<String>,
    /// `ignore empty_service`: a Service without ready endpoints doesn't exist.
    pub ignore_empty_service: bool,
    /// `fallthrough`: zones in which others are asked for what is not found.
    pub fallthrough: Vec<String>,
    /// Whether it has heard of all objects.
    pub synced: bool,
    /// Its own addresses.
    pub servers: Vec<IpAddr>,
}

impl Default for Zones {
    /// kubeadm's Corefile.
    fn default() -> Self {
        let reverse = || ["in-addr.arpa.", "ip6.arpa."].map(str::to_owned);
        Zones {
            zones: core::iter::once("cluster.local.".to_owned()).chain(reverse()).collect(),
            ttl: 30,
            pods: PodRecords::Insecure,
            namespaces: BTreeSet::new(),
            ignore_empty_service: false,
            fallthrough: reverse().into(),
            synced: true,
            servers: Vec::new(),
        }
    }
}

/// The name doesn't exist.
struct NoSuchName;

/// What a name leads to (`msg.Service`).
struct Found {
    host: Host,
    /// None: the Service has no ports.
    port: Option<u16>,
    /// The name that it has in the zone.
    name: String,
}

enum Host {
    Address(IpAddr),
    Alias(String),
}

/// A name, taken apart (`recordRequest`).
#[derive(Default)]
struct Parts<'a> {
    port: &'a str,
    protocol: &'a str,
    endpoint: &'a str,
    service: &'a str,
    namespace: &'a str,
    pod: bool,
}

/// Who is asked for names outside the zones.
pub type Upstream<'a> = &'a mut dyn FnMut(&Question) -> Answer;

impl Zones {
    /// The answer to a question, from what is known. `upstream` is asked for aliases and names outside the zones.
    pub fn answer(&self, known: &dyn Knowledge, question: &Question, upstream: Upstream) -> Answer {
        let in_zone = |zone: &String| split_zone(&question.name, zone).map(|(_, own)| own.to_owned());
        // The longest zone that fits, in the letters of the question.
        let Some(zone) = self.zones.iter().filter_map(in_zone).max_by_key(String::len) else {
            return upstream(question);
        };
        let mut asked = Asked { zones: self, known, zone: &zone, upstream, truncated: false };
        let result = asked.records(question);
        let truncated = asked.truncated;
        match result {
            None => Answer::empty(Rcode::Refused),
            Some(Ok((answer, additional))) if !answer.is_empty() => {
                Answer { rcode: Rcode::NoError, answer, authority: Vec::new(), additional, truncated }
            }
            Some(Ok(_)) => Answer { authority: vec![self.soa(&zone)], ..Answer::empty(Rcode::NoError) },
            Some(Err(NoSuchName)) => {
                if self.fallthrough.iter().any(|z| split_zone(&question.name, z).is_some()) {
                    return upstream(question);
                }
                let rcode = if self.synced { Rcode::NxDomain } else { Rcode::ServFail };
                Answer { authority: vec![self.soa(&zone)], ..Answer::empty(rcode) }
            }
        }
    }

    /// The zone in which Services are.
    fn primary(&self) -> &str {
        self.zones.iter().find(|z| !is_reverse(z)).map_or("cluster.local.", String::as_str)
    }

    fn soa(&self, zone: &str) -> Record {
        let mname = join(&["ns.dns"], zone);
        let rname = join(&["hostmaster"], zone);
        Record { name: zone.to_owned(), ttl: self.ttl.min(300), data: Data::Soa { mname, rname, minttl: self.ttl } }
    }

    fn exposed(&self, known: &dyn Knowledge, namespace: &str) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(namespace)) && known.has_namespace(namespace)
    }
}

type Sections = (Vec<Record>, Vec<Record>);

/// A question that is being answered.
struct Asked<'a, 'u> {
    zones: &'a Zones,
    known: &'a dyn Knowledge,
    /// The zone, in the letters of the question.
    zone: &'a str,
    upstream: Upstream<'u>,
    truncated: bool,
}

impl Asked<'_, '_> {
    /// Answer and additional records. None: refused.
    fn records(&mut self, question: &Question) -> Option<Result<Sections, NoSuchName>> {
        let name = question.name.as_str();
        let alone = |records: Vec<Record>| (records, Vec::new());
        Some(match question.type_ {
            RecordType::Axfr | RecordType::Ixfr => return None,
            RecordType::A | RecordType::Aaaa => self.addresses(name, question.type_, &mut Vec::new()).map(alone),
            RecordType::Txt => self.text(name).map(alone),
            RecordType::Cname => self.alias(name).map(alone),
            RecordType::Ptr => self.pointers(name).map(alone),
            RecordType::Srv => self.find(name).map(|found| self.servers(name, found)),
            RecordType::Soa if name == self.zone => Ok(alone(vec![self.zones.soa(self.zone)])),
            RecordType::Soa => Ok(alone(Vec::new())),
            RecordType::Ns if name == self.zone && is_lower(name) => Ok(self.name_servers()),
            // Whether the name exists tells NODATA from NXDOMAIN.
            _ => self.find(name).map(|_| alone(Vec::new())),
        })
    }

    fn record(&self, name: &str, data: Data) -> Record {
        Record { name: name.to_owned(), ttl: self.zones.ttl, data }
    }

    /// `plugin.A`, `plugin.AAAA`: addresses, at the end of aliases.
    fn addresses(
        &mut self,
        name: &str,
        type_: RecordType,
        aliases: &mut Vec<Record>,
    ) -> Result<Vec<Record>, NoSuchName> {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        for found in self.find(name)? {
            let target = match found.host {
                Host::Address(ip) => {
                    let data = Data::address(ip);
                    if data.type_() == type_ && seen.insert(ip) {
                        records.push(self.record(name, data));
                    }
                    continue;
                }
                Host::Alias(target) => target,
            };
            let alias = self.record(name, Data::Cname(target.clone()));
            let circle = split_zone(&target, name).is_some() || aliases.contains(&alias);
            if circle || aliases.len() > MAX_ALIASES {
                continue;
            }
            if split_zone(&target, self.zone).is_some() {
                aliases.push(alias.clone());
                if let Ok(next) = self.addresses(&target, type_, aliases)
                    && !next.is_empty()
                {
                    records.push(alias);
                    records.extend(next);
                }
                aliases.pop();
                continue;
            }
            let next = (self.upstream)(&Question::new(target, type_));
            self.truncated |= next.truncated;
            records.push(alias);
            records.extend(next.answer);
        }
        Ok(records)
    }

    fn text(&mut self, name: &str) -> Result<Vec<Record>, NoSuchName> {
        if split_zone(name, self.zone).is_some_and(|(before, _)| before.eq_ignore_ascii_case("dns-version")) {
            let data = Data::Txt(SCHEMA_VERSION.into());
            return Ok(vec![Record { name: name.to_owned(), ttl: SCHEMA_TTL, data }]);
        }
        // Unlike for other types, a name that leads to nothing by itself doesn't exist.
        if self.find(name)?.is_empty() { Err(NoSuchName) } else { Ok(Vec::new()) }
    }

    fn alias(&mut self, name: &str) -> Result<Vec<Record>, NoSuchName> {
        Ok(match self.find(name)?.into_iter().next().map(|f| f.host) {
            Some(Host::Alias(target)) => vec![self.record(name, Data::Cname(target))],
            _ => Vec::new(),
        })
    }

    /// `plugin.SRV`: weights are counted before what leads to the same place is put together.
    fn servers(&self, name: &str, found: Vec<Found>) -> Sections {
        let places: Vec<_> = found
            .into_iter()
            .filter_map(|f| match f.host {
                Host::Address(ip) => Some((f.name, f.port, ip)),
                // `Services` leaves aliases out.
                Host::Alias(_) => None,
            })
            .collect();
        let weight = (100 / places.len().max(1)).max(1) as u16;
        let (mut answer, mut additional) = (Vec::new(), Vec::new());
        let (mut ports, mut hosts) = (BTreeSet::new(), BTreeSet::new());
        for (target, port, ip) in places {
            let Some(port) = port else { continue };
            if ports.insert((target.clone(), port)) {
                let data = Data::Srv { priority: 0, weight, port, target: target.clone() };
                answer.push(self.record(name, data));
            }
            if hosts.insert((target.clone(), ip)) {
                additional.push(self.record(&target, Data::address(ip)));
            }
        }
        (answer, additional)
    }

    fn name_servers(&self) -> Sections {
        let own = join(&["ns.dns"], self.zone);
        let additional: Vec<_> = self.zones.servers.iter().map(|ip| self.record(&own, Data::address(*ip))).collect();
        if additional.is_empty() {
            return Sections::default();
        }
        (vec![self.record(self.zone, Data::Ns(own))], additional)
    }

    /// `Reverse`: a cluster IP leads to its Service, another address to the endpoints that have it.
    fn pointers(&mut self, name: &str) -> Result<Vec<Record>, NoSuchName> {
        let Some(ip) = address_of_reverse(name) else { return self.find(name).map(|_| Vec::new()) };
        let told = |ns: &str| self.zones.namespaces.is_empty() || self.zones.exposed(self.known, ns);
        let zone = self.zones.primary();
        let has_ip = |s: &&Service| cluster_ips(s).any(|own| own == ip);
        if let Some(s) = self.known.services().filter(has_ip).find(|s| told(&s.metadata.namespace)) {
            let target = join(&[&s.metadata.name, &s.metadata.namespace, "svc"], zone);
            return Ok(vec![self.record(name, Data::Ptr(target))]);
        }
        let mut targets = Vec::new();
        for slice in self.known.slices().filter(|s| told(&s.metadata.namespace)) {
            let Some(service) = crate::proxy::service_of(slice) else { continue };
            for (own, endpoint) in ready_addresses(slice).filter(|(own, _)| *own == ip) {
                let target = join(&[&host_name(endpoint, own), service, &slice.metadata.namespace, "svc"], zone);
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        if targets.is_empty() {
            return Err(NoSuchName);
        }
        Ok(targets.into_iter().map(|t| self.record(name, Data::Ptr(t))).collect())
    }

    /// What a name leads to; nothing: the name exists and has nothing itself.
    fn find(&self, name: &str) -> Result<Vec<Found>, NoSuchName> {
        let lower = name.to_ascii_lowercase();
        let Some((before, _)) = split_zone(&lower, self.zone) else { return Err(NoSuchName) };
        if before == "ns.dns" {
            let own = |ip: &IpAddr| Found { host: Host::Address(*ip), port: None, name: name.to_owned() };
            return Ok(self.zones.servers.iter().map(own).collect());
        }
        let Some(parts) = parse(before)? else { return Ok(Vec::new()) };
        if is_reverse(&lower) || !self.zones.exposed(self.known, parts.namespace) {
            return Err(NoSuchName);
        }
        if parts.pod { self.find_pod(&parts) } else { self.find_service(&parts) }
    }

    fn find_pod(&self, parts: &Parts) -> Result<Vec<Found>, NoSuchName> {
        if self.zones.pods == PodRecords::Disabled {
            return Err(NoSuchName);
        }
        let name = parts.service;
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let v4 = name.bytes().filter(|b| *b == b'-').count() == 3 && !name.contains("--");
        let ip: IpAddr = name.replace('-', if v4 { "." } else { ":" }).parse().map_err(|_| NoSuchName)?;
        if self.zones.pods == PodRecords::Verified && !self.known.has_pod(parts.namespace, ip) {
            return Err(NoSuchName);
        }
        let name = join(&[name, parts.namespace, "pod"], self.zone);
        Ok(vec![Found { host: Host::Address(ip), port: None, name }])
    }

    fn find_service(&self, parts: &Parts) -> Result<Vec<Found>, NoSuchName> {
        if parts.service.is_empty() {
            return Ok(Vec::new());
        }
        let key = NamespacedName::new(parts.namespace, parts.service);
        let service = self.known.service(&key).ok_or(NoSuchName)?;
        let external = service.spec.type_ == ServiceType::ExternalName;
        let slices = || {
            self.known
                .slices()
                .filter(|s| s.metadata.namespace == key.namespace && crate::proxy::service_of(s) == Some(&key.name))
        };
        let name = join(&[&key.name, &key.namespace, "svc"], self.zone);
        if external {
            // It has neither endpoints nor ports.
            let whole = parts.endpoint.is_empty() && parts.port.is_empty() && parts.protocol.is_empty();
            let target = &service.spec.external_name;
            if !whole || target.parse::<IpAddr>().is_ok() {
                return Err(NoSuchName);
            }
            return Ok(vec![Found { host: Host::Alias(absolute(target)), port: None, name }]);
        }
        let headless = service.is_headless();
        if self.zones.ignore_empty_service && !headless && slices().all(|s| ready_addresses(s).next().is_none()) {
            return Err(NoSuchName);
        }
        let mut found = Vec::new();
        if headless || !parts.endpoint.is_empty() {
            for slice in slices() {
                let ports: Vec<_> = slice
                    .ports
                    .iter()
                    .map(|p| (p.name.as_deref().unwrap_or_default(), p.protocol.unwrap_or_default().lower(), p.port))
                    .collect();
                for (ip, endpoint) in ready_addresses(slice) {
                    let host = host_name(endpoint, ip);
                    if !parts.endpoint.is_empty() && !parts.endpoint.eq_ignore_ascii_case(&host) {
                        continue;
                    }
                    let name = format!("{host}.{name}");
                    for port in parts.ports(&ports) {
                        found.push(Found { host: Host::Address(ip), port, name: name.clone() });
                    }
                }
            }
        } else {
            let ports: Vec<_> =
                service.spec.ports.iter().map(|p| (p.name.as_str(), p.protocol.lower(), Some(p.port))).collect();
            for port in parts.ports(&ports) {
                for ip in cluster_ips(service) {
                    found.push(Found { host: Host::Address(ip), port, name: name.clone() });
                }
                if found.is_empty() {
                    return Ok(found); // no address yet
                }
            }
        }
        if found.is_empty() { Err(NoSuchName) } else { Ok(found) }
    }
}

impl Parts<'_> {
    /// Those of some ports that are meant. Without any there is still the host, at no port.
    fn ports(&self, ports: &[(&str, &str, Option<u16>)]) -> Vec<Option<u16>> {
        let meant = |name: &str, protocol: &str| {
            (self.port.is_empty() || self.port.eq_ignore_ascii_case(name))
                && (self.protocol.is_empty() || self.protocol.eq_ignore_ascii_case(protocol))
        };
        match ports {
            [] if meant("", "") => vec![None],
            _ => ports.iter().filter(|(name, protocol, _)| meant(name, protocol)).map(|(_, _, port)| *port).collect(),
        }
    }
}

/// `parseRequest`: `[[_port._protocol | endpoint].service.]namespace.(svc|pod)`. None: the top of a zone.
fn parse(before: &str) -> Result<Option<Parts<'_>>, NoSuchName> {
    if before.is_empty() {
        return Ok(None);
    }
    let mut labels = before.rsplit('.');
    let pod = match labels.next() {
        Some("pod") => true,
        Some("svc") => false,
        _ => return Err(NoSuchName),
    };
    let Some(namespace) = labels.next() else { return Ok(None) };
    let service = labels.next().unwrap_or_default();
    let mut parts = Parts { namespace, service, pod, ..Parts::default() };
    match (labels.next(), labels.next(), labels.next()) {
        (None, ..) => {}
        (Some(endpoint), None, _) => parts.endpoint = endpoint,
        (Some(protocol), Some(port), None) => {
            parts.protocol = protocol.strip_prefix('_').unwrap_or(protocol);
            parts.port = port.strip_prefix('_').unwrap_or(port);
        }
        _ => return Err(NoSuchName), // too long
    }
    Ok(Some(parts))
}

/// Addresses that a slice has for use; a condition that isn't told counts as ready.
fn ready_addresses(slice: &EndpointSlice) -> impl Iterator<Item = (IpAddr, &Endpoint)> {
    slice
        .endpoints
        .iter()
        .filter(|e| e.conditions.ready.unwrap_or(true))
        .flat_map(|e| e.addresses.iter().filter_map(move |a| Some((a.parse().ok()?, e))))
}

/// `endpointHostname`: the endpoint's own, else its address with dashes; one at the end gets a 0.
fn host_name(endpoint: &Endpoint, ip: IpAddr) -> String {
    if let Some(own) = endpoint.hostname.as_ref().filter(|h| !h.is_empty()) {
        return own.clone();
    }
    let mut dashed = ip.to_string().replace(['.', ':'], "-");
    if dashed.ends_with('-') {
        dashed.push('0');
    }
    dashed
}

fn cluster_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = &service.spec;
    let first = spec.cluster_ips.is_empty().then_some(&spec.cluster_ip);
    spec.cluster_ips.iter().chain(first).filter_map(|ip| ip.parse().ok())
}

fn join(labels: &[&str], zone: &str) -> String {
    let mut name = labels.join(".");
    name.push('.');
    name.push_str(zone.strip_prefix('.').unwrap_or(zone));
    name
}

fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

fn is_lower(name: &str) -> bool {
    !name.bytes().any(|b| b.is_ascii_uppercase())
}
