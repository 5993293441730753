//! `kubectl create`, `run`, `expose`: objects made up from flags (`kubectl/pkg/cmd/create`, `run`, `expose`).

use super::manifest::{files, make, metadata, pairs};
use super::required;
use crate::flags::Args;
use crate::resource::{self, Body, Item};
use crate::{Step, World};
use kube_api::wire::{map, of};
use kube_api::yaml::{Tree, Value};
use kube_api::{Object, StringMap};
use lab_protocol::Command;

/// Flags of create itself.
pub const CREATE: &str = "f,filename:l dry-run:?unchanged o,output:s save-config:b validate:?strict field-manager:s \
image:l r,replicas:i port:i tcp:l node-port:i clusterip:s external-name:s ~edit:b ~R,recursive:b ~k,kustomize:s \
l,selector:s from-literal:l from-file:l min-available:s max-unavailable:s append-hash:b ~from-env-file:l ~raw:s ~windows-line-endings:b ~template:s ~show-managed-fields:b ~allow-missing-template-keys:b";

/// Flags of run.
pub const RUN: &str = "image:s port:i l,labels:s dry-run:?unchanged o,output:s restart:s env:l command:b expose:b \
rm:b i,stdin:b t,tty:b q,quiet:b attach:b image-pull-policy:s annotations:l overrides:s override-type:s \
pod-running-timeout:d field-manager:s save-config:b leave-stdin-open:b privileged:b grace-period:i force:b now:b \
wait:b timeout:d cascade:?background ~f,filename:l ~k,kustomize:s ~R,recursive:b ~template:s ~show-managed-fields:b";

/// Flags of expose.
pub const EXPOSE: &str = "port:s target-port:s name:s type:s protocol:s selector:s l,labels:s cluster-ip:s \
external-ip:s load-balancer-ip:s session-affinity:s dry-run:?unchanged o,output:s save-config:b field-manager:s \
~f,filename:l ~overrides:s ~override-type:s ~R,recursive:b ~k,kustomize:s ~template:s ~show-managed-fields:b";

/// `kubectl create`.
pub fn create(world: &mut World<'_>, args: &Args) -> Step {
    let Some((sub, rest)) = args.words.split_first() else {
        return files(world, args, |yaml| Command::Create { yaml });
    };
    let mut args = args.clone();
    args.dash = args.dash.map(|d| d.saturating_sub(1));
    args.words = rest.to_vec();
    match sub.as_str() {
        "deployment" | "deploy" => {
            args.path = "kubectl create deployment".into();
            deployment(world, &args)
        }
        "service" | "svc" => service(world, args),
        "namespace" | "ns" => {
            args.path = "kubectl create namespace".into();
            let name = match one_name(&args) {
                Ok(name) => name,
                Err(complaint) => return world.fail(&complaint),
            };
            let object = map(vec![
                ("apiVersion", Value::text("v1")),
                ("kind", Value::text("Namespace")),
                ("metadata", metadata(world, Some(&name), Vec::new())),
                ("spec", map(Vec::new())),
                ("status", map(Vec::new())),
            ]);
            make(world, &args, of(object), "created")
        }
        "configmap" | "cm" => {
            args.path = "kubectl create configmap".into();
            match config_map(world, &args) {
                Ok(object) => make(world, &args, of(object), "created"),
                Err(complaint) => world.fail(&complaint),
            }
        }
        "poddisruptionbudget" | "pdb" => {
            args.path = "kubectl create poddisruptionbudget".into();
            match budget(world, &args) {
                Ok(object) => make(world, &args, of(object), "created"),
                Err(complaint) => world.fail(&complaint),
            }
        }
        "clusterrole" | "clusterrolebinding" | "cronjob" | "cj" | "ingress" | "ing" | "job" | "priorityclass"
        | "pc" | "quota" | "resourcequota" | "role" | "rolebinding" | "secret" | "serviceaccount" | "sa" | "token" => {
            world.fail(&format!("error: kubectl create {sub} is not simulated here"))
        }
        _ => {
            let words = [core::slice::from_ref(sub), rest].concat();
            let complaint = format!("Unexpected args: [{}]", words.join(" "));
            args.path = "kubectl create".into();
            let complaint = args.usage(&complaint);
            world.fail(&complaint)
        }
    }
}

