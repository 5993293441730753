//! What a person does to the cluster. Commands are recorded; how one watches is not.

use lab_base::{Span, Time};
use serde::{Deserialize, Serialize};

/// One change from outside the simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// `kubectl apply -f -`: all that is right in the text is applied.
    Apply {
        /// Multi-document YAML.
        yaml: String,
    },
    /// `kubectl delete KIND NAME -n NAMESPACE`.
    Delete {
        /// `Service`, `Pod`, ...
        kind: String,
        /// Its namespace; empty for Nodes and Namespaces.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Something breaks, or is mended.
    Fault(Fault),
    /// kube-proxy's mode in its configuration is another: its rules are cleaned up and it starts again.
    SetProxyMode {
        /// On which node.
        node: String,
        /// The mode.
        mode: ProxyMode,
    },
    /// `kubectl create -f -`: POST, so what is there already is refused.
    Create {
        /// Multi-document YAML.
        yaml: String,
    },
    /// PATCH: how `kubectl scale`, `label`, `set image`, `cordon` and their kin change an object.
    Patch {
        /// `Service`, `Pod`, ...
        kind: String,
        /// Its namespace; empty for Nodes and Namespaces.
        namespace: String,
        /// Its name.
        name: String,
        /// A JSON merge patch (RFC 7386), as YAML.
        patch: String,
    },
    /// `kubectl delete pod NAME --grace-period=N`.
    DeletePod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Seconds until SIGKILL; 0: its object goes at once.
        grace_seconds: u32,
    },
    /// One request, as a person sends it with curl.
    Send {
        /// From which node.
        node: String,
        /// Namespace of the Pod that sends it.
        namespace: String,
        /// From which Pod; empty: a process of the node itself.
        pod: String,
        /// `http://NAME[:PORT]/` or `http://IP[:PORT]/`.
        url: String,
        /// How long it waits for an answer.
        timeout: Span,
    },
    /// POST to a Pod's `eviction`, as `kubectl drain` does: refused while a PodDisruptionBudget allows nothing.
    Evict {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Seconds until SIGKILL; None: what the Pod asks for.
        grace_seconds: Option<u32>,
    },
    /// `kubectl delete KIND NAME --cascade=orphan|foreground`.
    DeleteCascading {
        /// `Deployment`, `ReplicaSet`, ...
        kind: String,
        /// Its namespace; empty for Nodes and Namespaces.
        namespace: String,
        /// Its name.
        name: String,
        /// What becomes of what belongs to it.
        propagation: Propagation,
    },
}

/// What becomes of the objects that belong to one that is deleted (`propagationPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// They go after it.
    #[default]
    Background,
    /// They stay, and belong to nobody.
    Orphan,
    /// They go before it.
    Foreground,
}

/// The kind of rules that a kube-proxy writes (`mode` in its configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// iptables.
    #[default]
    Iptables,
    /// nftables.
    Nftables,
    /// IPVS.
    Ipvs,
}

impl ProxyMode {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
            ProxyMode::Ipvs => "ipvs",
        }
    }
    /// Whether it is kube-proxy's own choice.
    pub fn is_default(&self) -> bool {
        *self == ProxyMode::default()
    }
}

/// A command in its place: the time of the run at which it takes effect, and its number among those of that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Simulated time.
    pub at: Time,
    /// Rises by one from command to command.
    pub seq: u64,
    /// What is done.
    pub command: Command,
}

/// Which Pod a fault means. A role stays right when the run is another (names differ, roles don't).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodRef {
    /// The Pod of this name.
    Named {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The n-th living Pod (from 1, by creation) of a Deployment, resolved when the fault happens.
    Nth {
        /// Namespace.
        namespace: String,
        /// Name of the Deployment.
        deployment: String,
        /// From 1.
        nth: u32,
    },
}

