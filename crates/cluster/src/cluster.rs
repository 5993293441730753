//! The simulated cluster: its whole state, and the loop that lets events happen.

use crate::cloud::Cloud;
use crate::control_plane::ControlPlane;
use crate::dns::DnsServer;
use crate::event::{Controller, Event, EventQueue, NodeName};
use crate::facts::Facts;
use crate::kubelet::Sandbox;
use crate::machine::Machine;
use crate::node_lifecycle::{post, set};
use crate::proxy::ProxySpec;
use crate::scenario::{ClientFrom, ClientSpec, Scenario, WorkloadSpec};
use crate::store::{Change, Store};
use crate::traffic::{Client, Connection, ConnectionId, Request, RequestId, Wires};
use kube_api::{
    ConditionStatus, Endpoint, EndpointPort, EndpointSlice, Kind, LABEL_HOSTNAME, LABEL_SERVICE_NAME, LABEL_ZONE,
    Namespace, NamespacedName, Node, NodeAddress, NodeSpec, NodeStatus, Object, ObjectMeta, Release, Service,
    ServicePort, StringMap, Uid,
};
use lab_base::{Dice, OrdMap, OrdSet, Source, Span, Time, subject};
use lab_protocol::{MarkKind, Motion, Phrase};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// A cluster at one moment. Cloning it is a snapshot and shares everything that doesn't change.
#[derive(Clone, Serialize)]
pub struct Cluster {
    pub(crate) dice: Dice,
    pub(crate) release: Release,
    pub(crate) now: Time,
    /// While the scenario's objects are brought up, nothing takes time.
    pub(crate) bringing_up: bool,
    pub(crate) events: EventQueue,
    pub(crate) store: Store,
    /// What `kubectl apply` wrote last, for its three-way merge.
    pub(crate) last_applied: OrdMap<(Kind, NamespacedName), Object>,
    pub(crate) machines: OrdMap<NodeName, Arc<Machine>>,
    pub(crate) sandboxes: OrdMap<Uid, Arc<Sandbox>>,
    /// Who answers for an address of a Pod.
    pub(crate) addresses: OrdMap<IpAddr, Uid>,
    /// Keys that wait in a controller's queue.
    pub(crate) queued: OrdSet<(Controller, NamespacedName)>,
    /// When a watcher will have heard the last change sent to it: changes arrive in order.
    pub(crate) watches: OrdMap<u64, Time>,
    /// Pods that fit nowhere.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub(crate) unschedulable: OrdMap<NamespacedName, crate::scheduler::Unschedulable>,
    /// Until when no other node of a zone gets a taint that drives Pods out.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub(crate) eviction_pace: OrdMap<String, Time>,
    pub(crate) dns: DnsServer,
    pub(crate) clients: OrdMap<u64, Arc<Client>>,
    pub(crate) requests: OrdMap<RequestId, Request>,
    pub(crate) last_request: u64,
    /// Connections that clients keep. Left out of the bytes while there is none, and so the next.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub(crate) connections: OrdMap<ConnectionId, Arc<Connection>>,
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    pub(crate) wires: Wires,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cloud: Option<Cloud>,
    pub(crate) workloads: Arc<Vec<(String, WorkloadSpec)>>,
    pub(crate) facts: Facts,
    #[serde(skip_serializing_if = "untouched")]
    pub(crate) control_plane: Arc<ControlPlane>,
    /// Clients that came for one request. Left out of the bytes while there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) visitors: Vec<kube_api::Uid>,
    /// What components wrote about objects. Follows from the state; not hashed.
    #[serde(skip)]
    pub(crate) kube_events: crate::kube_event::KubeEvents,
    /// Requests whose fate was decided since someone looked. Not part of the state.
    #[serde(skip)]
    pub(crate) motions: Vec<Motion>,
    /// Who follows a request while its moment is lived again. Changes nothing.
    #[serde(skip)]
    pub(crate) witness: Option<Box<crate::why::Witness>>,
}

fn untouched(plane: &Arc<ControlPlane>) -> bool {
    plane.is_untouched()
}

/// Namespaces that the API server makes by itself.
pub(crate) const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// The Service CIDR.
pub const SERVICE_CIDR: ([u8; 4], u8) = ([10, 96, 0, 0], 16);

