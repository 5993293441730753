//! The simulated cluster's answers to what checks ask.

use crate::checker::Checker;
use crate::facts::*;
use cluster::{Cluster, Observer, fault_name};
use kube_api::{Deployment, EndpointSlice, LABEL_SERVICE_NAME, NamespacedName, Pod, Service, Uid, selects};
use lab_base::Time;
use lab_protocol::Outcome;
use std::collections::BTreeMap;

/// The checks of a lesson, if a run has one. They look at a [`cluster::Timeline`] as it goes by.
#[derive(Clone, Debug, Default)]
pub struct Checks(pub Option<Checker>);

impl Observer for Checks {
    fn observe(&mut self, cluster: &Cluster) {
        if let Some(checker) = &mut self.0 {
            checker.step(cluster);
        }
    }
    fn is_idle(&self) -> bool {
        self.0.as_ref().is_none_or(Checker::all_solved)
    }
}

fn key(namespace: &str, name: &str) -> NamespacedName {
    NamespacedName::new(namespace, name)
}

fn number(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

fn pod_fact(pod: &Pod, gone: Option<Time>) -> PodFact {
    PodFact {
        name: pod.metadata.name.clone(),
        ip: pod.status.pod_ip.clone(),
        ready: gone.is_none() && pod.is_ready(),
        terminating: pod.metadata.is_deleting(),
        created: pod.metadata.creation_timestamp.unwrap_or_default(),
        gone,
    }
}

fn name_of(cluster: &Cluster, pod: Uid) -> Option<String> {
    let living = cluster.store().by_uid::<Pod>(pod).map(|p| p.metadata.name.clone());
    living.or_else(|| {
        let gone = cluster.facts().gone_pods().iter_back().find(|g| g.pod.metadata.uid == pod);
        gone.map(|g| g.pod.metadata.name.clone())
    })
}

impl Facts for Cluster {
    fn now(&self) -> Time {
        Cluster::now(self)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<ServiceFact> {
        let service = self.store().get::<Service>(&key(namespace, name))?;
        let spec = &service.spec;
        let living = self.store().list::<Pod>().filter(|p| !p.metadata.is_deleting() && !p.is_finished());
        let selected = living
            .filter(|p| p.metadata.namespace == namespace && !spec.selector.is_empty())
            .filter(|p| selects(&spec.selector, &p.metadata.labels))
            .count();
        Some(ServiceFact {
            type_: spec.type_.to_string(),
            cluster_ip: spec.cluster_ip.clone(),
            ports: spec.ports.iter().map(|p| p.port).collect(),
            selector: spec.selector.clone(),
            selected: selected as u32,
        })
    }

    fn endpoints(&self, namespace: &str, service: &str) -> EndpointsFact {
        let mut fact = EndpointsFact::default();
        let slices = self.store().list::<EndpointSlice>().filter(|s| {
            s.metadata.namespace == namespace
                && s.metadata.labels.get(LABEL_SERVICE_NAME).is_some_and(|name| name == service)
        });
        for slice in slices {
            for endpoint in &slice.endpoints {
                let ready = endpoint.conditions.ready.unwrap_or(true);
                fact.total += 1;
                fact.ready += u32::from(ready);
                fact.serving += u32::from(endpoint.conditions.serving.unwrap_or(ready));
                fact.terminating += u32::from(endpoint.conditions.terminating.unwrap_or(false));
                if let (true, Some(ip)) = (ready, endpoint.addresses.first()) {
                    let ports = slice.ports.iter().filter_map(|p| p.port);
                    fact.addresses.extend(ports.map(|port| format!("{ip}:{port}")));
                }
            }
        }
        fact.addresses.sort();
        fact
    }

    fn synced_endpoints(&self, namespace: &str, service: &str) -> Vec<NodeRules> {
        let key = key(namespace, service);
        let mut nodes: Vec<NodeRules> = self
            .machines()
            .filter(|m| m.powered)
            .map(|m| {
                let ports = m.loaded.service_ports().filter(|p| p.name.service == key);
                let mut endpoints: Vec<(String, f64)> = ports
                    .flat_map(|p| m.loaded.endpoints(&key, &p.name.port))
                    .map(|e| (e.endpoint.to_string(), e.share))
                    .collect();
                endpoints.sort_by(|a, b| a.0.cmp(&b.0));
                NodeRules { node: m.name.to_string(), endpoints }
            })
            .collect();
        nodes.sort_by(|a, b| a.node.cmp(&b.node));
        nodes
    }

    fn requests(&self, query: &RequestQuery<'_>) -> RequestFacts {
        let mut fact = RequestFacts::default();
        let client = query.client.map(|name| self.clients().find(|c| c.name == name).map(|c| c.uid.0));
        let service = query
            .service
            .map(|(namespace, name)| self.store().get::<Service>(&key(namespace, name)).map(|s| s.metadata.uid));
        let mut by_pod = BTreeMap::new();
        // From the end, since windows end at or near the present.
        let ended = self.facts().requests().iter_back().skip_while(|r| r.ended >= query.to);
        for request in ended.take_while(|r| r.ended >= query.from) {
            let wanted = client.is_none_or(|c| c == Some(request.client))
                && service.is_none_or(|s| s.is_some() && s == request.service);
            if !wanted {
                continue;
            }
            fact.counts.add(request.outcome);
            if request.outcome != Outcome::Answered {
                fact.last_failure = fact.last_failure.or(Some(request.ended));
                fact.first_failure = Some(request.ended);
            } else if let Some(pod) = request.pod {
                *by_pod.entry(pod).or_insert(0u64) += 1;
            }
        }
        fact.by_pod = by_pod.into_iter().filter_map(|(uid, n)| Some((name_of(self, uid)?, n))).collect();
        fact.by_pod.sort();
        fact
    }

    fn deployment(&self, namespace: &str, name: &str) -> Option<DeploymentFact> {
        let deployment = self.store().get::<Deployment>(&key(namespace, name))?;
        Some(DeploymentFact {
            replicas: number(deployment.spec.replicas.unwrap_or(1)),
            ready: number(deployment.status.ready_replicas),
            available: number(deployment.status.available_replicas),
        })
    }

    fn pods(&self, namespace: &str, selector: &BTreeMap<String, String>, since: Time) -> Vec<PodFact> {
        let wanted = |p: &Pod| p.metadata.namespace == namespace && selects(selector, &p.metadata.labels);
        let living = self.store().list::<Pod>().filter(|p| wanted(p)).map(|p| pod_fact(p, None));
        let gone = self.facts().gone_pods().iter_back().take_while(|g| g.at >= since);
        let gone = gone.filter(|g| wanted(&g.pod)).map(|g| pod_fact(&g.pod, Some(g.at)));
        let mut all: Vec<PodFact> = living.chain(gone).collect();
        all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        all
    }

    fn commands(&self, since: Time) -> Vec<CommandFact> {
        let deeds = self.facts().deeds().iter_back().take_while(|(at, _)| *at >= since);
        let mut all: Vec<CommandFact> = deeds.map(|(at, deed)| CommandFact { at: *at, what: what(deed) }).collect();
        all.reverse();
        all
    }
}

fn what(deed: &cluster::Deed) -> Deed {
    match deed.clone() {
        cluster::Deed::Applied { kind, name } => Deed::Applied { kind, name },
        cluster::Deed::Deleted { kind, name } => Deed::Deleted { kind, name },
        cluster::Deed::Fault { fault, pod, deployment, node } => {
            Deed::Fault { kind: fault_name(&fault), pod, deployment, node }
        }
    }
}
