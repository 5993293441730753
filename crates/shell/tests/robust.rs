//! Whatever one types is answered: nothing panics, and nothing runs away.

use cluster::{Applied, Cluster, Timeline};
use lab_base::{Dice, Source, Span, Time};
use lab_protocol::Command;
use shell::{Api, Job};

struct Desk(Timeline);

impl Api for Desk {
    fn cluster(&self) -> &Cluster {
        self.0.cluster()
    }
    fn execute(&mut self, command: Command) -> Applied {
        let now = self.0.cluster().now();
        self.0.execute_at(now, command).1
    }
    fn file(&self, name: &str) -> Option<String> {
        match name {
            "-" => Some("{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 1}]}}".into()),
            "bad.yaml" => Some("a: [\n---\n- 1\n---\nkind: Service\n".into()),
            _ => None,
        }
    }
}

const WORDS: &[&str] = &[
    "kubectl",
    "kubectl",
    "kubectl",
    "get",
    "describe",
    "apply",
    "create",
    "delete",
    "edit",
    "scale",
    "rollout",
    "set",
    "patch",
    "label",
    "annotate",
    "expose",
    "run",
    "cordon",
    "uncordon",
    "drain",
    "events",
    "logs",
    "exec",
    "explain",
    "api-resources",
    "version",
    "status",
    "history",
    "undo",
    "restart",
    "image",
    "deployment",
    "service",
    "clusterip",
    "pods",
    "svc",
    "deploy",
    "rs",
    "nodes",
    "ep",
    "ev",
    "endpointslices",
    "ns",
    "all",
    "cm",
    "pod/front",
    "deploy/cart",
    "svc/web",
    "node/node-a",
    "front",
    "cart",
    "web",
    "node-a",
    "nope",
    "-o",
    "wide",
    "yaml",
    "json",
    "name",
    "-o=yaml",
    "-ojson",
    "jsonpath={.items[*].metadata.name}",
    "jsonpath={range .items[*]}{.x[?(@.a==1)]}{end}",
    "jsonpath={..}",
    "jsonpath={.a[-1:9999999999]}",
    "jsonpath={",
    "custom-columns=A:.b",
    "-l",
    "app=web",
    "a in (b",
    "!x",
    "-A",
    "-n",
    "default",
    "-w",
    "--watch",
    "--all",
    "--force",
    "--grace-period=0",
    "--now",
    "--replicas=3",
    "--replicas",
    "-1",
    "--image=a:b",
    "--port=80",
    "--tcp=80:x",
    "--dry-run=client",
    "--dry-run",
    "--type=merge",
    "-p",
    "{\"a\":null}",
    "{\"spec\":{\"replicas\":2}}",
    "a=b",
    "a-",
    "=",
    "--",
    "sh",
    "-c",
    "curl",
    "-m",
    "1",
    "http://web/",
    "http://[::1]:0/",
    "nslookup",
    "dig",
    "+short",
    "-x",
    "10.96.5.5",
    "ping",
    "-c",
    "2",
    "ip",
    "addr",
    "env",
    "cat",
    "/etc/resolv.conf",
    "node",
    "ssh",
    "iptables-save",
    "-t",
    "nat",
    "nft",
    "list",
    "ruleset",
    "ipvsadm",
    "-Ln",
    "conntrack",
    "-L",
    "-f",
    "-",
    "bad.yaml",
    "é",
    "\u{0}",
    "-é",
    "--é=1",
    "-",
    "---",
    "--selector=",
    "--field-selector=a.b=c",
    "--sort-by=.a",
    "--sort-by",
    "{.metadata.name}",
    "--timeout=1s",
    "--timeout",
    "x",
    "*=x",
    "web=img",
    "--to-revision=99999999999",
    "--tail=-5",
    "--since=1s",
    "svc.spec.ports",
    "pods.",
    ".",
    "/",
    "a/b/c",
    ",",
    "pods,svc",
    "--for",
    "-h",
    "--help",
];

#[test]
fn nothing_panics() {
    let (mut timeline, _, _) = Timeline::new(include_str!("data/shop.yaml"), None, ());
    timeline.seek(Time::from_secs(2));
    let mut desk = Desk(timeline);
    let dice = Dice::new(11);
    for n in 0..6_000_u64 {
        let draw = |i: u64| dice.roll(Source::Work, n, i).below(WORDS.len() as u64) as usize;
        let length = 1 + draw(0) % 8;
        let mut words: Vec<String> = (1..=length as u64).map(|i| WORDS[draw(i)].to_owned()).collect();
        if n % 3 > 0 {
            words.insert(0, "kubectl".into());
        }
        let mut job = Job::of_words(words.clone());
        for _ in 0..3 {
            let out = job.poll(&mut desk);
            assert!(out.stdout.len() + out.stderr.len() < 2_000_000, "{words:?}");
            if let Some(text) = out.edit {
                job.edited(text.replace(':', ""));
            }
            if out.code.is_some() {
                break;
            }
            let now = desk.0.cluster().now();
            desk.0.seek(now + Span::from_millis(3));
        }
        job.interrupt();
        assert!(job.poll(&mut desk).code.is_some());
    }
}

#[test]
fn no_line_panics() {
    let dice = Dice::new(12);
    let letters: Vec<char> = "ab '\"\\|$(){}<>&;#*\t\n-=é\u{0}".chars().collect();
    for n in 0..5_000_u64 {
        let length = dice.roll(Source::Work, n, 0).below(24);
        let line: String =
            (1..=length).map(|i| letters[dice.roll(Source::Work, n, i).below(letters.len() as u64) as usize]).collect();
        let _ = Job::of_line(&line);
        let _ = Job::of_line(&format!("true | grep {line}"));
    }
}
