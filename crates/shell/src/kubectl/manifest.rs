//! Objects from files and from what other verbs make up: `apply -f`, `create -f`, and the way of a made-up object.

use super::get::Form;
use crate::flags::Args;
use crate::print::{json, yaml};
use crate::{Step, World};
use kube_api::manifest;
use kube_api::wire::{map, of};
use kube_api::yaml::{Tree, Value};
use lab_protocol::Command;

/// Flags of apply.
pub const APPLY: &str = "f,filename:l dry-run:?unchanged o,output:s l,selector:s field-manager:s force-conflicts:b \
server-side:b wait:b overwrite:b validate:?strict timeout:d ~prune:b ~all:b ~R,recursive:b ~k,kustomize:s \
~openapi-patch:b ~cascade:?background ~grace-period:i ~force:b ~prune-allowlist:l ~applyset:s ~template:s \
~show-managed-fields:b ~subresource:s ~allow-missing-template-keys:b";

/// `kubectl apply`.
pub fn apply(world: &mut World<'_>, args: &Args) -> Step {
    if let Some(word) = args.words.first() {
        return world.fail(&args.usage(&format!("Unexpected args: [{word}]")));
    }
    files(world, args, |yaml| Command::Apply { yaml })
}

/// Sends each file that `-f` names to the server.
pub fn files(world: &mut World<'_>, args: &Args, command: fn(String) -> Command) -> Step {
    let names: Vec<String> = args.all("filename").map(str::to_owned).collect();
    if names.is_empty() {
        return world.fail("error: must specify one of -f and -k");
    }
    let mut code = 0;
    for name in names {
        let Some(text) = world.api.file(&name) else {
            return world.fail(&format!("error: the path {name:?} does not exist"));
        };
        if !send(world, &name, &text, dry(args), command) {
            code = 1;
        }
    }
    Step::Done(code)
}

/// Whether nothing is to be changed (`--dry-run=client`, `--dry-run=server`).
pub fn dry(args: &Args) -> Option<&'static str> {
    match args.get("dry-run") {
        Some("client" | "unchanged" | "true") => Some(" (dry run)"),
        Some("server") => Some(" (server dry run)"),
        _ => None,
    }
}

