//! Commands of containers, probes and hooks, as far as their words say what they do.
//!
//! No program runs here. But the commands of which tutorials are full say by themselves how long they take and how they end:
//! `sleep 30; exit 1`. Of any other nothing is known.

use kube_api::Container;
use lab_base::Span;

/// What a command does, if its words say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// How long it takes; None: for ever.
    pub takes: Option<Span>,
    /// The code that it exits with.
    pub code: i32,
}

impl Script {
    /// Whether it ends well within `limit`.
    pub fn succeeds_within(self, limit: Span) -> bool {
        self.code == 0 && self.takes.is_some_and(|t| t <= limit)
    }
}

/// What a container's own command does; None: it isn't known, so it is a server.
pub(crate) fn of_container(container: &Container) -> Option<Script> {
    if container.command.is_empty() {
        return None;
    }
    read(container.command.iter().chain(&container.args))
}

/// What these words do. `sleep`, `exit`, `true`, `false`, `echo` and `:` are understood, one after another.
pub(crate) fn read<'a>(words: impl Iterator<Item = &'a String>) -> Option<Script> {
    let mut words: Vec<&str> = words.map(String::as_str).collect();
    // sh -c 'COMMANDS'
    let shell = words.first().is_some_and(|w| matches!(bare(w), "sh" | "bash" | "ash"));
    if shell {
        words.remove(0);
        let flag = words.first().is_some_and(|w| w.starts_with('-') && w.ends_with('c'));
        if !flag || words.len() < 2 {
            return None;
        }
        words = vec![words[1]];
    }
    let text = if shell { words.concat() } else { words.join(" ") };
    let mut script = Script { takes: Some(Span::ZERO), code: 0 };
    let mut any = false;
    for command in text.split([';', '\n']).flat_map(|c| c.split("&&")) {
        let mut parts = command.split_whitespace();
        let Some(name) = parts.next() else { continue };
        any = true;
        match bare(name) {
            "sleep" => {
                let time = parts.next()?;
                let Some(takes) = script.takes else { continue };
                script.takes = if time == "infinity" { None } else { Some(takes + seconds(time)?) };
                script.code = 0;
            }
            "exit" => {
                script.code = parts.next().map_or(Some(script.code), |n| n.parse().ok())?;
                break;
            }
            "true" | ":" | "echo" => script.code = 0,
            "false" => script.code = 1,
            _ => return None,
        }
        // After a command that fails, what && joins to it doesn't run; what ; joins does. Few scripts mind.
    }
    any.then_some(script)
}

/// How long a command sleeps that does other things too: `sh -c 'sleep 5; nginx -s quit'`.
pub(crate) fn sleeps(command: &[String]) -> Span {
    let words: Vec<&str> = command.iter().flat_map(|c| c.split_whitespace()).collect();
    let after = words.windows(2).find(|w| bare(w[0]) == "sleep").map(|w| w[1].trim_end_matches(';'));
    after.and_then(seconds).unwrap_or_default()
}

fn bare(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// `30`, `30s`, `5m`, `2h`
fn seconds(time: &str) -> Option<Span> {
    let (number, unit) = match time.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &time[number.len()..]),
        None => (time, "s"),
    };
    let factor = match unit {
        "m" => 60,
        "h" => 3_600,
        _ => 1,
    };
    number.parse::<u64>().ok().map(|n| Span::from_secs(n.saturating_mul(factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &[&str]) -> Option<(Option<u64>, i32)> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        read(words.iter()).map(|s| (s.takes.map(|t| t.as_micros() / 1_000_000), s.code))
    }

    #[test]
    fn naps() {
        let sleep = |words: &[&str]| sleeps(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(sleep(&["sh", "-c", "sleep 5; nginx -s quit"]), Span::from_secs(5));
        assert_eq!(sleep(&["/bin/sleep", "10"]), Span::from_secs(10));
        assert_eq!(sleep(&["nginx", "-s", "quit"]), Span::ZERO);
    }

    #[test]
    fn words() {
        assert_eq!(script(&["sleep", "3600"]), Some((Some(3_600), 0)));
        assert_eq!(script(&["/bin/sleep", "infinity"]), Some((None, 0)));
        assert_eq!(script(&["sh", "-c", "echo hello; sleep 5; exit 1"]), Some((Some(5), 1)));
        assert_eq!(script(&["/bin/sh", "-ec", "sleep 1m && sleep 5s"]), Some((Some(65), 0)));
        assert_eq!(script(&["false"]), Some((Some(0), 1)));
        assert_eq!(script(&["sh", "-c", "exit 3; sleep 5"]), Some((Some(0), 3)));
        assert_eq!(script(&["sh", "-c", "sleep 5 && nginx"]), None, "it goes on to something unknown");
        assert_eq!(script(&["nginx", "-g", "daemon off;"]), None);
        assert_eq!(script(&["sh", "-c", "until nslookup db; do sleep 2; done"]), None);
        assert_eq!(script(&[]), None);
        assert_eq!(script(&["sleep"]), None);
    }
}
