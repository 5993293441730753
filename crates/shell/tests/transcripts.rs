//! Commands and what they print: recorded from kubectl, and told as stories. `data/README.md` says where from.

use cluster::{Applied, Cluster, Timeline};
use lab_base::{Span, Time};
use lab_protocol::Command;
use shell::{Api, Job};

const SHOP: &str = include_str!("data/shop.yaml");

struct Desk {
    timeline: Timeline,
    files: Vec<(String, String)>,
}

impl Api for Desk {
    fn cluster(&self) -> &Cluster {
        self.timeline.cluster()
    }
    fn execute(&mut self, command: Command) -> Applied {
        let now = self.timeline.cluster().now();
        self.timeline.execute_at(now, command).1
    }
    fn file(&self, name: &str) -> Option<String> {
        self.files.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone())
    }
}

fn desk(at: Time) -> Desk {
    desk_of(SHOP, at)
}

fn desk_of(scenario: &str, at: Time) -> Desk {
    let (mut timeline, diagnostics, refused) = Timeline::new(scenario, None, ());
    let errors = diagnostics.iter().filter(|d| d.severity == kube_api::Severity::Error).count();
    assert_eq!((errors, refused), (0, vec![]));
    timeline.seek(at);
    Desk { timeline, files: Vec::new() }
}

/// What a command prints until it ends, or for so long: in the form of the files.
fn run(desk: &mut Desk, line: &str, longest: Span) -> String {
    let mut out = String::new();
    let mut job = match Job::of_line(line) {
        Ok(job) => job,
        Err(complaint) => return format!("! {complaint}\n? 2\n"),
    };
    let begin = desk.timeline.cluster().now();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let code = loop {
        let printed = job.poll(desk);
        stdout += &printed.stdout;
        stderr += &printed.stderr;
        if let Some(text) = printed.edit {
            job.edited(text.replace("replicas: 2", "replicas: 5"));
            continue;
        }
        let now = desk.timeline.cluster().now();
        match printed.code {
            Some(code) => break code.to_string(),
            None if now.since(begin) >= longest => break "...".into(),
            None => desk.timeline.seek(now + Span::from_millis(50)),
        }
    };
    if !stdout.is_empty() {
        for text in stdout.strip_suffix('\n').unwrap_or(&stdout).split('\n') {
            out += &format!("  {text}\n");
        }
        if !stdout.ends_with('\n') {
            out += "\\\n";
        }
    }
    for text in stderr.lines() {
        out += &format!("! {text}\n");
    }
    out + &format!("? {code}\n")
}

/// Takes out what is drawn or counted: uids, versions, the letters in generated names.
fn even(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let key = bare.trim_start_matches('"');
        if key.starts_with("uid") || (key.starts_with("resourceVersion") && !bare.ends_with("\"\"")) {
            out += &format!("{}...\n", &line[..line.len() - bare.len()]);
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("cart-") {
            let (before, after) = rest.split_at(at + "cart-".len());
            let end = after.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-');
            let letters = &after[..end.unwrap_or(after.len())];
            out += before;
            if letters.len() >= 8 {
                out.push('*');
            } else {
                out += letters;
            }
            rest = &after[letters.len()..];
        }
        out += rest;
        out.push('\n');
    }
    out
}

#[test]
fn what_kubectl_prints() {
    compare(include_str!("data/kubectl-1.32.4.txt"));
}

#[test]
fn what_kubectl_prints_without_a_server() {
    compare(include_str!("data/kubectl-1.32.4-client.txt"));
}

