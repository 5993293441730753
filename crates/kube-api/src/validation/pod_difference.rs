//! What a refused update would have changed in a Pod, as the API server says it (since 1.34): a unified diff of both
//! specs as JSON, in the names and the order of its internal types (`pkg/apis/core/types.go`,
//! `apimachinery/pkg/util/diff`). Older releases print the same in go-cmp's form, whose blanks are random on purpose.

use super::unified::unified;
use crate::yaml::{Tree, Value};

/// Types and their fields. After `=` stands what an empty field is (else null), after `:` the type of what it holds;
/// `*` means that it is never empty, and `~` that an empty one is left out.
const TYPES: &[(&str, &str)] = &[
    (
        "PodSpec",
        "Volumes:Volume InitContainers:Container Containers:Container EphemeralContainers RestartPolicy=\"\" \
TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy=\"ClusterFirst\" NodeSelector \
ServiceAccountName=\"default\" AutomountServiceAccountToken NodeName=\"\" *SecurityContext:PodSecurityContext \
ImagePullSecrets Hostname=\"\" Subdomain=\"\" SetHostnameAsFQDN Affinity:Affinity \
SchedulerName=\"default-scheduler\" Tolerations:Toleration HostAliases PriorityClassName=\"\" Priority=0 \
PreemptionPolicy=\"PreemptLowerPriority\" DNSConfig ReadinessGates:PodReadinessGate RuntimeClassName Overhead \
EnableServiceLinks=true TopologySpreadConstraints:TopologySpreadConstraint OS SchedulingGates ResourceClaims \
Resources HostnameOverride",
    ),
    (
        "PodSecurityContext",
        "HostNetwork=false HostPID=false HostIPC=false ShareProcessNamespace HostUsers SELinuxOptions WindowsOptions \
RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls \
SeccompProfile AppArmorProfile SELinuxChangePolicy",
    ),
    (
        "Container",
        "Name=\"\" Image=\"\" Command Args WorkingDir=\"\" Ports:ContainerPort EnvFrom:EnvFromSource Env:EnvVar \
*Resources:ResourceRequirements ResizePolicy RestartPolicy RestartPolicyRules VolumeMounts VolumeDevices \
LivenessProbe:Probe ReadinessProbe:Probe StartupProbe:Probe Lifecycle:Lifecycle \
TerminationMessagePath=\"/dev/termination-log\" TerminationMessagePolicy=\"File\" ImagePullPolicy=\"IfNotPresent\" \
SecurityContext Stdin=false StdinOnce=false TTY=false",
    ),
    ("ContainerPort", "Name=\"\" HostPort=0 ContainerPort=0 Protocol=\"TCP\" HostIP=\"\""),
    ("EnvFromSource", "Prefix=\"\" ConfigMapRef:ConfigMapEnvSource SecretRef"),
    ("ConfigMapEnvSource", "Name=\"\" Optional"),
    ("EnvVar", "Name=\"\" Value=\"\" ValueFrom:EnvVarSource"),
    ("EnvVarSource", "FieldRef ResourceFieldRef ConfigMapKeyRef:ConfigMapKeySelector SecretKeyRef FileKeyRef"),
    ("ConfigMapKeySelector", "Name=\"\" Key=\"\" Optional"),
    ("ResourceRequirements", "Limits Requests Claims"),
    (
        "Probe",
        "Exec:ExecAction HTTPGet:HTTPGetAction TCPSocket:TCPSocketAction GRPC:GRPCAction InitialDelaySeconds=0 \
TimeoutSeconds=0 PeriodSeconds=0 SuccessThreshold=0 FailureThreshold=0 TerminationGracePeriodSeconds",
    ),
    ("ExecAction", "Command"),
    ("HTTPGetAction", "Path=\"\" Port=0 Host=\"\" Scheme=\"HTTP\" HTTPHeaders"),
    ("TCPSocketAction", "Port=0 Host=\"\""),
    ("GRPCAction", "Port=0 Service=\"\""),
    ("Lifecycle", "PostStart PreStop:LifecycleHandler StopSignal"),
    ("LifecycleHandler", "Exec:ExecAction HTTPGet:HTTPGetAction TCPSocket Sleep:SleepAction"),
    ("SleepAction", "Seconds=0"),
    (
        "Volume",
        "Name=\"\" HostPath EmptyDir:EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret NFS ISCSI \
Glusterfs PersistentVolumeClaim RBD Quobyte FlexVolume Cinder CephFS Flocker DownwardAPI FC AzureFile \
ConfigMap:ConfigMapVolume VsphereVolume AzureDisk PhotonPersistentDisk Projected PortworxVolume ScaleIO StorageOS CSI \
Ephemeral Image",
    ),
    ("EmptyDir", "Medium=\"\" SizeLimit"),
    ("ConfigMapVolume", "Name=\"\" Items DefaultMode=420 Optional"),
    ("Toleration", "Key=\"\" Operator=\"\" Value=\"\" Effect=\"\" TolerationSeconds"),
    ("PodReadinessGate", "ConditionType=\"\""),
    ("Affinity", "NodeAffinity:NodeAffinity PodAffinity:PodAffinity PodAntiAffinity:PodAffinity"),
    (
        "NodeAffinity",
        "RequiredDuringSchedulingIgnoredDuringExecution:NodeSelector \
PreferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm",
    ),
    ("NodeSelector", "NodeSelectorTerms:NodeSelectorTerm"),
    ("NodeSelectorTerm", "MatchExpressions:NodeSelectorRequirement MatchFields:NodeSelectorRequirement"),
    ("NodeSelectorRequirement", "Key=\"\" Operator=\"\" Values"),
    ("PreferredSchedulingTerm", "Weight=0 *Preference:NodeSelectorTerm"),
    (
        "PodAffinity",
        "RequiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm \
PreferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm",
    ),
    (
        "PodAffinityTerm",
        "LabelSelector:LabelSelector Namespaces TopologyKey=\"\" NamespaceSelector MatchLabelKeys MismatchLabelKeys",
    ),
    ("WeightedPodAffinityTerm", "Weight=0 *PodAffinityTerm:PodAffinityTerm"),
    (
        "TopologySpreadConstraint",
        "MaxSkew=0 TopologyKey=\"\" WhenUnsatisfiable=\"\" LabelSelector:LabelSelector MinDomains NodeAffinityPolicy \
NodeTaintsPolicy MatchLabelKeys",
    ),
    ("LabelSelector", "~matchLabels ~matchExpressions:LabelSelectorRequirement"),
    ("LabelSelectorRequirement", "key=\"\" operator=\"\" ~values"),
];

