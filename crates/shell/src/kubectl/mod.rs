//! kubectl: its verbs, and its complaints about others.

mod change;
mod create;
mod delete;
mod describe;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod info;
mod labels;
mod logs;
mod manifest;
mod rollout;

use crate::flags::{self, Args};
use crate::{Step, World};
use cluster::CONNECTION_REFUSED;

/// A verb that is simulated.
struct Verb {
    name: &'static str,
    aliases: &'static [&'static str],
    /// Its flags, as in `flags.rs`.
    flags: &'static str,
    run: fn(&mut World<'_>, &Args) -> Step,
}

const fn verb(
    name: &'static str,
    aliases: &'static [&'static str],
    flags: &'static str,
    run: fn(&mut World<'_>, &Args) -> Step,
) -> Verb {
    Verb { name, aliases, flags, run }
}

/// The verbs that are simulated.
const VERBS: &[Verb] = &[
    verb("get", &[], get::FLAGS, get::run),
    verb("describe", &[], describe::FLAGS, describe::run),
    verb("apply", &[], manifest::APPLY, manifest::apply),
    verb("create", &[], create::CREATE, create::create),
    verb("delete", &[], delete::FLAGS, delete::run),
    verb("edit", &[], edit::EDIT, edit::edit),
    verb("scale", &[], change::SCALE, change::scale),
    verb("rollout", &[], rollout::FLAGS, rollout::run),
    verb("set", &[], change::SET, change::set),
    verb("patch", &[], edit::PATCH, edit::patch),
    verb("label", &[], labels::LABEL, labels::label),
    verb("annotate", &[], labels::LABEL, labels::annotate),
    verb("expose", &[], expose::EXPOSE, expose::expose),
    verb("run", &[], expose::RUN, expose::run),
    verb("cordon", &[], change::CORDON, change::cordon),
    verb("uncordon", &[], change::CORDON, change::uncordon),
    verb("drain", &[], drain::FLAGS, drain::run),
    verb("events", &["event"], events::FLAGS, events::run),
    verb("logs", &["log"], logs::FLAGS, logs::run),
    verb("exec", &[], exec::FLAGS, exec::run),
    verb("api-resources", &[], info::RESOURCES, info::resources),
    verb("api-versions", &[], "", info::versions),
    verb("explain", &[], explain::FLAGS, explain::run),
    verb("version", &[], info::VERSION, info::version),
];

/// All verbs of kubectl 1.36, in its own order.
const ALL: &[&str] = &[
    "create",
    "expose",
    "run",
    "set",
    "explain",
    "get",
    "edit",
    "delete",
    "rollout",
    "scale",
    "autoscale",
    "certificate",
    "cluster-info",
    "top",
    "cordon",
    "uncordon",
    "drain",
    "taint",
    "describe",
    "logs",
    "attach",
    "exec",
    "port-forward",
    "proxy",
    "cp",
    "auth",
    "debug",
    "events",
    "diff",
    "apply",
    "patch",
    "replace",
    "wait",
    "kustomize",
    "label",
    "annotate",
    "completion",
    "api-resources",
    "api-versions",
    "config",
    "plugin",
    "version",
];

/// Runs the words after `kubectl`.
pub fn run(world: &mut World<'_>, words: &[String]) -> Step {
    // Global flags may stand before the verb.
    let at = match first_word(words) {
        Ok(at) => at,
        Err(complaint) => return world.fail(&complaint),
    };
    let Some(at) = at else {
        overview(world);
        return Step::Done(0);
    };
    let name = words[at].as_str();
    let Some(verb) = VERBS.iter().find(|v| v.name == name || v.aliases.contains(&name)) else {
        return unknown(world, name);
    };
    let mut rest = words[..at].to_vec();
    rest.extend_from_slice(&words[at + 1..]);
    let path = path(verb.name, &rest);
    match flags::parse(&path, verb.flags, &rest) {
        Ok(args) if args.on("help") => {
            let flags = verb.flags.split_ascii_whitespace().filter(|f| !f.starts_with('~'));
            let names: Vec<String> = flags.filter_map(|f| f.split(':').next()).map(shown).collect();
            world.say(&format!(
                "Usage:\n  {path} ... [options]\n\nOptions that are simulated here:\n    {}",
                names.join("\n    ")
            ));
            Step::Done(0)
        }
        Ok(args) => {
            if !world.cluster().api_server_answers() {
                if verb.name == "version" {
                    info::client_version(world);
                    if args.on("client") {
                        return Step::Done(0);
                    }
                }
                return world.fail(CONNECTION_REFUSED);
            }
            (verb.run)(world, &args)
        }
        Err(complaint) => world.fail(&complaint),
    }
}

/// The command whose help a complaint about flags names, with its subcommands.
fn path(verb: &str, rest: &[String]) -> String {
    const SUBCOMMANDS: &[(&str, &[&str])] = &[
        ("create", &["deployment", "service", "namespace", "configmap", "poddisruptionbudget"]),
        ("create", &["deploy", "svc", "ns", "cm", "pdb"]),
        ("rollout", &["history", "pause", "restart", "resume", "status", "undo"]),
        ("service", &["clusterip", "externalname", "loadbalancer", "nodeport"]),
        ("set", &["image"]),
    ];
    let mut path = format!("kubectl {verb}");
    let mut above = verb;
    for word in rest {
        let of_above = SUBCOMMANDS.iter().filter(|(name, _)| *name == above);
        let Some(at) = of_above.clone().find_map(|(_, subs)| subs.iter().position(|s| s == word)) else { break };
        let Some(name) = of_above.clone().find_map(|(_, subs)| subs.get(at)) else { break };
        path += &format!(" {name}");
        above = name;
    }
    path
}

fn shown(flag: &str) -> String {
    flag.split_once(',').map_or_else(|| format!("--{flag}"), |(s, l)| format!("-{s}, --{l}"))
}

/// Where the verb stands.
fn first_word(words: &[String]) -> Result<Option<usize>, String> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if !word.starts_with('-') {
            return Ok(Some(at));
        }
        let takes_next = matches!(word.as_str(), "-n" | "--namespace" | "-v" | "--v");
        let end = (at + 1 + usize::from(takes_next)).min(words.len());
        let args = flags::parse("kubectl", "", &words[at..end])?;
        if args.on("help") {
            return Ok(None);
        }
        at = end;
    }
    Ok(None)
}

fn unknown(world: &mut World<'_>, name: &str) -> Step {
    if ALL.contains(&name) {
        return world.fail(&format!("error: kubectl {name} is not simulated here"));
    }
    let near = flags::suggestions(name, ALL.iter().copied());
    let mut complaint = format!("error: unknown command {name:?} for \"kubectl\"");
    if !near.is_empty() {
        complaint.push_str("\n\nDid you mean this?\n");
        near.iter().for_each(|n| complaint.push_str(&format!("\t{n}\n")));
    }
    world.fail(complaint.trim_end_matches('\n'))
}

fn overview(world: &mut World<'_>) {
    let names: Vec<&str> = VERBS.iter().map(|v| v.name).collect();
    world.say("kubectl controls the Kubernetes cluster manager.\n");
    world.say(&format!("Commands that are simulated here:\n  {}\n", names.join("\n  ")));
    world.say("Usage:\n  kubectl [flags] [options]");
}

/// `error: required flag(s) "image" not set`
pub(crate) fn required(args: &Args, names: &[&str]) -> Result<(), String> {
    let missing: Vec<String> = names.iter().filter(|n| args.get(n).is_none()).map(|n| format!("{n:?}")).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("error: required flag(s) {} not set", missing.join(", "))) }
}