impl Cluster {
    /// The cluster of a scenario at time zero: everything that the scenario holds is up and settled.
    /// Objects that the API server refuses are told in the answer.
    pub fn new(scenario: &Scenario, seed: Option<u64>) -> (Cluster, Vec<String>) {
        let release = scenario.cluster.release.parse().unwrap_or_default();
        let mut cluster = Cluster {
            dice: Dice::new(seed.unwrap_or(scenario.cluster.seed)),
            release,
            now: Time::ZERO,
            bringing_up: true,
            events: EventQueue::default(),
            store: Store::default(),
            last_applied: OrdMap::new(),
            machines: OrdMap::new(),
            sandboxes: OrdMap::new(),
            addresses: OrdMap::new(),
            queued: OrdSet::new(),
            watches: OrdMap::new(),
            eviction_pace: OrdMap::new(),
            unschedulable: OrdMap::new(),
            dns: DnsServer::new(&scenario.cluster.dns, release),
            clients: OrdMap::new(),
            requests: OrdMap::new(),
            last_request: 0,
            connections: OrdMap::new(),
            wires: OrdMap::new(),
            cloud: scenario.cluster.cloud.then(|| Cloud::new(&scenario.cluster.load_balancer)),
            workloads: Arc::new(scenario.workloads.clone()),
            facts: Facts::default(),
            control_plane: Arc::default(),
            visitors: Vec::new(),
            kube_events: Default::default(),
            motions: Vec::new(),
            witness: None,
        };
        cluster.create_base_objects(scenario);
        let mut refused = Vec::new();
        for object in &scenario.objects {
            if let Err(error) = cluster.apply_object(object.clone()) {
                refused.push(error);
            }
        }
        cluster.settle();
        cluster.bringing_up = false;
        cluster.settle_targets();
        cluster.facts.forget_marks();
        for (name, spec) in &scenario.clients {
            cluster.add_client(name, spec);
        }
        for (at, fault) in &scenario.faults {
            cluster.events.plan(*at, Event::Planned(fault.clone()));
        }
        (cluster, refused)
    }

    fn create_base_objects(&mut self, scenario: &Scenario) {
        for name in SYSTEM_NAMESPACES {
            self.store.create(self.now, Namespace::named(name));
        }
        for (i, entry) in scenario.cluster.nodes.entries().into_iter().enumerate() {
            let proxy = scenario.cluster.kube_proxy.overridden(&entry.kube_proxy);
            self.create_node(&entry.name, &entry.zone, (i + 1).min(200) as u8, &proxy);
        }
        // The API server's own Service has the first address; it writes the slice itself.
        let mut kubernetes = Service::default();
        kubernetes.metadata.name = "kubernetes".into();
        kubernetes.metadata.namespace = "default".into();
        kubernetes.metadata.labels.insert("component".into(), "apiserver".into());
        kubernetes.metadata.labels.insert("provider".into(), "kubernetes".into());
        kubernetes.spec.cluster_ip = "10.96.0.1".into();
        kubernetes.spec.cluster_ips = vec!["10.96.0.1".into()];
        kubernetes.spec.ip_families = vec![kube_api::IpFamily::V4];
        kubernetes.spec.ip_family_policy = Some("SingleStack".into());
        kubernetes.spec.ports.push(ServicePort {
            name: "https".into(),
            protocol: kube_api::Protocol::Tcp,
            app_protocol: None,
            port: 443,
            target_port: Some(kube_api::IntOrString::Int(6443)),
            node_port: 0,
        });
        let mut object = Object::Service(Arc::new(kubernetes));
        kube_api::defaults::apply(&mut object);
        if let Object::Service(service) = object {
            self.store.create(self.now, (*service).clone());
        }
        let mut slice = EndpointSlice {
            endpoints: vec![Endpoint { addresses: vec!["192.168.10.10".into()], ..Default::default() }],
            ports: vec![EndpointPort {
                name: Some("https".into()),
                protocol: Some(kube_api::Protocol::Tcp),
                port: Some(6443),
                app_protocol: None,
            }],
            ..Default::default()
        };
        slice.endpoints[0].conditions.ready = Some(true);
        slice.metadata.name = "kubernetes".into();
        slice.metadata.namespace = "default".into();
        slice.metadata.labels.insert(LABEL_SERVICE_NAME.into(), "kubernetes".into());
        self.store.create(self.now, slice);
        self.settle();
        if scenario.cluster.dns.pods {
            self.create_core_dns();
        }
    }

    /// CoreDNS as kubeadm installs it.
    fn create_core_dns(&mut self) {
        self.create_yaml(include_str!("dns/coredns.yaml"));
        self.settle();
    }

