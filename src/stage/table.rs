//! The same facts as tables, for those who can't see the picture, and for those who want numbers.

use super::{Ctx, words};
use crate::i18n::{group, t};
use crate::lab::with_run;
use lab_protocol::Outcome;
use leptos::prelude::*;

/// A table: its name, its columns, its rows.
type Sheet = (String, Vec<String>, Vec<Vec<String>>);

fn columns(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|k| t(k)).collect()
}

fn clients(ctx: Ctx) -> Sheet {
    let at = ctx.lab.view_time.get_untracked();
    let rows = ctx.lab.scene.with_untracked(|s| {
        s.clients
            .values()
            .map(|c| {
                let rates =
                    with_run(ctx.lab.id, |run| run.store.client_rates(c.id, at, ctx.window())).unwrap_or_default();
                let mut row = vec![c.name.clone(), c.node.clone(), c.target.clone(), words::rate(rates.0)];
                row.extend(Outcome::ALL.iter().map(|o| group(c.counts.of(*o))));
                row
            })
            .collect()
    });
    let mut head = columns(&["stage-client", "pod-node", "stage-target", "stage-per-second"]);
    head.extend(Outcome::ALL.iter().map(|o| words::outcome_word(*o)));
    (t("stage-clients"), head, rows)
}

fn services(ctx: Ctx) -> Sheet {
    let rows = ctx.lab.scene.with_untracked(|s| {
        let mut rows = Vec::new();
        for service in s.services.values() {
            let address = words::service_address(service);
            for list in &service.lists {
                let nodes = list.nodes.join(", ");
                if list.endpoints.is_empty() {
                    let (what, why) = words::no_endpoints(service);
                    let none = format!("{what}: {why}");
                    rows.push(vec![service.name.clone(), address.clone(), nodes, none, String::new(), String::new()]);
                    continue;
                }
                for e in &list.endpoints {
                    let pod = e.pod.and_then(|p| s.pods.get(&p));
                    let pod = pod.map(|p| format!("{} ({})", p.name, words::state_word(p.state)));
                    rows.push(vec![
                        service.name.clone(),
                        address.clone(),
                        nodes.clone(),
                        e.address.clone(),
                        words::share(e.share),
                        pod.unwrap_or_else(|| t("stage-nobody")),
                    ]);
                }
            }
        }
        rows
    });
    let head =
        columns(&["stage-service", "stage-address", "stage-in-rules-of", "stage-endpoint", "stage-share", "stage-pod"]);
    (t("stage-services"), head, rows)
}

fn nodes(ctx: Ctx) -> Sheet {
    let at = ctx.lab.view_time.get_untracked();
    let rows = ctx.lab.scene.with_untracked(|s| {
        s.nodes
            .values()
            .map(|n| {
                let state = words::node_trouble(n).unwrap_or_else(|| t("node-ready"));
                let proxy = words::proxy_word(n, at);
                vec![n.name.clone(), n.ip.clone(), n.zone.clone(), state, proxy, group(u64::from(n.rules))]
            })
            .collect()
    });
    let head = columns(&["node-word", "node-ip", "node-zone", "stage-state", "node-proxy", "node-rules"]);
    (t("stage-nodes-word"), head, rows)
}

fn pods(ctx: Ctx) -> Sheet {
    let at = ctx.lab.view_time.get_untracked();
    let rows = ctx.lab.scene.with_untracked(|s| {
        s.pods
            .values()
            .map(|p| {
                let rate = with_run(ctx.lab.id, |run| run.store.pod_rate(p.id, at, ctx.window())).unwrap_or(0.0);
                let labels: Vec<String> = p.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                vec![
                    p.name.clone(),
                    words::state_word(p.state),
                    words::detail(p, at),
                    p.ip.clone(),
                    p.node.clone(),
                    labels.join(", "),
                    words::rate(rate),
                    group(p.answered),
                    group(p.failed),
                ]
            })
            .collect()
    });
    let head = columns(&[
        "stage-pod",
        "stage-state",
        "stage-detail",
        "pod-ip",
        "pod-node",
        "pod-labels",
        "stage-per-second",
        "pod-answered",
        "pod-failed",
    ]);
    (t("stage-pods-word"), head, rows)
}

/// All of them.
#[component]
pub fn Tables(ctx: Ctx) -> impl IntoView {
    let table = move |make: fn(Ctx) -> Sheet| {
        let sheet = Memo::new(move |_| {
            ctx.tick.get();
            ctx.lab.applied.track();
            if !ctx.lab.playing.get() {
                ctx.lab.view_time.track();
                ctx.lab.scene.track();
            }
            make(ctx)
        });
        let body = move || {
            let (_, _, rows) = sheet.get();
            rows.into_iter()
                .map(|row| {
                    let cells = row.into_iter().enumerate().map(|(i, cell)| {
                        if i == 0 {
                            view! { <th scope="row" class="mono">{cell}</th> }.into_any()
                        } else {
                            view! { <td>{cell}</td> }.into_any()
                        }
                    });
                    view! { <tr>{cells.collect_view()}</tr> }
                })
                .collect_view()
        };
        let (name, head, _) = sheet.get_untracked();
        view! {
            <table class="facts">
                <caption>{name}</caption>
                <thead><tr>{head.into_iter().map(|h| view! { <th scope="col">{h}</th> }).collect_view()}</tr></thead>
                <tbody>{body}</tbody>
            </table>
        }
    };
    view! {
        <div class="stage-tables" tabindex="0" role="region" aria-label=t("stage-table")>
            {table(clients)}{table(services)}{table(nodes)}{table(pods)}
        </div>
    }
}