/// Sends a text to the server, and prints what it answers. False: something was refused.
fn send(world: &mut World<'_>, name: &str, text: &str, dry: Option<&str>, command: fn(String) -> Command) -> bool {
    let shown = if name == "-" { "STDIN" } else { name };
    let parsed = manifest::parse_as(text, world.cluster().release());
    let mut complaints: Vec<String> = Vec::new();
    for answer in &parsed.answers {
        let message = answer.message.as_str();
        complaints.push(match message.split_once(": ") {
            Some(("BadRequest", rest)) if rest.contains("is missing") => {
                format!("error: error validating {shown:?}: error validating data: {}; if you choose to ignore these errors, turn validation off with --validate=false", missing(rest))
            }
            Some(("BadRequest", rest)) => format!("Error from server (BadRequest): error when creating {shown:?}: {rest}"),
            Some(("yaml", rest)) => {
                format!("error: error parsing {shown}: error converting YAML to JSON: yaml: {rest}")
            }
            _ if message.starts_with("no matches for kind") => {
                format!("error: resource mapping not found for name: \"\" namespace: \"\" from {shown:?}: {message}\nensure CRDs are installed first")
            }
            _ => message.to_owned(),
        });
    }
    // Mistakes in fields come one by one; the server puts those of an object into one answer.
    let complaints = envelopes(text, complaints, &parsed);
    for manifest in &parsed.manifests {
        if let manifest::Content::Lab { kind, .. } = &manifest.content {
            world.complain(&format!("error: resource mapping not found for name: \"\" namespace: \"\" from {shown:?}: no matches for kind {kind:?} in version \"lab/v1\"\nensure CRDs are installed first"));
        }
    }
    // The server's own warnings come with its answers; ours are about the text.
    let warnings = |of: &dyn Fn(&kube_api::Diagnostic) -> bool| -> Vec<kube_api::Diagnostic> {
        let warns = |d: &&kube_api::Diagnostic| d.severity == kube_api::Severity::Warning && of(d);
        parsed.diagnostics.iter().filter(warns).cloned().collect()
    };
    warnings(&|d| d.remark.is_some()).iter().for_each(|w| world.warn(&w.message));
    let stands = |world: &World<'_>| -> Vec<Option<(u64, i64)>> {
        let meta = |m: &manifest::Manifest| match &m.content {
            manifest::Content::Object(o) => {
                let found = world.cluster().find(o.kind(), &o.metadata().key())?;
                Some((found.metadata().resource_version, found.metadata().generation))
            }
            manifest::Content::Lab { .. } => None,
        };
        parsed.manifests.iter().map(meta).collect()
    };
    let before = stands(world);
    let mut good = complaints.is_empty();
    if let Some(dry) = dry {
        for manifest in &parsed.manifests {
            if let manifest::Content::Object(object) = &manifest.content {
                let verb = match world.cluster().find(object.kind(), &object.metadata().key()) {
                    Some(_) => "configured",
                    None => "created",
                };
                let name = crate::resource::Item::stored(object.clone()).map(|i| i.slashed()).unwrap_or_default();
                world.say(&format!("{name} {verb}{dry}"));
            }
        }
    } else if !parsed.manifests.is_empty() {
        let command = command(text.to_owned());
        // The note itself is a change.
        let mut unapplied = Vec::new();
        if matches!(command, Command::Apply { .. }) {
            unapplied = warn_of_unapplied(world, &parsed);
        }
        let applied = world.api.execute(command);
        for ((manifest, was), is) in parsed.manifests.iter().zip(&before).zip(stands(world)) {
            let manifest::Content::Object(object) = &manifest.content else { continue };
            let asked = match was {
                None => is.is_some(),
                Some((version, generation)) => is.is_some_and(|(v, g)| {
                    v != *version && kube_api::validation::warns_on_update(object.kind(), g != *generation)
                }),
            };
            if asked {
                let of = |d: &kube_api::Diagnostic| d.remark.is_none() && d.document == manifest.document;
                warnings(&of).iter().for_each(|w| world.warn(&w.message));
            }
        }
        for line in &applied.results {
            if line.starts_with("Error") || line.starts_with("The ") || line.starts_with("error") {
                world.complain(&line.replacen(
                    "AlreadyExists): ",
                    &format!("AlreadyExists): error when creating {shown:?}: "),
                    1,
                ));
                good = false;
            } else if let Some(name) = line.strip_suffix(" unchanged").filter(|n| unapplied.iter().any(|u| u == n)) {
                world.say(&format!("{name} configured"));
            } else {
                world.say(line);
            }
        }
        // What the server refused comes after what the text itself had wrong.
        for refused in
            applied.diagnostics.iter().skip(parsed.diagnostics.len()).filter(|d| d.error && !d.message.is_empty())
        {
            world.complain(&refused.message.replace("\"STDIN\"", &format!("{shown:?}")));
            good = false;
        }
    }
    complaints.iter().for_each(|c| world.complain(c));
    good
}

/// What wasn't made by apply has no note of what was applied, which apply says.
/// Gives the names of those.
fn warn_of_unapplied(world: &mut World<'_>, parsed: &manifest::Parsed) -> Vec<String> {
    let (mut warnings, mut names) = (Vec::new(), Vec::new());
    for manifest in &parsed.manifests {
        let manifest::Content::Object(object) = &manifest.content else { continue };
        let (kind, key) = (object.kind(), object.metadata().key());
        if world.cluster().find(kind, &key).is_some() && !world.cluster().was_applied(kind, &key) {
            names.extend(crate::resource::Item::stored(object.clone()).map(|i| i.slashed()));
            warnings.push(format!("Warning: resource {}/{} is missing the kubectl.kubernetes.io/last-applied-configuration annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.", kind.plural(), key.name));
        }
    }
    warnings.iter().for_each(|w| world.complain(w));
    names
}

