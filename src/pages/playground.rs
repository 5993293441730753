//! An empty cluster: three nodes, one client, and an editor.

use super::session::Begin;
use super::{Session, lesson};
use crate::dom;
use crate::i18n::t;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

const SCENARIO: &str = include_str!("playground.yaml");

/// What every tutorial shows, in the order of the text's buttons.
const SAMPLES: [(&str, &str); 3] = [
    (
        "service",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: my-service\nspec:\n  selector:\n    app: my-app\n  ports:\n  - protocol: TCP\n    port: 80\n    targetPort: 8080\n",
    ),
    (
        "deployment",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: my-app\nspec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app: my-app\n  template:\n    metadata:\n      labels:\n        app: my-app\n    spec:\n      containers:\n      - name: web\n        image: registry.example/my-app:1.0\n        ports:\n        - containerPort: 8080\n        readinessProbe:\n          httpGet:\n            path: /\n            port: 8080\n          periodSeconds: 2\n",
    ),
    (
        "pod",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: lone\n  labels:\n    app: my-app\nspec:\n  containers:\n  - name: web\n    image: registry.example/my-app:1.0\n    ports:\n    - containerPort: 8080\n",
    ),
];

/// Brings the page to life.
pub fn start() {
    let begin = Begin {
        page: "playground",
        scenario: SCENARIO.into(),
        checks: String::new(),
        text: format!("# {}\n", t("playground-editor")),
    };
    let session = Session::begin(begin);
    lesson::show(session);
    samples(session);
}

/// Buttons in the text add a document to the editor.
fn samples(session: Session) {
    for (name, yaml) in SAMPLES {
        let Ok(Some(button)) = dom::document().query_selector(&format!("[data-sample='{name}']")) else { continue };
        let _ = button.remove_attribute("disabled");
        dom::listen::<web_sys::MouseEvent>(button.unchecked_ref(), "click", move |_| {
            let text = session.editor.text();
            if text.contains(yaml) {
                return session.put(&text);
            }
            let bare = text.lines().all(|l| l.trim().is_empty() || l.starts_with('#'));
            let text = if bare { yaml.to_owned() } else { format!("{}\n---\n{yaml}", text.trim_end()) };
            session.put(&text);
        });
    }
    if let Some(reset) = super::place("reset") {
        super::mount(reset, move || {
            view! {
                <button class="btn btn-sm" on:click=move |_| session.reset_cluster()>{t("reset-cluster")}</button>
            }
        });
    }
}
