//! What Pods request, and what is left of a node (`pkg/scheduler/framework/plugins/noderesources/fit.go`).

use super::filters::Refusal;
use kube_api::{Container, Node, PodSpec, Quantity, Release};

/// What the Pods of a node request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// CPU in thousandths.
    pub cpu: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// How many Pods.
    pub pods: usize,
    /// How many of them want to have certain others not near.
    pub choosy: usize,
}

fn milli(text: &str) -> u64 {
    u64::try_from(Quantity::parse(text).thousandths()).unwrap_or(0)
}

fn cpu(quantity: Option<&String>) -> u64 {
    quantity.map_or(0, |q| milli(q))
}

fn memory(quantity: Option<&String>) -> u64 {
    quantity.map_or(0, |q| milli(q).div_ceil(1_000))
}

/// CPU in thousandths and bytes of memory that a Pod requests (`PodRequests`): its containers and sidecars together, or more,
/// if an init container needs more besides the sidecars before it.
pub(crate) fn requests(spec: &PodSpec) -> (u64, u64) {
    let of = |c: &Container| (cpu(c.resources.requests.get("cpu")), memory(c.resources.requests.get("memory")));
    let plus = |a: (u64, u64), b: (u64, u64)| (a.0.saturating_add(b.0), a.1.saturating_add(b.1));
    let most = |a: (u64, u64), b: (u64, u64)| (a.0.max(b.0), a.1.max(b.1));
    let (mut sidecars, mut init) = ((0, 0), (0, 0));
    for container in &spec.init_containers {
        if container.is_sidecar() {
            sidecars = plus(sidecars, of(container));
            init = most(init, sidecars);
        } else {
            init = most(init, plus(sidecars, of(container)));
        }
    }
    most(init, spec.containers.iter().map(of).fold(sidecars, plus))
}

/// CPU and memory that a node has for Pods, and how many.
fn allocatable(node: &Node) -> (u64, u64, usize) {
    let of = &node.status.allocatable;
    (cpu(of.get("cpu")), memory(of.get("memory")), of.get("pods").and_then(|p| p.parse().ok()).unwrap_or(110))
}

/// Whether a Pod's requests fit into what is left of a node.
pub(super) fn refuses(
    spec: &PodSpec,
    wanted: (u64, u64),
    node: &Node,
    used: Requested,
    release: Release,
) -> Option<Refusal> {
    let (cpu, memory, pods) = allocatable(node);
    let mut refusal = Refusal { reasons: Vec::new(), unresolvable: false };
    if used.pods >= pods {
        refusal.reasons.push("Too many pods".into());
    }
    for (name, wanted, used, all) in [("cpu", wanted.0, used.cpu, cpu), ("memory", wanted.1, used.memory, memory)] {
        if wanted > 0 && wanted > all.saturating_sub(used) {
            refusal.reasons.push(format!("Insufficient {name}"));
            // What an empty node couldn't hold can't be made room for, newer releases say.
            refusal.unresolvable |= wanted > all && release.0 >= 31;
        }
    }
    // Nodes have no other resources.
    let all = spec.init_containers.iter().chain(&spec.containers).flat_map(|c| c.resources.requests.iter());
    for (name, quantity) in all.filter(|(name, _)| !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")) {
        if milli(quantity) > 0 && !node.status.allocatable.contains_key(name) {
            let reason = format!("Insufficient {name}");
            if !refusal.reasons.contains(&reason) {
                refusal.reasons.push(reason);
                refusal.unresolvable |= release.0 >= 31;
            }
        }
    }
    (!refusal.reasons.is_empty()).then_some(refusal)
}

/// How full a node would be with a Pod, in hundredths of CPU and of memory together (`LeastAllocated`).
pub(super) fn fullness(node: &Node, used: Requested, wanted: (u64, u64)) -> u64 {
    let (cpu, memory, _) = allocatable(node);
    let share = |used: u64, all: u64| used.saturating_mul(100).checked_div(all).unwrap_or(0);
    share(used.cpu.saturating_add(wanted.0), cpu) + share(used.memory.saturating_add(wanted.1), memory)
}