fn missing(text: &str) -> &'static str {
    if text.contains("'Kind'") { "[apiVersion not set, kind not set]" } else { "apiVersion not set" }
}

/// `The Service "x" is invalid: ...` for each document whose fields are wrong.
fn envelopes(text: &str, plain: Vec<String>, parsed: &manifest::Parsed) -> Vec<String> {
    let documents = kube_api::yaml::load(text);
    let mut out: Vec<String> = Vec::new();
    let mut last: Option<(u32, Vec<String>)> = None;
    let finish = |group: Option<(u32, Vec<String>)>, out: &mut Vec<String>| {
        let Some((document, lines)) = group else { return };
        let tree = documents.get(document as usize).and_then(|d| d.as_ref().ok());
        let kind = tree.map(|t| t.str("kind").to_owned()).unwrap_or_default();
        let name = tree.and_then(|t| t.at(&["metadata", "name"])).and_then(Tree::as_str).unwrap_or_default();
        let head = format!("The {kind} \"{name}\" is invalid: ");
        out.push(match &lines[..] {
            [one] => format!("{head}{one}"),
            many => many.iter().fold(head, |text, line| format!("{text}\n* {line}")),
        });
    };
    for (line, answer) in plain.into_iter().zip(&parsed.answers) {
        let of_field = !answer.path.is_empty() && line == answer.message;
        match &mut last {
            Some((document, lines)) if of_field && *document == answer.document => lines.push(line),
            _ => {
                finish(last.take(), &mut out);
                if of_field { last = Some((answer.document, vec![line])) } else { out.push(line) }
            }
        }
    }
    finish(last.take(), &mut out);
    out
}

/// Creates an object that a verb made up, or prints it (`--dry-run=client -o yaml`).
pub fn make(world: &mut World<'_>, args: &Args, object: Tree, done: &str) -> Step {
    let kind = object.str("kind").to_owned();
    let name = object.at(&["metadata", "name"]).and_then(Tree::as_str).unwrap_or_default().to_owned();
    let slashed = crate::resource::TYPES
        .iter()
        .find(|t| t.kind == kind)
        .map(|t| format!("{}/{name}", t.full_singular()))
        .unwrap_or_default();
    let form = match Form::read(args.text("output")) {
        Ok(form) => form,
        // Nothing that is made is printed as a table.
        Err(complaint) => {
            let complaint = complaint.replace("custom-columns,custom-columns-file,", "").replace(",wide,", ",");
            return world.fail(&complaint);
        }
    };
    match args.get("dry-run") {
        None | Some("none" | "client" | "server" | "unchanged") => {}
        Some(other) => {
            return world.fail(&format!(
                "error: Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
            ));
        }
    }
    let dry = dry(args);
    let mut shown = object.clone();
    kube_api::wire::sort(&mut shown);
    if dry.is_none() {
        // The server has the namespace from the address.
        let mut sent = object;
        if let Some(metadata) = kube_api::wire::get_mut(&mut sent, "metadata")
            && kind != "Namespace"
        {
            kube_api::wire::set(metadata, "namespace", Value::text(crate::resource::namespace(args)));
        }
        let parsed = manifest::parse_tree(sent.clone(), world.cluster().release());
        if let Some(answer) = parsed.answers.first() {
            let lines: Vec<String> = parsed.answers.iter().map(|a| a.message.clone()).collect();
            let text = match answer.message.split_once(": ") {
                Some(("BadRequest", rest)) => format!("Error from server (BadRequest): {rest}"),
                _ if lines.len() == 1 => format!("The {kind} \"{name}\" is invalid: {}", lines[0]),
                _ => format!("The {kind} \"{name}\" is invalid: \n* {}", lines.join("\n* ")),
            };
            return world.fail(&text);
        }
        let said =
            parsed.diagnostics.iter().filter(|d| d.remark.is_none() && d.severity == kube_api::Severity::Warning);
        said.for_each(|d| world.warn(&d.message));
        let applied = world.api.execute(Command::Create { yaml: yaml::document(&sent) });
        if !applied.changed {
            let refused = applied.diagnostics.iter().find(|d| d.error).map(|d| &d.message);
            let text = applied.results.first().or(refused).cloned().unwrap_or_default();
            let text = text.replace("error when creating \"STDIN\": ", "");
            let verb = if done == "created" && kind != "Pod" {
                format!("failed to create {}: ", word(&kind))
            } else {
                String::new()
            };
            let told = text.strip_prefix("Error from server (").and_then(|rest| rest.split_once("): "));
            let text = match told.map(|(_, rest)| rest) {
                Some(rest) if !verb.is_empty() => format!("error: {verb}{rest}"),
                _ => text,
            };
            return world.fail(&text);
        }
        if let Some(item) = crate::resource::TYPES
            .iter()
            .find(|t| t.kind == kind)
            .and_then(|t| crate::resource::get(world.cluster(), t, crate::resource::namespace(args), &name))
        {
            shown = item.wire(world.cluster());
        }
    }
    match form {
        Form::Table { wide: false } => world.say(&format!("{slashed} {done}{}", dry.unwrap_or_default())),
        Form::Yaml => world.out.stdout.push_str(&yaml::document(&shown)),
        Form::Json => {
            if dry.is_some() {
                as_declared(&mut shown);
            }
            world.out.stdout.push_str(&json::pretty(&shown));
        }
        Form::Name => world.say(&slashed),
        Form::Path(text, template) => match template.print(&shown) {
            Ok(out) => world.out.stdout.push_str(&out),
            Err(why) => {
                return world
                    .fail(&format!("error: error executing jsonpath {text:?}: Error executing template: {why}"));
            }
        },
        _ => return world.fail("error: this output format isn't simulated here for what is created"),
    }
    Step::Done(0)
}

