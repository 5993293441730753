//! Smoke.
use kube_api::manifest::{Content, parse};

#[test]
fn reads_documents() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: my-service\nspec:\n  selector:\n    app: my-app\n  ports:\n  - port: 80\n    targetPort: 8080\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: null, labels: {app: my-app}}\nspec:\n  containers:\n  - name: c\n    image: nginx\n    ports:\n    - containerPort: 8080\n---\na: b: c\n---\napiVersion: lab/v1\nkind: Client\nmetadata:\n  name: x\n";
    let parsed = parse(text);
    assert_eq!(parsed.manifests.len(), 3);
    assert!(matches!(parsed.manifests[2].content, Content::Lab { .. }));
    assert_eq!(parsed.answers[0].message, "yaml: yaml: line 22: mapping values are not allowed in this context");
}
