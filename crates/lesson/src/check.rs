//! The checks of a task as an author writes them.

use crate::values::{Amount, Length};
use lab_base::Span;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One thing that has to be so before a task is solved.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawCheck")]
pub struct Check {
    /// Unique in its task.
    pub id: String,
    /// What has to be so.
    pub what: What,
    /// When it has to be so.
    pub window: Window,
}

/// When a check has to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Counts from the moment at which this earlier check of the task began to hold, instead of the task's beginning.
    pub since: Option<String>,
    /// Has to hold for so long without a break.
    pub hold: Option<Span>,
    /// Has to begin to hold so soon after its start.
    pub within: Option<Span>,
    /// Has to hold all through this time from its start. (`never` is written as this, with the amount inverted.)
    pub during: Option<Span>,
    /// Only requests of the last so long.
    pub last: Option<Span>,
    /// Once it held, it stays held.
    pub once: bool,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A Service.
    Service(ServiceCheck),
    /// Its endpoints in the API server.
    Endpoints(EndpointsCheck),
    /// Its endpoints in the nodes' rules.
    Rules(RulesCheck),
    /// How requests ended.
    Requests(RequestsCheck),
    /// Whether Pods answered as often as the rules make likely.
    Shares(SharesCheck),
    /// A Deployment.
    Deployment(DeploymentCheck),
    /// Pods.
    Pods(PodsCheck),
    /// Something that the learner did.
    Command(CommandCheck),
}

fn default_namespace() -> String {
    "default".into()
}

/// `service:` a Service exists (or doesn't), with these properties.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceCheck {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// It must not exist.
    #[serde(default)]
    pub absent: bool,
    /// `ClusterIP`, ...
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// A port that it offers.
    pub port: Option<u16>,
    /// Living Pods that its selector matches.
    pub selects: Option<Amount>,
}

/// `endpoints:` numbers of endpoints in EndpointSlices.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsCheck {
    /// Name of the Service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Ready ones.
    pub ready: Option<Amount>,
    /// Serving ones.
    pub serving: Option<Amount>,
    /// Terminating ones.
    pub terminating: Option<Amount>,
    /// All.
    pub total: Option<Amount>,
}

/// `rules:` what the rules of nodes with power list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesCheck {
    /// Name of the Service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// How many endpoints on each node.
    pub endpoints: Option<Amount>,
    /// On each node exactly the ready endpoints that the API server has.
    #[serde(default)]
    pub current: bool,
    /// Only these nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// `requests:` how many requests ended how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestsCheck {
    /// Of this client.
    pub client: Option<String>,
    /// For this Service.
    pub service: Option<String>,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// In whatever way.
    pub ended: Option<Amount>,
    /// 2xx.
    pub answered: Option<Amount>,
    /// In any way but answered.
    pub failed: Option<Amount>,
    /// Connection refused.
    pub refused: Option<Amount>,
    /// No answer in time.
    pub timed_out: Option<Amount>,
    /// Broken in the middle.
    pub reset: Option<Amount>,
    /// 5xx.
    pub server_error: Option<Amount>,
    /// The name doesn't exist.
    pub no_such_name: Option<Amount>,
    /// So many different Pods answered.
    pub pods: Option<Amount>,
}

/// `shares:` each Pod answers as often as chance allows for its share in the rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharesCheck {
    /// Name of the Service.
    pub service: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Of this client.
    pub client: Option<String>,
    /// Answered requests needed to judge by.
    #[serde(default = "default_requests")]
    pub requests: u64,
    /// Probability with which fair rules pass (all Pods together).
    #[serde(default = "default_confidence")]
    pub confidence: f64,
}

fn default_requests() -> u64 {
    50
}

fn default_confidence() -> f64 {
    0.9999
}

/// `deployment:` a Deployment's numbers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentCheck {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Wanted ones.
    pub replicas: Option<Amount>,
    /// Ready ones.
    pub ready: Option<Amount>,
    /// Available ones.
    pub available: Option<Amount>,
}

/// `pods:` Pods with certain labels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodsCheck {
    /// Their labels.
    pub selector: BTreeMap<String, String>,
    /// Their namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Living ones that are not terminating.
    pub count: Option<Amount>,
    /// Ready ones that are not terminating.
    pub ready: Option<Amount>,
    /// Made since the check's start, not terminating.
    pub created: Option<Amount>,
    /// Gone since the check's start.
    pub gone: Option<Amount>,
}

