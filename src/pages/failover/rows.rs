//! A Pod's course as rows: each part with what governs it and what happened in it, in order of time.

use lab_base::{Span, Time};
use lab_protocol::{Counts, Course, Failover, Part, Setting, SettingPlace, SettingValue, Step, StepKind};

/// More steps of a kind than these in a row are one row: the rules of a hundred nodes.
const TOGETHER: usize = 4;

/// A row of the picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Row<'a> {
    /// A part of the course.
    Part(&'a Part),
    /// What governs the part above.
    Setting(&'a Setting),
    /// One step, or several of one kind.
    Steps(&'a [Step]),
    /// The last failed request was sent.
    LastFailed(Time),
    /// What follows has no single Pod as its subject.
    Others,
}

/// The rows of a course, and the time that its parts span. What goes on has come to `now`.
pub fn rows<'a>(failover: &'a Failover, course: &'a Course, now: Time) -> (Vec<Row<'a>>, Time, Time) {
    let mut rows = Vec::new();
    let mut left = &course.steps[..];
    let mut last_failed = course.last_failed;
    for (i, part) in course.parts.iter().enumerate() {
        rows.push(Row::Part(part));
        rows.extend(part.settings.iter().map(Row::Setting));
        let last = i + 1 == course.parts.len();
        let ended = |at: Time| !last && part.to.is_some_and(|to| at > to);
        let own = left.iter().take_while(|s| !ended(s.at)).count();
        let (mine, rest) = left.split_at(own);
        left = rest;
        let before = |s: &&Step| last_failed.is_some_and(|at| s.at <= at);
        let failed_here = last_failed.filter(|at| !ended(*at));
        let early = failed_here.map_or(own, |_| mine.iter().take_while(before).count());
        together(&mine[..early], &mut rows);
        if let Some(at) = failed_here {
            rows.push(Row::LastFailed(at));
            last_failed = None;
        }
        together(&mine[early..], &mut rows);
    }
    if !failover.steps.is_empty() {
        rows.push(Row::Others);
        together(&failover.steps, &mut rows);
    }
    // What prepared it, and what is left to tidy up, would press the rest together: both are drawn at the edges.
    let to = course.last_failed.into_iter().chain(course.until).max().filter(|_| course.until.is_some()).unwrap_or(now);
    (rows, course.at, to.max(course.at + Span::from_millis(10)))
}

fn together<'a>(mut steps: &'a [Step], rows: &mut Vec<Row<'a>>) {
    while let Some(first) = steps.first() {
        let same = steps.iter().take_while(|s| s.kind == first.kind).count();
        let many = matches!(
            first.kind,
            StepKind::RulesWithout | StepKind::RulesWith | StepKind::TargetOut | StepKind::TargetBack
        );
        let taken = if many && same > TOGETHER { same } else { 1 };
        let (row, rest) = steps.split_at(taken);
        rows.push(Row::Steps(row));
        steps = rest;
    }
}

/// All failed requests of a failure, and of what belongs to no part.
pub fn failed(failover: &Failover) -> Counts {
    let mut sum = failover.elsewhere;
    for part in failover.courses.iter().flat_map(|c| &c.parts) {
        add(&mut sum, &part.failed);
    }
    sum
}

/// Adds up.
pub fn add(sum: &mut Counts, more: &Counts) {
    for (a, b) in sum.0.iter_mut().zip(more.0) {
        *a += b;
    }
}

/// The name of a setting as one searches for it: `readinessProbe.periodSeconds`, `--node-monitor-period`.
pub fn name(setting: &Setting) -> &str {
    match &setting.place {
        SettingPlace::Flag { flag, .. } => flag,
        SettingPlace::Constant { name, .. } => name,
        SettingPlace::Field { path, .. } => {
            let dots: Vec<usize> = path.rmatch_indices('.').map(|(i, _)| i).collect();
            let probe = |at: usize| path[..at].ends_with("Probe");
            match dots[..] {
                [last, before, ..] if probe(last) => &path[before + 1..],
                [last, ..] if !probe(last) => &path[last + 1..],
                _ => path,
            }
        }
    }
}

/// Where a setting stands: `Deployment/web: spec.replicas`, `kube-controller-manager --node-monitor-period`.
pub fn place(setting: &Setting) -> String {
    match &setting.place {
        SettingPlace::Field { object, path } => format!("{object}: {path}"),
        SettingPlace::Flag { component, flag } => format!("{component} {flag}"),
        SettingPlace::Constant { component, name } => format!("{component}: {name}"),
    }
}