fn one_name(args: &Args) -> Result<String, String> {
    let words = &args.words[..args.dash.unwrap_or(args.words.len()).min(args.words.len())];
    match words {
        [name] => Ok(name.clone()),
        _ => Err(args.usage(&format!("exactly one NAME is required, got {}", words.len()))),
    }
}

/// `kubectl create configmap` (`create_configmap.go`).
fn config_map(world: &World<'_>, args: &Args) -> Result<Value, String> {
    let name = one_name(args)?;
    let mut data: Vec<(String, String)> = Vec::new();
    for source in args.each("from-file") {
        let (key, file) = source.split_once('=').unwrap_or((source.rsplit('/').next().unwrap_or(source), source));
        let text = world
            .api
            .file(file)
            .ok_or_else(|| format!("error: error reading {file}: stat {file}: no such file or directory"))?;
        data.push((key.into(), text));
    }
    for source in args.each("from-literal") {
        let (key, value) = source
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("error: invalid literal source {source}, expected key=value"))?;
        data.push((key.into(), value.into()));
    }
    let mut entries = vec![("apiVersion", Value::text("v1"))];
    if !data.is_empty() {
        entries.push(("data", pairs(data)));
    }
    entries.extend([("kind", Value::text("ConfigMap")), ("metadata", metadata(world, Some(&name), Vec::new()))]);
    Ok(map(entries))
}

/// `kubectl create poddisruptionbudget` (`create_pdb.go`).
fn budget(world: &World<'_>, args: &Args) -> Result<Value, String> {
    let name = one_name(args)?;
    let selector = args.text("selector");
    if selector.is_empty() {
        return Err("error: a selector must be specified".into());
    }
    let value = |flag: &str| args.get(flag).filter(|v| !v.is_empty());
    let (field, amount) = match (value("min-available"), value("max-unavailable")) {
        (None, None) => return Err("error: one of min-available or max-unavailable must be specified".into()),
        (Some(_), Some(_)) => return Err("error: min-available and max-unavailable cannot be both specified".into()),
        (Some(least), None) => ("minAvailable", least),
        (None, Some(most)) => ("maxUnavailable", most),
    };
    let amount = amount.parse().map_or_else(|_| Value::text(amount), Value::Int);
    let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.trim_start_matches('=').to_owned()));
    let labels = selector.split(',').map(pair).collect::<Option<Vec<_>>>();
    let labels =
        labels.ok_or_else(|| format!("error: the selector {selector:?} isn't simulated here: only key=value is"))?;
    Ok(map(vec![
        ("apiVersion", Value::text("policy/v1")),
        ("kind", Value::text("PodDisruptionBudget")),
        ("metadata", metadata(world, Some(&name), Vec::new())),
        ("spec", map(vec![(field, amount), ("selector", map(vec![("matchLabels", pairs(labels))]))])),
        ("status", map(Vec::new())),
    ]))
}

/// A container's name from its image: the last part, without tag and digest.
fn name_of(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let end = last.find([':', '@']).unwrap_or(last.len());
    last[..end].replace(['_', '.'], "-").to_ascii_lowercase()
}

fn deployment(world: &mut World<'_>, args: &Args) -> Step {
    if let Err(complaint) = required(args, &["image"]) {
        return world.fail(&complaint);
    }
    let name = match one_name(args) {
        Ok(name) => name,
        Err(complaint) => return world.fail(&complaint),
    };
    let images: Vec<&str> = args.all("image").collect();
    let command: Vec<&str> =
        args.dash.map(|d| args.words[d..].iter().map(String::as_str).collect()).unwrap_or_default();
    let containers = images
        .iter()
        .map(|image| {
            let mut entries = vec![("image", Value::text(*image)), ("name", Value::text(name_of(image)))];
            if let [_] = images[..] {
                if !command.is_empty() {
                    entries.push(("command", texts(&command)));
                }
                if let Some(port) = args.number("port").filter(|p| *p >= 0) {
                    let port = map(vec![("containerPort", Value::Int(port.into()))]);
                    entries.push(("ports", Value::Seq(vec![of(port)])));
                }
            }
            entries.push(("resources", map(Vec::new())));
            of(map(entries))
        })
        .collect();
    let labels = || vec![("app".to_owned(), name.clone())];
    let replicas = args.number("replicas").unwrap_or(1);
    let object = map(vec![
        ("apiVersion", Value::text("apps/v1")),
        ("kind", Value::text("Deployment")),
        ("metadata", metadata(world, Some(&name), labels())),
        (
            "spec",
            map(vec![
                ("replicas", Value::Int(replicas.into())),
                ("selector", map(vec![("matchLabels", pairs(labels()))])),
                ("strategy", map(Vec::new())),
                (
                    "template",
                    map(vec![
                        ("metadata", metadata(world, None, labels())),
                        ("spec", map(vec![("containers", Value::Seq(containers))])),
                    ]),
                ),
            ]),
        ),
        ("status", map(Vec::new())),
    ]);
    make(world, args, of(object), "created")
}

