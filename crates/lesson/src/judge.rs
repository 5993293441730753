//! What a check sees at one moment, in phrases of the language catalogues.

use crate::chance::binomial_interval;
use crate::check::*;
use crate::facts::{CommandFact, Deed, Facts, NodeRules, RequestFacts, RequestQuery};
use crate::values::{Amount, seconds};
use lab_base::{Span, Time};
use lab_protocol::{Outcome, Phrase};
use std::collections::BTreeMap;

/// What came out.
pub(crate) struct Verdict {
    pub ok: bool,
    /// Waiting can't mend it: there is more than was allowed.
    pub over: bool,
    pub expected: Phrase,
    pub seen: Phrase,
    /// When it came true, where that is known better than by looking now.
    pub at: Option<Time>,
}

impl Verdict {
    fn new(ok: bool, expected: Phrase, seen: Phrase) -> Verdict {
        Verdict { ok, over: false, expected, seen, at: None }
    }
    fn amount(want: &Amount, n: u64, expected: Phrase, seen: Phrase) -> Verdict {
        Verdict { ok: want.holds(n), over: want.exceeded(n), expected: expected.with("want", want), seen, at: None }
    }
}

/// The time that counts.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    /// Where it begins; what was before doesn't count.
    pub from: Time,
    /// Where it ends.
    pub to: Time,
    /// Its length, if that was asked for (`last`).
    pub last: Option<Span>,
}

/// Judges by the facts of now; the first measure that doesn't hold speaks.
pub(crate) fn judge(what: &What, facts: &dyn Facts, range: Range) -> Verdict {
    let verdicts = match what {
        What::Service(c) => service(c, facts),
        What::Endpoints(c) => endpoints(c, facts),
        What::Rules(c) => rules(c, facts),
        What::Requests(c) => requests(c, facts, range),
        What::Shares(c) => vec![shares(c, facts, range)],
        What::Deployment(c) => deployment(c, facts),
        What::Pods(c) => pods(c, facts, range.from),
        What::Command(c) => vec![command(c, facts, range.from)],
    };
    let mut last = None;
    for verdict in verdicts {
        if !verdict.ok {
            return verdict;
        }
        last = Some(verdict);
    }
    last.unwrap_or_else(|| Verdict::new(true, Phrase::default(), Phrase::default()))
}

fn number(n: u64) -> Phrase {
    Phrase::new("check-seen-number").with("seen", n)
}

fn no_service(expected: Phrase) -> Vec<Verdict> {
    vec![Verdict::new(false, expected, Phrase::new("check-seen-no-service"))]
}

