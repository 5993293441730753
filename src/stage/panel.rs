//! The panel of a thing: what is known of it, and what can be done to it.

use super::geometry::Form;
use super::pods::{outline, state_class};
use super::topology::Thing;
use super::{Ctx, focus, words};
use crate::i18n::{group, t, tf};
use crate::lab::{Question, Scene};
use lab_protocol::{Fault, Id, NodeView, PodRef, PodState, PodView, ServiceView};
use leptos::html;
use leptos::prelude::*;

/// Width of the panel beside its thing.
const WIDTH: f64 = 268.0;

/// What can be done to a thing.
#[derive(Clone, PartialEq)]
enum Deed {
    Ask(&'static str, Question),
    Fault(&'static str, Fault),
    Delete(&'static str, String, String),
}

/// What a panel says.
#[derive(Clone, Default, PartialEq)]
struct Sheet {
    kind: String,
    title: String,
    state: String,
    glyph: Option<(PodState, u8)>,
    facts: Vec<(String, String)>,
    deeds: Vec<Deed>,
}

fn thing_of(scene: &Scene, id: Id) -> Option<Thing> {
    if scene.pods.contains_key(&id) {
        return Some(Thing::Pod(id));
    }
    if scene.services.contains_key(&id) {
        return Some(Thing::Service(id));
    }
    if scene.clients.contains_key(&id) {
        return Some(Thing::Client(id));
    }
    scene.nodes.get(&id).map(|n| Thing::Node(n.name.clone()))
}

/// A Pod by its role, when it has one: the run may be another when the deed is done again.
fn pod_ref(pod: &PodView) -> PodRef {
    if pod.deployment.is_empty() || pod.nth == 0 {
        PodRef::Named { namespace: pod.namespace.clone(), name: pod.name.clone() }
    } else {
        PodRef::Nth { namespace: pod.namespace.clone(), deployment: pod.deployment.clone(), nth: pod.nth }
    }
}

fn labels(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}

fn fact(facts: &mut Vec<(String, String)>, key: &str, value: impl Into<String>) {
    let value = value.into();
    if !value.is_empty() {
        facts.push((t(key), value));
    }
}

fn pod_sheet(pod: &PodView, scene: &Scene) -> Sheet {
    let mut facts = Vec::new();
    fact(&mut facts, "pod-ip", pod.ip.clone());
    fact(&mut facts, "pod-node", pod.node.clone());
    fact(&mut facts, "pod-labels", labels(&pod.labels));
    fact(&mut facts, "pod-answered", group(pod.answered));
    if pod.failed > 0 {
        fact(&mut facts, "pod-failed", group(pod.failed));
    }
    if pod.restarts > 0 {
        fact(&mut facts, "pod-restarts", pod.restarts.to_string());
    }
    let mut deeds = Vec::new();
    let powered = scene.nodes.values().any(|n| n.name == pod.node && n.powered);
    let pod_of = || pod_ref(pod);
    let gone = pod.labels.is_empty() && pod.deployment.is_empty() && pod.state == PodState::Dead;
    if !gone {
        let runs = matches!(pod.state, PodState::Ready | PodState::NotReady | PodState::Terminating);
        if runs && powered {
            deeds.push(Deed::Fault("fault-kill-process", Fault::KillProcess { pod: pod_of() }));
        }
        if pod.state != PodState::Terminating {
            deeds.push(Deed::Fault("fault-delete-pod", Fault::DeletePod { pod: pod_of() }));
        }
        deeds.push(Deed::Fault("fault-kill-pod", Fault::KillPod { pod: pod_of() }));
        if runs && powered {
            deeds.push(if pod.readiness_failing {
                Deed::Fault("fault-pass-readiness", Fault::PassReadiness { pod: pod_of() })
            } else {
                Deed::Fault("fault-fail-readiness", Fault::FailReadiness { pod: pod_of() })
            });
            deeds.push(if pod.cut {
                Deed::Fault("fault-join-pod", Fault::JoinPod { pod: pod_of() })
            } else {
                Deed::Fault("fault-cut-pod", Fault::CutPod { pod: pod_of() })
            });
        }
    }
    deeds.push(Deed::Ask("why-pod-ask", Question::Pod(pod.id)));
    Sheet {
        kind: "Pod".into(),
        title: pod.name.clone(),
        state: words::state_word(pod.state),
        glyph: Some((pod.state, pod.hue)),
        facts,
        deeds,
    }
}

fn node_sheet(node: &NodeView) -> Sheet {
    let mut facts = Vec::new();
    fact(&mut facts, "node-ip", node.ip.clone());
    fact(&mut facts, "node-zone", node.zone.clone());
    fact(&mut facts, "node-rules", group(u64::from(node.rules)));
    if let Some(at) = node.synced_at {
        fact(&mut facts, "node-synced-at", words::moment(at));
    }
    let name = || node.name.clone();
    let power = if node.powered {
        Deed::Fault("fault-power-off", Fault::PowerOff { node: name() })
    } else {
        Deed::Fault("fault-power-on", Fault::PowerOn { node: name() })
    };
    let cable = if node.cut {
        Deed::Fault("fault-join-node", Fault::JoinNode { node: name() })
    } else {
        Deed::Fault("fault-cut-node", Fault::CutNode { node: name() })
    };
    Sheet {
        kind: t("node-word"),
        title: node.name.clone(),
        state: words::node_trouble(node).unwrap_or_else(|| t("node-ready")),
        glyph: None,
        facts,
        deeds: vec![power, cable],
    }
}

fn service_sheet(service: &ServiceView) -> Sheet {
    let mut facts = Vec::new();
    fact(&mut facts, "stage-type", service.type_.clone());
    fact(&mut facts, "stage-cluster-ip", service.cluster_ip.clone());
    let ports: Vec<String> =
        service.ports.iter().map(|p| format!("{}/{} → {}", p.port, p.protocol, p.target)).collect();
    fact(&mut facts, "stage-ports", ports.join(", "));
    let selector = labels(&service.selector);
    fact(&mut facts, "stage-selector", if selector.is_empty() { t("stage-none") } else { selector });
    fact(&mut facts, "stage-selected", service.selected.to_string());
    for list in &service.lists {
        let mut addresses: Vec<&str> = list.endpoints.iter().map(|e| e.address.as_str()).collect();
        addresses.truncate(8);
        let more = list.endpoints.len().saturating_sub(addresses.len());
        let mut value = if addresses.is_empty() { t("stage-no-endpoints") } else { addresses.join(", ") };
        if more > 0 {
            value.push_str(&format!(" +{more}"));
        }
        let key = if list.nodes.len() == 1 { "stage-as-node" } else { "stage-as-nodes" };
        facts.push((tf(key, &[("nodes", &words::names(&list.nodes))]), value));
    }
    Sheet {
        kind: "Service".into(),
        title: service.name.clone(),
        state: String::new(),
        glyph: None,
        facts,
        deeds: vec![
            Deed::Delete("Service", service.namespace.clone(), service.name.clone()),
            Deed::Ask("rules-ask", Question::Rules(service.id)),
        ],
    }
}

fn sheet(scene: &Scene, id: Id) -> Option<Sheet> {
    if let Some(pod) = scene.pods.get(&id) {
        return Some(pod_sheet(pod, scene));
    }
    if let Some(service) = scene.services.get(&id) {
        return Some(service_sheet(service));
    }
    if let Some(node) = scene.nodes.get(&id) {
        return Some(node_sheet(node));
    }
    let client = scene.clients.get(&id)?;
    let mut facts = Vec::new();
    fact(&mut facts, "stage-target", client.target.clone());
    fact(&mut facts, "pod-node", client.node.clone());
    fact(&mut facts, "stage-wants", format!("{} {}", words::rate(client.rate_milli as f64 / 1_000.0), t("stage-rps")));
    for outcome in lab_protocol::Outcome::ALL {
        let n = client.counts.of(outcome);
        if n > 0 {
            facts.push((words::outcome_word(outcome), group(n)));
        }
    }
    Some(Sheet { kind: t("stage-client"), title: client.name.clone(), facts, ..Sheet::default() })
}

fn kind_and_state(sheet: &Sheet) -> String {
    if sheet.state.is_empty() { sheet.kind.clone() } else { format!("{} · {}", sheet.kind, sheet.state) }
}

/// The panel beside the thing that was picked.
#[component]
pub fn Panel(ctx: Ctx, scroll: NodeRef<html::Div>, close: Callback<()>) -> impl IntoView {
    let lab = ctx.lab;
    let thing = Memo::new(move |_| {
        let id = lab.focus.get()?;
        lab.scene.with(|s| thing_of(s, id))
    });
    // The counters change all the time: let them be read.
    let content = Memo::new(move |_| {
        let id = lab.focus.get()?;
        ctx.tick.get();
        lab.status.track();
        lab.applied.track();
        lab.scene.with(|s| sheet(s, id))
    });
    let shown = Memo::new(move |_| content.with(Option::is_some));
    let panel = NodeRef::<html::Div>::new();
    // By how much it stands higher than its thing, to be seen whole.
    let raised = RwSignal::new(0.0_f64);
    let close_and_return = move || {
        let back = thing.get_untracked();
        close.run(());
        if let Some(back) = back {
            focus(ctx, &back);
        }
    };
    Effect::new(move |_| {
        if let Some(element) = panel.get() {
            let first = element.query_selector(".deed, button").ok().flatten();
            let first = element.query_selector(".deed").ok().flatten().or(first);
            let rect = element.get_bounding_client_rect();
            let room = window().inner_height().ok().and_then(|h| h.as_f64()).unwrap_or(f64::MAX);
            raised.set((rect.bottom() + 12.0 - room).clamp(0.0, (rect.top() - 8.0).max(0.0)));
            if let Some(first) = first {
                let first: web_sys::HtmlElement = wasm_bindgen::JsCast::unchecked_into(first);
                let _ = first.focus();
            }
        }
    });
    let outside = window_event_listener(leptos::ev::pointerdown, move |event| {
        if lab.focus.get_untracked().is_none() {
            return;
        }
        let target = event.target().and_then(|t| wasm_bindgen::JsCast::dyn_into::<web_sys::Element>(t).ok());
        let inside = target.is_some_and(|t| t.closest(".panel, .thing").ok().flatten().is_some());
        if !inside {
            close.run(());
        }
    });
    on_cleanup(move || outside.remove());

    let place = Memo::new(move |_| {
        let thing = thing.get()?;
        let scrolled = scroll.get_untracked().map_or(0.0, |s| f64::from(s.scroll_top()));
        ctx.geo.with(|g| {
            if g.form == Form::Tall {
                return None;
            }
            let spot = g.spot(&thing);
            let after = spot.x + spot.w.min(300.0) + 8.0;
            let x = if after + WIDTH < g.width { after } else { (spot.x - WIDTH - 8.0).max(8.0) };
            Some((x, spot.y - scrolled - 8.0))
        })
    });
    let left = move || place.get().map(|(x, _)| format!("{x:.0}px"));
    let top = move || place.get().map(|(_, y)| format!("{:.0}px", y - raised.get()));
    let part =
        move |f: fn(&Sheet) -> String| Memo::new(move |_| content.with(|c| c.as_ref().map(f).unwrap_or_default()));
    let glyph = Memo::new(move |_| content.with(|c| c.as_ref().and_then(|s| s.glyph)));
    let facts = Memo::new(move |_| content.with(|c| c.as_ref().map(|s| s.facts.clone()).unwrap_or_default()));
    let deeds = Memo::new(move |_| {
        if !lab.interactive {
            return Vec::new();
        }
        content.with(|c| c.as_ref().map(|s| s.deeds.clone()).unwrap_or_default())
    });
    view! {
        <Show when=move || shown.get()>
            <div class="panel" class:is-sheet=move || place.get().is_none() role="dialog" node_ref=panel
                aria-label=move || format!("{} {}", part(|s| s.kind.clone()).get(), part(|s| s.title.clone()).get())
                style:left=left style:top=top
                on:keydown=move |event| if event.key() == "Escape" {
                    event.stop_propagation();
                    close_and_return();
                }>
                <div class="panel-head">
                    {move || glyph.get().map(|(state, hue)| view! {
                        <svg class="panel-glyph" width="28" height="28" viewBox="-14 -14 28 28" aria-hidden="true">
                            <g class=format!("pod-glyph {} {}", state_class(state), words::hue(hue))>
                                <path d=outline(state, 11.0)/>
                                <text y="4.2">{words::letter(state)}</text>
                            </g>
                        </svg>
                    })}
                    <p><span class="meta">{part(kind_and_state)}</span>
                        <b class="mono">{part(|s| s.title.clone())}</b></p>
                    <button class="btn btn-icon btn-sm" aria-label=t("stage-close") on:click=move |_| close_and_return()>
                        <svg class="ic" width="14" height="14" viewBox="0 0 16 16" aria-hidden="true"><path d="M4 4l8 8M12 4l-8 8"/></svg>
                    </button>
                </div>
                <Show when=move || !deeds.with(Vec::is_empty)>
                    <div class="panel-deeds" role="group" aria-label=t("stage-deeds")>
                        {move || deeds.get().into_iter().map(|deed| {
                            let key = match &deed {
                                Deed::Ask(key, _) | Deed::Fault(key, _) => key,
                                Deed::Delete(..) => "fault-delete-service",
                            };
                            let does = t(&format!("{key}-does"));
                            view! {
                                <button class="deed" on:click=move |_| {
                                    match deed.clone() {
                                        Deed::Ask(_, question) => lab.ask(question),
                                        Deed::Fault(_, fault) => lab.fault(fault),
                                        Deed::Delete(kind, namespace, name) => lab.delete(kind, &namespace, &name),
                                    }
                                    close_and_return();
                                }>
                                    <b>{t(key)}</b><span>{does}</span>
                                </button>
                            }
                        }).collect_view()}
                    </div>
                </Show>
                <dl>
                    {move || facts.get().into_iter().map(|(key, value)| view! {
                        <div><dt>{key}</dt><dd class="mono">{value}</dd></div>
                    }).collect_view()}
                </dl>
            </div>
        </Show>
    }
}
