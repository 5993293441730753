//! Whole clusters.

use crate::Work;
use cluster::Timeline;
use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Reply, Request, encode};

const WEB: &str = include_str!("../../cluster/tests/data/web.yaml");

/// The works of this module, with the marks that the project has set itself.
pub fn works() -> Vec<Work> {
    vec![
        Work {
            name: "a Deployment becomes ready",
            size: "1,000 Pods on 10 nodes",
            count: 1,
            budget: Some((500.0, 1_000.0)),
            prepare: || Box::new(|| deployment(1_000, 10).into()),
        },
        Work {
            name: "300 s of a busy Service",
            size: "100 Pods, 1,000 requests/s",
            count: 300,
            budget: Some((1_000.0, 2_000.0)),
            prepare: || {
                let scenario = web(100, 1_000);
                Box::new(move || {
                    let (mut timeline, _, _) = Timeline::new(&scenario, None, ());
                    timeline.seek(Time::from_secs(300));
                    timeline.cluster().state_hash().into()
                })
            },
        },
        Work {
            name: "back to a moment of the last 10 minutes",
            size: "that cluster, 10 moments",
            count: 10,
            budget: Some((1_000.0, 2_000.0)),
            prepare: || {
                let (mut timeline, _, _) = Timeline::new(&web(100, 1_000), None, ());
                timeline.seek(Time::from_secs(600));
                Box::new(move || {
                    for moment in 0..10 {
                        timeline.seek(Time::from_millis(590_900 - moment * 59_000));
                    }
                    timeline.cluster().state_hash().into()
                })
            },
        },
        Work {
            name: "10 minutes of a small cluster",
            size: "4 Pods, 40 requests/s",
            count: 600,
            budget: None,
            prepare: || {
                Box::new(|| {
                    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
                    timeline.seek(Time::from_secs(600));
                    timeline.cluster().state_hash().into()
                })
            },
        },
        Work {
            name: "frames of 50 ms",
            size: "a minute, 4 Pods",
            count: 1_200,
            budget: None,
            prepare: || Box::new(|| frames(WEB).into()),
        },
        Work {
            name: "frames of 50 ms",
            size: "a minute, 300 Pods, 500 requests/s",
            count: 1_200,
            budget: None,
            prepare: || {
                let many = web(300, 500);
                Box::new(move || frames(&many).into())
            },
        },
    ]
}

fn web(pods: u32, rate: u32) -> String {
    WEB.replace("replicas: 4", &format!("replicas: {pods}")).replace("rate: 40", &format!("rate: {rate}"))
}

/// A Deployment of so many Pods is applied to a running, empty cluster; until all are ready endpoints.
fn deployment(pods: usize, nodes: u32) -> String {
    let cluster =
        format!("apiVersion: lab/v1\nkind: Cluster\nmetadata: {{name: big}}\nspec: {{seed: 7, nodes: {nodes}}}\n");
    let objects: String = WEB
        .split("---\n")
        .filter(|d| d.contains("kind: Deployment") || d.contains("kind: Service"))
        .map(|d| d.replace("replicas: 4", &format!("replicas: {pods}")))
        .collect::<Vec<_>>()
        .join("---\n");
    let (mut timeline, _, _) = Timeline::new(&cluster, None, ());
    let start = Time::from_secs(1);
    timeline.seek(start);
    timeline.execute_at(start, lab_protocol::Command::Apply { yaml: objects });
    let mut at = start;
    while ready(&timeline) < pods && at < start + Span::from_secs(600) {
        at += Span::from_secs(1);
        timeline.seek(at);
    }
    format!("{} ready after {:.0} s", ready(&timeline), at.since(start).as_secs_f64())
}

fn ready(timeline: &Timeline<()>) -> usize {
    let slices = timeline.cluster().store().list::<kube_api::EndpointSlice>();
    let of_web = slices.filter(|s| s.metadata.name.starts_with("web"));
    of_web.flat_map(|s| s.endpoints.iter()).filter(|e| e.conditions.ready != Some(false)).count()
}

/// A minute as the page asks for it.
fn frames(scenario: &str) -> String {
    let (mut engine, cluster) = (Engine::new(), ClusterId(1));
    engine.handle(Request::Open {
        cluster,
        scenario: scenario.into(),
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    });
    let (to, step) = (Time::from_secs(60), Span::from_millis(50));
    let (mut reached, mut bytes) = (Time::ZERO, 0);
    while reached < to {
        for reply in engine.handle(Request::Advance { cluster, epoch: 0, to, step }) {
            bytes += encode(&reply).len();
            if let Reply::Frames { reached: r, .. } = reply {
                reached = r;
            }
        }
    }
    format!("{} bytes a frame", bytes / 1_200)
}
