//! Help while one writes. The caret is at `|`.

use kube_api::assist::{
    Advice, Doubt, Edit, Reference, Remedy, advice, complete, diff, fields_of, fixes, hover, type_of_kind,
};
use kube_api::manifest::parse;
use kube_api::yaml::load;
use std::sync::OnceLock;

fn reference() -> &'static Reference {
    static READ: OnceLock<Reference> = OnceLock::new();
    READ.get_or_init(|| {
        let files = [
            include_str!("../../../public/reference/kubernetes.txt"),
            include_str!("../../../public/reference/lab-en.txt"),
        ];
        Reference::read(files.join("\n"))
    })
}

/// The text without its caret, and the caret's line and column.
fn caret(marked: &str) -> (String, u32, u32) {
    let (before, after) = marked.split_once('|').expect("a caret");
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
    (format!("{before}{after}"), line, column)
}

fn labels(marked: &str) -> Vec<String> {
    let (text, line, column) = caret(marked);
    complete(&text, line, column, reference()).items.into_iter().map(|s| s.label).collect()
}

/// The text after a suggestion was taken.
fn taken(marked: &str, label: &str) -> String {
    let (text, line, column) = caret(marked);
    let found = complete(&text, line, column, reference());
    let one = found.items.iter().find(|s| s.label == label).unwrap_or_else(|| panic!("{label} at {marked}"));
    let mut lines: Vec<String> = text.split('\n').map(String::from).collect();
    let chars: Vec<char> = lines[line as usize - 1].chars().collect();
    let head: String = chars[..found.column as usize - 1].iter().collect();
    let tail: String = chars[column as usize - 1..].iter().collect();
    lines[line as usize - 1] = format!("{head}{}{tail}", one.insert);
    lines.join("\n")
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n";

#[test]
fn fields_of_a_place() {
    for (rest, first, others) in [
        ("|", &["spec", "status"][..], &["kind"][..]),
        ("sp|", &["spec"], &[]),
        ("spec:\n  |", &["clusterIP"], &["metadata", "port"]),
        ("spec:\n  type: NodePort\n  |\n  ports: []\n", &["selector"], &["type", "ports"]),
        ("spec:\n  ports:\n  - |", &["name", "port", "protocol", "targetPort", "nodePort"], &["ports"]),
        ("spec:\n  ports:\n  - port: 80\n    |", &["name", "targetPort"], &["port"]),
        ("spec:\n  ports:\n  - port: 80\n  |", &["selector"], &["targetPort"]),
        ("spec:\n  ports:\n    - port: 80\n    - na|", &["name", "port"], &["selector"]),
        ("spec:\n  ports:\n  |", &["- name", "- port", "selector"], &["ports"]),
        ("spec:\n  ports:\n    |", &["- name"], &["selector"]),
        ("spec:\n  ports: [{port: 80, |}]\n", &["name", "targetPort"], &["port"]),
        ("spec:\n  ports: [{port: 80}, {pro|}]\n", &["protocol", "port"], &[]),
        ("spec:\n  ports:\n    [\n      {port: 80,\n       |", &["targetPort"], &["port"]),
        ("spec: {|", &["ports", "selector"], &[]),
        ("spec:\n  sessionAffinityConfig:\n    clientIP:\n      |", &["timeoutSeconds"], &["clientIP"]),
        // What is broken elsewhere doesn't matter.
        ("spec:\n  broken\n  ports:\n  - port: \"80\n    |", &["targetPort"], &[]),
    ] {
        let seen = labels(&format!("{SERVICE}{rest}"));
        for label in first {
            assert!(seen.contains(&(*label).into()), "{label} at {rest:?} in {seen:?}");
        }
        for label in others {
            assert!(!seen.contains(&(*label).into()), "{label} at {rest:?} in {seen:?}");
        }
    }
}

#[test]
fn the_likeliest_first() {
    assert_eq!(labels("|"), ["apiVersion", "kind", "metadata", "spec"]);
    assert_eq!(labels(&format!("{SERVICE}spec:\n  ports:\n  |"))[..2], ["- name", "- port"]);
    let ports = labels(&format!("{SERVICE}spec:\n  ports:\n  - |"));
    assert_eq!(ports[..2], ["name", "port"], "what is required comes before the rest");
    let container = labels("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - |");
    let place = |name: &str| container.iter().position(|c| c == name).unwrap();
    assert!(place("ports") < place("stdin"), "what has no effect comes last");
    let meta = labels("apiVersion: v1\nkind: Pod\nmetadata:\n  |");
    assert!(meta[0] == "name" && meta.iter().position(|m| m == "labels") < meta.iter().position(|m| m == "uid"));
}

#[test]
fn values_of_a_place() {
    for (marked, want) in [
        (
            "apiVersion: v1\nkind: Service\nspec:\n  type: |",
            &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"][..],
        ),
        (
            "apiVersion: v1\nkind: Service\nspec:\n  type: No|",
            &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        ),
        (
            "apiVersion: v1\nkind: Service\nspec:\n  type:\n    |",
            &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        ),
        ("apiVersion: v1\nkind: Service\nspec: {type: |}", &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
        ("apiVersion: v1\nkind: Service\nspec:\n  ipFamilies:\n  - |", &["IPv4", "IPv6"]),
        ("apiVersion: v1\nkind: Service\nspec:\n  ipFamilies: [IPv4, |]", &["IPv4", "IPv6"]),
        ("apiVersion: v1\nkind: Service\nspec:\n  ports:\n  - protocol: |", &["TCP", "UDP", "SCTP"]),
        ("apiVersion: v1\nkind: Service\nspec:\n  publishNotReadyAddresses: |", &["true", "false"]),
        (
            "apiVersion: v1\nkind: Service\nspec:\n  trafficDistribution: |",
            &["PreferSameZone", "PreferSameNode", "PreferClose"],
        ),
        ("apiVersion: lab/v1\nkind: Workload\nspec: {sigterm: |}", &["drain", "drop", "ignore"]),
        ("apiVersion: lab/v1\nkind: Client\nspec:\n  arrival: |", &["random", "steady"]),
        // No values are known, or it is no place for one.
        ("apiVersion: v1\nkind: Service\nspec:\n  clusterIPs: |", &[]),
        ("apiVersion: v1\nkind: Service\nspec: |", &[]),
        ("apiVersion: v1\nkind: Service\nspec:|", &[]),
        ("apiVersion: v1\nkind: Service\nspec:\n  type: ClusterIP |", &[]),
        ("apiVersion: v1\nkind: Service # a |", &[]),
        ("apiVersion: v1\nkind: Service\n# |", &[]),
        ("apiVersion: v1\nkind: Service\nmetadata:\n  annotations:\n    note: >\n      sp|", &[]),
        ("apiVersion: v1\nkind: Service\nspec:\n  nothing:\n    |", &[]),
        ("apiVersion: v1\nkind: Service\nmetadata:\n  labels:\n    a|", &[]),
    ] {
        assert_eq!(labels(marked), want, "{marked:?}");
    }
}

#[test]
fn kinds_and_versions() {
    let kinds = labels("apiVersion: apps/v1\nkind: |");
    assert!(kinds[..2].contains(&"Deployment".into()) && kinds[..4].contains(&"ReplicaSet".into()), "{kinds:?}");
    assert!(labels("kind: |").contains(&"Service".into()));
    assert_eq!(labels("apiVersion: lab/v1\nkind: |")[..4], ["Cluster", "Client", "Workload", "Fault"]);
    assert_eq!(labels("kind: Deployment\napiVersion: |")[0], "apps/v1");
    assert_eq!(labels("kind: Service\n---\nkind: EndpointSlice\napiVersion: |")[0], "discovery.k8s.io/v1");
    assert!(labels("a: 1\n---\n|\n---\nkind: Pod\n").contains(&"kind".into()));
    assert_eq!(
        labels("apiVersion: lab/v1\nkind: Fault\nspec:\n  pod: {|}"),
        ["name", "deployment", "namespace", "nth"]
    );
}

#[test]
fn what_is_put_in() {
    let spec = |rest: &str| format!("{SERVICE}spec:\n{rest}");
    for (before, label, after) in [
        ("  ty|", "type", "  type: "),
        ("  ty|\n  ports: []", "type", "  type: \n  ports: []"),
        ("  ty|: NodePort", "type", "  type: NodePort"),
        ("  |", "ports", "  ports:\n  - "),
        ("  |", "selector", "  selector:\n    "),
        ("  sess|", "sessionAffinityConfig", "  sessionAffinityConfig:\n    "),
        ("  ports:\n  |", "- port", "  ports:\n  - port: "),
        ("  ports:\n  - |", "port", "  ports:\n  - port: "),
        ("  ports: [{po|}]", "port", "  ports: [{port: }]"),
        ("  type: Cl|", "ClusterIP", "  type: ClusterIP"),
        ("  ipFamilies:\n  |", "- IPv6", "  ipFamilies:\n  - IPv6"),
        ("  名: x\n  ty|", "type", "  名: x\n  type: "),
    ] {
        assert_eq!(taken(&spec(before), label), spec(after), "{before:?}");
    }
    assert_eq!(
        taken("kind: Pod\nspec:\n  containers:\n  - name: a\n    rea|", "readinessProbe"),
        "kind: Pod\nspec:\n  containers:\n  - name: a\n    readinessProbe:\n      "
    );
}

#[test]
fn suggestions_say_what_they_are() {
    let (text, line, column) = caret("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - |");
    let items = complete(&text, line, column, reference()).items;
    let of = |label: &str| items.iter().find(|s| s.label == label).unwrap();
    assert_eq!((of("ports").type_.as_str(), of("ports").required), ("[]ContainerPort", false));
    assert!(of("name").required && of("stdin").without_effect && !of("image").without_effect);
    assert_eq!(of("name").description, "Name of the container specified as a DNS_LABEL.");
    // Without a reference there are words all the same.
    assert!(complete(&text, line, column, &Reference::default()).items.len() == items.len());
}

#[test]
fn what_a_field_means() {
    let at = |marked: &str| {
        let (text, line, column) = caret(marked);
        hover(&text, line, column, reference())
    };
    let port = at(&format!("{SERVICE}spec:\n  ports:\n  - port: 80\n    tar|getPort: http\n")).unwrap();
    assert_eq!(
        (port.name.as_str(), port.type_.as_str(), port.column, port.length),
        ("targetPort", "IntOrString", 5, 10)
    );
    assert!(port.description.starts_with("Number or name of the port to access on the pods"));
    let kind = at("apiVersion: v1\nkind: Ser|vice\n").unwrap();
    assert_eq!((kind.name.as_str(), kind.type_.as_str(), kind.length), ("Service", "v1", 7));
    assert!(kind.description.starts_with("Service is a named abstraction"));
    let value = at(&format!("{SERVICE}spec: {{type: Node|Port}}\n")).unwrap();
    assert_eq!((value.name.as_str(), value.values.len(), value.column), ("type", 4, 14));
    let label = at("apiVersion: v1\nkind: Service\nspec:\n  selector:\n    a|pp: web\n").unwrap();
    assert_eq!((label.name.as_str(), label.type_.as_str()), ("selector", "map[string]string"));
    let idle = at("apiVersion: v1\nkind: Pod\nspec:\n  ephemeralContainers:\n  - na|me: x\n").unwrap();
    assert!(idle.without_effect && idle.required);
    let ours = at("apiVersion: lab/v1\nkind: Workload\nspec:\n  er|rors: 0.5\n").unwrap();
    assert!(!ours.description.is_empty() && ours.type_ == "number");
    for nothing in
        ["|", "apiVersion: v1\nkind: Service\nspec:\n  no|: 1\n", "a: b # c|\n", "apiVersion: v1\n|\nkind: Pod\n"]
    {
        assert_eq!(at(nothing), None, "{nothing:?}");
    }
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut lines: Vec<String> = text.split('\n').map(String::from).collect();
    for edit in edits {
        let chars: Vec<char> = lines[edit.line as usize - 1].chars().collect();
        let (from, to) = (edit.column as usize - 1, (edit.column + edit.length) as usize - 1);
        let (head, tail): (String, String) = (chars[..from].iter().collect(), chars[to..].iter().collect());
        lines[edit.line as usize - 1] = format!("{head}{}{tail}", edit.text);
    }
    lines.join("\n")
}

#[test]
fn what_learners_get_wrong_most() {
    let spec = |rest: &str| format!("{SERVICE}spec:\n{rest}\n");
    let write = |word: &str| Remedy::Write(word.into());
    for (wrong, right, remedy) in [
        (
            spec("  ports: [{port: 80, targetport: 8080}]"),
            spec("  ports: [{port: 80, targetPort: 8080}]"),
            write("targetPort"),
        ),
        (
            spec("  ports:\n  - port: 80\n  selectr: {app: web}"),
            spec("  ports:\n  - port: 80\n  selector: {app: web}"),
            write("selector"),
        ),
        (spec("  ports: [{port: \"80\"}]"), spec("  ports: [{port: 80}]"), Remedy::Unquote("80".into())),
        (
            spec("  ports: [{port: 80}]\n  publishNotReadyAddresses: 'true'"),
            spec("  ports: [{port: 80}]\n  publishNotReadyAddresses: true"),
            Remedy::Unquote("true".into()),
        ),
        (
            spec("  ports: [{port: 80}]\n  selector: {version: 1.30}"),
            spec("  ports: [{port: 80}]\n  selector: {version: \"1.30\"}"),
            Remedy::Quote("\"1.30\"".into()),
        ),
        (
            spec("  ports: [{port: 80}]\n  selector: {live: yes}"),
            spec("  ports: [{port: 80}]\n  selector: {live: \"yes\"}"),
            Remedy::Quote("\"yes\"".into()),
        ),
        (
            spec("  ports: [{port: 80}]\n  type: nodeport"),
            spec("  ports: [{port: 80}]\n  type: NodePort"),
            write("NodePort"),
        ),
        (spec("  ports: [{port: 80, protocol: tcp}]"), spec("  ports: [{port: 80, protocol: TCP}]"), write("TCP")),
        (spec("\tports: [{port: 80}]"), spec("  ports: [{port: 80}]"), Remedy::Untab),
        (
            spec("  ports:\n  -\tport: 80\n\t\tprotocol: TCP"),
            spec("  ports:\n  -\tport: 80\n    protocol: TCP"),
            Remedy::Untab,
        ),
        (
            spec("  ports:\n  - port: 80\n  - port: 443\n    name: web\n  - targetPort: 1\n    port: 1234"),
            spec(
                "  ports:\n  - name: http\n    port: 80\n  - port: 443\n    name: web\n  - name: port-1234\n    targetPort: 1\n    port: 1234",
            ),
            Remedy::NamePorts,
        ),
        (
            spec("  ports: [{port: 53}, {port: 53, protocol: UDP}]"),
            spec("  ports: [{name: dns, port: 53}, {name: port-53, port: 53, protocol: UDP}]"),
            Remedy::NamePorts,
        ),
        (
            "apiVersion: v1\nkind: service\nmetadata: {name: a}\n".into(),
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n".into(),
            write("Service"),
        ),
        (
            "apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n".into(),
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n".into(),
            write("apps/v1"),
        ),
    ] {
        let found = parse(&wrong).diagnostics;
        let fixed = fixes(&wrong, &found);
        assert!(!fixed.is_empty(), "no fix for {wrong}\n{found:?}");
        assert_eq!(fixed[0].remedy, remedy, "{wrong}");
        assert_eq!(apply(&wrong, &fixed[0].edits), right, "{wrong}");
    }
    for none in [
        spec("  ports: [{port: 80}]\n  zzzzzzzz: 1"),
        spec("  ports: [{port: \"http\"}]"),
        spec("  ports: [{port: 70000}]"),
        spec("  a: ["),
    ] {
        let found = parse(&none).diagnostics;
        assert!(!found.is_empty() && fixes(&none, &found).is_empty(), "{none}");
    }
}

/// What `kubectl explain` asks.
#[test]
fn types_can_be_walked() {
    let mut name = type_of_kind("v1", "Service").unwrap();
    for step in ["spec", "ports"] {
        let field = fields_of(name, reference()).into_iter().find(|f| f.name == step).unwrap();
        name = field.kind.of.unwrap();
    }
    let ports = fields_of(name, reference());
    let names: Vec<&str> = ports.iter().map(|f| f.name).collect();
    assert_eq!(names, ["appProtocol", "name", "nodePort", "port", "protocol", "targetPort"]);
    assert!(ports[3].required && ports[3].kind.text == "integer" && !ports[1].required);
    assert_eq!(reference().of_field(name, "port"), "The port that will be exposed by this service.");
}

/// Whatever is typed, wherever the caret is: no panic, and places within the line.
#[test]
fn no_text_is_too_strange() {
    let texts = [
        include_str!("data/tutorial.yaml"),
        "{a: {b: [c, {d: \"e",
        "- - - a: b\n  - c:\n\t- d",
        "\u{feff}a: b\r\n\r\n \u{1F600}: 名\r\n---\n---\n  : :\n? a\n: b\n",
        "a: |\n  b\n c\n\"d: e\n'f': g#h # i\n&x y: *x\n!t {u: v}\n]}{[,",
    ];
    for text in texts {
        for (i, line) in text.split('\n').enumerate() {
            let length = line.chars().count() as u32;
            for column in 0..=length + 2 {
                let found = complete(text, i as u32 + 1, column, reference());
                assert!(found.column <= length + 1, "{text:?} {i} {column}");
                if let Some(seen) = hover(text, i as u32 + 1, column, reference()) {
                    assert!(seen.column + seen.length <= length + 1, "{seen:?}");
                }
            }
        }
        let found = parse(text).diagnostics;
        for fix in fixes(text, &found) {
            apply(text, &fix.edits);
        }
    }
    complete("", 0, 0, reference());
    complete("a", 9, 9, reference());
    hover("", 9, 9, reference());
}

/// Both languages tell of the same fields and values.
#[test]
fn our_own_kinds_in_both_languages() {
    let names = |text: &'static str| -> Vec<String> {
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        lines
            .map(|l| if l.starts_with('=') { l.into() } else { l.split(' ').next().unwrap_or_default().into() })
            .collect()
    };
    let [en, zh] =
        [include_str!("../../../public/reference/lab-en.txt"), include_str!("../../../public/reference/lab-zh.txt")];
    assert_eq!(names(en), names(zh));
    // And nothing is without words that has a place in a text.
    for kind in ["Cluster", "Client", "Workload", "Fault"] {
        let mut types = vec![type_of_kind("lab/v1", kind).expect("a kind")];
        while let Some(name) = types.pop() {
            for field in fields_of(name, reference()) {
                assert!(
                    field.name == "metadata" || !reference().of_field(name, field.name).is_empty(),
                    "{name}.{}",
                    field.name
                );
                types.extend(field.kind.of);
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn random_texts(text in "[ab:\\- \n\t{}\\[\\],#|>'\"&]{0,60}", line in 0u32..8, column in 0u32..20) {
        complete(&text, line, column, reference());
        hover(&text, line, column, reference());
        fixes(&text, &parse(&text).diagnostics);
    }
}

const BACKEND: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web, tier: front}}\n    spec:\n      containers:\n      - {name: web, image: shop/web:1, ports: [{name: http, containerPort: 8080}]}\n---\n";

/// Field, what stands there, doubt, hint.
fn doubts(service: &str) -> Vec<(String, String, Doubt, Option<String>)> {
    let text = format!("{BACKEND}{SERVICE}{service}");
    let parsed = parse(&text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let each = |a: Advice| {
        let line = text.lines().nth(a.span.line as usize - 1).unwrap_or_default();
        let there = line.chars().skip(a.span.column as usize - 1).take(a.span.length as usize).collect();
        (a.path, there, a.doubt, a.hint)
    };
    advice(&parsed, &[]).into_iter().map(each).collect()
}

#[test]
fn a_selector_that_nothing_has() {
    let none = |selector: &str| Doubt::NoPod { selector: selector.into(), namespace: "default".into() };
    for (selector, path, there, said, hint) in [
        ("{app: wep}", "spec.selector[app]", "wep", "app=wep", Some("web")),
        ("{app: shop}", "spec.selector[app]", "shop", "app=shop", Some("web")),
        ("{app: web, tier: back}", "spec.selector[tier]", "back", "app=web,tier=back", Some("front")),
        // No label of that name, or more than one that differs: nothing to propose.
        ("{name: web}", "spec.selector", "selector", "name=web", None),
        ("{app: x, tier: z}", "spec.selector", "selector", "app=x,tier=z", None),
    ] {
        let found = doubts(&format!("spec:\n  selector: {selector}\n  ports: [{{port: 80, targetPort: http}}]\n"));
        assert_eq!(found, [(path.into(), there.into(), none(said), hint.map(String::from))], "{selector}");
    }
    let there = |rest: &str| doubts(&format!("spec:\n  selector: {{app: web}}\n  ports: [{{port: 80, {rest}}}]\n"));
    assert_eq!(there("targetPort: 8080"), []);
    // Pods of another namespace are none.
    let text = format!(
        "{BACKEND}{}spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n",
        SERVICE.replace("name: web", "name: web\n  namespace: shop")
    );
    let found = advice(&parse(&text), &[]);
    assert_eq!(found[0].doubt, Doubt::NoPod { selector: "app=web".into(), namespace: "shop".into() });
    // Neither a Service without a selector nor a text that can't be read whole is judged.
    assert_eq!(doubts("spec: {ports: [{port: 80}]}\n"), []);
    assert_eq!(doubts("spec: {type: ExternalName, externalName: example.com, selector: {app: x}}\n"), []);
    assert_eq!(
        advice(&parse(&format!("{SERVICE}spec: {{selector: {{app: x}}, ports: [{{port: 80}}]}}\n---\na: [\n")), &[]),
        []
    );
}

#[test]
fn a_target_port_that_no_container_declares() {
    let ports = |list: &str| doubts(&format!("spec:\n  selector: {{app: web}}\n  ports: {list}\n"));
    let number = |port| Doubt::NoPort { port, declared: "8080".into() };
    let name = |name: &str, protocol, declared: &str| Doubt::NoPortName {
        name: name.into(),
        protocol,
        declared: declared.into(),
    };
    let path = |field: &str| format!("spec.ports[0].{field}");
    let hint = |h: &str| Some(String::from(h));
    assert_eq!(
        ports("[{port: 80, targetPort: 8081}]"),
        [(path("targetPort"), "8081".into(), number(8081), hint("8080"))]
    );
    // Left out it is the port's number. Another port for clients is no remedy.
    assert_eq!(ports("[{port: 80}]"), [(path("port"), "80".into(), number(80), None)]);
    assert_eq!(ports("[{port: 8080}]"), []);
    let wrong = name("htpp", kube_api::Protocol::Tcp, "http");
    assert_eq!(ports("[{port: 80, targetPort: htpp}]"), [(path("targetPort"), "htpp".into(), wrong, hint("http"))]);
    assert_eq!(ports("[{port: 80, targetPort: http}]"), []);
    // A name is one protocol's (`FindPort` asks for both).
    let wrong = name("http", kube_api::Protocol::Udp, "-");
    assert_eq!(
        ports("[{port: 80, targetPort: http, protocol: UDP}]"),
        [(path("targetPort"), "http".into(), wrong, None)]
    );
    // Who declares no number may listen anywhere; a name must be declared.
    let silent = |target: &str| {
        let text = format!(
            "{BACKEND}{SERVICE}spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {target}}}]}}\n"
        );
        advice(&parse(&text.replace(", ports: [{name: http, containerPort: 8080}]", "")), &[]).len()
    };
    assert_eq!((silent("8081"), silent("http")), (0, 1));
}

fn difference(old: &str, new: &str) -> String {
    let read = |text: &str| load(text).into_iter().next().and_then(Result::ok).unwrap_or_default();
    diff(Some(&read(old)).filter(|_| !old.is_empty()), &read(new))
}

#[test]
fn what_would_become_of_an_object() {
    let old = "kind: Service\nmetadata: {name: web, uid: 1, resourceVersion: '5'}\nspec: {ports: [{port: 80, protocol: TCP, targetPort: 80}], selector: {app: web}, type: ClusterIP}\nstatus: {a: 1}\n";
    let new = old.replace("resourceVersion: '5'", "resourceVersion: '6'").replace("{a: 1}", "{a: 2}");
    assert_eq!(difference(old, &new), "", "what the server keeps for itself");
    let new = old.replace("targetPort: 80", "targetPort: http").replace("{app: web}", "{app: web, tier: \"on\"}");
    assert_eq!(
        difference(old, &new),
        " spec:\n   ports:\n   - port: 80\n-    targetPort: 80\n+    targetPort: http\n   selector:\n+    tier: \"on\"\n"
    );
    for (old, new, want) in [
        ("a: {b: 1}", "a: {c: 1}", " a:\n-  b: 1\n+  c: 1\n"),
        ("a: [1, 2, 3]", "a: [1, 3]", " a:\n- - 2\n"),
        ("a: [1, 3]", "a: [2, 1, 3]", " a:\n+ - 2\n"),
        (
            "a: [{port: 80}]",
            "a: [{port: 81}]",
            " a:\n- - port: 80\n+ - port: 81\n".replace("- -", "--").replace("+ -", "+-").as_str(),
        ),
        (
            "a: [{name: x, v: 1}, {name: z, v: 1}]",
            "a: [{name: z, v: 2}]",
            " a:\n-- name: x\n-  v: 1\n - name: z\n-  v: 1\n+  v: 2\n",
        ),
        ("a: [{name: x, v: 1}]", "a: [{name: x, v: {w: []}}]", " a:\n - name: x\n-  v: 1\n+  v:\n+    w: []\n"),
        ("a: {}\nb: x", "b: x", "-a: {}\n"),
    ] {
        let want = want.replace("- - ", "-- ").replace("+ - ", "+- ");
        assert_eq!(difference(old, new), want, "{old} -> {new}");
    }
    assert_eq!(
        difference("", "metadata: {name: web, uid: 7}\nspec: {a: [{b: 1, c: 2}]}\n"),
        "+metadata:\n+  name: web\n+spec:\n+  a:\n+  - b: 1\n+    c: 2\n"
    );
}

#[test]
fn our_own_kinds_are_read_as_strictly() {
    let found = |spec: &str| {
        let text = format!("apiVersion: lab/v1\nkind: Client\nmetadata: {{name: me}}\nspec:\n  {spec}\n");
        let parsed = parse(&text);
        let fixes = fixes(&text, &parsed.diagnostics);
        let one =
            |d: &kube_api::Diagnostic| (d.path.clone(), d.span.line, d.span.column, d.span.length, d.message.clone());
        (parsed.diagnostics.iter().map(one).collect::<Vec<_>>(), fixes, parsed.manifests.len())
    };
    let (wrong, mended, left) = found("rat: 20");
    assert_eq!(wrong, [("spec.rat".into(), 5, 3, 3, "strict decoding error: unknown field \"spec.rat\"".into())]);
    assert_eq!((mended[0].remedy.clone(), left), (Remedy::Write("rate".into()), 0));
    let (wrong, mended, _) = found("timeout: 5");
    let message = "json: cannot unmarshal number into Go struct field ClientSpec.spec.timeout of type string";
    assert_eq!(wrong, [("spec.timeout".into(), 5, 12, 1, message.into())]);
    assert_eq!(mended[0].remedy, Remedy::Quote("\"5\"".into()));
    assert_eq!(found("rate: 2.5").0, []);
    for nodes in ["3", "[{name: a, zone: z}]"] {
        let parsed = parse(&format!("apiVersion: lab/v1\nkind: Cluster\nspec: {{nodes: {nodes}}}\n"));
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    }
    let parsed = parse("apiVersion: lab/v1\nkind: Cluster\nspec: {nodes: three}\n");
    assert_eq!(parsed.diagnostics[0].path, "spec.nodes");
}
