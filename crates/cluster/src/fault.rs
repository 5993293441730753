//! Things that break, and are mended.

use crate::cluster::Cluster;
use crate::control_plane::Component;
use crate::event::Event;
use crate::facts::Deed;
use crate::traffic::Wire;
use kube_api::{NamespacedName, Pod, Uid};
use lab_base::{Source, Span, subject};
use lab_protocol::{Fault, MarkKind, Phrase, PodRef};
use std::sync::Arc;

/// From switching a node on until its kubelet and kube-proxy run.
const BOOT: (Span, Span) = (Span::from_secs(12), Span::from_secs(18));

impl Cluster {
    /// The Pod that a fault means now.
    pub fn find_pod(&self, which: &PodRef) -> Option<Arc<Pod>> {
        match which {
            PodRef::Named { namespace, name } => {
                self.store.get::<Pod>(&NamespacedName::new(namespace.clone(), name.clone())).cloned()
            }
            PodRef::Nth { namespace, deployment, nth } => {
                let owner = NamespacedName::new(namespace.clone(), deployment.clone());
                self.living_pods_of(&owner).into_iter().nth((*nth).max(1) as usize - 1)
            }
        }
    }

    /// The Pods of a Deployment that aren't being deleted, by creation.
    pub fn living_pods_of(&self, deployment: &NamespacedName) -> Vec<Arc<Pod>> {
        let mut pods: Vec<_> = self
            .store
            .list::<Pod>()
            .filter(|p| !p.metadata.is_deleting() && !p.is_finished())
            .filter(|p| self.deployment_of(p).as_ref() == Some(deployment))
            .cloned()
            .collect();
        pods.sort_by_key(|p| (p.metadata.creation_timestamp, p.metadata.uid));
        pods
    }

