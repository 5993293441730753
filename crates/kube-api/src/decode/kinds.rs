//! Kinds that Kubernetes has, and what is said about those that aren't simulated here.

use crate::objects::Kind;
use crate::yaml::Span;
use crate::{Diagnostic, Remark};

/// Kinds that Kubernetes 1.36 serves besides those simulated here, with their versions.
const OTHERS: &str = "\
admissionregistration.k8s.io/v1 MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
apiextensions.k8s.io/v1 CustomResourceDefinition
apiregistration.k8s.io/v1 APIService
apps/v1 ControllerRevision
authentication.k8s.io/v1 SelfSubjectReview TokenReview
authorization.k8s.io/v1 LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview
autoscaling/v1 HorizontalPodAutoscaler
autoscaling/v2 HorizontalPodAutoscaler
batch/v1 CronJob Job
certificates.k8s.io/v1 CertificateSigningRequest
coordination.k8s.io/v1 Lease
events.k8s.io/v1 Event
flowcontrol.apiserver.k8s.io/v1 FlowSchema PriorityLevelConfiguration
networking.k8s.io/v1 IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR
node.k8s.io/v1 RuntimeClass
policy/v1 Eviction
rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding
resource.k8s.io/v1 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
scheduling.k8s.io/v1 PriorityClass
storage.k8s.io/v1 CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass
v1 Binding ComponentStatus Endpoints Event LimitRange PersistentVolume PersistentVolumeClaim PodTemplate ReplicationController ResourceQuota Secret ServiceAccount
";

/// Versions of the simulated kinds that Kubernetes served once: the last release that did is older than any here.
const REMOVED: &str = "\
apps/v1beta1 Deployment StatefulSet
apps/v1beta2 DaemonSet Deployment ReplicaSet StatefulSet
discovery.k8s.io/v1beta1 EndpointSlice
extensions/v1beta1 DaemonSet Deployment ReplicaSet
policy/v1beta1 PodDisruptionBudget
";

/// Whether Kubernetes serves this kind in this version, though nothing of it is held here.
pub fn is_kind_of_kubernetes(version: &str, kind: &str) -> bool {
    others().any(|known| known == (version, kind))
}

fn others() -> impl Iterator<Item = (&'static str, &'static str)> {
    read(OTHERS)
}

fn read(list: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    list.lines().flat_map(|line| {
        let mut words = line.split(' ');
        let version = words.next().unwrap_or_default();
        words.map(move |kind| (version, kind))
    })
}

/// `ServiceList` is a list of Services.
pub(crate) fn list_of(version: &str, kind: &str) -> Option<Kind> {
    let item = kind.strip_suffix("List")?;
    Kind::ALL.iter().copied().find(|k| k.name() == item && k.api_version() == version)
}

/// What to say about a kind that isn't simulated here, and whether the API server would say it.
pub(crate) fn explain(version: &str, kind: &str) -> (Diagnostic, bool) {
    let here = |message: String| Diagnostic::error(message, "", Span::default(), 0);
    if others().any(|known| known == (version, kind)) {
        let message = format!("{kind} ({version}) is known to Kubernetes, but not simulated here");
        let remark = Some(Box::new(Remark::NotSimulated { kind: kind.into(), version: version.into() }));
        return (Diagnostic { remark, ..Diagnostic::warning(message, "", Span::default(), 0) }, false);
    }
    if read(REMOVED).any(|known| known == (version, kind)) {
        let hint = Kind::named(kind).map(|k| k.api_version().to_owned());
        return (Diagnostic { hint, ..here(no_matches(version, kind)) }, true);
    }
    let all = Kind::ALL.iter().map(|k| (k.api_version(), k.name())).chain(others());
    let near = all.map(|(v, k)| (distance(kind, k) + usize::from(k != kind && v != version), v, k)).min();
    let Some((far, its_version, near)) = near else { return (here(format!("unknown kind {kind}")), true) };
    if far <= kind.len().min(near.len()) / 3 {
        let short = version.rsplit('/').next().unwrap_or_default();
        let message = format!(
            "BadRequest: {kind} in version \"{short}\" cannot be handled as a {near}: no kind \"{kind}\" is registered for version \"{version}\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        );
        let meant = if near == kind { its_version } else { near };
        (Diagnostic { hint: Some(meant.into()), ..here(message) }, true)
    } else {
        (here(no_matches(version, kind)), true)
    }
}

fn no_matches(version: &str, kind: &str) -> String {
    format!("no matches for kind \"{kind}\" in version \"{version}\"")
}

/// The nearest of some words, if one is near.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The beginning of a name, or a name with a tail, is near to it.
    let begun = |w: &str| {
        let (word, w) = (word.to_ascii_lowercase(), w.to_ascii_lowercase());
        word.len().min(w.len()) > 2 && (w.starts_with(&word) || word.starts_with(&w))
    };
    let far = |w: &str| if begun(w) { distance(word, w).min(2) } else { distance(word, w) };
    let (far, near) = words.map(|w| (far(w), w)).min()?;
    (far <= word.len().max(2) / 2 && far <= 3).then_some(near)
}

/// How many letters must be changed, added or left out; a change of case counts nothing but still isn't equal.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut last = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = last + usize::from(!x.eq_ignore_ascii_case(y));
            last = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(last + 1);
        }
    }
    row[b.len()]
}