/// The hunks, from the one spec to the other.
pub(super) fn difference(old: &Tree, new: &Tree) -> String {
    unified(&lines(old), &lines(new))
}

fn lines(spec: &Tree) -> Vec<String> {
    let mut out = String::new();
    write(&mut out, spec, "PodSpec", "\n");
    out.lines().map(str::to_owned).collect()
}

/// A value in JSON; `feed` begins a line as deep as it stands.
fn write(out: &mut String, tree: &Tree, kind: &str, feed: &str) {
    let inner = format!("{feed}  ");
    match &tree.value {
        Value::Seq(items) => {
            let each = items.iter().map(|item| (None, item, kind)).collect::<Vec<_>>();
            block(out, ('[', ']'), &each, feed, &inner);
        }
        Value::Map(entries) => match TYPES.iter().find(|(name, _)| *name == kind) {
            None => {
                let mut entries: Vec<_> = entries.iter().map(|(k, v)| (Some(k.name.as_str()), v, "")).collect();
                entries.sort_by_key(|(key, _, _)| *key);
                block(out, ('{', '}'), &entries, feed, &inner);
            }
            Some((_, fields)) => fields_of(out, tree, fields, feed, &inner),
        },
        Value::Str { raw, .. } => quote(out, raw),
        Value::Int(i) => *out += &i.to_string(),
        Value::Float(f) => *out += &f.to_string(),
        Value::Bool(b) => *out += if *b { "true" } else { "false" },
        Value::Null => *out += "null",
    }
}

