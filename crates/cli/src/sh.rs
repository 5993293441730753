//! `servicelab sh`: a command as one types it into a terminal of the simulated cluster.

use crate::rules::Failure;
use cluster::{Applied, Cluster, Timeline, parse_duration};
use kube_api::Severity;
use kube_api::assist::Reference;
use lab_base::{Span, Time};
use lab_protocol::Command;
use shell::{Api, Job};
use std::io::Write;

/// How the command is called.
pub const USAGE: &str = "servicelab sh -f FILE... [--at 30s] [--seed N] [--for 60s] -- COMMAND [ARG]...

  --at   simulated time at which the command is typed (default 0s)
  --for  simulated time for which a command may go on: by default a minute for what never ends by itself (-w, -f,
         ping), which is then stopped; an hour for all else, whose exit code is then 124";

/// A terminal looks at the cluster at least as often.
const STEP: Span = Span::from_millis(50);

struct Options {
    files: Vec<String>,
    at: Span,
    length: Option<Span>,
    seed: Option<u64>,
    words: Vec<String>,
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let usage = |why: &str| Failure::Usage(why.to_owned());
    let split = args.iter().position(|a| a == "--").ok_or_else(|| usage("which command? -- COMMAND"))?;
    let mut options =
        Options { files: Vec::new(), at: Span::ZERO, length: None, seed: None, words: args[split + 1..].to_vec() };
    let mut args = args[..split].iter();
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        let value = inline.or_else(|| args.next().cloned());
        let value = || value.clone().ok_or_else(|| usage(&format!("{name} needs a value")));
        let time = |text: String| {
            let time = parse_duration(&text).filter(|l| *l <= Span::from_secs(24 * 3_600));
            time.ok_or_else(|| usage(&format!("{name}: a time such as 30s or 10m, 24h at most")))
        };
        match name {
            "-f" | "--filename" => options.files.push(value()?),
            "--at" => options.at = time(value()?)?,
            "--for" => options.length = Some(time(value()?)?),
            "--seed" => options.seed = Some(value()?.parse().map_err(|_| usage("--seed: a whole number"))?),
            _ => return Err(usage(&format!("unknown option {name}"))),
        }
    }
    if options.files.is_empty() {
        return Err(usage("which scenario? -f FILE"));
    }
    if options.words.is_empty() {
        return Err(usage("which command? -- COMMAND"));
    }
    Ok(options)
}

/// Whether a command goes on until one stops it.
fn is_endless(words: &[String]) -> bool {
    let line = words.join(" ");
    let mut words = line.split(' ');
    words.any(|w| matches!(w, "-w" | "--watch" | "--watch-only" | "--follow" | "ping"))
        || line.split_once("logs").is_some_and(|(_, rest)| rest.split(' ').any(|w| w == "-f"))
}

/// What `kubectl explain` tells.
const REFERENCE: &str = include_str!("../../../public/reference/kubernetes.txt");

struct Terminal {
    timeline: Timeline,
    reference: Reference,
}

impl Api for Terminal {
    fn cluster(&self) -> &Cluster {
        self.timeline.cluster()
    }
    fn execute(&mut self, command: Command) -> Applied {
        let now = self.timeline.cluster().now();
        self.timeline.execute_at(now, command).1
    }
    fn file(&self, name: &str) -> Option<String> {
        crate::rules::text_of(name).ok()
    }
    fn reference(&self) -> Option<&Reference> {
        Some(&self.reference)
    }
}