/// Puts keys into the order in which Go's types declare them: what isn't from the server is printed so.
fn as_declared(tree: &mut Tree) {
    const ORDER: &str = "kind apiVersion metadata spec name creationTimestamp labels matchLabels containers image \
command args protocol port targetPort nodePort containerPort ports value env resources replicas selector template \
strategy clusterIP type externalIPs sessionAffinity loadBalancerIP externalName restartPolicy dnsPolicy status";
    let place = |name: &str| ORDER.split_ascii_whitespace().position(|o| o == name);
    match &mut tree.value {
        Value::Map(entries) => {
            crate::order::sort_by_key(entries, |(key, _)| place(&key.name));
            let inner = entries.iter_mut().filter(|(k, _)| !matches!(k.name.as_str(), "labels" | "matchLabels"));
            inner.for_each(|(_, t)| as_declared(t));
        }
        Value::Seq(items) => items.iter_mut().for_each(as_declared),
        _ => {}
    }
}

fn word(kind: &str) -> String {
    // As each subcommand's file has it: `failed to create ClusterIP service: ` and so on.
    match kind {
        "Service" => "ClusterIP service".into(),
        other => other.to_ascii_lowercase(),
    }
}

/// Whether made-up objects show `creationTimestamp: null` (`omitzero` since 1.34).
pub fn null_times(world: &World<'_>) -> bool {
    world.cluster().release().0 < 34
}

/// Metadata of a made-up object.
pub fn metadata(world: &World<'_>, name: Option<&str>, labels: Vec<(String, String)>) -> Value {
    let mut entries = Vec::new();
    if null_times(world) {
        entries.push(("creationTimestamp", Value::Null));
    }
    if !labels.is_empty() {
        entries.push(("labels", pairs(labels)));
    }
    if let Some(name) = name {
        entries.push(("name", Value::text(name)));
    }
    map(entries)
}

/// A mapping of texts.
pub fn pairs(pairs: Vec<(String, String)>) -> Value {
    Value::Map(pairs.into_iter().map(|(k, v)| (kube_api::yaml::Key::new(k), of(Value::text(v)))).collect())
}
