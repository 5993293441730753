//! Help while one writes, in the terms of the page.

use cluster::{Cluster, Scenario};
use kube_api::assist::{self, Advice, Backend, Doubt, Reference, Remedy, What};
use kube_api::manifest::{self, Content, Parsed};
use kube_api::yaml::{self, Span};
use kube_api::{DaemonSet, Deployment, Kind, Object, ObjectMeta, Pod, PodTemplateSpec, ReplicaSet, StatefulSet};
use lab_protocol::{Diagnostic, Explanation, Fix, Phrase, Reply, Suggestion, TextEdit};

pub(crate) fn check(ticket: u32, yaml: &str, cluster: Option<&Cluster>) -> Reply {
    let parsed = manifest::parse_as(yaml, cluster.map(Cluster::release).unwrap_or_default());
    let doubts = assist::advice(&parsed, &others(&parsed, cluster));
    let found = match parsed.manifests.iter().any(|m| matches!(m.content, Content::Lab { .. })) {
        true => Scenario::of(parsed).1,
        false => parsed.diagnostics,
    };
    let mut fixes: Vec<Fix> = assist::fixes(yaml, &found).into_iter().map(fix).collect();
    let mut diagnostics: Vec<Diagnostic> = found.iter().map(cluster::diagnostic).collect();
    for Advice { doubt, path, span: Span { line, column, length }, hint } in doubts {
        if let Some(word) = hint {
            let title = Phrase::new("fix-write").with("word", &word);
            let edits = vec![TextEdit { line, column, length, text: word }];
            fixes.push(Fix { diagnostic: diagnostics.len() as u32, title, edits });
        }
        let (phrase, message) = (Some(in_words(doubt)), String::new());
        diagnostics.push(Diagnostic { line, column, length, error: false, path, message, phrase });
    }
    Reply::Checked { ticket, diagnostics, fixes }
}

/// What the cluster has that a Service can choose, beside what the text says anew. Pods that somebody keeps stand behind
/// their template.
fn others<'a>(parsed: &Parsed, cluster: Option<&'a Cluster>) -> Vec<Backend<'a>> {
    let Some(store) = cluster.map(Cluster::store) else { return Vec::new() };
    let written = |kind: Kind, meta: &ObjectMeta| {
        let same = |o: &Object| {
            let other = o.metadata();
            o.kind() == kind && other.name == meta.name && other.namespace == meta.namespace
        };
        parsed.manifests.iter().any(|m| matches!(&m.content, Content::Object(o) if same(o)))
    };
    let kept = |meta: &ObjectMeta| meta.controller().is_some();
    let mut found = Vec::new();
    let mut template = |kind: Kind, meta: &'a ObjectMeta, made: &'a PodTemplateSpec| {
        if !kept(meta) && !written(kind, meta) {
            found.push(Backend { namespace: &meta.namespace, labels: &made.metadata.labels, spec: &made.spec });
        }
    };
    store.list::<Deployment>().for_each(|o| template(Kind::Deployment, &o.metadata, &o.spec.template));
    store.list::<ReplicaSet>().for_each(|o| template(Kind::ReplicaSet, &o.metadata, &o.spec.template));
    store.list::<StatefulSet>().for_each(|o| template(Kind::StatefulSet, &o.metadata, &o.spec.template));
    store.list::<DaemonSet>().for_each(|o| template(Kind::DaemonSet, &o.metadata, &o.spec.template));
    for pod in store.list::<Pod>().filter(|p| !kept(&p.metadata) && !written(Kind::Pod, &p.metadata)) {
        found.push(Backend { namespace: &pod.metadata.namespace, labels: &pod.metadata.labels, spec: &pod.spec });
    }
    found
}

fn in_words(doubt: Doubt) -> Phrase {
    match doubt {
        Doubt::NoPod { selector, namespace } => {
            Phrase::new("diag-no-pod").with("selector", selector).with("namespace", namespace)
        }
        Doubt::NoPort { port, declared } => Phrase::new("diag-no-port").with("port", port).with("declared", declared),
        Doubt::NoPortName { name, protocol, declared } => {
            Phrase::new("diag-no-port-name").with("name", name).with("protocol", protocol).with("declared", declared)
        }
    }
}

pub(crate) fn format(ticket: u32, yaml: String) -> Reply {
    match yaml::format(&yaml) {
        Ok(text) => Reply::Formatted { ticket, text, wrong: None },
        Err(wrong) => Reply::Formatted { ticket, text: yaml, wrong: Some(cluster::diagnostic(&wrong)) },
    }
}

fn fix(fix: assist::Fix) -> Fix {
    let title = match fix.remedy {
        Remedy::Write(word) => Phrase::new("fix-write").with("word", word),
        Remedy::Unquote(word) => Phrase::new("fix-unquote").with("word", word),
        Remedy::Quote(word) => Phrase::new("fix-quote").with("word", word),
        Remedy::Untab => Phrase::new("fix-untab"),
        Remedy::NamePorts => Phrase::new("fix-name-ports"),
    };
    let edit = |e: assist::Edit| TextEdit { line: e.line, column: e.column, length: e.length, text: e.text };
    Fix { diagnostic: fix.diagnostic as u32, title, edits: fix.edits.into_iter().map(edit).collect() }
}

pub(crate) fn complete(ticket: u32, yaml: &str, line: u32, column: u32, reference: &Reference) -> Reply {
    let found = assist::complete(yaml, line, column, reference);
    let suggestion = |s: assist::Suggestion| Suggestion {
        label: s.label,
        insert: s.insert,
        field: s.what == What::Field,
        type_: s.type_,
        description: s.description,
        required: s.required,
        without_effect: s.without_effect,
    };
    let suggestions = found.items.into_iter().map(suggestion).collect();
    Reply::Completed { ticket, column: found.column, suggestions, reference: !reference.is_empty() }
}

pub(crate) fn explain(ticket: u32, yaml: &str, line: u32, column: u32, reference: &Reference) -> Reply {
    let explanation = assist::hover(yaml, line, column, reference).map(|h| Explanation {
        column: h.column,
        length: h.length,
        name: h.name,
        type_: h.type_,
        description: h.description,
        values: h.values,
        required: h.required,
        without_effect: h.without_effect,
    });
    Reply::Explained { ticket, explanation, reference: !reference.is_empty() }
}
