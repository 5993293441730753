//! What a probe asks: whether the process listens at the probe's port.

use cluster::Timeline;
use kube_api::Pod;
use lab_base::Time;

/// Whether the Pod is ready after 30 s, and how often it was restarted.
fn after(container: &str) -> (bool, u32) {
    let scenario = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - {{name: web, image: shop/web:1, {container}}}\n"
    );
    let (mut timeline, diagnostics, refused) = Timeline::new(&scenario, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline.seek(Time::from_secs(30));
    let pod = timeline.cluster().store().list::<Pod>().next().expect("the Pod");
    (pod.is_ready(), pod.status.container_statuses[0].restart_count)
}

#[test]
fn a_probe_asks_its_port() {
    let ports = "ports: [{name: http, containerPort: 8080}]";
    for (probe, ready) in [
        ("httpGet: {port: 8080}", true),
        ("httpGet: {port: http, path: /healthz}", true),
        ("tcpSocket: {port: 8080}", true),
        ("exec: {command: [cat, /tmp/healthy]}", true),
        ("httpGet: {port: 80}", false),
        ("tcpSocket: {port: 9090}", false),
        ("httpGet: {port: metrics}", false),
    ] {
        assert_eq!(after(&format!("{ports}, readinessProbe: {{{probe}}}")), (ready, 0), "{probe}");
    }
    // A liveness probe at a wrong port restarts what is well.
    let (_, restarts) = after(&format!("{ports}, livenessProbe: {{httpGet: {{port: 80}}, periodSeconds: 2}}"));
    assert!(restarts >= 2, "{restarts}");
    assert_eq!(after(&format!("{ports}, livenessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 2}}")), (true, 0));
}