    /// Lets something break, or mends it. False: there is nothing that it could mean, so nothing happened.
    pub fn inject(&mut self, fault: &Fault) -> bool {
        let pod = |which: &PodRef| self.find_pod(which);
        let api = self.api_server_answers();
        let aim = self.failover_aim(fault);
        let done = match fault {
            // kubectl finds no server.
            Fault::DeletePod { .. } | Fault::KillPod { .. } if !api => false,
            Fault::KillProcess { pod: p }
            | Fault::DeletePod { pod: p }
            | Fault::KillPod { pod: p }
            | Fault::FailReadiness { pod: p }
            | Fault::PassReadiness { pod: p }
            | Fault::CutPod { pod: p }
            | Fault::JoinPod { pod: p }
            | Fault::SlowPod { pod: p, .. }
            | Fault::FillPod { pod: p }
            | Fault::MendPod { pod: p } => match pod(p) {
                Some(pod) => self.pod_fault(fault, &pod),
                None => false,
            },
            Fault::PowerOff { node } => self.power_off(node),
            Fault::PowerOn { node } => self.power_on(node),
            Fault::CutNode { node } => self.cut_node(node),
            Fault::JoinNode { node } => self.join_node(node),
            Fault::RemoveRule { node, namespace, service } => self.remove_rule(node, namespace, service),
            Fault::StopDns | Fault::StartDns if self.dns.pods.is_some() => self.hang_dns(*fault == Fault::StopDns),
            Fault::StopDns | Fault::StartDns => self.dns.switch(*fault == Fault::StartDns),
            Fault::SlowLink { node, delay } => self.set_wire(node, |wire| wire.delay = *delay),
            Fault::LosePackets { node, percent } => self.set_wire(node, |wire| wire.loss = (*percent).min(100)),
            Fault::MendLink { node } => self.set_wire(node, |wire| *wire = Wire::default()),
            Fault::PowerOffZone { zone } => self.in_zone(zone, Cluster::power_off),
            Fault::PowerOnZone { zone } => self.in_zone(zone, Cluster::power_on),
            Fault::StopProxy { node } => self.stop_proxy(node),
            Fault::StartProxy { node } => self.start_proxy(node),
            Fault::StopHealthChecks => self.switch_health_checks(true),
            Fault::StartHealthChecks => self.switch_health_checks(false),
            Fault::StopApiServer => self.stop_api_server(),
            Fault::StartApiServer => self.start_api_server(),
            Fault::StopControllerManager => self.stop_component(Component::ControllerManager),
            Fault::StartControllerManager => self.start_controller_manager(),
            Fault::StopController { controller } => self.stop_controller(controller),
            Fault::StartController { controller } => self.start_controller(controller),
            Fault::StopScheduler => self.stop_component(Component::Scheduler),
            Fault::StartScheduler => self.start_component(Component::Scheduler),
            Fault::StopKubelet { node } => self.stop_kubelet(node),
            Fault::StartKubelet { node } => self.start_kubelet(node),
        };
        if done && let Some(node) = node_of(fault) {
            let phrase = Phrase::new(&format!("mark-fault-{}", kebab(fault_name(fault)))).with("node", node);
            self.mark(MarkKind::Fault, format!("Node/{node}"), phrase);
            let deed = Deed::Fault { fault: fault.clone(), pod: None, deployment: None, node: Some(node.into()) };
            self.facts.deed(self.now, deed);
        }
        let component = match fault {
            Fault::StopDns | Fault::StartDns => Some("CoreDNS"),
            Fault::StopHealthChecks | Fault::StartHealthChecks => Some("Cloud"),
            Fault::PowerOffZone { .. } | Fault::PowerOnZone { .. } => Some("Zone"),
            Fault::StopApiServer | Fault::StartApiServer => Some("ControlPlane/kube-apiserver"),
            Fault::StopScheduler | Fault::StartScheduler => Some("ControlPlane/kube-scheduler"),
            Fault::StopControllerManager
            | Fault::StartControllerManager
            | Fault::StopController { .. }
            | Fault::StartController { .. } => Some("ControlPlane/kube-controller-manager"),
            _ => None,
        };
        if let Some(component) = component.filter(|_| done) {
            let mut phrase = Phrase::new(&format!("mark-fault-{}", kebab(fault_name(fault))));
            if let Fault::PowerOffZone { zone } | Fault::PowerOnZone { zone } = fault {
                phrase = phrase.with("zone", zone);
            }
            if let Fault::StopController { controller } | Fault::StartController { controller } = fault {
                phrase = phrase.with("controller", controller);
            }
            self.mark(MarkKind::Fault, component.into(), phrase);
            let deed = Deed::Fault { fault: fault.clone(), pod: None, deployment: None, node: None };
            self.facts.deed(self.now, deed);
        }
        if done {
            self.failover_begins(aim);
        }
        self.look_at_targets();
        self.tell_watchers();
        done
    }

    fn pod_fault(&mut self, fault: &Fault, pod: &Arc<Pod>) -> bool {
        let uid = pod.metadata.uid;
        let key = pod.metadata.key();
        let deployment = self.deployment_of(pod).map(|d| d.name);
        let done = match fault {
            Fault::KillProcess { .. } => self.kill_process(uid),
            Fault::DeletePod { .. } => self.delete_pod(&key, None),
            Fault::KillPod { .. } => {
                self.fall_silent(uid);
                self.tear_down(uid);
                self.delete_pod(&key, Some(0))
            }
            Fault::FailReadiness { .. } => {
                self.set_sandbox(uid, |s| core::mem::replace(&mut s.readiness_failing, true))
            }
            Fault::PassReadiness { .. } => {
                self.set_sandbox(uid, |s| !core::mem::replace(&mut s.readiness_failing, false))
            }
            Fault::SlowPod { factor, .. } => {
                self.set_sandbox(uid, |s| core::mem::replace(&mut s.slowed, *factor) == *factor)
            }
            Fault::FillPod { .. } => self.fill_pod(uid),
            Fault::MendPod { .. } => self.mend_pod(uid),
            Fault::CutPod { .. } => self.set_sandbox(uid, |s| core::mem::replace(&mut s.cut, true)),
            Fault::JoinPod { .. } => self.set_sandbox(uid, |s| !core::mem::replace(&mut s.cut, false)),
            _ => false,
        };
        if done {
            let id = format!("mark-fault-{}", kebab(fault_name(fault)));
            let name = &pod.metadata.name;
            self.mark(MarkKind::Fault, format!("Pod/{name}"), Phrase::new(&id).with("pod", name));
            let deed = Deed::Fault { fault: fault.clone(), pod: Some(name.clone()), deployment, node: None };
            self.facts.deed(self.now, deed);
        }
        done
    }

