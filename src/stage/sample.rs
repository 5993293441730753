//! Scenes for tests.

use crate::lab::Scene;
use lab_protocol::{
    ClientView, Counts, EndpointList, EndpointView, Id, NodeView, PodState, PodView, PortView, ServiceView,
};
use std::sync::Arc;

/// A cluster of `nodes` nodes and `pods` Pods behind one Service, with two clients, of which one goes straight to an address.
pub fn scene(nodes: u64, pods: u64) -> Scene {
    let mut scene = Scene::default();
    let node = |i: u64| format!("node-{i}");
    for i in 0..nodes {
        let view = NodeView {
            id: Id(100 + i),
            name: node(i),
            ip: format!("192.168.10.{i}"),
            zone: if i == 0 { String::new() } else { "a".into() },
            ready: Some(true),
            powered: true,
            cut: false,
            behind_since: None,
            synced_at: None,
            rules: 40,
        };
        Arc::make_mut(&mut scene.nodes).insert(view.id, Arc::new(view));
    }
    let mut endpoints = Vec::new();
    for i in 0..pods {
        let view = PodView {
            id: Id(200 + i),
            namespace: "default".into(),
            name: format!("web-7d4b9-{i:05}"),
            deployment: "web".into(),
            nth: i as u32 + 1,
            ip: format!("10.244.0.{i}"),
            node: node(i % nodes),
            state: PodState::Ready,
            detail: None,
            until: None,
            since: Default::default(),
            hue: (i % 6) as u8,
            labels: Vec::new(),
            restarts: 0,
            answered: 0,
            failed: 0,
            cut: false,
            readiness_failing: false,
        };
        endpoints.push(EndpointView {
            port: 0,
            address: format!("{}:8080", view.ip),
            pod: Some(view.id),
            share: 1.0 / pods as f32,
        });
        Arc::make_mut(&mut scene.pods).insert(view.id, Arc::new(view));
    }
    let service = ServiceView {
        id: Id(1),
        namespace: "default".into(),
        name: "web".into(),
        type_: "ClusterIP".into(),
        cluster_ip: "10.96.12.7".into(),
        ports: vec![PortView {
            name: String::new(),
            port: 80,
            protocol: "TCP".into(),
            target: "8080".into(),
            node_port: 0,
        }],
        selector: vec![("app".into(), "web".into())],
        selected: pods as u32,
        lists: vec![EndpointList { nodes: (0..nodes).map(node).collect(), endpoints }],
    };
    Arc::make_mut(&mut scene.services).insert(service.id, Arc::new(service));
    for (id, target, to) in [(10, "http://web/", Some(Id(1))), (11, "http://10.244.0.0:8080/", None)] {
        let client = ClientView {
            id: Id(id),
            name: format!("client-{id}"),
            node: node(0),
            target: target.into(),
            service: to,
            rate_milli: 20_000,
            sent: 0,
            counts: Counts::default(),
            recent: Vec::new(),
        };
        Arc::make_mut(&mut scene.clients).insert(client.id, Arc::new(client));
    }
    scene
}
