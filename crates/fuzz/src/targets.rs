//! What reads what people and pages send.

use cluster::dns::DnsName;
use cluster::{Applied, Cluster, Recording, Scenario, Timeline};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4};
use kube_api::manifest::{self, Content};
use kube_api::{IpFamily, Object, Release, defaults, validation, yaml};
use kube_proxy::{Mode, Settings, proxier_of};
use lab_base::Time;
use lab_protocol::{Command, Reply, Request, decode};
use shell::{Api, Job};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that reads.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Ends of the names of files to begin from.
    pub files: &'static [&'static str],
    /// Texts to begin from.
    pub texts: &'static [&'static str],
    /// Reads; a panic is a mistake, and so is a run of many seconds.
    pub read: fn(&[u8]),
}

/// Every one of them.
pub const TARGETS: &[Target] = &[
    Target { name: "yaml", files: &[".yaml"], texts: &[], read: |bytes| drop(yaml::load(&text(bytes))) },
    Target { name: "layout", files: &[".yaml"], texts: &[], read: |bytes| drop(yaml::format(&text(bytes))) },
    Target { name: "manifest", files: &[".yaml"], texts: &[], read: manifest },
    Target { name: "rules", files: &["manifests.yaml"], texts: &[], read: rules },
    Target { name: "settings", files: &["settings.json"], texts: &["{}"], read: settings },
    Target { name: "scenario", files: &["web.yaml", "start.yaml", "golden.yaml"], texts: &[], read: scenario },
    Target { name: "lesson", files: &["lesson.yaml"], texts: &[], read: |bytes| drop(lesson::lesson(&text(bytes))) },
    Target { name: "course", files: &["course.yaml"], texts: &[], read: |bytes| drop(lesson::course(&text(bytes))) },
    Target { name: "markdown", files: &[".md"], texts: &[], read: |bytes| drop(lesson::document(&text(bytes))) },
    Target { name: "message", files: &["golden.json"], texts: &["\u{1}\0\0\0\u{1}"], read: message },
    Target { name: "recording", files: &["golden.json"], texts: &[], read: recording },
    Target { name: "command line", files: &[], texts: LINES, read: command_line },
    Target {
        name: "names",
        files: &[],
        texts: &["web.default.svc.cluster.local", "http://web:80/", "1m30s", "a-b.c"],
        read: names,
    },
];

const LINES: &[&str] = &[
    "kubectl get pods -o wide",
    "kubectl get svc web -o jsonpath='{.spec.ports[0].port}{\"\\n\"}'",
    "kubectl get all -A -l app=web,tier!=db",
    "kubectl describe svc/web",
    "kubectl scale deploy web --replicas=3",
    "kubectl rollout history deployment/web",
    "kubectl expose deployment web --port=80 --target-port=8080 --name=x",
    "kubectl set image deployment/web web=shop/web:2",
    "kubectl label pod -l app=web a=b c- --overwrite",
    "kubectl delete pod -l 'app in (web,db)' --grace-period=0 --force",
    "kubectl explain svc.spec.ports",
    "kubectl exec deploy/web -- curl -s http://web/ | grep ok",
    "kubectl create service clusterip x --tcp=80:8080 --dry-run=client -o yaml",
    "kubectl drain node-a --ignore-daemonsets",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn objects(bytes: &[u8]) -> Vec<Object> {
    let object = |manifest: manifest::Manifest| match manifest.content {
        Content::Object(object) => Some(object),
        Content::Lab { .. } => None,
    };
    manifest::parse(&text(bytes)).manifests.into_iter().filter_map(object).collect()
}

fn manifest(bytes: &[u8]) {
    for mut object in objects(bytes) {
        let _ = validation::create(&object, Release::default());
        defaults::apply(&mut object);
        let again = object.clone();
        let _ = validation::update(&object, &again, Release::default());
    }
}

/// Rules of a node in every mode, and a packet through them.
fn rules(bytes: &[u8]) {
    let objects = objects(bytes);
    let node = objects.iter().find_map(|o| match o {
        Object::Node(node) => Some(node.metadata.name.clone()),
        _ => None,
    });
    let addresses = objects.iter().filter_map(|o| match o {
        Object::Service(service) => Some(service.spec.cluster_ip.parse().ok()?),
        _ => None,
    });
    let to: Vec<SocketAddr> = addresses.map(|ip| SocketAddr::new(ip, 80)).take(4).collect();
    for family in [IpFamily::V4, IpFamily::V6] {
        for mode in [Mode::Iptables, Mode::Nftables, Mode::Ipvs] {
            let Some(proxier) = node.as_deref().and_then(|n| proxier_of(&objects, n, Arc::default(), family).ok())
            else {
                return;
            };
            let rules = proxier.in_mode(mode).sync_rules();
            let _ = rules.text();
            let mut kernel = Kernel::new(KernelConfig::default());
            rules.load(&mut kernel, Time::ZERO);
            for dst in &to {
                let src = SocketAddr::new([10, 244, 1, 9].into(), 40_000);
                let _ = kernel.open(Time::ZERO, Flow { proto: L4::Tcp, src, dst: *dst }, Entry::Pod, &mut |_| 7);
            }
        }
    }
}

fn settings(bytes: &[u8]) {
    if let Ok(settings) = serde_json::from_slice::<Settings>(bytes) {
        let _ = settings.check();
    }
}

fn scenario(bytes: &[u8]) {
    let text = text(bytes);
    let (scenario, _) = Scenario::parse(&text);
    // What is big on purpose only takes long.
    if scenario.objects.len() < 50 && scenario.cluster.nodes.entries().len() < 20 && !text.contains("65") {
        let (mut timeline, _, _) = Timeline::new(&text, None, ());
        timeline.seek(Time::from_secs(2));
    }
}

fn message(bytes: &[u8]) {
    let _ = decode::<Request>(bytes);
    let _ = decode::<Reply>(bytes);
    let mut versioned = vec![bytes.first().copied().unwrap_or(0) % 4];
    versioned.extend_from_slice(bytes);
    let _ = decode::<Request>(&versioned);
    let _ = decode::<Reply>(&versioned);
}

fn recording(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Recording>(bytes);
}

fn names(bytes: &[u8]) {
    let text = text(bytes);
    let _ = DnsName::parse(&text);
    let _ = cluster::parse_duration(&text);
    let _ = cluster::Target::parse(&text);
    let files: BTreeMap<String, String> = [("lesson.yaml".to_owned(), text.clone())].into();
    let _ = lesson::view(&files, "en");
    let _ = lesson::page_files(&text, "zh");
}

struct Desk(Timeline<()>);

impl Api for Desk {
    fn cluster(&self) -> &Cluster {
        self.0.cluster()
    }
    fn execute(&mut self, command: Command) -> Applied {
        let now = self.0.cluster().now();
        self.0.execute_at(now, command).1
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
}

fn command_line(bytes: &[u8]) {
    const WEB: &str = include_str!("../../cluster/tests/data/web.yaml");
    let Ok(mut job) = Job::of_line(&text(bytes)) else { return };
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    timeline.seek(Time::from_secs(1));
    let mut desk = Desk(timeline);
    for second in 2..5 {
        if job.poll(&mut desk).code.is_some() {
            return;
        }
        desk.0.seek(Time::from_secs(second));
    }
}