    /// Changes a sandbox; the closure tells whether it was so before. Returns whether something changed.
    fn set_sandbox(&mut self, uid: Uid, f: impl FnOnce(&mut crate::kubelet::Sandbox) -> bool) -> bool {
        self.settle_repeats(uid);
        let Some(s) = self.sandbox_mut(uid) else { return false };
        let was = f(s);
        self.look_at_probes(uid);
        !was
    }

    pub(crate) fn fill_pod(&mut self, uid: Uid) -> bool {
        self.set_sandbox(uid, |s| core::mem::replace(&mut s.full, true))
    }

    pub(crate) fn mend_pod(&mut self, uid: Uid) -> bool {
        let mended = self.set_sandbox(uid, |s| {
            let was = (core::mem::take(&mut s.slowed), core::mem::take(&mut s.full));
            was == (0, false)
        });
        self.server_is_free(uid);
        mended
    }

    /// Changes what is wrong with a node's cable. False: there is no such node, or nothing changes.
    fn set_wire(&mut self, node: &str, f: impl FnOnce(&mut Wire)) -> bool {
        let Some(name) = self.machines.get(node).map(|m| m.name.clone()) else { return false };
        let before = self.wires.get(&name).copied().unwrap_or_default();
        let mut wire = before;
        f(&mut wire);
        if wire == Wire::default() {
            self.wires.remove(&name);
        } else {
            self.wires.insert(name, wire);
        }
        wire != before
    }

    /// Does the same to all nodes of a zone. False: it meant nothing to any.
    fn in_zone(&mut self, zone: &str, f: fn(&mut Cluster, &str) -> bool) -> bool {
        let nodes: Vec<_> = self.machines.values().filter(|m| m.zone == zone).map(|m| m.name.clone()).collect();
        nodes.iter().map(|node| f(self, node)).collect::<Vec<_>>().contains(&true)
    }

    fn power_off(&mut self, node: &str) -> bool {
        let Some(machine) = self.machine_mut(node).filter(|m| m.powered) else { return false };
        machine.powered = false;
        machine.lose_memory();
        let on_node: Vec<Uid> = self.sandboxes.values().filter(|s| &*s.node == node).map(|s| s.uid).collect();
        for uid in on_node {
            self.fall_silent(uid);
            self.lose_processes(uid);
        }
        self.forget_connections_of(node);
        self.fell_silent(node);
        true
    }

    fn power_on(&mut self, node: &str) -> bool {
        let boot = self.delay(Source::StartUp, subject(&["boot", node]), BOOT.0, BOOT.1);
        let at = self.now + boot;
        let Some(machine) = self.machine_mut(node).filter(|m| !m.powered) else { return false };
        machine.outage += 1;
        let (name, outage) = (machine.name.clone(), machine.outage);
        self.events.plan(at, Event::Booted(name, outage));
        true
    }

    fn cut_node(&mut self, node: &str) -> bool {
        let Some(machine) = self.machine_mut(node).filter(|m| !m.cut) else { return false };
        machine.cut = true;
        self.fell_silent(node);
        true
    }

