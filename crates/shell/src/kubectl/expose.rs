//! `kubectl run` and `expose`: a Pod and Services made up from flags (`kubectl/pkg/cmd/run`, `expose`).

use super::create::texts;
use super::manifest::{make, metadata, pairs};
use super::required;
use crate::flags::Args;
use crate::resource::{self, Body, Item};
use crate::{Step, World};
use kube_api::wire::{map, of};
use kube_api::yaml::{Tree, Value};
use kube_api::{Object, StringMap};

/// Flags of run.
pub const RUN: &str = "image:s port:s l,labels:s dry-run:?unchanged o,output:s restart:s env:l command:b expose:b \
rm:b i,stdin:b t,tty:b q,quiet:b attach:b image-pull-policy:s annotations:l overrides:s override-type:s \
pod-running-timeout:d field-manager:s save-config:b leave-stdin-open:b privileged:b grace-period:i force:b now:b \
wait:b timeout:d cascade:?background ~f,filename:l ~k,kustomize:s ~R,recursive:b ~template:s ~show-managed-fields:b";

/// Flags of expose.
pub const EXPOSE: &str = "port:s target-port:s name:s type:s protocol:s selector:s l,labels:s cluster-ip:s \
external-ip:s load-balancer-ip:s session-affinity:s dry-run:?unchanged o,output:s save-config:b field-manager:s \
~f,filename:l ~overrides:s ~override-type:s ~R,recursive:b ~k,kustomize:s ~template:s ~show-managed-fields:b";

/// `a=b,c=d`
fn label_list(text: &str) -> Result<Vec<(String, String)>, String> {
    let part = |p: &str| match p.split_once('=') {
        Some((k, v)) => Ok((k.to_owned(), v.to_owned())),
        None => Err(format!("error: unexpected label spec: {p}")),
    };
    text.split(',').filter(|p| !p.is_empty()).map(part).collect()
}

/// `kubectl run`.
pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    if let Err(complaint) = required(args, &["image"]) {
        return world.fail(&complaint);
    }
    let before = args.dash.unwrap_or(args.words.len());
    let Some(name) = args.words.first().filter(|_| before > 0) else {
        return world.fail(&args.usage("NAME is required for run"));
    };
    if args.text("image").is_empty() {
        return world.fail("error: --image is required");
    }
    let attached = args.on("stdin") || args.on("tty") || args.on("attach");
    if args.on("rm") && !attached {
        return world.fail(&args.usage("--rm should only be used for attached containers"));
    }
    if attached {
        return world.fail(
            "error: kubectl run -i, -t, --rm and --attach are not simulated here; kubectl exec POD -- COMMAND is",
        );
    }
    let labels = match args.get("labels").map(label_list) {
        Some(Ok(labels)) => labels,
        Some(Err(complaint)) => return world.fail(&complaint),
        None => vec![("run".to_owned(), name.clone())],
    };
    let restart = args.get("restart").unwrap_or("Always");
    if !matches!(restart, "Always" | "OnFailure" | "Never") {
        return world.fail(&args.usage(&format!("invalid restart policy: {restart}")));
    }
    let port = args.text("port");
    if !port.is_empty() && port.parse::<i64>().is_err() {
        return world.fail(&format!("error: strconv.Atoi: parsing {port:?}: invalid syntax"));
    }
    let words: Vec<&str> = args.words[1..].iter().map(String::as_str).collect();
    let mut container = vec![("image", Value::text(args.text("image"))), ("name", Value::text(name.clone()))];
    if !words.is_empty() {
        container.push((if args.on("command") { "command" } else { "args" }, texts(&words)));
    }
    let mut env = Vec::new();
    for text in args.each("env") {
        let Some((key, value)) = text.split_once('=') else {
            return world.fail(&format!("error: invalid env: {text}"));
        };
        env.push(of(map(vec![("name", Value::text(key)), ("value", Value::text(value))])));
    }
    if !env.is_empty() {
        container.push(("env", Value::Seq(env)));
    }
    if let Some(port) = args.number("port") {
        container.push(("ports", Value::Seq(vec![of(map(vec![("containerPort", Value::Int(port.into()))]))])));
    }
    container.push(("resources", map(Vec::new())));
    let object = map(vec![
        ("apiVersion", Value::text("v1")),
        ("kind", Value::text("Pod")),
        ("metadata", metadata(world, Some(name), labels.clone())),
        (
            "spec",
            map(vec![
                ("containers", Value::Seq(vec![of(map(container))])),
                ("dnsPolicy", Value::text("ClusterFirst")),
                ("restartPolicy", Value::text(restart)),
            ]),
        ),
        ("status", map(Vec::new())),
    ]);
    if !args.on("expose") {
        return make(world, args, of(object), "created");
    }
    let Some(port) = args.number("port") else {
        return world.fail(&args.usage("--port must be set when exposing a service"));
    };
    let service = exposed(world, name, &labels, &labels, vec![plain_port(port, "TCP", None)], &[]);
    match make(world, args, service, "created") {
        Step::Done(0) => make(world, args, of(object), "created"),
        failed => failed,
    }
}

