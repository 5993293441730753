//! The resolver in a Pod: `/etc/resolv.conf`, and what the C library makes of it (`res_search` in glibc's `res_query.c`).

use super::message::{Answer, Question, Rcode, RecordType};
use super::name::DnsName;
use serde::Serialize;
use std::fmt;

/// `/etc/resolv.conf` of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolver {
    /// `nameserver`.
    pub servers: Vec<String>,
    /// `search`: domains that are put behind a name, in this order.
    pub search: Vec<String>,
    /// `options ndots`: a name with fewer dots is looked for below `search` first.
    pub ndots: usize,
}

/// A name that was asked for on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The absolute name.
    pub name: String,
    /// How the answer began.
    pub rcode: Rcode,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The names that were asked for, in order.
    pub tried: Vec<Tried>,
    /// The name that had records. None: none had.
    pub name: Option<String>,
    /// Its answer, or the one that tells most of why there is none.
    pub answer: Answer,
}

impl Resolver {
    /// That of a Pod with `dnsPolicy: ClusterFirst` (`pkg/kubelet/network/dns/dns.go`).
    pub fn cluster_first(server: &str, namespace: &str) -> Resolver {
        let search = [format!("{namespace}.svc.cluster.local"), "svc.cluster.local".into(), "cluster.local".into()];
        Resolver { servers: vec![server.to_owned()], search: search.into(), ndots: 5 }
    }

    /// The absolute names for which it asks, in order, until one has records.
    pub fn candidates(&self, name: &DnsName) -> Vec<String> {
        let own = format!("{}.", name.bare());
        if name.is_absolute() {
            return vec![own];
        }
        let below = |domain: &String| match domain.trim_end_matches('.') {
            "" => own.clone(),
            domain => format!("{own}{domain}."),
        };
        let below = self.search.iter().map(below).filter(|n| n.len() <= 254);
        if name.dots() >= self.ndots {
            core::iter::once(own.clone()).chain(below).collect()
        } else {
            let mut names: Vec<_> = below.collect();
            if !names.contains(&own) {
                names.push(own);
            }
            names
        }
    }

    /// Looks a name up: asks for one candidate after another. Only a name that has records of the type ends the search.
    pub fn resolve(&self, name: &DnsName, type_: RecordType, ask: &mut dyn FnMut(&Question) -> Answer) -> Resolution {
        let first_as_is = name.dots() >= self.ndots;
        let mut tried = Vec::new();
        let mut kept: Option<Answer> = None;
        for (i, candidate) in self.candidates(name).into_iter().enumerate() {
            let answer = ask(&Question::new(candidate.clone(), type_));
            tried.push(Tried { name: candidate.clone(), rcode: answer.rcode });
            if !answer.answer.is_empty() {
                return Resolution { tried, name: Some(candidate), answer };
            }
            // The name as it is tells most if it was asked for first; else that a name exists, or that a server failed.
            let keeps = match &kept {
                None => true,
                Some(_) if first_as_is => i == 0,
                Some(k) => weight(answer.rcode) > weight(k.rcode),
            };
            if keeps {
                kept = Some(answer);
            }
        }
        Resolution { tried, name: None, answer: kept.unwrap_or_else(|| Answer::empty(Rcode::NxDomain)) }
    }
}

/// `got_nodata` goes before `got_servfail`, and both before "no such name".
const fn weight(rcode: Rcode) -> u8 {
    match rcode {
        Rcode::NoError => 3,
        Rcode::ServFail => 2,
        Rcode::Refused => 1,
        Rcode::NxDomain => 0,
    }
}

impl fmt::Display for Resolver {
    /// As the kubelet writes the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        writeln!(f, "options ndots:{}", self.ndots)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Data, Record};
    use super::*;

    fn look_up(name: &str, there: &str) -> Resolution {
        let resolver = Resolver::cluster_first("10.96.0.10", "shop");
        let mut ask = |q: &Question| {
            if q.name == there {
                let data = Data::A([10, 96, 0, 20].into());
                let record = Record { name: q.name.clone(), ttl: 30, data };
                return Answer { answer: vec![record], ..Answer::empty(Rcode::NoError) };
            }
            Answer::empty(if q.name == "shop.svc.cluster.local." { Rcode::NoError } else { Rcode::NxDomain })
        };
        resolver.resolve(&DnsName::parse(name).unwrap(), RecordType::A, &mut ask)
    }

    #[test]
    fn names_with_few_dots_go_through_the_search_list_first() {
        let found = look_up("www.example.com", "www.example.com.");
        let names: Vec<_> = found.tried.iter().map(|t| t.name.as_str()).collect();
        let want = [
            "www.example.com.shop.svc.cluster.local.",
            "www.example.com.svc.cluster.local.",
            "www.example.com.cluster.local.",
            "www.example.com.",
        ];
        assert_eq!(names, want);
        assert_eq!(look_up("www.example.com.", "www.example.com.").tried.len(), 1);
        assert_eq!(look_up("a.b.c.d.e.f", "a.b.c.d.e.f.").tried.len(), 1, "five dots are enough");
    }

    #[test]
    fn a_name_that_only_exists_is_told_from_one_that_does_not() {
        assert_eq!(look_up("shop", "").answer.rcode, Rcode::NoError, "the Namespace's own name has no address");
        assert_eq!(look_up("nope", "").answer.rcode, Rcode::NxDomain);
        assert_eq!(look_up("nope", "").tried.len(), 4);
    }

    #[test]
    fn resolv_conf() {
        let text =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";
        assert_eq!(Resolver::cluster_first("10.96.0.10", "shop").to_string(), text);
    }
}