fn fields_of(out: &mut String, tree: &Tree, fields: &str, feed: &str, inner: &str) {
    out.push('{');
    let mut comma = "";
    for field in fields.split(' ') {
        let (never, field) = field.strip_prefix('*').map_or((false, field), |f| (true, f));
        let (left_out, field) = field.strip_prefix('~').map_or((false, field), |f| (true, f));
        let (field, kind) = field.split_once(':').unwrap_or((field, ""));
        let (name, unset) = field.split_once('=').unwrap_or((field, "null"));
        let held = tree.entries().iter().find(|(key, _)| key.name.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let held = held.filter(|value| !empty(value, kind));
        if held.is_none() && left_out {
            continue;
        }
        *out += comma;
        *out += inner;
        comma = ",";
        *out += &format!("\"{name}\": ");
        match held {
            Some(value) => write(out, value, kind, inner),
            None if never => write(out, &Tree { value: Value::Map(Vec::new()), ..Tree::default() }, kind, inner),
            // `SetDefaults_Container`: what has no tag, or the tag latest, is asked for each time.
            None if name == "ImagePullPolicy" && latest(tree.str("image")) => *out += "\"Always\"",
            None => *out += unset,
        }
    }
    *out += if comma.is_empty() { "" } else { feed };
    out.push('}');
}

fn block(
    out: &mut String,
    (open, close): (char, char),
    items: &[(Option<&str>, &Tree, &str)],
    feed: &str,
    inner: &str,
) {
    out.push(open);
    for (i, (key, value, kind)) in items.iter().enumerate() {
        *out += if i > 0 { "," } else { "" };
        *out += inner;
        if let Some(key) = key {
            quote(out, key);
            *out += ": ";
        }
        write(out, value, kind, inner);
    }
    *out += if items.is_empty() { "" } else { feed };
    out.push(close);
}

fn empty(tree: &Tree, kind: &str) -> bool {
    match &tree.value {
        Value::Null => true,
        Value::Str { raw, .. } => raw.is_empty(),
        Value::Seq(items) => items.is_empty(),
        // A pointer to an empty struct is something; our own affinities have empty ones for none.
        Value::Map(entries) => {
            let hollow = matches!(kind, "NodeAffinity" | "PodAffinity");
            (kind.is_empty() && entries.is_empty()) || (hollow && entries.iter().all(|(_, v)| empty(v, "")))
        }
        _ => false,
    }
}

fn latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    digest.is_none() && tag.is_none_or(|tag| tag == "latest")
}

/// A text as `encoding/json` writes it, safe in HTML.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => *out += "\\\"",
            '\\' => *out += "\\\\",
            '\n' => *out += "\\n",
            '\r' => *out += "\\r",
            '\t' => *out += "\\t",
            '\u{8}' => *out += "\\b",
            '\u{c}' => *out += "\\f",
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => *out += &format!("\\u{:04x}", u32::from(c)),
            c if u32::from(c) < 0x20 => *out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn hunks(old: &str, new: &str) -> String {
        let read = |text: &str| yaml::load(text).into_iter().next().and_then(Result::ok).unwrap_or_default();
        difference(&read(old), &read(new))
    }

    /// A learner's `kubectl replace` on a real cluster printed this one, but for its volumes (the first hunk there
    /// takes them away, so the new side's numbers are of a Pod without them).
    #[test]
    fn as_a_cluster_printed_it() {
        let pod = |more: &str| format!("{{containers: [{{name: nginx, image: nginx}}], restartPolicy: Always{more}}}");
        let want = "@@ -42,7 +42,7 @@
   \"NodeSelector\": null,
   \"ServiceAccountName\": \"default\",
   \"AutomountServiceAccountToken\": null,
-  \"NodeName\": \"\",
+  \"NodeName\": \"node01\",
   \"SecurityContext\": {
     \"HostNetwork\": false,
     \"HostPID\": false,
";
        assert_eq!(hunks(&pod(""), &pod(", nodeName: node01")), want);
        // There `+40,9` began at ActiveDeadlineSeconds, and `+19,7` at ResizePolicy.
        let all = lines(&yaml::load(&pod("")).into_iter().next().and_then(Result::ok).unwrap_or_default());
        assert_eq!(all[39], "  \"ActiveDeadlineSeconds\": null,");
        assert_eq!(all[18], "      \"ResizePolicy\": null,");
    }

    #[test]
    fn lists_and_maps() {
        let want = "@@ -8,7 +8,15 @@
       \"Command\": null,
       \"Args\": null,
       \"WorkingDir\": \"\",
-      \"Ports\": null,
+      \"Ports\": [
+        {
+          \"Name\": \"\",
+          \"HostPort\": 0,
+          \"ContainerPort\": 80,
+          \"Protocol\": \"TCP\",
+          \"HostIP\": \"\"
+        }
+      ],
       \"EnvFrom\": null,
       \"Env\": null,
       \"Resources\": {
";
        let new = "{containers: [{name: c, image: 'x:1', ports: [{containerPort: 80, protocol: TCP}]}]}";
        assert_eq!(hunks("{containers: [{name: c, image: 'x:1'}]}", new), want);
        let selector = hunks("{}", "{nodeSelector: {b: '<', a: x}}");
        assert!(selector.contains("+  \"NodeSelector\": {\n+    \"a\": \"x\",\n+    \"b\": \"\\u003c\"\n+  },\n"));
    }

    #[test]
    fn which_images_are_pulled_always() {
        for (image, always) in [("a", true), ("a:latest", true), ("r:5/a", true), ("a:1", false), ("a@sha256:0", false)]
        {
            assert_eq!(latest(image), always, "{image}");
        }
    }
}
