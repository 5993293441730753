//! What the editor asks: mistakes with their fixes, what can be written, what a word means.

use engine::Engine;
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Command, Diagnostic, Fix, Reply, Request, Verb};

#[test]
fn help_while_one_writes() {
    let mut engine = Engine::new();
    let mut one = |request| engine.handle(request).into_iter().next();
    let yaml =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{port: \"80\"}]\n  \n".to_owned();
    let check = one(Request::Check { cluster: None, ticket: 1, yaml: yaml.clone() });
    let Some(Reply::Checked { ticket: 1, diagnostics, fixes }) = check else { panic!("{check:?}") };
    assert_eq!(fixes[0].title.id, "fix-unquote");
    assert_eq!(diagnostics[fixes[0].diagnostic as usize].line, fixes[0].edits[0].line);

    let ask = |ticket| Request::Complete { ticket, yaml: yaml.clone(), line: 6, column: 3 };
    let Some(Reply::Completed { ticket: 2, column: 3, suggestions, reference: false }) = one(ask(2)) else { panic!() };
    assert!(suggestions.iter().any(|s| s.label == "selector" && s.field && s.description.is_empty()));
    // Once told what fields mean, it knows.
    assert_eq!(one(Request::Reference { text: "ServiceSpec The spec.\n\tselector Who is meant.\n".into() }), None);
    let Some(Reply::Completed { suggestions, reference: true, .. }) = one(ask(3)) else { panic!() };
    assert!(suggestions.iter().any(|s| s.label == "selector" && s.description == "Who is meant."));

    let explain = one(Request::Explain { ticket: 4, yaml: yaml.clone(), line: 5, column: 4 });
    let Some(Reply::Explained { ticket: 4, explanation: Some(told), .. }) = explain else { panic!("{explain:?}") };
    assert_eq!((told.name.as_str(), told.type_.as_str()), ("ports", "[]ServicePort"));
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - {name: web, image: shop/web:1, ports: [{containerPort: 8080}]}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";
const ID: ClusterId = ClusterId(1);

/// An engine with a cluster of a release that has `WEB` and `SERVICE`.
fn running(release: &str) -> Engine {
    let cluster = format!("apiVersion: lab/v1\nkind: Cluster\nspec: {{release: \"{release}\"}}\n");
    let scenario = [&cluster, WEB, SERVICE].join("---\n");
    let mut engine = Engine::new();
    let open = Request::Open {
        cluster: ID,
        scenario,
        seed: None,
        lesson: String::new(),
        solved: Vec::new(),
        commands: Vec::new(),
        at: Time::ZERO,
        hooks: false,
    };
    assert!(matches!(&engine.handle(open)[0], Reply::Opened { diagnostics, .. } if diagnostics.is_empty()));
    engine
}

fn check(engine: &mut Engine, cluster: Option<ClusterId>, yaml: &str) -> (Vec<Diagnostic>, Vec<Fix>) {
    match engine.handle(Request::Check { cluster, ticket: 1, yaml: yaml.into() }).pop() {
        Some(Reply::Checked { diagnostics, fixes, .. }) => (diagnostics, fixes),
        other => panic!("{other:?}"),
    }
}

fn compare(engine: &mut Engine, at: Time, yaml: &str) -> Vec<(String, Verb, String)> {
    match engine.handle(Request::Compare { cluster: ID, ticket: 1, yaml: yaml.into(), at }).pop() {
        Some(Reply::Compared { changes, .. }) => changes.into_iter().map(|c| (c.object, c.verb, c.lines)).collect(),
        other => panic!("{other:?}"),
    }
}

/// KEP-2433: PreferSameZone and PreferSameNode can be written from 1.34 (as beta, on) on.
#[test]
fn a_text_is_read_as_the_clusters_release_reads_it() {
    let yaml = SERVICE.replace("ports:", "trafficDistribution: PreferSameNode, ports:");
    let (old, _) = check(&mut running("1.30"), Some(ID), &yaml);
    assert_eq!(old.len(), 1, "{old:?}");
    assert!(old[0].error && old[0].message.contains("spec.trafficDistribution"), "{}", old[0].message);
    assert_eq!(check(&mut running("1.35"), Some(ID), &yaml).0, []);
    assert_eq!(check(&mut Engine::new(), None, &(yaml + "---\n" + WEB)).0, [], "without a cluster: the newest");
}

#[test]
fn a_service_is_judged_beside_what_the_cluster_has() {
    let mut engine = running("1.36");
    assert_eq!(check(&mut engine, Some(ID), SERVICE).0, []);
    let said = |(diagnostics, fixes): (Vec<Diagnostic>, Vec<Fix>)| {
        let [d] = &diagnostics[..] else { panic!("{diagnostics:?}") };
        assert!(!d.error);
        let fix = fixes.first().map(|f| f.edits[0].text.clone());
        (d.phrase.clone().map(|p| p.id), fix)
    };
    let phrase = |id: &str| Some(String::from(id));
    assert_eq!(
        said(check(&mut engine, Some(ID), &SERVICE.replace("app: web", "app: wbe"))),
        (phrase("diag-no-pod"), phrase("web"))
    );
    assert_eq!(
        said(check(&mut engine, Some(ID), &SERVICE.replace("8080", "8088"))),
        (phrase("diag-no-port"), phrase("8080"))
    );
    assert_eq!(
        said(check(&mut engine, Some(ID), &SERVICE.replace("8080", "http"))),
        (phrase("diag-no-port-name"), None)
    );
    // What the text says of an object goes before what the cluster has of it.
    let yaml = format!("{SERVICE}---\n{}", WEB.replace("app: web", "app: shop"));
    assert_eq!(said(check(&mut engine, Some(ID), &yaml)), (phrase("diag-no-pod"), phrase("shop")));
    // Nobody's Pods stand alone in an empty page.
    assert_eq!(said(check(&mut engine, None, SERVICE)), (phrase("diag-no-pod"), None));
}

#[test]
fn what_apply_would_change() {
    let mut engine = running("1.36");
    // Another order, comments, and what the server would fill in anyway change nothing.
    let same = "# mine\nkind: Service\nspec:\n  ports:\n  - targetPort: 8080 # there\n    protocol: TCP\n    port: 80\n  type: ClusterIP\n  selector: {app: web}\nmetadata: {name: web, namespace: default}\napiVersion: v1\n";
    assert_eq!(compare(&mut engine, Time::ZERO, same), [("Service/web".into(), Verb::Unchanged, String::new())]);
    let text = [
        &SERVICE.replace("8080", "8081"),
        &WEB.replace("replicas: 2", "replicas: 3"),
        &SERVICE.replace("web}\nspec", "new}\nspec"),
    ]
    .map(String::as_str)
    .join("---\n");
    let found = compare(&mut engine, Time::ZERO, &text);
    let port = " spec:\n   ports:\n   - port: 80\n-    targetPort: 8080\n+    targetPort: 8081\n";
    assert_eq!(found[0], ("Service/web".into(), Verb::Configured, port.into()));
    assert_eq!(
        found[1],
        ("Deployment/web".into(), Verb::Configured, " spec:\n-  replicas: 2\n+  replicas: 3\n".into())
    );
    assert_eq!((found[2].0.as_str(), found[2].1), ("Service/new", Verb::Created));
    assert!(found[2].2.contains("+  selector:\n+    app: web\n"), "{}", found[2].2);
    // Nothing was done by asking.
    assert_eq!(compare(&mut engine, Time::ZERO, &text), found);
    let refused = compare(&mut engine, Time::ZERO, &WEB.replace("app: web", "app: shop"));
    assert_eq!(refused[0].1, Verb::Refused);
    assert!(refused[0].2.contains("field is immutable"), "{}", refused[0].2);
    let lab =
        compare(&mut engine, Time::ZERO, "apiVersion: lab/v1\nkind: Client\nmetadata: {name: me}\nspec: {rate: 1}\n");
    assert_eq!(lab, [("Client/me".into(), Verb::Scenario, String::new())]);
}

#[test]
fn compared_is_the_moment_that_is_shown() {
    let mut engine = running("1.36");
    let second = |s| Time::ZERO + Span::from_secs(s);
    let yaml = SERVICE.replace("8080", "8081");
    let apply = Command::Apply { yaml: yaml.clone() };
    engine.handle(Request::Do { cluster: ID, epoch: 1, at: second(7), command: apply, seen: second(7) });
    engine.handle(Request::Advance { cluster: ID, epoch: 1, to: second(12), step: Span::from_secs(1) });
    let verb = |engine: &mut Engine, s| compare(engine, second(s), &yaml)[0].1;
    assert_eq!(
        (verb(&mut engine, 6), verb(&mut engine, 8), verb(&mut engine, 12)),
        (Verb::Configured, Verb::Unchanged, Verb::Unchanged)
    );
}

#[test]
fn a_text_is_formatted_or_left_alone() {
    let mut engine = Engine::new();
    let mut format = |yaml: &str| match engine.handle(Request::Format { ticket: 3, yaml: yaml.into() }).pop() {
        Some(Reply::Formatted { ticket: 3, text, wrong }) => (text, wrong.map(|d| d.line)),
        other => panic!("{other:?}"),
    };
    assert_eq!(format("a:\n    - b\n"), ("a:\n- b\n".into(), None));
    assert_eq!(format("a:\n\t- b\n"), ("a:\n\t- b\n".into(), Some(2)));
}