/// The value of a setting: `0.1 s`, `300 s`, `3`.
pub fn value(value: SettingValue) -> String {
    match value {
        SettingValue::Count(n) => n.to_string(),
        SettingValue::Time(span) => {
            let exact = format!("{:.3}", span.as_secs_f64());
            format!("{} s", exact.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

/// A length: `1.023 s`, `301.2 s`.
pub fn length(span: Span) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 100.0 { format!("{seconds:.3} s") } else { format!("{seconds:.1} s") }
}

/// How long after (or before) the failure: `+1.023 s`.
pub fn offset(at: Time, struck: Time) -> String {
    if at < struck { format!("−{}", length(struck.since(at))) } else { format!("+{}", length(at.since(struck))) }
}

/// Distance of the axis' numbers, in seconds: a round one, of which `most` fit at most.
pub fn axis_step(seconds: f64, most: f64) -> f64 {
    let mut unit = 0.001;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if seconds / (step * unit) <= most {
                return step * unit;
            }
        }
        unit *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::{Id, PartKind, Phrase, SettingKey};

    fn step(ms: u64, kind: StepKind, subject: &str) -> Step {
        Step { at: Time::from_millis(ms), kind, subject: subject.into(), settings: Vec::new() }
    }
    fn part(kind: PartKind, from: u64, to: Option<u64>) -> Part {
        let failed = Counts::default();
        Part { kind, from: Time::from_millis(from), to: to.map(Time::from_millis), settings: Vec::new(), failed }
    }
    fn failover(parts: Vec<Part>, steps: Vec<Step>, last: Option<u64>) -> Failover {
        let course = Course {
            pod: Id(1),
            namespace: "default".into(),
            name: "web-1".into(),
            node: "node-a".into(),
            services: Vec::new(),
            at: Time::from_millis(1_000),
            until: None,
            end: None,
            replacement: None,
            steps,
            parts,
            last_failed: last.map(Time::from_millis),
        };
        Failover {
            id: 1,
            cause: Phrase::new("failover-scaled"),
            at: Time::from_millis(1_000),
            until: None,
            courses: vec![course],
            more: 0,
            steps: Vec::new(),
            elsewhere: Counts::default(),
            last_failed: None,
        }
    }

    #[test]
    fn a_step_at_a_boundary_ends_the_part_before_it() {
        let parts = vec![
            part(PartKind::Detection, 1_000, Some(1_500)),
            part(PartKind::Withdrawal, 1_500, Some(1_600)),
            part(PartKind::Sync, 1_600, None),
        ];
        let steps = vec![
            step(900, StepKind::Commanded, "web"),
            step(1_000, StepKind::Struck, ""),
            step(1_500, StepKind::NoticedExit, ""),
            step(1_600, StepKind::EndpointOut, "web"),
            step(1_700, StepKind::RulesWithout, "node-a"),
        ];
        let failover = failover(parts, steps, Some(1_550));
        let (rows, from, to) = rows(&failover, &failover.courses[0], Time::from_millis(1_900));
        let told: Vec<String> = rows
            .iter()
            .map(|row| match row {
                Row::Part(p) => p.kind.key().to_owned(),
                Row::Steps(s) => s[0].kind.key().to_owned(),
                Row::LastFailed(_) => "last".to_owned(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(
            told,
            [
                "detection",
                "commanded",
                "struck",
                "noticed-exit",
                "withdrawal",
                "last",
                "endpoint-out",
                "sync",
                "rules-without"
            ]
        );
        assert_eq!((from, to), (Time::from_millis(1_000), Time::from_millis(1_900)));
    }

    #[test]
    fn a_hundred_nodes_are_one_row() {
        let steps: Vec<Step> = (0..100).map(|i| step(1_100 + i, StepKind::RulesWithout, "n")).collect();
        let failover = failover(vec![part(PartKind::Sync, 1_000, None)], steps, None);
        let (rows, ..) = rows(&failover, &failover.courses[0], Time::from_secs(2));
        assert!(matches!(rows[..], [Row::Part(_), Row::Steps(all)] if all.len() == 100), "{rows:?}");
    }

    #[test]
    fn settings_are_named_as_one_searches_for_them() {
        let of = |place| Setting { key: SettingKey::ProbePeriod, value: SettingValue::Count(3), place };
        let field = |path: &str| SettingPlace::Field { object: "Deployment/web".into(), path: path.into() };
        let probe = "spec.template.spec.containers[0].readinessProbe.periodSeconds";
        assert_eq!(name(&of(field(probe))), "readinessProbe.periodSeconds");
        assert_eq!(name(&of(field("spec.strategy.rollingUpdate.maxSurge"))), "maxSurge");
        assert_eq!(name(&of(field("iptables"))), "iptables");
        assert_eq!(value(SettingValue::Time(Span::from_millis(100))), "0.1 s");
        assert_eq!(value(SettingValue::Time(Span::from_secs(300))), "300 s");
        assert_eq!(offset(Time::from_millis(900), Time::from_secs(1)), "−0.100 s");
        assert_eq!(length(Span::from_secs(301)), "301.0 s");
    }

    #[test]
    fn the_axis_has_round_numbers() {
        assert_eq!(axis_step(4.2, 6.0), 1.0);
        assert_eq!(axis_step(350.0, 6.0), 100.0);
        assert!((axis_step(0.3, 6.0) - 0.05).abs() < 1e-9);
    }
}