/// `command:` the learner did something (the last one counts).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    /// An object was created or changed.
    pub applied: Option<ObjectName>,
    /// An object was deleted.
    pub deleted: Option<ObjectName>,
    /// Something was broken or mended.
    pub fault: Option<FaultName>,
}

/// Names an object, or all of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectName {
    /// `Service`.
    pub kind: String,
    /// Its name; None: whichever.
    pub name: Option<String>,
}

/// Names a fault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultName {
    /// `deletePod`.
    #[serde(rename = "type")]
    pub kind: FaultKind,
    /// Of a Pod of this Deployment.
    pub deployment: Option<String>,
    /// Of this node.
    pub node: Option<String>,
}

/// What can be broken or mended. Names are those of scenario files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// SIGKILL to the main process.
    KillProcess,
    /// `kubectl delete pod`.
    DeletePod,
    /// Gone at once.
    KillPod,
    /// The readiness probe begins to fail.
    FailReadiness,
    /// And succeeds again.
    PassReadiness,
    /// The Pod's cable is pulled.
    CutPod,
    /// And plugged in.
    JoinPod,
    /// The node loses power.
    PowerOff,
    /// And boots.
    PowerOn,
    /// The node's cable is pulled.
    CutNode,
    /// And plugged in.
    JoinNode,
    /// Its kube-proxy stops.
    StopProxy,
    /// And starts again.
    StartProxy,
    /// Its kubelet stops.
    StopKubelet,
    /// And starts again.
    StartKubelet,
    /// kube-apiserver stops.
    StopApiServer,
    /// And starts again.
    StartApiServer,
    /// kube-controller-manager stops.
    StopControllerManager,
    /// And starts again.
    StartControllerManager,
    /// One of its control loops hangs.
    StopController,
    /// And goes on.
    StartController,
    /// kube-scheduler stops.
    StopScheduler,
    /// And starts again.
    StartScheduler,
    /// CoreDNS stops.
    StopDns,
    /// And starts again.
    StartDns,
}

impl FaultKind {
    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::KillProcess => "killProcess",
            FaultKind::DeletePod => "deletePod",
            FaultKind::KillPod => "killPod",
            FaultKind::FailReadiness => "failReadiness",
            FaultKind::PassReadiness => "passReadiness",
            FaultKind::CutPod => "cutPod",
            FaultKind::JoinPod => "joinPod",
            FaultKind::PowerOff => "powerOff",
            FaultKind::PowerOn => "powerOn",
            FaultKind::CutNode => "cutNode",
            FaultKind::JoinNode => "joinNode",
            FaultKind::StopProxy => "stopProxy",
            FaultKind::StartProxy => "startProxy",
            FaultKind::StopKubelet => "stopKubelet",
            FaultKind::StartKubelet => "startKubelet",
            FaultKind::StopApiServer => "stopApiServer",
            FaultKind::StartApiServer => "startApiServer",
            FaultKind::StopControllerManager => "stopControllerManager",
            FaultKind::StartControllerManager => "startControllerManager",
            FaultKind::StopController => "stopController",
            FaultKind::StartController => "startController",
            FaultKind::StopScheduler => "stopScheduler",
            FaultKind::StartScheduler => "startScheduler",
            FaultKind::StopDns => "stopDns",
            FaultKind::StartDns => "startDns",
        }
    }
    /// Whether it happens to a Pod.
    pub const fn of_pod(self) -> bool {
        use FaultKind::*;
        matches!(self, KillProcess | DeletePod | KillPod | FailReadiness | PassReadiness | CutPod | JoinPod)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    id: String,
    service: Option<ServiceCheck>,
    endpoints: Option<EndpointsCheck>,
    rules: Option<RulesCheck>,
    requests: Option<RequestsCheck>,
    shares: Option<SharesCheck>,
    deployment: Option<DeploymentCheck>,
    pods: Option<PodsCheck>,
    command: Option<CommandCheck>,
    since: Option<String>,
    #[serde(rename = "for")]
    hold: Option<Length>,
    within: Option<Length>,
    during: Option<Length>,
    never: Option<Length>,
    last: Option<Length>,
    #[serde(default)]
    once: bool,
}

const KINDS: &str = "`service`, `endpoints`, `rules`, `requests`, `shares`, `deployment`, `pods` or `command`";