    fn create_node(&mut self, name: &str, zone: &str, index: u8, proxy: &ProxySpec) {
        if let Some(node) = self.store.create(self.now, self.node_object(name, zone, index)) {
            let machine = Machine::new(name, node.metadata.uid, index, zone, self.release, proxy);
            self.machines.insert(machine.name.clone(), Arc::new(machine));
        }
    }

    /// A kubelet that starts makes its Node, if there is none (`--register-node`).
    pub(crate) fn register_node(&mut self, name: &str) {
        let Some(machine) = self.machines.get(name).cloned() else { return };
        let node = self.node_object(name, &machine.zone, machine.index);
        if let Some(node) = self.store.create(self.now, node)
            && let Some(machine) = self.machine_mut(name)
        {
            machine.uid = node.metadata.uid;
        }
    }

    /// What a kubelet says of its machine when it registers it.
    fn node_object(&self, name: &str, zone: &str, index: u8) -> Node {
        let mut labels = StringMap::new();
        labels.insert(LABEL_HOSTNAME.into(), name.into());
        labels.insert("kubernetes.io/os".into(), "linux".into());
        if !zone.is_empty() {
            labels.insert(LABEL_ZONE.into(), zone.into());
        }
        let cidr = format!("10.244.{index}.0/24");
        let capacity: StringMap =
            [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut node = Node {
            metadata: ObjectMeta { name: name.into(), labels, ..Default::default() },
            spec: NodeSpec { pod_cidr: cidr.clone(), pod_cidrs: vec![cidr], ..Default::default() },
            status: NodeStatus {
                addresses: vec![
                    NodeAddress { type_: "InternalIP".into(), address: format!("192.168.10.{}", 10 + index) },
                    NodeAddress { type_: "Hostname".into(), address: name.into() },
                ],
                conditions: Vec::new(),
                capacity: capacity.clone(),
                allocatable: capacity,
            },
        };
        if self.cloud.is_some() {
            // The cloud's route controller (`controllers/route` of kubernetes/cloud-provider).
            let (reason, message) = ("RouteCreated", "RouteController created a route");
            set(&mut node, "NetworkUnavailable", ConditionStatus::False, reason, message, self.now);
        }
        post(&mut node, self.now);
        node
    }

    fn add_client(&mut self, name: &str, spec: &ClientSpec) {
        if spec.from == ClientFrom::Outside {
            self.add_outside_client(name, spec);
            return;
        }
        let node = match self.machines.get(spec.node.as_str()) {
            Some(machine) => machine.name.clone(),
            None => match self.machines.keys().next() {
                Some(name) => name.clone(),
                None => return,
            },
        };
        let uid = self.store.new_uid();
        let ip = self.with_machine(&node, |c, machine| machine.new_address(|ip| c.addresses.contains_key(&ip)));
        let Some(Some(ip)) = ip else { return };
        self.addresses.insert(ip, uid);
        let client = Client::new(uid, name, node, ip, spec);
        self.clients.insert(uid.0, Arc::new(client));
        self.begin_client(uid.0);
    }

    /// A client in the internet: 203.0.113.0/24 is for examples (RFC 5737).
    fn add_outside_client(&mut self, name: &str, spec: &ClientSpec) {
        let uid = self.store.new_uid();
        let before = self.clients.values().filter(|c| c.is_outside()).count() as u8;
        let ip = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10 + before));
        let client = Client::new(uid, name, "".into(), ip, spec);
        self.clients.insert(uid.0, Arc::new(client));
        self.begin_client(uid.0);
    }

    /// Lets everything that takes no time happen, until nothing is left to do.
    fn settle(&mut self) {
        self.tell_watchers();
        // Bring-up is finite: each object settles after a few rounds of its controllers.
        for _ in 0..1_000_000 {
            let Some((_, event)) = self.events.pop(self.now) else { return };
            self.handle(event);
            self.tell_watchers();
        }
    }

    /// Lets everything happen that is due by `until`, and stands there. Stops early after `budget` events.
    /// Returns whether it arrived.
    pub fn run_until(&mut self, until: Time, budget: &mut u64) -> bool {
        while *budget > 0 {
            let Some((at, event)) = self.events.pop(until) else {
                self.now = self.now.max(until);
                return true;
            };
            *budget -= 1;
            self.now = self.now.max(at);
            self.handle(event);
            self.tell_watchers();
        }
        false
    }

    fn handle(&mut self, event: Event) {
        if !self.control_plane.is_untouched() && self.is_held_up(&event) {
            return;
        }
        match event {
            Event::Reconcile(controller, key) => self.reconcile(controller, &key),
            Event::Schedule(key) => self.schedule_pod(&key),
            Event::ProxyHears(node, change) => self.proxy_hears(&node, &change),
            Event::ProxySync(node) => self.proxy_sync(&node),
            Event::ProxySynced(node) => self.proxy_synced(&node),
            Event::ProxyStarted(node) => self.proxy_started(&node),
            Event::KubeletHears(node, key) => self.kubelet_hears(&node, &key),
            Event::Sandbox(uid, life, step) => self.sandbox_step(uid, life, step),
            Event::Container(uid, i, life, step) => self.container_step(uid, i, life, step),
            Event::Status(uid) => self.write_status(uid),
            Event::Arrival(client) => self.arrival(client),
            Event::Connect(id, to) => self.connect(id, to),
            Event::Arrive(id) => self.arrive(id),
            Event::Respond(id) => self.respond(id),
            Event::Finish(id, outcome) => self.finish(id, outcome),
            Event::GiveUp(id) => self.give_up(id),
            Event::LoadBalancerReady(key) => self.load_balancer_ready(&key),
            Event::TargetTurns(key, node) => self.target_turns(&key, &node),
            Event::NodeSync => self.queue_load_balancers(),
            Event::Retry(id) => self.try_again(id),
            Event::ConnectionClosed(connection) => self.connection_closed(connection),
            Event::ConnectionIdle(connection) => self.connection_idle(connection),
            Event::NodeSilent(node, outage) => self.node_silent(&node, outage),
            Event::NodeHeard(node, outage) => self.node_heard(&node, outage),
            Event::EvictPods(node, outage) => self.evict_pods(&node, outage),
            Event::TaintPass => self.taint_pass(),
            Event::PodGc(node) => self.pod_gc(&node),
            Event::Booted(node, outage) => self.booted(&node, outage),
            Event::Planned(fault) => {
                self.inject(&fault);
            }
            Event::ApiServerReady => self.api_server_ready(),
            Event::Reconnected(component, way) => self.reconnected(&component, way),
            Event::StatusBatch(node) => self.status_batch(&node),
            Event::AskDns(id) => self.ask_dns(id),
        }
    }

    /// Sends each write to those who watch: in order for each watcher, after a delay of its own.
    pub(crate) fn tell_watchers(&mut self) {
        for change in self.store.take_changes() {
            if let (Some(Object::Pod(pod)), None) = (&change.old, &change.new) {
                self.facts.pod_gone(self.now, pod.clone());
            }
            if change.new.is_none() {
                self.last_applied.remove(&(change.kind, change.key.clone()));
            }
            self.queue_for_controllers(&change);
            self.tell_kubelet(&change);
            self.tell_taint_eviction(&change);
            self.tell_scheduler(&change);
            self.note_events(&change);
            self.failover_hears(&change);
            self.tell_service_controller(&change);
            self.tell_proxies(change);
        }
    }

    /// When a watcher hears of a change that happens now: 1 to 6 ms later, never before one it was told of earlier.
    pub(crate) fn hears_at(&mut self, watcher: u64, about: &NamespacedName) -> Time {
        let about = subject(&[&about.namespace, &about.name]);
        let delay = self.delay(Source::WatchDelay, watcher ^ about, Span::from_millis(1), Span::from_millis(6));
        let at = (self.now + delay).max(self.watches.get(&watcher).copied().unwrap_or(Time::ZERO));
        self.watches.insert(watcher, at);
        at
    }

    /// A length of time between two bounds, drawn for `subject` at this moment; nothing while the cluster is brought up.
    pub(crate) fn delay(&self, source: Source, subject: u64, low: Span, high: Span) -> Span {
        if self.bringing_up {
            return Span::ZERO;
        }
        self.dice.roll(source, subject, self.now.as_micros()).between(low, high)
    }

    /// `span`, or nothing while the cluster is brought up.
    pub(crate) fn takes(&self, span: Span) -> Span {
        if self.bringing_up { Span::ZERO } else { span }
    }

    /// Changes a machine. None: there is no such node.
    pub(crate) fn with_machine<R>(&mut self, node: &str, f: impl FnOnce(&Cluster, &mut Machine) -> R) -> Option<R> {
        let mut machine = self.machines.get(node)?.clone();
        let result = f(self, Arc::make_mut(&mut machine));
        self.machines.insert(machine.name.clone(), machine);
        Some(result)
    }

    /// Changes a machine that only itself is needed for. Avoids copying what a snapshot doesn't hold.
    pub(crate) fn machine_mut(&mut self, node: &str) -> Option<&mut Machine> {
        self.machines.get_mut(node).map(Arc::make_mut)
    }

    /// Notes a thing that happened, for the list of events.
    pub(crate) fn mark(&mut self, kind: MarkKind, object: String, phrase: Phrase) {
        let now = self.now;
        self.facts.mark(now, kind, object, phrase);
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        self.now
    }
    /// The objects that the API server holds.
    pub fn store(&self) -> &Store {
        &self.store
    }
    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.dice.seed()
    }
    /// The release whose behaviour is simulated.
    pub fn release(&self) -> Release {
        self.release
    }
    /// What has happened so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
    /// The nodes as machines.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().map(|m| &**m)
    }
    /// A node as a machine.
    pub fn machine(&self, node: &str) -> Option<&Machine> {
        self.machines.get(node).map(|m| &**m)
    }
    /// Who sends requests.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values().map(|c| &**c)
    }
    /// The requests whose fate was decided since the last call.
    pub fn take_motions(&mut self) -> Vec<Motion> {
        core::mem::take(&mut self.motions)
    }
    pub(crate) fn put_back_motions(&mut self, motions: Vec<Motion>) {
        self.motions = motions;
    }
    /// When the next thing will happen by itself.
    pub fn next_event_at(&self) -> Option<Time> {
        self.events.next_at()
    }

    /// A number for the whole state: the first 16 hexadecimal digits of SHA-256 over its canonical encoding (postcard, ordered
    /// collections only). The same on every target.
    pub fn state_hash(&self) -> String {
        use sha2::Digest;
        struct Sink(sha2::Sha256);
        impl postcard::ser_flavors::Flavor for Sink {
            type Output = sha2::Sha256;
            fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
                self.0.update([byte]);
                Ok(())
            }
            fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
                self.0.update(bytes);
                Ok(())
            }
            fn finalize(self) -> postcard::Result<sha2::Sha256> {
                Ok(self.0)
            }
        }
        match postcard::serialize_with_flavor(self, Sink(sha2::Sha256::new())) {
            Ok(hash) => hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect(),
            Err(error) => format!("unhashable: {error}"),
        }
    }
}

