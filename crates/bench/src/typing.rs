//! What the editor asks while somebody types.

use crate::Work;
use engine::Engine;
use lab_base::Time;
use lab_protocol::{ClusterId, Reply, Request};

/// The works of this module. Errors are to be told within a frame of the screen.
pub fn works() -> Vec<Work> {
    vec![
        Work {
            name: "read what was typed, with fixes",
            size: "1,000 lines, 100 mistakes",
            count: 1,
            budget: Some((16.0, 32.0)),
            prepare: || {
                let yaml = thousand_lines();
                Box::new(move || {
                    match &Engine::new().handle(Request::Check { cluster: None, ticket: 1, yaml: yaml.clone() })[..] {
                        [Reply::Checked { diagnostics, fixes, .. }] => {
                            format!("{} mistakes, {} fixes", diagnostics.len(), fixes.len()).into()
                        }
                        _ => String::new().into(),
                    }
                })
            },
        },
        Work {
            name: "read what was typed, beside a cluster",
            size: "1,000 lines, 20 warnings",
            count: 1,
            budget: Some((16.0, 32.0)),
            prepare: || {
                let (mut engine, cluster) = shop();
                let yaml = thousand_lines().replace("nodeport", "NodePort").replace("\"80\"", "80");
                let yaml = yaml.replace("targetport: 8080", "targetPort: 8081");
                Box::new(move || {
                    let ask = Request::Check { cluster: Some(cluster), ticket: 1, yaml: yaml.clone() };
                    match &engine.handle(ask)[..] {
                        [Reply::Checked { diagnostics, .. }] => format!("{} warnings", diagnostics.len()).into(),
                        _ => String::new().into(),
                    }
                })
            },
        },
        Work {
            name: "what Apply would change",
            size: "1,000 lines, 60 objects",
            count: 1,
            budget: None,
            prepare: || {
                let (mut engine, cluster) = shop();
                let yaml = thousand_lines().replace("nodeport", "NodePort").replace("\"80\"", "80");
                let yaml = yaml.replace("targetport: 8080", "targetPort: 8081");
                Box::new(move || {
                    let ask = Request::Compare { cluster, ticket: 1, yaml: yaml.clone(), at: Time::ZERO };
                    match &engine.handle(ask)[..] {
                        [Reply::Compared { changes, .. }] => {
                            let letters: usize = changes.iter().map(|c| c.lines.len()).sum();
                            format!("{} changes, {letters} letters", changes.len()).into()
                        }
                        _ => String::new().into(),
                    }
                })
            },
        },
        Work {
            name: "put a text's layout in order",
            size: "1,000 lines",
            count: 1,
            budget: None,
            prepare: || {
                let yaml = thousand_lines().replace("  ", "    ");
                Box::new(move || match &Engine::new().handle(Request::Format { ticket: 1, yaml: yaml.clone() })[..] {
                    [Reply::Formatted { text, .. }] => format!("{} letters", text.len()).into(),
                    _ => String::new().into(),
                })
            },
        },
        Work {
            name: "what can stand at the caret",
            size: "1,000 lines, at their end",
            count: 1,
            budget: Some((16.0, 32.0)),
            prepare: || {
                let yaml = thousand_lines() + "kind: Service\nspec:\n  ports:\n  - ";
                let line = yaml.matches('\n').count() as u32 + 1;
                Box::new(move || {
                    let ask = Request::Complete { ticket: 1, yaml: yaml.clone(), line, column: 5 };
                    match &Engine::new().handle(ask)[..] {
                        [Reply::Completed { suggestions, .. }] => format!("{} words", suggestions.len()).into(),
                        _ => String::new().into(),
                    }
                })
            },
        },
    ]
}

/// An engine with a cluster that has a shop's Deployment.
fn shop() -> (Engine, ClusterId) {
    let cluster = ClusterId(1);
    let mut engine = Engine::new();
    engine.handle(Request::Open {
        cluster,
        scenario: thousand_lines().lines().take(19).map(|l| format!("{l}\n")).collect(),
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    });
    (engine, cluster)
}

/// Deployments, and Services with three mistakes each: 50 lines a round.
fn thousand_lines() -> String {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web-N\nspec:\n  type: nodeport\n  selector:\n    app: web\n  ports:\n  - port: \"80\"\n    targetport: 8080\n---\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-N\nspec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app: web\n  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      containers:\n      - image: shop/web:1\n        name: web\n        ports: [{containerPort: 8080}]\n---\n";
    (0..20).map(|i| format!("{deployment}{service}{deployment}").replace('N', &i.to_string())).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thousand_lines() {
        assert_eq!(super::thousand_lines().lines().count(), 1_000);
        for work in super::works().into_iter().filter(|w| w.size.contains("1,000 lines")) {
            let done = (work.prepare)()().checksum;
            assert!(!done.is_empty() && !done.starts_with('0'), "{}: {done}", work.name);
            println!("{}: {done}", work.name);
        }
    }
}