impl TryFrom<RawCheck> for Check {
    type Error = String;
    fn try_from(raw: RawCheck) -> Result<Check, String> {
        let id = raw.id;
        let mut kinds = [
            raw.service.map(What::Service),
            raw.endpoints.map(What::Endpoints),
            raw.rules.map(What::Rules),
            raw.requests.map(What::Requests),
            raw.shares.map(What::Shares),
            raw.deployment.map(What::Deployment),
            raw.pods.map(What::Pods),
            raw.command.map(What::Command),
        ]
        .into_iter()
        .flatten();
        let (Some(mut what), None) = (kinds.next(), kinds.next()) else {
            return Err(format!("check `{id}` needs exactly one of {KINDS}"));
        };
        what.sound().map_err(|why| format!("check `{id}`: {why}"))?;
        let counts = matches!(what, What::Requests(_) | What::Shares(_));
        if raw.last.is_some() && !counts {
            return Err(format!("check `{id}`: `last` is for `requests` and `shares`"));
        }
        if raw.during.is_some() && raw.never.is_some() {
            return Err(format!("check `{id}`: `during` and `never` exclude each other"));
        }
        let during = raw.during.or(raw.never);
        if during.is_some() && (raw.hold.is_some() || raw.within.is_some() || raw.last.is_some()) {
            return Err(format!("check `{id}`: `during` and `never` don't go with `for`, `within` or `last`"));
        }
        if raw.never.is_some() {
            let mut amounts = what.amounts();
            let (Some(amount), None) = (amounts.next(), amounts.next()) else {
                return Err(format!("check `{id}`: `never` wants exactly one amount"));
            };
            *amount = amount.inverse().ok_or(format!("check `{id}`: `never` wants only `min` or only `max`"))?;
        }
        let window = Window {
            since: raw.since,
            hold: raw.hold.map(|l| l.0),
            within: raw.within.map(|l| l.0),
            during: during.map(|l| l.0),
            last: raw.last.map(|l| l.0),
            once: raw.once,
        };
        Ok(Check { id, what, window })
    }
}

impl What {
    /// Every amount that is asked for.
    fn amounts(&mut self) -> impl Iterator<Item = &mut Amount> {
        let all: Vec<&mut Option<Amount>> = match self {
            What::Service(c) => vec![&mut c.selects],
            What::Endpoints(c) => vec![&mut c.ready, &mut c.serving, &mut c.terminating, &mut c.total],
            What::Rules(c) => vec![&mut c.endpoints],
            What::Requests(c) => vec![
                &mut c.ended,
                &mut c.answered,
                &mut c.failed,
                &mut c.refused,
                &mut c.timed_out,
                &mut c.reset,
                &mut c.server_error,
                &mut c.no_such_name,
                &mut c.pods,
            ],
            What::Deployment(c) => vec![&mut c.replicas, &mut c.ready, &mut c.available],
            What::Pods(c) => vec![&mut c.count, &mut c.ready, &mut c.created, &mut c.gone],
            What::Shares(_) | What::Command(_) => vec![],
        };
        all.into_iter().flatten()
    }

    /// Whether it asks for something that can be judged.
    fn sound(&mut self) -> Result<(), String> {
        match self {
            What::Service(c) if c.absent && (c.type_.is_some() || c.port.is_some() || c.selects.is_some()) => {
                return Err("an absent Service has no type, port or selector".into());
            }
            What::Service(_) => return Ok(()),
            What::Rules(c) if c.current => return Ok(()),
            What::Shares(c) if !(0.5..1.0).contains(&c.confidence) => {
                return Err(format!("`confidence: {}` is not from 0.5 to below 1", c.confidence));
            }
            What::Shares(c) if c.requests == 0 => return Err("`requests: 0` leaves nothing to judge by".into()),
            What::Shares(_) => return Ok(()),
            What::Command(c) => {
                let n = [c.applied.is_some(), c.deleted.is_some(), c.fault.is_some()];
                return if n.into_iter().filter(|x| *x).count() == 1 {
                    Ok(())
                } else {
                    Err("`command` wants exactly one of `applied`, `deleted` and `fault`".into())
                };
            }
            What::Requests(c) if c.client.is_none() && c.service.is_none() => {
                return Err("`requests` wants a `client`, a `service` or both".into());
            }
            _ => {}
        }
        match self.amounts().next() {
            Some(_) => Ok(()),
            None => Err("it asks for nothing; give it an amount".into()),
        }
    }
}