fn plain_port(port: i64, protocol: &str, target: Option<&str>) -> Vec<(&'static str, Value)> {
    let target = match target {
        Some(text) => text.parse::<i64>().map_or_else(|_| Value::text(text), |t| Value::Int(t.into())),
        None => Value::Int(port.into()),
    };
    vec![("port", Value::Int(port.into())), ("protocol", Value::text(protocol)), ("targetPort", target)]
}

fn exposed(
    world: &World<'_>,
    name: &str,
    labels: &[(String, String)],
    selector: &[(String, String)],
    ports: Vec<Vec<(&'static str, Value)>>,
    more: &[(&'static str, Value)],
) -> Tree {
    let mut spec = vec![
        ("ports", Value::Seq(ports.into_iter().map(|p| of(map(p))).collect())),
        ("selector", pairs(selector.to_vec())),
    ];
    spec.extend(more.iter().cloned());
    of(map(vec![
        ("apiVersion", Value::text("v1")),
        ("kind", Value::text("Service")),
        ("metadata", metadata(world, Some(name), labels.to_vec())),
        ("spec", map(spec)),
        ("status", map(vec![("loadBalancer", map(Vec::new()))])),
    ]))
}

/// `kubectl expose`.
pub fn expose(world: &mut World<'_>, args: &Args) -> Step {
    if args.words.is_empty() {
        return world.fail(&no_resource());
    }
    let (items, missing) = match named_items(world, args) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if let Some(complaint) = missing.first() {
        return world.fail(complaint);
    }
    let mut code = 0;
    for item in items {
        match expose_one(world, args, &item) {
            Step::Done(0) => {}
            _ => code = 1,
        }
    }
    Step::Done(code)
}

/// The objects that words name; all of a type when only types are given.
fn named_items(world: &World<'_>, args: &Args) -> Result<(Vec<Item>, Vec<String>), String> {
    let mut found = (Vec::new(), Vec::new());
    match resource::named(&args.words)? {
        resource::Named::Types(types) => {
            for type_ in types {
                found.0.extend(resource::list(world.cluster(), type_, Some(resource::namespace(args))));
            }
        }
        resource::Named::Objects(objects) => {
            for (type_, name) in objects {
                match resource::get(world.cluster(), type_, resource::namespace(args), &name) {
                    Some(item) => found.0.push(item),
                    None => found.1.push(resource::not_found(type_, &name)),
                }
            }
        }
    }
    Ok(found)
}

fn expose_one(world: &mut World<'_>, args: &Args, item: &Item) -> Step {
    let list = |m: &StringMap| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
    // Ports of the object, with their protocols.
    let container_ports = |spec: &kube_api::PodSpec| {
        spec.containers.iter().flat_map(|c| &c.ports).map(|p| (p.container_port, p.protocol)).collect::<Vec<_>>()
    };
    let expressions = match &item.body {
        Body::Stored(Object::Deployment(o)) => &o.spec.selector.match_expressions[..],
        Body::Stored(Object::ReplicaSet(o)) => &o.spec.selector.match_expressions[..],
        _ => &[],
    };
    if !expressions.is_empty() && args.get("selector").is_none() {
        let shown: Vec<String> = expressions
            .iter()
            .map(|r| format!("{{Key:{} Operator:{:?} Values:[{}]}}", r.key, r.operator, r.values.join(" ")))
            .collect();
        let complaint = format!(
            "error: couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions - \"[{}]\" to map-based selector format",
            shown.join(" ")
        );
        return world.fail(&complaint);
    }
    let (selector, ports) = match &item.body {
        Body::Stored(Object::Deployment(o)) => {
            (list(&o.spec.selector.match_labels), container_ports(&o.spec.template.spec))
        }
        Body::Stored(Object::ReplicaSet(o)) => {
            (list(&o.spec.selector.match_labels), container_ports(&o.spec.template.spec))
        }
        Body::Stored(Object::Pod(o)) => {
            if o.metadata.labels.is_empty() {
                return world.fail("error: couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed");
            }
            (list(&o.metadata.labels), container_ports(&o.spec))
        }
        Body::Stored(Object::Service(o)) => {
            if o.spec.selector.is_empty() {
                return world.fail("error: couldn't retrieve selectors via --selector flag or introspection: the service has no pod selector set");
            }
            (list(&o.spec.selector), o.spec.ports.iter().map(|p| (p.port, p.protocol)).collect())
        }
        _ => return world.fail(&format!("error: cannot expose a {}", item.type_.full_singular())),
    };
    let selector = match args.get("selector").map(label_list) {
        Some(Ok(selector)) => selector,
        Some(Err(complaint)) => return world.fail(&complaint),
        None => selector,
    };
    let labels = match args.get("labels").map(label_list) {
        Some(Ok(labels)) => labels,
        Some(Err(complaint)) => return world.fail(&complaint),
        None => list(&item.meta.labels),
    };
    let numbers: Vec<i64> = match args.get("port") {
        Some(text) => {
            let mut numbers = Vec::new();
            for part in text.split(',') {
                match part.parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => return world.fail(&format!("error: strconv.Atoi: parsing {part:?}: invalid syntax")),
                }
            }
            numbers
        }
        None if ports.is_empty() => {
            return world.fail("error: couldn't find port via --port flag or introspection\nSee 'kubectl expose -h' for help and examples");
        }
        None => ports.iter().map(|(p, _)| i64::from(*p)).collect(),
    };
    let several = numbers.len() > 1;
    let made: Vec<Vec<(&str, Value)>> = numbers
        .iter()
        .enumerate()
        .map(|(i, number)| {
            let of_port = ports.iter().find(|(p, _)| i64::from(*p) == *number).map(|(_, p)| p.to_string());
            let protocol = args.get("protocol").map(str::to_owned).or(of_port).unwrap_or_else(|| "TCP".into());
            let mut port = plain_port(*number, &protocol, args.get("target-port"));
            if several {
                port.push(("name", Value::text(format!("port-{}", i + 1))));
            }
            port
        })
        .collect();
    let mut more = Vec::new();
    for (flag, field) in [
        ("type", "type"),
        ("cluster-ip", "clusterIP"),
        ("load-balancer-ip", "loadBalancerIP"),
        ("session-affinity", "sessionAffinity"),
    ] {
        if let Some(value) = args.get(flag).filter(|v| !v.is_empty()) {
            more.push((field, Value::text(value)));
        }
    }
    if let Some(ip) = args.get("external-ip") {
        more.push(("externalIPs", texts(&[ip])));
    }
    let name = args.get("name").unwrap_or(&item.meta.name).to_owned();
    let object = exposed(world, &name, &labels, &selector, made, &more);
    make(world, args, object, "exposed")
}

/// Nothing was named.
pub fn no_resource() -> String {
    "error: You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'".into()
}
