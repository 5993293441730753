//! `nslookup` and `dig` (BIND's), which ask CoreDNS.

use super::{Place, fail_with};
use crate::{Step, World};
use cluster::dns::{Answer, DNS_ADDRESS, Data, DnsName, Question, Rcode, RecordType, reverse_name};
use lab_base::Span;
use std::net::IpAddr;

/// Three tries of five seconds.
const TRIES: Span = Span::from_secs(15);

fn type_of(text: &str) -> Option<RecordType> {
    use RecordType as T;
    let all = [T::A, T::Aaaa, T::Srv, T::Ptr, T::Cname, T::Txt, T::Ns, T::Soa];
    all.into_iter().find(|t| t.to_string().eq_ignore_ascii_case(text))
}

/// Says so when nobody has answered for long enough.
fn nobody(world: &mut World<'_>, line: &'static str, code: i32) -> Step {
    let until = world.now() + TRIES;
    Step::Waiting(Box::new(move |world| {
        (world.now() >= until).then(|| {
            world.say(line);
            code
        })
    }))
}

/// Whether a question from here reaches CoreDNS.
fn reaches(world: &World<'_>, place: &Place) -> bool {
    world.cluster().machine(&place.node).is_some_and(cluster::Machine::is_reachable)
}

/// `nslookup [-type=T] NAME`.
pub fn nslookup(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let (mut name, mut type_) = (None, None);
    for word in words {
        if let Some(option) = word.strip_prefix('-') {
            let kind = option.strip_prefix("type=").or(option.strip_prefix("q=")).or(option.strip_prefix("query="));
            type_ = kind.and_then(type_of);
            if type_.is_none() {
                return fail_with(world, 1, &format!("*** Invalid option: {option}"));
            }
        } else if name.is_none() {
            name = Some(word.clone());
        }
    }
    let Some(text) = name else { return fail_with(world, 1, "nslookup: which name? a dialogue is not simulated here") };
    if place.pod.is_none() || !reaches(world, place) {
        return nobody(world, ";; connection timed out; no servers could be reached\n", 1);
    }
    let namespace = place.pod.as_ref().map_or("default", |p| &p.metadata.namespace).to_owned();
    let head = format!("Server:\t\t{DNS_ADDRESS}\nAddress:\t{DNS_ADDRESS}#53\n");
    if let Ok(ip) = text.parse::<IpAddr>() {
        let reversed = reverse_name(ip);
        let Some(answer) = world.cluster().dns_answer(&Question::new(reversed.clone(), RecordType::Ptr)) else {
            return nobody(world, ";; connection timed out; no servers could be reached\n", 1);
        };
        let names: Vec<String> = answer
            .answer
            .iter()
            .filter_map(|r| match &r.data {
                Data::Ptr(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let bare = reversed.trim_end_matches('.');
        if names.is_empty() {
            world.say(&format!("** server can't find {bare}: {}", answer.rcode));
            return Step::Done(1);
        }
        names.iter().for_each(|n| world.say(&format!("{bare}\tname = {n}")));
        world.say("");
        return Step::Done(0);
    }
    let Some(name) = DnsName::parse(&text) else {
        return fail_with(world, 1, &format!("nslookup: '{text}' is not a legal IDNA2008 name"));
    };
    let types = match type_ {
        Some(t) => vec![t],
        None => vec![RecordType::A, RecordType::Aaaa],
    };
    let mut lines = Vec::new();
    let mut wrong: Option<(String, Rcode)> = None;
    for t in types {
        let Some(found) = world.cluster().look_up(&namespace, &name, t) else {
            return nobody(world, ";; connection timed out; no servers could be reached\n", 1);
        };
        for record in &found.answer.answer {
            let owner = record.name.trim_end_matches('.');
            lines.push(match &record.data {
                Data::A(_) | Data::Aaaa(_) => format!("Name:\t{owner}\nAddress: {}", record.data),
                Data::Cname(to) => format!("{owner}\tcanonical name = {to}"),
                Data::Srv { .. } => format!("{owner}\tservice = {}", record.data),
                Data::Txt(_) => format!("{owner}\ttext = {}", record.data),
                Data::Ptr(to) => format!("{owner}\tname = {to}"),
                Data::Ns(to) => format!("{owner}\tnameserver = {to}"),
                Data::Soa { .. } => format!("{owner}\n\torigin = {}", record.data),
            });
        }
        if found.answer.answer.is_empty() && wrong.is_none() {
            wrong = Some((found.tried.last().map_or_else(|| text.clone(), |t| t.name.clone()), found.answer.rcode));
        }
    }
    world.say(&head);
    if lines.is_empty() {
        let (last, rcode) = wrong.unwrap_or((text.clone(), Rcode::NxDomain));
        let last = last.trim_end_matches('.');
        if rcode == Rcode::NoError {
            world.say(&format!("*** Can't find {text}: No answer"));
        } else {
            world.say(&format!("** server can't find {last}: {rcode}"));
        }
        world.say("");
        return Step::Done(1);
    }
    lines.iter().for_each(|l| world.say(l));
    world.say("");
    Step::Done(0)
}

/// `dig [@server] NAME [TYPE] [+short] [+search] [-x IP]`.
pub fn dig(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let (mut name, mut type_, mut short, mut search) = (None, RecordType::A, false, false);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "+short" => short = true,
            "+search" => search = true,
            "+noall" | "+answer" | "+nocmd" | "+nosearch" | "+noedns" | "+tcp" => {}
            "-x" => match rest.next().and_then(|ip| ip.parse().ok()) {
                Some(ip) => (name, type_) = (Some(reverse_name(ip)), RecordType::Ptr),
                None => return fail_with(world, 1, "dig: Invalid IP address"),
            },
            "-t" => match rest.next().and_then(|t| type_of(t)) {
                Some(t) => type_ = t,
                None => return fail_with(world, 1, ";; Warning, ignoring invalid type"),
            },
            at if at.starts_with('@') => {}
            option if option.starts_with(['-', '+']) => {
                return fail_with(world, 1, &format!("dig: {option} is not simulated here"));
            }
            word => match type_of(word).filter(|_| name.is_some()) {
                Some(t) => type_ = t,
                None => name = Some(word.to_owned()),
            },
        }
    }
    let Some(text) = name else { return fail_with(world, 1, "dig: which name?") };
    let Some(parsed) = DnsName::parse(&text) else {
        return fail_with(world, 10, &format!("dig: '{text}' is not a legal name (empty label)"));
    };
    if place.pod.is_none() || !reaches(world, place) {
        return nobody(world, "\n;; communications error: timed out\n;; no servers could be reached\n", 9);
    }
    // dig leaves the search list alone, unless told otherwise.
    let absolute = format!("{}.", parsed.bare());
    let namespace = place.pod.as_ref().map_or("default", |p| &p.metadata.namespace).to_owned();
    let asked = if search {
        world.cluster().look_up(&namespace, &parsed, type_).map(|r| {
            let name = r.name.clone().or(r.tried.last().map(|t| t.name.clone()));
            (name.unwrap_or(absolute.clone()), r.answer)
        })
    } else {
        world.cluster().dns_answer(&Question::new(absolute.clone(), type_)).map(|answer| (absolute.clone(), answer))
    };
    let Some((name, answer)) = asked else {
        return nobody(world, "\n;; communications error: timed out\n;; no servers could be reached\n", 9);
    };
    if short {
        answer.answer.iter().for_each(|r| world.say(&r.data.to_string()));
        return Step::Done(0);
    }
    full(world, words, &name, type_, &answer);
    Step::Done(0)
}

fn full(world: &mut World<'_>, words: &[String], name: &str, type_: RecordType, answer: &Answer) {
    let now = world.now();
    world.say(&format!("\n; <<>> DiG 9.18 <<>> {}\n;; global options: +cmd\n;; Got answer:", words.join(" ")));
    let id = now.as_micros() / 7 % 65_536;
    world.say(&format!(";; ->>HEADER<<- opcode: QUERY, status: {}, id: {id}", answer.rcode));
    let truncated = if answer.truncated { " tc" } else { "" };
    world.say(&format!(
        ";; flags: qr aa{truncated} rd; QUERY: 1, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}",
        answer.answer.len(),
        answer.authority.len(),
        answer.additional.len() + 1
    ));
    world.say(";; WARNING: recursion requested but not available\n\n;; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: 1232");
    world.say(&format!(";; QUESTION SECTION:\n;{}\n", crate::tabwriter::align(&format!("{name}\tIN\t{type_}"))));
    for (title, records) in
        [("ANSWER", &answer.answer), ("AUTHORITY", &answer.authority), ("ADDITIONAL", &answer.additional)]
    {
        if records.is_empty() {
            continue;
        }
        world.say(&format!(";; {title} SECTION:"));
        let text: String =
            records.iter().map(|r| format!("{}\t{}\tIN\t{}\t{}\n", r.name, r.ttl, r.data.type_(), r.data)).collect();
        let text = crate::tabwriter::align(&text);
        world.out.stdout.push_str(&text);
        world.say("");
    }
    world.say(&format!(";; Query time: 0 msec\n;; SERVER: {DNS_ADDRESS}#53({DNS_ADDRESS}) (UDP)"));
    let date = kube_api::timestamp::rfc1123z(now);
    world.say(&format!(";; WHEN: {date}\n"));
}