fn texts(words: &[&str]) -> Value {
    Value::Seq(words.iter().map(|w| of(Value::text(*w))).collect())
}

fn service(world: &mut World<'_>, mut args: Args) -> Step {
    let Some(sub) = args.words.first().cloned() else {
        world.complain("Create a service using a specified subcommand.\n\nAliases:\nservice, svc\n\nAvailable Commands:\n  clusterip      Create a ClusterIP service\n  externalname   Create an ExternalName service\n  loadbalancer   Create a LoadBalancer service\n  nodeport       Create a NodePort service\n\nUsage:\n  kubectl create service [flags] [options]\n\nUse \"kubectl create service <command> --help\" for more information about a given command.\nUse \"kubectl options\" for a list of global command-line options (applies to all commands).");
        return Step::Done(1);
    };
    args.words.remove(0);
    let type_ = match sub.as_str() {
        "clusterip" => "ClusterIP",
        "nodeport" => "NodePort",
        "loadbalancer" => "LoadBalancer",
        "externalname" => "ExternalName",
        _ => {
            return world.fail(&format!(
                "error: unknown command {sub:?}\nSee 'kubectl create service -h' for help and examples"
            ));
        }
    };
    args.path = format!("kubectl create service {sub}");
    let name = match one_name(&args) {
        Ok(name) => name,
        Err(complaint) => return world.fail(&complaint),
    };
    if type_ == "ExternalName"
        && let Err(complaint) = required(&args, &["external-name"])
    {
        return world.fail(&complaint);
    }
    let mut ports = Vec::new();
    for text in args.all("tcp") {
        // `80`, `80:8080`, `80:http`
        let (port, target) = text.split_once(':').unwrap_or((text, text));
        let Ok(number) = port.parse::<u16>() else {
            return world.fail(&format!(
                "error: failed to create {type_} service: strconv.ParseInt: parsing {port:?}: invalid syntax"
            ));
        };
        let target_value = target.parse::<u16>().map_or_else(|_| Value::text(target), |t| Value::Int(t.into()));
        let mut entries = vec![
            ("name", Value::text(text.replace(':', "-"))),
            ("port", Value::Int(number.into())),
            ("protocol", Value::text("TCP")),
            ("targetPort", target_value),
        ];
        if type_ == "NodePort"
            && let Some(port) = args.number("node-port").filter(|p| *p > 0)
        {
            entries.push(("nodePort", Value::Int(port.into())));
        }
        ports.push(of(map(entries)));
    }
    let headless = args.get("clusterip") == Some("None");
    if ports.is_empty() && type_ != "ExternalName" && !headless {
        return world.fail("error: at least one tcp port specifier must be provided");
    }
    let labels = || vec![("app".to_owned(), name.clone())];
    let mut spec = vec![("selector", pairs(labels())), ("type", Value::text(type_))];
    if !ports.is_empty() {
        spec.push(("ports", Value::Seq(ports)));
    }
    if let Some(ip) = args.get("clusterip") {
        spec.push(("clusterIP", Value::text(ip)));
    }
    if let Some(to) = args.get("external-name") {
        spec.push(("externalName", Value::text(to)));
    }
    let object = map(vec![
        ("apiVersion", Value::text("v1")),
        ("kind", Value::text("Service")),
        ("metadata", metadata(world, Some(&name), labels())),
        ("spec", map(spec)),
        ("status", map(vec![("loadBalancer", map(Vec::new()))])),
    ]);
    make(world, &args, of(object), "created")
}

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
    if args.on("stdin") || args.on("tty") || args.on("rm") || args.on("attach") {
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
        return world.fail(&format!("error: invalid restart policy: {restart}"));
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
        return world.fail("error: --port must be set when exposing a service");
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