impl Cluster {
    /// Puts a key into a controller's queue, unless it waits there already.
    pub(crate) fn enqueue(&mut self, controller: Controller, key: NamespacedName) {
        if !self.queued.insert((controller, key.clone())) {
            return;
        }
        let at = self.hears_at(subject(&["controller", controller_name(controller)]), &key);
        self.events.plan(at, Event::Reconcile(controller, key));
    }

    /// Puts a key into a controller's queue at a later time.
    pub(crate) fn enqueue_after(&mut self, controller: Controller, key: NamespacedName, after: Span) {
        self.events.plan(self.now + after, Event::Reconcile(controller, key));
    }

    fn reconcile(&mut self, controller: Controller, key: &NamespacedName) {
        self.queued.remove(&(controller, key.clone()));
        match controller {
            Controller::Deployment => self.sync_deployment(key),
            Controller::ReplicaSet => self.sync_replica_set(key),
            Controller::EndpointSlice => self.sync_service(key),
            Controller::Service => self.sync_load_balancer(key),
            Controller::GarbageCollector => self.collect_garbage(),
            Controller::Disruption => self.sync_budget(key),
            Controller::Namespace => self.sync_namespace(key),
            Controller::PodGarbageCollector => self.collect_pods_of(key),
            Controller::NodeLifecycle => self.node_changed(&key.name),
            Controller::TaintEviction => self.plan_evictions(&key.name),
        }
    }

    fn queue_for_controllers(&mut self, change: &Change) {
        crate::controllers::route(self, change);
    }
}

pub(crate) fn controller_name(controller: Controller) -> &'static str {
    match controller {
        Controller::Deployment => "deployment",
        Controller::ReplicaSet => "replicaset",
        Controller::EndpointSlice => "endpointslice",
        Controller::Service => "service",
        Controller::GarbageCollector => "garbagecollector",
        Controller::Disruption => "disruption",
        Controller::Namespace => "namespace",
        Controller::PodGarbageCollector => "podgc",
        Controller::NodeLifecycle => "nodelifecycle",
        Controller::TaintEviction => "tainteviction",
    }
}
