//! `kubectl create`: objects made up from flags (`kubectl/pkg/cmd/create`).

use super::manifest::{files, make, metadata, pairs};
use super::required;
use crate::flags::Args;
use crate::{Step, World};
use kube_api::wire::{map, of};
use kube_api::yaml::Value;
use lab_protocol::Command;

/// Flags of create itself.
pub const CREATE: &str = "f,filename:l dry-run:?unchanged o,output:s save-config:b validate:?strict field-manager:s \
image:l r,replicas:i port:i tcp:l node-port:i clusterip:s external-name:s ~edit:b ~R,recursive:b ~k,kustomize:s \
l,selector:s from-literal:l from-file:l min-available:s max-unavailable:s append-hash:b ~from-env-file:l ~raw:s ~windows-line-endings:b ~template:s ~show-managed-fields:b ~allow-missing-template-keys:b";

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
    if let Some((_, (twice, _))) =
        data.iter().enumerate().find(|(i, (key, _))| data[..*i].iter().any(|(before, _)| before == key))
    {
        return Err(format!(
            "error: cannot add key {twice:?}, another key by that name already exists in Data for ConfigMap {name:?}"
        ));
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
    // Numbers without `omitempty`.
    let counts = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];
    let status = map(counts.iter().map(|name| (*name, Value::Int(0))).collect());
    let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.trim_start_matches('=').to_owned()));
    let labels = selector.split(',').map(pair).collect::<Option<Vec<_>>>();
    let labels =
        labels.ok_or_else(|| format!("error: the selector {selector:?} isn't simulated here: only key=value is"))?;
    Ok(map(vec![
        ("apiVersion", Value::text("policy/v1")),
        ("kind", Value::text("PodDisruptionBudget")),
        ("metadata", metadata(world, Some(&name), Vec::new())),
        ("spec", map(vec![(field, amount), ("selector", map(vec![("matchLabels", pairs(labels))]))])),
        ("status", status),
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
    if images.len() > 1 && !command.is_empty() {
        return world.fail("error: cannot specify multiple --image options and command");
    }
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

pub(super) fn texts(words: &[&str]) -> Value {
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
                "error: unknown command {:?}\nSee 'kubectl create service -h' for help and examples",
                [core::slice::from_ref(&sub), &args.words].concat().join(" ")
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
    if let Some(to) = args.get("external-name").filter(|to| type_ == "ExternalName" && !subdomain(to)) {
        return world.fail(&format!("error: invalid service external name {to}"));
    }
    let mut ports = Vec::new();
    for text in args.all("tcp") {
        // `80`, `80:8080`, `80:http`
        let (port, target) = text.split_once(':').unwrap_or((text, text));
        // kubectl looks at no third part.
        let target = target.split(':').next().unwrap_or(target);
        let Ok(number) = port.parse::<u16>() else {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            return world.fail(&format!("error: strconv.ParseUint: parsing {port:?}: {why}"));
        };
        let wrong = port_name(target);
        if target.parse::<u16>().is_err() && !wrong.is_empty() {
            return world.fail(&format!("error: {}", wrong.join(",")));
        }
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

/// What is wrong with a port's name (`IsValidPortName`).
fn port_name(name: &str) -> Vec<&'static str> {
    let all = |allowed: fn(u8) -> bool| name.bytes().all(allowed);
    let wrong = [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            name.is_empty() || !all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (all(|b| !b.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    wrong.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect()
}

/// Whether it is a DNS subdomain (RFC 1123, `IsDNS1123Subdomain`).
fn subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends(label.bytes().next())
            && ends(label.bytes().last())
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    name.len() <= 253 && name.split('.').all(label)
}