fn compare(text: &str) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in text.split("\n$ ").map(|c| c.trim_start_matches("$ ")) {
        let (line, want) = case.split_once('\n').unwrap_or((case, ""));
        let want = even(want);
        let got = even(&run(&mut desk(Time::from_secs(30)), line, Span::ZERO));
        count += 1;
        if got != want {
            wrong.push(format!("$ {line}\n--- kubectl\n{want}--- here\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn stories() {
    let text = include_str!("data/story.txt");
    let mut desk = desk(Time::ZERO);
    let mut longest = Span::from_secs(60);
    let mut wrong = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("## ") {
            // Each story begins anew.
            desk = self::desk(Time::ZERO);
            longest = Span::from_secs(60);
            wrong += &format!("## {name}\n");
        } else if let Some(at) = line.strip_prefix("@ ") {
            desk.timeline.seek(Time::ZERO + cluster::parse_duration(at).unwrap());
        } else if let Some(span) = line.strip_prefix("for ") {
            longest = cluster::parse_duration(span).unwrap();
        } else if let Some(name) = line.strip_prefix("file ") {
            let mut text = String::new();
            while let Some(next) = lines.next_if(|l| l.starts_with("  ")) {
                text += &format!("{}\n", &next[2..]);
            }
            desk.files.push((name.into(), text));
        } else if let Some(command) = line.strip_prefix("$ ") {
            let mut want = String::new();
            while let Some(next) = lines.next_if(|l| l.starts_with(['!', '?', '\\']) || l.starts_with("  ")) {
                want += &format!("{next}\n");
            }
            let got = even(&run(&mut desk, command, longest));
            if got != want {
                wrong += &format!("$ {command}\n--- wanted\n{want}--- here\n{got}");
            }
        }
    }
    assert!(!wrong.contains("--- wanted"), "{wrong}");
}

/// A server that is full says 503, one that fails 500.
#[test]
fn curl_tells_a_full_server_from_a_broken_one() {
    const SCENARIO: &str = "\
apiVersion: lab/v1
kind: Workload
metadata: {name: broken}
spec: {selector: {app: broken}, errors: 1}
---
apiVersion: lab/v1
kind: Fault
metadata: {name: full}
spec: {at: 1s, type: fillPod, pod: {name: full}}
---
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full}}
spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: broken, labels: {app: broken}}
spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: full}
spec: {selector: {app: full}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: broken}
spec: {selector: {app: broken}, ports: [{port: 80}]}
";
    let mut desk = desk_of(SCENARIO, Time::from_secs(3));
    let mut curl = |line: &str| run(&mut desk, &format!("kubectl exec broken -- curl {line}"), Span::from_secs(20));
    let status = |told: String| told.split_whitespace().find_map(|word| word.parse::<u16>().ok());
    assert_eq!(status(curl("-s -o /dev/null -w %{http_code} http://full")), Some(503));
    assert_eq!(status(curl("-s -o /dev/null -w %{http_code} http://broken")), Some(500));
    assert!(curl("-s http://full").contains("Service Unavailable\n"));
    assert!(curl("-sSf http://full").contains("curl: (22) The requested URL returned error: 503\n"));
}

/// Without an API server kubectl is refused, and what doesn't need one goes on.
#[test]
fn without_an_api_server() {
    let mut desk = desk(Time::from_secs(1));
    desk.execute(Command::Fault(lab_protocol::Fault::StopApiServer));
    let mut printed = |line: &str| run(&mut desk, line, Span::from_secs(5));
    let refused =
        "! The connection to the server 192.168.10.10:6443 was refused - did you specify the right host or port?\n";
    for line in ["kubectl get pods", "kubectl scale deploy/web --replicas=1", "kubectl logs deploy/web"] {
        let seen = printed(line);
        assert!(seen.starts_with(refused) && seen.contains("? 1"), "{line}: {seen}");
    }
    let seen = printed("kubectl version");
    assert!(
        seen.contains("Client Version: v1.") && !seen.contains("Server Version") && seen.contains(refused),
        "{seen}"
    );
    // A flag that doesn't exist is told without a server.
    assert!(printed("kubectl get pods --no-such-flag").contains("unknown flag"), "flags");
    assert!(printed("node node-a ip addr").contains("192.168.10.11"), "a node's own tools");
}

