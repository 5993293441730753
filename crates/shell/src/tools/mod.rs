//! The tools of nodes and Pods: they act in the simulation.

mod curl;
mod dns;
mod files;
mod kernel;
mod ping;
mod systemctl;

use crate::{Step, World};
use kube_api::{Node, Pod};
use std::sync::Arc;

/// Where a tool runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// On which node.
    node: String,
    /// In which Pod; None: on the node itself.
    pod: Option<Arc<Pod>>,
}

/// A tool: what it does with its arguments.
type Tool = fn(&mut World<'_>, &Place, &[String]) -> Step;

/// Tools that are everywhere.
const TOOLS: &[(&str, Tool)] = &[
    ("curl", curl::run),
    ("nslookup", dns::nslookup),
    ("dig", dns::dig),
    ("ping", ping::run),
    ("ip", files::ip),
    ("cat", files::cat),
    ("env", files::env),
    ("printenv", files::env),
    ("hostname", files::hostname),
    ("sh", shell),
    ("bash", shell),
];

/// Tools that only a node has, since they need its kernel.
const OF_NODES: &[(&str, Tool)] = &[
    ("iptables-save", kernel::iptables_save),
    ("nft", kernel::nft),
    ("ipvsadm", kernel::ipvsadm),
    ("ipset", kernel::ipset),
    ("conntrack", kernel::conntrack),
    ("systemctl", systemctl::run),
];

fn find(place: &Place, name: &str) -> Option<Tool> {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let of_nodes = if place.pod.is_none() { OF_NODES } else { &[] };
    TOOLS.iter().chain(of_nodes).find(|(n, _)| *n == bare).map(|(_, tool)| *tool)
}

/// A command in a Pod.
pub(crate) fn in_pod(world: &mut World<'_>, pod: &Arc<Pod>, command: &[String]) -> Step {
    let container = pod.spec.containers.first().map(|c| c.name.clone()).unwrap_or_default();
    let node = pod.spec.node_name.clone();
    if node.is_empty() {
        return world
            .fail(&format!("Error from server (BadRequest): pod {} does not have a host assigned", pod.metadata.name));
    }
    if let Some(machine) = world.cluster().machine(&node).filter(|m| !m.is_reachable()) {
        let ip = machine.ip;
        return world.fail(&format!("Error from server: error dialing backend: dial tcp {ip}:10250: i/o timeout"));
    }
    if !world.cluster().kubelet_runs(&node) {
        let ip = world.cluster().machine(&node).map(|m| m.ip.to_string()).unwrap_or_default();
        let dial = format!("dial tcp {ip}:10250: connect: connection refused");
        return world.fail(&format!("Error from server: error dialing backend: {dial}"));
    }
    let runs = world.cluster().process_of(pod.metadata.uid).is_some_and(cluster::Process::runs);
    if !runs {
        return world.fail(&format!("error: unable to upgrade connection: container not found ({container:?})"));
    }
    let Some((name, rest)) = command.split_first() else { return Step::Done(0) };
    let place = Place { node, pod: Some(pod.clone()) };
    let Some(tool) = find(&place, name) else {
        return world.fail(&format!("error: Internal error occurred: error executing command in container: failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: unable to start container process: exec: {name:?}: executable file not found in $PATH: unknown"));
    };
    match tool(world, &place, rest) {
        Step::Done(code) => {
            told(world, code);
            Step::Done(code)
        }
        Step::Waiting(mut next) => Step::Waiting(Box::new(move |world| {
            let code = next(world)?;
            told(world, code);
            Some(code)
        })),
    }
}

fn told(world: &mut World<'_>, code: i32) {
    if code != 0 {
        world.complain(&format!("command terminated with exit code {code}"));
    }
}

/// `node NAME -- COMMAND` or `ssh NODE COMMAND`.
pub(crate) fn on_node(world: &mut World<'_>, how: &str, words: &[String]) -> Step {
    let Some((name, rest)) = words.split_first() else {
        return world.fail(&format!("usage: {how} NODE COMMAND..."));
    };
    let rest = rest.strip_prefix(&["--".to_owned()][..]).unwrap_or(rest);
    let reachable = world.cluster().machine(name).map(|m| (m.powered, m.is_reachable()));
    let known = world.cluster().store().list::<Node>().any(|n| n.metadata.name == *name);
    match reachable {
        None => {
            let names: Vec<String> = world.cluster().machines().map(|m| m.name.to_string()).collect();
            let hint = if known { String::new() } else { format!("; nodes: {}", names.join(", ")) };
            return fail_with(
                world,
                255,
                &format!("ssh: Could not resolve hostname {name}: Name or service not known{hint}"),
            );
        }
        Some((false, _)) => {
            return fail_with(world, 255, &format!("ssh: connect to host {name} port 22: No route to host"));
        }
        // `node` is the machine's own console, which needs no cable.
        Some((_, false)) if how == "ssh" => {
            return fail_with(world, 255, &format!("ssh: connect to host {name} port 22: Connection timed out"));
        }
        _ => {}
    }
    let Some((command, arguments)) = rest.split_first() else {
        return world.fail(&format!("usage: {how} NODE COMMAND..."));
    };
    let place = Place { node: name.clone(), pod: None };
    match find(&place, command) {
        Some(tool) => tool(world, &place, arguments),
        None => fail_with(world, 127, &format!("bash: {command}: command not found")),
    }
}

pub(crate) fn fail_with(world: &mut World<'_>, code: i32, complaint: &str) -> Step {
    world.complain(complaint);
    Step::Done(code)
}

/// `sh -c 'COMMAND'`.
fn shell(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let [flag, line, ..] = words else {
        return fail_with(world, 1, "a shell of one's own is not simulated here; sh -c 'COMMAND' is");
    };
    if flag != "-c" {
        return fail_with(world, 2, &format!("sh: 0: Illegal option {flag}"));
    }
    let commands = match crate::words::split(line) {
        Ok(line) => line.commands,
        Err(complaint) => return fail_with(world, 2, &complaint),
    };
    match &commands[..] {
        [] => Step::Done(0),
        [command] => match command.split_first().map(|(name, rest)| (name, find(place, name), rest)) {
            Some((_, Some(tool), rest)) => tool(world, place, rest),
            Some((name, None, _)) => fail_with(world, 127, &format!("sh: 1: {name}: not found")),
            None => Step::Done(0),
        },
        _ => fail_with(world, 2, "sh: | within sh -c is not simulated here; put it behind the whole command"),
    }
}