/// Runs the command, printing as it goes. Gives its exit code.
///
/// # Errors
/// A command line, file or scenario that can't be used.
pub fn run(args: &[String], stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<i32, Failure> {
    let options = options(args)?;
    let mut text = String::new();
    for file in &options.files {
        let part = crate::rules::text_of(file)?;
        let (_, diagnostics) = cluster::Scenario::parse(&part);
        let mistakes: Vec<String> = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| format!("{file}:{}:{}: {}", d.span.line, d.span.column, d.message))
            .collect();
        if !mistakes.is_empty() {
            return Err(Failure::Invalid(mistakes.join("\n")));
        }
        if !text.is_empty() {
            text.push_str("\n---\n");
        }
        text.push_str(&part);
    }
    let (timeline, _, refused) = Timeline::new(&text, options.seed, ());
    if !refused.is_empty() {
        return Err(Failure::Invalid(refused.join("\n")));
    }
    let reference = if options.words.iter().any(|w| w.contains("explain")) { REFERENCE } else { "" };
    let mut terminal = Terminal { timeline, reference: Reference::read(reference.into()) };
    let begin = Time::ZERO + options.at;
    let endless = is_endless(&options.words);
    let length = options.length.unwrap_or(Span::from_secs(if endless { 60 } else { 3_600 }));
    terminal.timeline.seek(begin);
    let mut job = match &options.words[..] {
        // One word with blanks is a whole line, as `sh -c` has it.
        [line] if line.contains(' ') => match Job::of_line(line) {
            Ok(job) => job,
            Err(complaint) => {
                let _ = writeln!(stderr, "{complaint}");
                return Ok(2);
            }
        },
        words => Job::of_words(words.to_vec()),
    };
    loop {
        let output = job.poll(&mut terminal);
        // A reader that has gone is no mistake of ours.
        let _ = stdout.write_all(output.stdout.as_bytes());
        let _ = stderr.write_all(output.stderr.as_bytes());
        if let Some(code) = output.code {
            return Ok(code);
        }
        if let Some(text) = output.edit {
            let _ = stdout.write_all(text.as_bytes());
            return Ok(0);
        }
        let now = terminal.timeline.cluster().now();
        if now.since(begin) >= length {
            job.interrupt();
            return Ok(if endless { 0 } else { 124 });
        }
        // A watch hears of each change, so nothing that happens is passed over.
        let next = terminal.timeline.cluster().next_event_at().unwrap_or(Time::FOREVER);
        terminal.timeline.seek(next.max(now + Span::from_micros(1)).min(now + STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/tests/data/web.yaml");

    fn sh(words: &[&str]) -> Result<(i32, String, String), Failure> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&words, &mut out, &mut err)?;
        Ok((code, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned()))
    }

    #[test]
    fn output_errors_and_code_are_the_commands_own() {
        let (code, out, err) =
            sh(&["-f", WEB, "--at", "30s", "--", "kubectl", "get", "deploy", "nope", "web"]).unwrap();
        assert_eq!(code, 1);
        assert_eq!(out, "NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    4/4     4            4           30s\n");
        assert_eq!(err, "Error from server (NotFound): deployments.apps \"nope\" not found\n");
        let (code, out, err) = sh(&["-f", WEB, "--", "kubectl get pods -o name | wc -l"]).unwrap();
        assert_eq!((code, out.as_str(), err.as_str()), (0, "4\n", ""));
        let (code, out, _) = sh(&["-f", WEB, "--", "kubectl", "explain", "svc.spec.clusterIP"]).unwrap();
        assert_eq!(code, 0);
        assert!(out.starts_with("KIND:       Service\nVERSION:    v1\n\nFIELD: clusterIP <string>\n"), "{out}");
        assert!(out.contains("\nDESCRIPTION:\n    clusterIP is the IP address of the service"), "{out}");
    }

    #[test]
    fn what_goes_on_ends_with_the_time_given() {
        let (code, out, _) = sh(&["-f", WEB, "--for", "3s", "--", "kubectl", "get", "svc", "web", "-w"]).unwrap();
        assert_eq!((code, out.lines().count()), (0, 2));
        let stuck = ["-f", WEB, "--for", "10ms", "--", "kubectl", "delete", "pods", "--all"];
        assert_eq!(sh(&stuck).unwrap().0, 124);
        let (code, out, _) = sh(&["-f", WEB, "--", "kubectl", "rollout", "status", "deploy/web"]).unwrap();
        assert_eq!((code, out.as_str()), (0, "deployment \"web\" successfully rolled out\n"));
    }

    #[test]
    fn bad_calls_are_told() {
        for words in [&["-f", WEB][..], &["--", "kubectl"], &["-f", WEB, "--"], &["-f", WEB, "--at", "x", "--", "a"]] {
            assert!(matches!(sh(words), Err(Failure::Usage(_))), "{words:?}");
        }
        assert!(matches!(sh(&["-f", "/nowhere", "--", "kubectl"]), Err(Failure::Unreadable(_))));
    }
}