/// A kubelet is a service of systemd; without it nobody enters its Pods.
#[test]
fn systemctl_stops_a_kubelet() {
    let mut desk = desk(Time::from_secs(1));
    let mut printed = |line: &str| run(&mut desk, line, Span::from_secs(5));
    assert_eq!(printed("ssh node-a systemctl is-active kubelet"), "  active\n? 0\n");
    assert_eq!(printed("ssh node-a systemctl stop kubelet"), "? 0\n");
    assert!(printed("ssh node-a systemctl is-active kubelet.service").starts_with("  inactive\n? 3"), "stopped");
    let pods = printed("kubectl get pods -o wide");
    let row = pods.lines().find(|l| l.contains(" node-a ")).unwrap_or_default();
    let pod = row.split_whitespace().next().unwrap_or_default().to_owned();
    let seen = printed(&format!("kubectl exec {pod} -- hostname"));
    assert!(seen.contains("dial tcp 192.168.10.11:10250: connect: connection refused"), "{seen}");
    assert_eq!(printed("ssh node-a systemctl start kubelet"), "? 0\n");
    assert_eq!(printed("ssh node-a systemctl is-active kubelet"), "  active\n? 0\n");
    assert!(printed("ssh node-a systemctl stop nginx").contains("Unit nginx.service not found."), "unknown");
}

/// `filters.go` of kubectl's drain: a DaemonSet's Pods stay, if `--ignore-daemonsets` lets them; one that declares no
/// controller needs `--force`.
#[test]
fn draining_what_belongs_to_a_daemon_set() {
    let mut desk = desk(Time::from_secs(1));
    let set = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: logs}\nspec:\n  selector: {matchLabels: {app: logs}}\n  template:\n    metadata: {labels: {app: logs}}\n    spec: {containers: [{name: a, image: a}]}\n";
    desk.files.push(("ds.yaml".into(), set.into()));
    run(&mut desk, "kubectl apply -f ds.yaml", Span::ZERO);
    let uid = run(&mut desk, "kubectl get ds logs -o jsonpath={.metadata.uid}", Span::ZERO);
    let uid = uid.trim_start().split('\\').next().unwrap().trim().to_owned();
    let pod = |name: &str, owners: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, ownerReferences: [{owners}]}}\nspec: {{nodeName: node-a, containers: [{{name: a, image: a}}]}}\n---\n"
        )
    };
    let owner = format!("{{apiVersion: apps/v1, kind: DaemonSet, name: logs, uid: {uid}");
    let text = pod("logs-a", &format!("{owner}, controller: true}}")) + &pod("loose", &format!("{owner}}}"));
    desk.files.push(("pods.yaml".into(), text));
    assert_eq!(
        run(&mut desk, "kubectl apply -f pods.yaml", Span::ZERO),
        "  pod/logs-a created\n  pod/loose created\n? 0\n"
    );
    let now = desk.timeline.cluster().now();
    desk.timeline.seek(now + Span::from_secs(3));
    assert_eq!(
        run(&mut desk, "kubectl drain node-a --pod-selector !app", Span::from_secs(60)),
        "  node/node-a cordoned\n! error: unable to drain node \"node-a\" due to error: [cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): default/logs-a, cannot delete cannot delete Pods that declare no controller (use --force to override): default/loose], continuing command...\n! There are pending nodes to be drained:\n!  node-a\n! [cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): default/logs-a, cannot delete cannot delete Pods that declare no controller (use --force to override): default/loose]\n? 1\n"
    );
    let seen =
        run(&mut desk, "kubectl drain node-a --pod-selector !app --ignore-daemonsets --force", Span::from_secs(60));
    assert_eq!(
        seen,
        "  node/node-a already cordoned\n  evicting pod default/loose\n  pod/loose evicted\n  node/node-a drained\n! Warning: deleting Pods that declare no controller: default/loose; ignoring DaemonSet-managed Pods: default/logs-a\n? 0\n"
    );
}
