//! What a Pod asks of ConfigMaps: without them its volumes aren't mounted and its containers aren't made
//! (`pkg/volume/configmap/configmap.go`, `makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`).

use super::{Blocked, MOUNT_BACKOFF_FIRST, MOUNT_BACKOFF_MAX, Process, Sandbox};
use crate::cluster::Cluster;
use crate::event::{PodStep, Step};
use kube_api::{ConfigMap, Container, NamespacedName, Pod, Uid};
use lab_base::{Source, Span, subject};
use std::sync::Arc;

/// How long a Pod whose sync failed waits for the next one: so long, and up to half of it more (`backOffPeriod`,
/// `workerBackOffPeriodJitterFactor` in `pkg/kubelet/pod_workers.go`).
pub const SYNC_BACKOFF: Span = Span::from_secs(10);

impl Cluster {
    fn config_map(&self, pod: &Pod, name: &str) -> Option<&Arc<ConfigMap>> {
        self.store.get::<ConfigMap>(&NamespacedName::new(pod.metadata.namespace.clone(), name))
    }

    /// Mounts a Pod's volumes. False: one can't be, and is tried again later.
    pub(super) fn mount(&mut self, uid: Uid) -> bool {
        let Some(s) = self.sandboxes.get(&uid).cloned() else { return false };
        let mut missing = Vec::new();
        for volume in &s.pod.spec.volumes {
            let Some(source) = &volume.config_map else { continue };
            if source.optional != Some(true) && self.config_map(&s.pod, &source.name).is_none() {
                missing.push((volume.name.as_str(), not_found(&source.name)));
            }
        }
        let before = s.mount_wait;
        let wait = match before {
            _ if missing.is_empty() => Span::ZERO,
            Span::ZERO => MOUNT_BACKOFF_FIRST,
            before => before.times(2).min(MOUNT_BACKOFF_MAX),
        };
        if before != wait
            && let Some(s) = self.sandbox_mut(uid)
        {
            s.mount_wait = wait;
        }
        for (volume, why) in &missing {
            self.failed_mount_event(&s.pod, volume, why);
        }
        if wait > Span::ZERO {
            self.pod_step_after(uid, wait, PodStep::Mount);
            if before == Span::ZERO {
                self.report(uid);
            }
        }
        wait == Span::ZERO
    }

    /// What a container's environment asks for in vain. None: all is there.
    pub(super) fn missing_from_environment(&self, pod: &Pod, container: &Container) -> Option<String> {
        for source in container.env_from.iter().filter_map(|from| from.config_map_ref.as_ref()) {
            if source.optional != Some(true) && self.config_map(pod, &source.name).is_none() {
                return Some(not_found(&source.name));
            }
        }
        let keys = container.env.iter().filter_map(|v| v.value_from.as_ref()?.config_map_key_ref.as_ref());
        for wanted in keys.filter(|k| k.optional != Some(true)) {
            let Some(found) = self.config_map(pod, &wanted.name) else { return Some(not_found(&wanted.name)) };
            if !found.data.contains_key(&wanted.key) {
                return Some(format!(
                    "couldn't find key {} in ConfigMap {}/{}",
                    wanted.key, pod.metadata.namespace, wanted.name
                ));
            }
        }
        None
    }

    /// A container can't be made; the next sync of its Pod tries again.
    pub(super) fn block(&mut self, s: &Sandbox, i: usize, by: Blocked) {
        let who = subject(&["sync", &s.key.name, &s.spec(i).name]);
        let roll = self.dice.roll(Source::Work, who, self.now.as_micros());
        let wait = roll.between(SYNC_BACKOFF, SYNC_BACKOFF + Span::from_secs(5));
        let until = self.now + wait;
        if let Some(c) = self.container_mut(s.uid, i) {
            c.process = Process::Blocked { by, until };
        }
        self.step_after(s.uid, i, wait, Step::Create);
        self.report(s.uid);
    }
}

/// As a client of the API server says it.
fn not_found(name: &str) -> String {
    format!("configmap {name:?} not found")
}
