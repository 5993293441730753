//! `curl`: a request that travels. A simulated server answers with the name of its Pod.

use super::{Place, fail_with};
use crate::{Step, World};
use cluster::RequestFact;
use kube_api::Pod;
use lab_base::{Span, Time};
use lab_protocol::{Command, Outcome};
use std::net::IpAddr;

/// How long Linux tries to connect (`tcp_syn_retries` 6).
const CONNECT: Span = Span::from_secs(134);

struct Options {
    url: String,
    timeout: Span,
    /// Whether errors are told, and what arrives.
    silent: bool,
    show_error: bool,
    fail: bool,
    head: bool,
    body: bool,
    write: String,
}

fn options(words: &[String]) -> Result<Options, (i32, String)> {
    let mut options = Options {
        url: String::new(),
        timeout: CONNECT,
        silent: false,
        show_error: false,
        fail: false,
        head: false,
        body: true,
        write: String::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = |name: &str| {
            words.next().cloned().ok_or((2, format!("curl: option {name}: requires parameter\ncurl: try 'curl --help' or 'curl --manual' for more information")))
        };
        let seconds = |text: String| {
            match text.parse::<f64>() {
            Ok(s) if (0.0..=86_400.0).contains(&s) => Ok(Span::from_micros((s * 1e6) as u64)),
            _ => Err((
                2,
                "curl: option -m: expected a proper numerical parameter\ncurl: try 'curl --help' or 'curl --manual' for more information".to_owned(),
            )),
        }
        };
        match word.as_str() {
            "-m" | "--max-time" | "--connect-timeout" => options.timeout = options.timeout.min(seconds(value(word)?)?),
            "-o" | "--output" => options.body = value(word)? == "-",
            "-w" | "--write-out" => options.write = value(word)?,
            "--silent" => options.silent = true,
            "--show-error" => options.show_error = true,
            "--fail" => options.fail = true,
            "--head" => (options.head, options.body) = (true, false),
            "--include" => options.head = true,
            "--http1.1" | "--no-keepalive" | "--verbose" => {}
            flag if flag.starts_with("--") => return Err((2, format!("curl: option {flag}: is not simulated here"))),
            flag if flag.starts_with('-') && flag.len() > 1 => {
                for (i, letter) in flag.char_indices().skip(1) {
                    match letter {
                        's' => options.silent = true,
                        'S' => options.show_error = true,
                        'f' => options.fail = true,
                        'I' => (options.head, options.body) = (true, false),
                        'i' => options.head = true,
                        'v' | '4' | 'g' | 'k' | 'L' => {}
                        'm' => {
                            options.timeout = options.timeout.min(seconds(flag[i + 1..].to_owned())?);
                            break;
                        }
                        _ => return Err((2, format!("curl: option -{letter}: is not simulated here"))),
                    }
                }
            }
            url if options.url.is_empty() => options.url = url.to_owned(),
            _ => return Err((2, "curl: one URL at a time is simulated here".into())),
        }
    }
    if options.url.is_empty() {
        return Err((
            2,
            "curl: (2) no URL specified\ncurl: try 'curl --help' or 'curl --manual' for more information".into(),
        ));
    }
    Ok(options)
}

/// Host and port of a URL.
fn authority(url: &str) -> Result<(String, u16), (i32, String)> {
    let bad = || (3, "curl: (3) URL using bad/illegal format or missing URL".to_owned());
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err((1, format!("curl: (1) Protocol {scheme:?} not supported; only http is simulated here")));
        }
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?),
        _ => (authority, 80),
    };
    if host.is_empty() { Err(bad()) } else { Ok((host.to_owned(), port)) }
}