fn labels(selector: &BTreeMap<String, String>) -> String {
    selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

fn service(c: &ServiceCheck, facts: &dyn Facts) -> Vec<Verdict> {
    let about = |id: &str| Phrase::new(id).with("service", &c.name);
    let fact = facts.service(&c.namespace, &c.name);
    if c.absent {
        let expected = about("check-expected-no-service").with("namespace", &c.namespace);
        return vec![Verdict::new(fact.is_none(), expected, Phrase::new("check-seen-service"))];
    }
    let expected = about("check-expected-service").with("namespace", &c.namespace);
    let Some(fact) = fact else { return no_service(expected) };
    let mut out = vec![Verdict::new(true, expected, Phrase::new("check-seen-service"))];
    if let Some(want) = &c.type_ {
        let seen = Phrase::new("check-seen-type").with("seen", &fact.type_);
        out.push(Verdict::new(fact.type_ == *want, about("check-expected-type").with("want", want), seen));
    }
    if let Some(want) = c.port {
        let all: Vec<String> = fact.ports.iter().map(u16::to_string).collect();
        let seen = Phrase::new("check-seen-ports").with("seen", all.join(", "));
        out.push(Verdict::new(fact.ports.contains(&want), about("check-expected-port").with("want", want), seen));
    }
    if let Some(want) = &c.selects {
        let seen = match (fact.selector.is_empty(), fact.selected) {
            (true, _) => Phrase::new("check-seen-no-selector"),
            (_, 0) => Phrase::new("check-seen-selects-none").with("selector", labels(&fact.selector)),
            (_, n) => Phrase::new("check-seen-selects").with("selector", labels(&fact.selector)).with("seen", n),
        };
        out.push(Verdict::amount(want, fact.selected.into(), about("check-expected-selects"), seen));
    }
    out
}

fn endpoints(c: &EndpointsCheck, facts: &dyn Facts) -> Vec<Verdict> {
    let fact = facts.endpoints(&c.namespace, &c.service);
    let exists = facts.service(&c.namespace, &c.service).is_some();
    [
        (&c.ready, fact.ready, "check-expected-endpoints-ready"),
        (&c.serving, fact.serving, "check-expected-endpoints-serving"),
        (&c.terminating, fact.terminating, "check-expected-endpoints-terminating"),
        (&c.total, fact.total, "check-expected-endpoints-total"),
    ]
    .into_iter()
    .filter_map(|(want, n, id)| {
        let seen = if exists {
            Phrase::new("check-seen-endpoints")
                .with("ready", fact.ready)
                .with("terminating", fact.terminating)
                .with("total", fact.total)
        } else {
            Phrase::new("check-seen-no-service")
        };
        want.as_ref().map(|w| Verdict::amount(w, n.into(), Phrase::new(id).with("service", &c.service), seen))
    })
    .collect()
}

fn rules(c: &RulesCheck, facts: &dyn Facts) -> Vec<Verdict> {
    let about = |id: &str| Phrase::new(id).with("service", &c.service);
    if facts.service(&c.namespace, &c.service).is_none() {
        return no_service(about("check-expected-service").with("namespace", &c.namespace));
    }
    let mut nodes = facts.synced_endpoints(&c.namespace, &c.service);
    nodes.retain(|n| c.nodes.is_empty() || c.nodes.contains(&n.node));
    if nodes.is_empty() {
        return vec![Verdict::new(false, about("check-expected-current"), Phrase::new("check-seen-no-node"))];
    }
    let mut out = Vec::new();
    if let Some(want) = &c.endpoints {
        out.extend(nodes.iter().map(|n| {
            let count = n.endpoints.len() as u64;
            let seen = Phrase::new("check-seen-node").with("node", &n.node).with("seen", count);
            Verdict::amount(want, count, about("check-expected-rules"), seen)
        }));
    }
    if c.current {
        let addresses = facts.endpoints(&c.namespace, &c.service).addresses;
        out.extend(nodes.iter().map(|n| {
            let same = n.endpoints.iter().map(|(a, _)| a).eq(addresses.iter());
            let seen = Phrase::new(if same { "check-seen-current" } else { "check-seen-behind" }).with("node", &n.node);
            Verdict::new(same, about("check-expected-current"), seen)
        }));
    }
    out
}

/// `frontend`, `→ web`, `frontend → web`.
fn who(client: Option<&String>, service: Option<&String>) -> String {
    let client = client.map_or("", String::as_str);
    service.map_or(client.to_owned(), |s| format!("{client} → {s}").trim_start().to_owned())
}

fn requests(c: &RequestsCheck, facts: &dyn Facts, range: Range) -> Vec<Verdict> {
    let service = c.service.as_deref().map(|s| (c.namespace.as_str(), s));
    let query = RequestQuery { client: c.client.as_deref(), service, from: range.from, to: range.to };
    let fact = facts.requests(&query);
    let of = |outcome| fact.counts.of(outcome);
    let all = [
        (&c.ended, fact.counts.total(), "ended"),
        (&c.answered, of(Outcome::Answered), "answered"),
        (&c.failed, fact.counts.failed(), "failed"),
        (&c.refused, of(Outcome::Refused), "refused"),
        (&c.timed_out, of(Outcome::TimedOut), "timed-out"),
        (&c.reset, of(Outcome::Reset), "reset"),
        (&c.server_error, of(Outcome::ServerError), "server-error"),
        (&c.no_such_name, of(Outcome::NoSuchName), "no-such-name"),
    ];
    let who = who(c.client.as_ref(), c.service.as_ref());
    let expected = |name: &str| match range.last {
        Some(last) => Phrase::new(&format!("check-expected-{name}-last")).with("seconds", seconds(last)),
        None => Phrase::new(&format!("check-expected-{name}")),
    };
    let answering = fact.by_pod.iter().filter(|(_, n)| *n > 0).count() as u64;
    let pods = c
        .pods
        .as_ref()
        .map(|want| Verdict::amount(want, answering, expected("answering").with("who", &who), number(answering)));
    all.into_iter()
        .filter_map(|(want, n, name)| {
            want.as_ref().map(|w| Verdict::amount(w, n, expected(name).with("who", &who), seen_requests(&fact, n)))
        })
        .chain(pods)
        .collect()
}

/// How many of how many, and how most of the failed ones failed.
fn seen_requests(fact: &RequestFacts, n: u64) -> Phrase {
    let worst = Outcome::ALL[1..].iter().rev().max_by_key(|o| fact.counts.of(**o));
    let id = match worst {
        Some(o) if fact.counts.of(*o) > 0 => format!("check-seen-mostly-{}", o.key()),
        _ => "check-seen-requests".into(),
    };
    Phrase::new(&id).with("seen", n).with("total", fact.counts.total())
}

fn shares(c: &SharesCheck, facts: &dyn Facts, range: Range) -> Verdict {
    let about = |id: &str| Phrase::new(id).with("service", &c.service);
    let nodes = facts.synced_endpoints(&c.namespace, &c.service);
    let Some(first) = nodes.first().filter(|n| !n.endpoints.is_empty()) else {
        return Verdict::new(false, about("check-expected-rules").with("want", "≥ 1"), number(0));
    };
    if let Some(other) = nodes.iter().find(|n| n.endpoints != first.endpoints) {
        let seen = Phrase::new("check-seen-behind").with("node", &other.node);
        return Verdict::new(false, about("check-expected-current"), seen);
    }
    let service = Some((c.namespace.as_str(), c.service.as_str()));
    let fact = facts.requests(&RequestQuery { client: c.client.as_deref(), service, from: range.from, to: range.to });
    let total: u64 = fact.by_pod.iter().map(|(_, n)| n).sum();
    if total < c.requests {
        let want = Amount { min: Some(c.requests), max: None };
        let expected = about("check-expected-judge").with("want", want);
        return Verdict::new(false, expected, seen_requests(&fact, total));
    }
    let shares = shares_by_pod(c, facts, first);
    let alpha = (1.0 - c.confidence) / shares.len() as f64;
    let mut verdict = None;
    for (pod, share) in &shares {
        let n = fact.by_pod.iter().find(|(name, _)| name == pod).map_or(0, |(_, n)| *n);
        let (low, high) = binomial_interval(total, *share, alpha);
        let expected = Phrase::new("check-expected-share").with("pod", pod).with("low", low).with("high", high);
        let seen = Verdict::new((low..=high).contains(&n), expected.with("total", total), number(n));
        if !seen.ok {
            return seen;
        }
        verdict.get_or_insert(seen);
    }
    if let Some((pod, n)) = fact.by_pod.iter().find(|(pod, n)| *n > 0 && !shares.contains_key(pod)) {
        let seen = Phrase::new("check-seen-unlisted").with("pod", pod).with("seen", n);
        return Verdict::new(false, about("check-expected-listed"), seen);
    }
    verdict.unwrap_or_else(|| Verdict::new(false, about("check-expected-current"), Phrase::new("check-seen-no-node")))
}

/// Shares of the rules by name of the Pod that has the address (the address itself if none has).
fn shares_by_pod(c: &SharesCheck, facts: &dyn Facts, rules: &NodeRules) -> BTreeMap<String, f64> {
    let selector = facts.service(&c.namespace, &c.service).map(|s| s.selector).unwrap_or_default();
    let pods = facts.pods(&c.namespace, &selector, facts.now());
    // Several ports: each has its own list, and all shares together are one.
    let sum: f64 = rules.endpoints.iter().map(|(_, share)| share).sum();
    let mut shares = BTreeMap::new();
    for (address, share) in &rules.endpoints {
        let ip = address.rsplit_once(':').map_or(address.as_str(), |(ip, _)| ip);
        let pod = pods.iter().find(|p| p.ip == ip && p.gone.is_none());
        *shares.entry(pod.map_or(address.clone(), |p| p.name.clone())).or_insert(0.0) += share / sum;
    }
    shares
}

fn deployment(c: &DeploymentCheck, facts: &dyn Facts) -> Vec<Verdict> {
    let fact = facts.deployment(&c.namespace, &c.name);
    let numbers = fact.unwrap_or_default();
    [
        (&c.replicas, numbers.replicas, "check-expected-deployment-replicas"),
        (&c.ready, numbers.ready, "check-expected-deployment-ready"),
        (&c.available, numbers.available, "check-expected-deployment-available"),
    ]
    .into_iter()
    .filter_map(|(want, n, id)| {
        let expected = Phrase::new(id).with("deployment", &c.name);
        want.as_ref().map(|w| match fact {
            Some(_) => Verdict::amount(w, n.into(), expected, number(n.into())),
            None => Verdict::new(false, expected.with("want", w), Phrase::new("check-seen-no-deployment")),
        })
    })
    .collect()
}

fn pods(c: &PodsCheck, facts: &dyn Facts, since: Time) -> Vec<Verdict> {
    let all = facts.pods(&c.namespace, &c.selector, since);
    let living = || all.iter().filter(|p| p.gone.is_none() && !p.terminating);
    let count = living().count();
    let ready = living().filter(|p| p.ready).count();
    let created = living().filter(|p| p.created >= since && p.created > Time::ZERO).count();
    let gone = all.iter().filter(|p| p.gone.is_some_and(|t| t >= since)).count();
    [
        (&c.gone, gone, "check-expected-pods-gone"),
        (&c.created, created, "check-expected-pods-created"),
        (&c.count, count, "check-expected-pods-count"),
        (&c.ready, ready, "check-expected-pods-ready"),
    ]
    .into_iter()
    .filter_map(|(want, n, id)| {
        let expected = Phrase::new(id).with("selector", labels(&c.selector));
        want.as_ref().map(|w| Verdict::amount(w, n as u64, expected, number(n as u64)))
    })
    .collect()
}

fn command(c: &CommandCheck, facts: &dyn Facts, since: Time) -> Verdict {
    let object = |o: &ObjectName| match &o.name {
        Some(name) => format!("{}/{name}", o.kind),
        None => o.kind.clone(),
    };
    let expected = match (&c.applied, &c.deleted, &c.fault) {
        (Some(o), _, _) => Phrase::new("check-expected-applied").with("object", object(o)),
        (_, Some(o), _) => Phrase::new("check-expected-deleted").with("object", object(o)),
        (_, _, Some(f)) => {
            let target = f.deployment.as_deref().or(f.node.as_deref()).unwrap_or("*");
            Phrase::new(&format!("check-expected-fault-{}", f.kind.name())).with("target", target)
        }
        _ => Phrase::default(),
    };
    let last = facts.commands(since).iter().rev().find(|fact| is(c, fact)).map(|fact| fact.at);
    match last {
        Some(at) => {
            let seen = Phrase::new("check-seen-done").with("at", seconds(at.since(Time::ZERO)));
            Verdict { at: Some(at), ..Verdict::new(true, expected, seen) }
        }
        None => Verdict::new(false, expected, Phrase::new("check-seen-not-yet")),
    }
}

fn is(c: &CommandCheck, fact: &CommandFact) -> bool {
    let same = |o: &ObjectName, kind: &str, name: &str| o.kind == kind && o.name.as_deref().is_none_or(|n| n == name);
    match &fact.what {
        Deed::Applied { kind, name } => c.applied.as_ref().is_some_and(|o| same(o, kind, name)),
        Deed::Deleted { kind, name } => c.deleted.as_ref().is_some_and(|o| same(o, kind, name)),
        Deed::Fault { kind, deployment, node, .. } => c.fault.as_ref().is_some_and(|f| {
            f.kind.name() == *kind
                && (f.deployment.is_none() || f.deployment == *deployment)
                && (f.node.is_none() || f.node == *node)
        }),
    }
}
