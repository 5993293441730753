//! `servicelab run`: a scenario without a browser.

use crate::arguments::Arguments;
use crate::rules::{Failure, text_of};
use cluster::{Recording, Report, Timeline, parse_duration, report};
use kube_api::Severity;
use lab_base::{Span, Time};
use std::fmt::Write;

/// How the command is called.
pub const USAGE: &str = "servicelab run -f FILE... [--seed N] [--for 120s] [--format text|json] [--record FILE]
       servicelab run --replay RECORDING";

/// Longest run.
const MAX: Span = Span::from_secs(24 * 3_600);

struct Options {
    files: Vec<String>,
    seed: Option<u64>,
    length: Span,
    json: bool,
    record: Option<String>,
    replay: Option<String>,
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let mut options =
        Options { files: Vec::new(), seed: None, length: Span::from_secs(60), json: false, record: None, replay: None };
    let mut args = Arguments::new(args);
    while let Some(name) = args.next() {
        let wrong = |what: &str| Failure::Usage(format!("{name}: {what}"));
        match name {
            "-f" | "--filename" => options.files.push(args.value()?),
            "--seed" => options.seed = Some(args.value()?.parse().map_err(|_| wrong("a whole number"))?),
            "--for" => {
                let length = parse_duration(&args.value()?).filter(|l| *l <= MAX);
                options.length = length.ok_or_else(|| wrong("a time such as 90s or 10m, 24h at most"))?;
            }
            "--format" => {
                options.json = match args.value()?.as_str() {
                    "json" => true,
                    "text" => false,
                    _ => return Err(wrong("text or json")),
                }
            }
            "--record" => options.record = Some(args.value()?),
            "--replay" => options.replay = Some(args.value()?),
            _ => return Err(args.unknown()),
        }
    }
    if options.files.is_empty() && options.replay.is_none() {
        return Err(Failure::Usage("which scenario? -f FILE".into()));
    }
    Ok(options)
}

/// Runs, and gives what to print.
///
/// # Errors
/// A command line, file or scenario that can't be used; a recording that comes to another state than it says.
pub fn run(args: &[String]) -> Result<String, Failure> {
    let options = options(args)?;
    if let Some(file) = &options.replay {
        return replay(file);
    }
    let mut text = String::new();
    for file in &options.files {
        let part = text_of(file)?;
        let (_, diagnostics) = cluster::Scenario::parse(&part);
        for warning in diagnostics.iter().filter(|d| d.severity != Severity::Error) {
            eprintln!("{file}:{}:{}: warning: {}", warning.span.line, warning.span.column, warning.message);
        }
        let mistakes: String = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| format!("{file}:{}:{}: {}\n", d.span.line, d.span.column, d.message))
            .collect();
        if !mistakes.is_empty() {
            return Err(Failure::Invalid(mistakes.trim_end().into()));
        }
        if !text.is_empty() {
            text.push_str("\n---\n");
        }
        text.push_str(&part);
    }
    let (mut timeline, _, refused) = Timeline::new(&text, options.seed, ());
    if !refused.is_empty() {
        return Err(Failure::Invalid(refused.join("\n")));
    }
    timeline.seek(Time::ZERO + options.length);
    if let Some(file) = &options.record {
        let json = serde_json::to_string_pretty(&timeline.recording()).unwrap_or_default();
        std::fs::write(file, json + "\n").map_err(|why| Failure::Unreadable(format!("{file}: {why}")))?;
    }
    let report = report(timeline.cluster());
    if options.json {
        return Ok(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n");
    }
    Ok(describe(&report))
}

fn replay(file: &str) -> Result<String, Failure> {
    let recording: Recording =
        serde_json::from_str(&text_of(file)?).map_err(|why| Failure::Invalid(format!("{file}: {why}")))?;
    let hash = recording.replay();
    if hash == recording.hash {
        return Ok(format!("{file}: {} at {}, as recorded\n", hash, recording.until));
    }
    let Recording { engine, hash: recorded, until, .. } = recording;
    Err(Failure::Invalid(format!("{file}: {hash} at {until}, but engine {engine} recorded {recorded}")))
}

fn describe(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "release {}, seed {}, {} s", report.release, report.seed, report.seconds);
    let failed: u64 = report.failed.values().sum();
    let _ = writeln!(out, "requests {}: {} answered, {failed} failed", report.requests, report.answered);
    for (cause, n) in &report.failed {
        let _ = writeln!(out, "  {cause:<14} {n}");
    }
    let retried: u64 = report.retried.values().sum();
    if retried > 0 {
        let _ = writeln!(out, "retried {retried}");
        for (cause, n) in &report.retried {
            let _ = writeln!(out, "  {cause:<14} {n}");
        }
    }
    let l = report.latency;
    let _ = writeln!(out, "latency  p50 {:.1} ms  p90 {:.1} ms  p99 {:.1} ms", l.p50, l.p90, l.p99);
    for service in &report.services {
        let _ = writeln!(out, "Service {}", service.service);
        for (pod, share) in &service.pods {
            let _ = writeln!(out, "  {pod:<32} {:>7}  {:5.1} %", share.answered, share.share * 100.0);
        }
    }
    if !report.timeline.is_empty() {
        let _ = writeln!(out, "timeline");
        for entry in &report.timeline {
            let arguments: Vec<String> = entry.arguments.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let event = entry.event.trim_start_matches("mark-");
            let _ = writeln!(out, "  {:>9.3} s  {:<28} {} {}", entry.at, entry.object, event, arguments.join(" "));
        }
    }
    failovers(&mut out, report);
    let _ = writeln!(out, "state {}", report.hash);
    out
}