    fn join_node(&mut self, node: &str) -> bool {
        let Some(machine) = self.machine_mut(node).filter(|m| m.cut) else { return false };
        machine.cut = false;
        if machine.powered {
            self.heard_again(node);
        }
        true
    }

    /// Takes a Service's rules from one node, behind kube-proxy's back. The next full sync puts them back.
    fn remove_rule(&mut self, node: &str, namespace: &str, service: &str) -> bool {
        let key = NamespacedName::new(namespace, service);
        let now = self.now;
        let removed = self.machine_mut(node).is_some_and(|m| m.remove_service_rules(&key, now));
        if removed {
            self.plan_full_sync(node);
        }
        removed
    }
}

/// The Pod that a fault names.
pub(crate) fn pod_of(fault: &Fault) -> Option<&PodRef> {
    match fault {
        Fault::KillProcess { pod }
        | Fault::DeletePod { pod }
        | Fault::KillPod { pod }
        | Fault::FailReadiness { pod }
        | Fault::PassReadiness { pod }
        | Fault::CutPod { pod }
        | Fault::JoinPod { pod }
        | Fault::SlowPod { pod, .. }
        | Fault::FillPod { pod }
        | Fault::MendPod { pod } => Some(pod),
        _ => None,
    }
}

pub(crate) fn node_of(fault: &Fault) -> Option<&str> {
    match fault {
        Fault::PowerOff { node }
        | Fault::PowerOn { node }
        | Fault::CutNode { node }
        | Fault::JoinNode { node }
        | Fault::SlowLink { node, .. }
        | Fault::LosePackets { node, .. }
        | Fault::MendLink { node }
        | Fault::StopProxy { node }
        | Fault::StartProxy { node }
        | Fault::StopKubelet { node }
        | Fault::StartKubelet { node }
        | Fault::RemoveRule { node, .. } => Some(node),
        _ => None,
    }
}

/// A fault's name as in a scenario file.
pub fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::KillProcess { .. } => "killProcess",
        Fault::DeletePod { .. } => "deletePod",
        Fault::KillPod { .. } => "killPod",
        Fault::FailReadiness { .. } => "failReadiness",
        Fault::PassReadiness { .. } => "passReadiness",
        Fault::CutPod { .. } => "cutPod",
        Fault::JoinPod { .. } => "joinPod",
        Fault::PowerOff { .. } => "powerOff",
        Fault::PowerOn { .. } => "powerOn",
        Fault::CutNode { .. } => "cutNode",
        Fault::JoinNode { .. } => "joinNode",
        Fault::RemoveRule { .. } => "removeRule",
        Fault::StopDns => "stopDns",
        Fault::StartDns => "startDns",
        Fault::SlowPod { .. } => "slowPod",
        Fault::FillPod { .. } => "fillPod",
        Fault::MendPod { .. } => "mendPod",
        Fault::SlowLink { .. } => "slowLink",
        Fault::LosePackets { .. } => "losePackets",
        Fault::MendLink { .. } => "mendLink",
        Fault::PowerOffZone { .. } => "powerOffZone",
        Fault::PowerOnZone { .. } => "powerOnZone",
        Fault::StopProxy { .. } => "stopProxy",
        Fault::StartProxy { .. } => "startProxy",
        Fault::StopHealthChecks => "stopHealthChecks",
        Fault::StartHealthChecks => "startHealthChecks",
        Fault::StopApiServer => "stopApiServer",
        Fault::StartApiServer => "startApiServer",
        Fault::StopControllerManager => "stopControllerManager",
        Fault::StartControllerManager => "startControllerManager",
        Fault::StopController { .. } => "stopController",
        Fault::StartController { .. } => "startController",
        Fault::StopScheduler => "stopScheduler",
        Fault::StartScheduler => "startScheduler",
        Fault::StopKubelet { .. } => "stopKubelet",
        Fault::StartKubelet { .. } => "startKubelet",
    }
}

pub(crate) fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