pub fn run(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let options = match options(words) {
        Ok(options) => options,
        Err((code, complaint)) => return fail_with(world, code, &complaint),
    };
    let (host, port) = match authority(&options.url) {
        Ok(found) => found,
        Err((code, complaint)) => return fail_with(world, code, &complaint),
    };
    let named = host.parse::<IpAddr>().is_err();
    // A node asks the resolver of its own network, which knows nothing of the cluster.
    if named && place.pod.is_none() {
        return unresolved(world, &options, &host);
    }
    let own = |ip: &str| ip == "127.0.0.1" || ip == "localhost";
    let target = match &place.pod {
        Some(pod) if own(&host) => pod.status.pod_ip.clone(),
        _ => host.clone(),
    };
    let applied = world.api.execute(Command::Send {
        node: place.node.clone(),
        namespace: place.pod.as_ref().map(|p| p.metadata.namespace.clone()).unwrap_or_default(),
        pod: place.pod.as_ref().map(|p| p.metadata.name.clone()).unwrap_or_default(),
        url: format!("http://{target}:{port}/"),
        timeout: options.timeout,
    });
    let Some(number) = applied.results.first().and_then(|n| n.parse::<u64>().ok()) else {
        return unresolved(world, &options, &host);
    };
    let begun = world.now();
    Step::Waiting(Box::new(move |world| {
        let until = world.now() + Span::from_micros(1);
        let found = world.cluster().facts().requests_in(begun, until).find(|r| r.client == number).copied()?;
        Some(report(world, &options, &format!("{host} port {port}"), begun, &found))
    }))
}

fn unresolved(world: &mut World<'_>, options: &Options, host: &str) -> Step {
    if !options.silent || options.show_error {
        world.complain(&format!("curl: (6) Could not resolve host: {host}"));
    }
    Step::Done(6)
}

/// Says how a request ended. `server` is what it was sent to, as in `web port 80`.
fn report(world: &mut World<'_>, options: &Options, server: &str, begun: Time, ended: &RequestFact) -> i32 {
    let (status, time) = (ended.status, ended.ended.since(begun));
    let millis = time.as_micros() / 1_000;
    let (code, complaint) = match ended.outcome {
        Outcome::Answered => (0, String::new()),
        Outcome::ServerError if options.fail => (22, format!("(22) The requested URL returned error: {status}")),
        Outcome::ServerError => (0, String::new()),
        Outcome::Refused => {
            (7, format!("(7) Failed to connect to {server} after {millis} ms: Couldn't connect to server"))
        }
        Outcome::Reset => (56, "(56) Recv failure: Connection reset by peer".to_owned()),
        Outcome::NoSuchName => {
            (6, format!("(6) Could not resolve host: {}", server.split(' ').next().unwrap_or(server)))
        }
        Outcome::TimedOut if options.timeout == CONNECT => {
            (28, format!("(28) Failed to connect to {server} after {millis} ms: Couldn't connect to server"))
        }
        Outcome::TimedOut => (28, format!("(28) Connection timed out after {millis} milliseconds")),
    };
    if status != 0 && code == 0 {
        let reason = match status {
            200 => "OK",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let served = ended.pod.filter(|_| status == 200).and_then(|uid| world.cluster().store().by_uid::<Pod>(uid));
        let text = served.map_or_else(|| reason.to_owned(), |pod| pod.metadata.name.clone());
        if options.head {
            world.say(&format!(
                "HTTP/1.1 {status} {reason}\r\nContent-Length: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r",
                text.len() + 1
            ));
        }
        if options.body {
            world.say(&text);
        }
    }
    if !options.write.is_empty() {
        let seconds = time.as_micros();
        let total = format!("{}.{:06}", seconds / 1_000_000, seconds % 1_000_000);
        let text = options
            .write
            .replace("%{http_code}", &format!("{status:03}"))
            .replace("%{response_code}", &format!("{status:03}"))
            .replace("%{time_total}", &total)
            .replace("%{exitcode}", &code.to_string())
            .replace("\\n", "\n")
            .replace("\\t", "\t");
        world.out.stdout.push_str(&text);
    }
    if code != 0 && (!options.silent || options.show_error) {
        world.complain(&format!("curl: {complaint}"));
    }
    code
}
