//! `kind: Fault`.

use super::duration::duration;
use crate::event::Controller;
use lab_base::Span;
use lab_protocol::{Fault, PodRef};
use serde::Deserialize;

/// `kind: Fault`, `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FaultSpec {
    #[serde(deserialize_with = "duration")]
    pub(super) at: Span,
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    pod: Option<PodRole>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    factor: Option<u16>,
    #[serde(default)]
    percent: Option<u8>,
    #[serde(default, deserialize_with = "duration")]
    delay: Span,
    #[serde(default)]
    controller: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodRole {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default = "first")]
    nth: u32,
    #[serde(default)]
    name: Option<String>,
}

fn first() -> u32 {
    1
}

impl FaultSpec {
    /// The fault that is meant; None: its type doesn't exist or lacks something.
    pub(super) fn fault(&self) -> Option<Fault> {
        let pod = || {
            let p = self.pod.as_ref()?;
            let namespace = p.namespace.clone().unwrap_or_else(|| "default".into());
            match (&p.deployment, &p.name) {
                (Some(d), None) => Some(PodRef::Nth { namespace, deployment: d.clone(), nth: p.nth }),
                (None, Some(n)) => Some(PodRef::Named { namespace, name: n.clone() }),
                _ => None,
            }
        };
        let node = || self.node.clone();
        let zone = || self.zone.clone();
        let controller = || self.controller.clone().filter(|name| Controller::named(name).is_some());
        Some(match self.type_.as_str() {
            "killProcess" => Fault::KillProcess { pod: pod()? },
            "deletePod" => Fault::DeletePod { pod: pod()? },
            "killPod" => Fault::KillPod { pod: pod()? },
            "failReadiness" => Fault::FailReadiness { pod: pod()? },
            "passReadiness" => Fault::PassReadiness { pod: pod()? },
            "cutPod" => Fault::CutPod { pod: pod()? },
            "joinPod" => Fault::JoinPod { pod: pod()? },
            "powerOff" => Fault::PowerOff { node: node()? },
            "powerOn" => Fault::PowerOn { node: node()? },
            "cutNode" => Fault::CutNode { node: node()? },
            "joinNode" => Fault::JoinNode { node: node()? },
            "slowPod" => Fault::SlowPod { pod: pod()?, factor: self.factor.filter(|f| (1..=1_000).contains(f))? },
            "fillPod" => Fault::FillPod { pod: pod()? },
            "mendPod" => Fault::MendPod { pod: pod()? },
            "slowLink" => {
                let delay = self.delay;
                Fault::SlowLink { node: node()?, delay: (delay > Span::ZERO).then_some(delay)? }
            }
            "losePackets" => {
                Fault::LosePackets { node: node()?, percent: self.percent.filter(|p| (1..=100).contains(p))? }
            }
            "mendLink" => Fault::MendLink { node: node()? },
            "powerOffZone" => Fault::PowerOffZone { zone: zone()? },
            "powerOnZone" => Fault::PowerOnZone { zone: zone()? },
            "stopProxy" => Fault::StopProxy { node: node()? },
            "startProxy" => Fault::StartProxy { node: node()? },
            "stopDns" => Fault::StopDns,
            "startDns" => Fault::StartDns,
            "stopHealthChecks" => Fault::StopHealthChecks,
            "startHealthChecks" => Fault::StartHealthChecks,
            "stopApiServer" => Fault::StopApiServer,
            "startApiServer" => Fault::StartApiServer,
            "stopControllerManager" => Fault::StopControllerManager,
            "startControllerManager" => Fault::StartControllerManager,
            "stopController" => Fault::StopController { controller: controller()? },
            "startController" => Fault::StartController { controller: controller()? },
            "stopScheduler" => Fault::StopScheduler,
            "startScheduler" => Fault::StartScheduler,
            "stopKubelet" => Fault::StopKubelet { node: node()? },
            "startKubelet" => Fault::StartKubelet { node: node()? },
            _ => return None,
        })
    }
}