/// Something that breaks, or is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// SIGKILL to the container's main process; the network namespace stands, so clients are refused.
    KillProcess {
        /// Whose.
        pod: PodRef,
    },
    /// `kubectl delete pod`: graceful, endpoint out and SIGTERM at the same moment.
    DeletePod {
        /// Which.
        pod: PodRef,
    },
    /// The Pod is gone at once, address and all (`kubectl delete --force --grace-period=0` and a dead sandbox).
    KillPod {
        /// Which.
        pod: PodRef,
    },
    /// The readiness probe begins to fail; the process goes on answering.
    FailReadiness {
        /// Which.
        pod: PodRef,
    },
    /// The readiness probe succeeds again.
    PassReadiness {
        /// Which.
        pod: PodRef,
    },
    /// The Pod's network cable is pulled.
    CutPod {
        /// Which.
        pod: PodRef,
    },
    /// And plugged in again.
    JoinPod {
        /// Which.
        pod: PodRef,
    },
    /// The node loses power: kubelet, kube-proxy, Pods and all.
    PowerOff {
        /// Which.
        node: String,
    },
    /// It boots again.
    PowerOn {
        /// Which.
        node: String,
    },
    /// The node's network cable is pulled; everything on it goes on.
    CutNode {
        /// Which.
        node: String,
    },
    /// And plugged in again.
    JoinNode {
        /// Which.
        node: String,
    },
    /// Test hook: the jump to a Service's chain is deleted from one node's rules, behind kube-proxy's back.
    RemoveRule {
        /// On which node.
        node: String,
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        service: String,
    },
    /// The Pod's process works so many times as long on each request.
    SlowPod {
        /// Which.
        pod: PodRef,
        /// How many times.
        factor: u16,
    },
    /// All workers of the Pod's process are taken: it answers 503.
    FillPod {
        /// Which.
        pod: PodRef,
    },
    /// It is neither slow nor full any more.
    MendPod {
        /// Which.
        pod: PodRef,
    },
    /// Each packet that crosses the node's cable is late.
    SlowLink {
        /// Which.
        node: String,
        /// How much.
        delay: Span,
    },
    /// Some packets that cross the node's cable are lost.
    LosePackets {
        /// Which.
        node: String,
        /// How many of 100.
        percent: u8,
    },
    /// The node's cable is as it was.
    MendLink {
        /// Which.
        node: String,
    },
    /// All nodes of a zone lose power.
    PowerOffZone {
        /// Which.
        zone: String,
    },
    /// They boot again.
    PowerOnZone {
        /// Which.
        zone: String,
    },
    /// A node's kube-proxy stops; its rules stay as they are.
    StopProxy {
        /// On which node.
        node: String,
    },
    /// It starts again, and lists everything.
    StartProxy {
        /// On which node.
        node: String,
    },
    /// CoreDNS stops: names get no answer.
    StopDns,
    /// It runs again.
    StartDns,
    /// The cloud's health checks stop: load balancers keep what they know of their nodes.
    StopHealthChecks,
    /// They go on.
    StartHealthChecks,
    /// kube-apiserver ends: nobody can read or write an object, and all watches end.
    StopApiServer,
    /// It starts again.
    StartApiServer,
    /// kube-controller-manager ends, and all its control loops.
    StopControllerManager,
    /// It starts again, and waits for its lease.
    StartControllerManager,
    /// One control loop hangs; its queue goes on growing.
    StopController {
        /// Its name in `--controllers`, such as `endpointslice-controller`.
        controller: String,
    },
    /// It goes on.
    StartController {
        /// Its name.
        controller: String,
    },
    /// kube-scheduler ends.
    StopScheduler,
    /// It starts again, and waits for its lease.
    StartScheduler,
    /// A node's kubelet ends. Its containers go on.
    StopKubelet {
        /// On which node.
        node: String,
    },
    /// It starts again, and looks at what runs.
    StartKubelet {
        /// On which node.
        node: String,
    },
}
