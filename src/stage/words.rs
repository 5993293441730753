//! What the stage says in words.

use crate::i18n::{t, tf, tn, tp};
use lab_base::{Span, Time};
use lab_protocol::{Mark, NodeView, Outcome, PodState, PodView, ServiceView};

/// The letter of a state.
pub const fn letter(state: PodState) -> &'static str {
    match state {
        PodState::Ready => "R",
        PodState::Pending | PodState::NotReady => "N",
        PodState::Terminating => "T",
        PodState::Dead => "D",
    }
}

/// A state in a word or two.
pub fn state_word(state: PodState) -> String {
    t(match state {
        PodState::Pending => "pod-pending",
        PodState::NotReady => "pod-not-ready",
        PodState::Ready => "pod-ready",
        PodState::Terminating => "pod-terminating",
        PodState::Dead => "pod-dead",
    })
}

/// An outcome in a word or two, for counters.
pub fn outcome_word(outcome: Outcome) -> String {
    t(&format!("stage-{}", outcome.key()))
}

/// The name that is shown of a Pod: what tells it from its brothers.
pub fn short(pod: &PodView) -> String {
    if pod.deployment.is_empty() { clip(&pod.name, 10) } else { brief(&pod.name).to_owned() }
}

/// The last segment of a name.
pub fn brief(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// A text of at most `most` characters.
pub fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A length of time as one reads it: `0.84 s`, `3.2 s`, `24 s`, `12 min`.
pub fn span(length: Span) -> String {
    let seconds = length.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// A moment of the run: `12.84 s`.
pub fn moment(at: Time) -> String {
    format!("{:.2} s", at.as_secs_f64())
}

/// A rate: `0.4`, `9.9`, `40`.
pub fn rate(per_second: f64) -> String {
    if per_second >= 9.95 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

/// A share as a fraction, if it is one of a few: `1/4`, `33 %`.
pub fn share(share: f32) -> String {
    if share >= 0.999 {
        return "1/1".into();
    }
    let parts = (1.0 / share).round();
    if share > 0.0 && parts <= 99.0 && (1.0 / parts - share).abs() < 0.002 {
        return format!("1/{parts}");
    }
    format!("{:.0} %", share * 100.0)
}

/// What goes on in a Pod, with the time that it takes or has taken.
pub fn detail(pod: &PodView, view: Time) -> String {
    if pod.cut {
        return t("pod-cut-off");
    }
    let Some(phrase) = &pod.detail else { return String::new() };
    let mut phrase = phrase.clone();
    if let Some(until) = pod.until {
        phrase = phrase.with("left", span(coarse(until.since(view))));
    }
    tp(&phrase.with("ago", span(view.since(pod.since))))
}

/// A count-down in steps of a tenth of a second.
fn coarse(left: Span) -> Span {
    let tenth = 100_000;
    let rounded = left.as_micros().div_ceil(tenth) * tenth;
    Span::from_micros(if rounded < 1_000_000 { rounded.max(tenth) } else { rounded })
}

/// A Pod for those who can't see it.
pub fn pod_label(pod: &PodView) -> String {
    let name = short(pod);
    let state = state_word(pod.state);
    if pod.node.is_empty() {
        return tf("pod-label-homeless", &[("name", &name), ("state", &state)]);
    }
    tf("pod-label", &[("name", &name), ("state", &state), ("node", &pod.node)])
}

/// What is the matter with a node, if anything.
pub fn node_trouble(node: &NodeView) -> Option<String> {
    if !node.powered {
        Some(t("node-no-power"))
    } else if node.cut {
        Some(t("node-cut-off"))
    } else {
        match node.ready {
            Some(true) => None,
            Some(false) => Some(t("node-not-ready")),
            None => Some(t("node-unknown")),
        }
    }
}

/// kube-proxy's state on a node.
pub fn proxy_word(node: &NodeView, view: Time) -> String {
    match node.behind_since {
        Some(since) => tf("node-behind", &[("time", &format!("{:.2} s", view.since(since).as_secs_f64()))]),
        None => t("node-synced"),
    }
}

/// Names in a row: `node-a`, `node-a and node-b`, `3 nodes`.
pub fn names(nodes: &[String]) -> String {
    match nodes {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => tf("stage-two-names", &[("a", one), ("b", two)]),
        [one, two, three] => tf("stage-three-names", &[("a", one), ("b", two), ("c", three)]),
        all => tf("stage-n-nodes", &[("n", &all.len().to_string())]),
    }
}

/// Whose list a Service's card shows.
pub fn caption(service: &ServiceView, total: usize) -> String {
    let Some(list) = service.lists.first() else { return String::new() };
    if list.nodes.len() > 1 && list.nodes.len() == total {
        return t("stage-as-all");
    }
    let key = if list.nodes.len() == 1 { "stage-as-node" } else { "stage-as-nodes" };
    tf(key, &[("nodes", &names(&list.nodes))])
}

/// What happened, in a line, with names as short as on the stage.
pub fn mark(mark: &Mark) -> String {
    let mut phrase = mark.phrase.clone();
    for (name, value) in &mut phrase.args {
        if name == "pod" {
            *value = brief(value).to_owned();
        }
    }
    tp(&phrase)
}

/// Why a Service's list is empty.
pub fn no_endpoints(service: &ServiceView) -> (String, String) {
    let selector: Vec<String> = service.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let selector = selector.join(",");
    let why = if service.selector.is_empty() {
        t("stage-no-selector")
    } else if service.selected == 0 {
        tf("stage-no-match", &[("selector", &selector)])
    } else {
        tn("stage-none-ready", u64::from(service.selected))
    };
    (t("stage-no-endpoints"), why)
}

/// The address of a Service: `10.96.12.7:80`.
pub fn service_address(service: &ServiceView) -> String {
    let ports: Vec<String> = service.ports.iter().map(|p| p.port.to_string()).collect();
    let host = match service.cluster_ip.as_str() {
        "" => return ports.join(","),
        ip if ip.contains(':') => format!("[{ip}]"),
        ip => ip.to_owned(),
    };
    format!("{host}:{}", ports.join(","))
}

/// How an endpoint is shown on a card: without its port when all have the same.
pub fn endpoint(address: &str, ports: usize) -> String {
    if ports > 1 { address.to_owned() } else { host(address).to_owned() }
}

/// An address without its port.
pub fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(h, _)| h)
}

/// The end of an address, where there is no room for all of it: `…1.4`.
pub fn host_end(address: &str) -> String {
    let host = host(address);
    let mut parts = host.rsplitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(d), Some(c), Some(_)) => format!("…{c}.{d}"),
        _ => clip(host, 8),
    }
}

/// Class of a Pod's hue.
pub fn hue(hue: u8) -> &'static str {
    ["hue-1", "hue-2", "hue-3", "hue-4", "hue-5", "hue-6"][usize::from(hue % 6)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fractions_where_they_are() {
        assert_eq!(share(0.25), "1/4");
        assert_eq!(share(1.0 / 3.0), "1/3");
        assert_eq!(share(1.0), "1/1");
        assert_eq!(share(0.4), "40 %");
    }

    #[test]
    fn times_are_as_long_as_one_reads_them() {
        assert_eq!(span(Span::from_millis(840)), "0.84 s");
        assert_eq!(span(Span::from_millis(24_000)), "24 s");
        assert_eq!(span(Span::from_secs(600)), "10 min");
    }

    #[test]
    fn names_are_short() {
        assert_eq!(brief("web-7d4b9-x2jrd"), "x2jrd");
        assert_eq!(clip("a-very-long-name", 8), "a-very-…");
        assert_eq!(host_end("10.244.1.4:8080"), "…1.4");
    }
}