/// Each failure as a table: the parts of each Pod's course, how long each took, what failed in it, and what governs it.
fn failovers(out: &mut String, report: &Report) {
    for failover in &report.failovers {
        let arguments: Vec<String> = failover.arguments.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let cause = failover.cause.trim_start_matches("mark-").trim_start_matches("failover-");
        let _ = write!(out, "failover {}  {cause} {}  at {:.3} s", failover.id, arguments.join(" "), failover.at);
        let _ = match failover.until {
            Some(until) => write!(out, ", over after {:.3} s", until - failover.at),
            None => write!(out, ", goes on"),
        };
        let failed: u64 = failover.failed.values().sum();
        let _ = write!(out, "; {failed} failed");
        if let Some(last) = failover.last_failed {
            let _ = write!(out, ", the last after {:.3} s", last - failover.at);
        }
        out.push('\n');
        for step in &failover.steps {
            let _ = writeln!(out, "  {:>9.3} s  {} {}{}", step.at, step.step, step.subject, governed(&step.settings));
        }
        for pod in &failover.pods {
            let end = match (pod.end, &pod.replacement) {
                (Some("back"), Some(other)) if *other != pod.pod => format!(", replaced by {other}"),
                (Some(end), _) => format!(", {end}"),
                (None, _) => String::new(),
            };
            let services =
                if pod.services.is_empty() { String::new() } else { format!(" ({})", pod.services.join(", ")) };
            let _ = writeln!(out, "  {} on {}{services}{end}", pod.pod, pod.node);
            for part in &pod.parts {
                let took = part.seconds.map_or_else(|| "goes on".into(), |s| format!("{s:.3} s"));
                let failed = symptoms(&part.failed);
                let line = format!("    {:<10} {took:>10}  {failed:<22}{}", part.part, governed(&part.settings));
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        if failover.more > 0 {
            let _ = writeln!(out, "  and {} Pods more", failover.more);
        }
        if !failover.elsewhere.is_empty() {
            let _ = writeln!(out, "  elsewhere: {}", symptoms(&failover.elsewhere));
        }
    }
}

fn symptoms(failed: &std::collections::BTreeMap<&'static str, u64>) -> String {
    failed.iter().map(|(symptom, n)| format!("{symptom} {n}")).collect::<Vec<_>>().join(", ")
}

/// `  by periodSeconds 2 s, failureThreshold 3`: the last word of each place.
fn governed(settings: &[cluster::SettingReport]) -> String {
    let one = |s: &cluster::SettingReport| {
        let name = s.name.rsplit('.').next().unwrap_or(&s.name);
        match (s.seconds, s.count) {
            (Some(seconds), _) => format!("{name} {seconds} s"),
            (_, count) => format!("{name} {}", count.unwrap_or_default()),
        }
    };
    let all: Vec<String> = settings.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("  by {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_run_can_be_recorded_and_repeated() {
        let dir = std::env::temp_dir().join(format!("servicelab-run-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (scenario, record) = (dir.join("s.yaml"), dir.join("r.json"));
        let text = concat!(
            include_str!("../../cluster/tests/data/web.yaml"),
            "---\n{apiVersion: lab/v1, kind: Fault, spec: {at: 5s, type: killProcess, pod: {deployment: web, nth: 2}}}\n"
        );
        std::fs::write(&scenario, text).unwrap();
        let line = format!("-f {} --for 20s --record {}", scenario.display(), record.display());
        let text = run(&words(&line)).unwrap();
        assert!(text.contains("fault-kill-process"), "{text}");
        assert!(run(&words(&format!("--replay {}", record.display()))).unwrap().contains("as recorded"));
        let tampered = std::fs::read_to_string(&record).unwrap().replace("nth: 2", "nth: 3");
        std::fs::write(&record, tampered).unwrap();
        assert!(matches!(run(&words(&format!("--replay {}", record.display()))), Err(Failure::Invalid(_))));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// The scenarios of `docs/scenario.md`, and what the first one is said to print.
    #[test]
    fn the_documentation_is_true() {
        let docs = include_str!("../../../docs/scenario.md");
        let block = |fence: &str| -> Vec<&str> {
            docs.split(fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
        };
        let scenarios = block("```yaml\n");
        for scenario in &scenarios {
            let mistakes: Vec<_> = cluster::Scenario::parse(scenario).1;
            assert!(mistakes.iter().all(|d| d.severity != Severity::Error), "{mistakes:?}");
        }
        let (mut timeline, _, _) = Timeline::new(scenarios[0], None, ());
        timeline.seek(Time::ZERO + Span::from_secs(30));
        let report = report(timeline.cluster());
        let said = block("```\n$ ./lab cli run -f web.yaml --for 30s\n");
        assert_eq!(describe(&report), said[0]);
        let json = serde_json::to_value(&report.failovers[0]).unwrap();
        let part: serde_json::Value = serde_json::from_str(block("```json\n")[0]).unwrap();
        let parts = json["pods"][0]["parts"].as_array().unwrap();
        assert!(parts.contains(&part), "{}", serde_json::to_string_pretty(&parts[0]).unwrap());
    }

    #[test]
    fn bad_calls_are_told() {
        for line in ["", "--for 3 -f x", "--seed x -f x", "--format xml -f x", "--wat", "-f"] {
            assert!(matches!(run(&words(line)), Err(Failure::Usage(_))), "{line}");
        }
        assert!(matches!(run(&words("-f /nowhere")), Err(Failure::Unreadable(_))));
    }
}
