//! `kubectl events` (`kubectl/pkg/cmd/events`).

use crate::describe::interval;
use crate::flags::Args;
use crate::resource::{self, Type};
use crate::table::Table;
use crate::{Step, World};
use cluster::KubeEvent;

/// Its flags.
pub const FLAGS: &str = "A,all-namespaces:b w,watch:b for:s types:l no-headers:b chunk-size:i ~o,output:s";

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let about = match args.get("for") {
        Some(text) => match text.split_once('/') {
            Some((type_, name)) => match Type::find(type_) {
                Ok(type_) => Some((type_, name.to_owned())),
                Err(complaint) => return world.fail(&complaint),
            },
            None => return world.fail("error: --for must be in resource/name form"),
        },
        None => None,
    };
    let types: Vec<String> = args.all("types").map(str::to_owned).collect();
    if types.iter().any(|t| !["normal", "warning"].contains(&t.to_ascii_lowercase().as_str())) {
        return world.fail("error: valid --types are Normal or Warning");
    }
    let everywhere = args.on("all-namespaces");
    let namespace = resource::namespace(args).to_owned();
    let bare = args.on("no-headers");
    let pick = move |world: &World<'_>| {
        let mut events: Vec<KubeEvent> = world
            .cluster()
            .kube_events()
            // Events about what has no namespace are kept in default.
            .filter(|e| {
                everywhere || if e.namespace.is_empty() { namespace == "default" } else { e.namespace == namespace }
            })
            .filter(|e| about.as_ref().is_none_or(|(t, name)| e.kind == t.kind && e.name == *name))
            .filter(|e| types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(e.type_)))
            .collect();
        crate::order::sort_by_key(&mut events, |e| e.last);
        events
    };
    let mut heading: Vec<String> = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(String::from).into();
    if everywhere {
        heading.insert(0, "NAMESPACE".into());
    }
    let mut table = if bare { Table::without_heading() } else { Table::default() };
    let mut seen: Vec<(u64, u32)> = Vec::new();
    let watch = args.on("watch");
    let place = resource::namespace(args).to_owned();
    let mut first = true;
    let mut look = move |world: &mut World<'_>| {
        let now = world.now();
        let news: Vec<KubeEvent> = pick(world).into_iter().filter(|e| !seen.contains(&(e.number, e.count))).collect();
        seen.extend(news.iter().map(|e| (e.number, e.count)));
        if news.is_empty() && first && !watch {
            let line =
                if everywhere { "No events found.".into() } else { format!("No events found in {place} namespace.") };
            world.complain(&line);
        }
        first = false;
        let rows: Vec<Vec<String>> = news
            .iter()
            .map(|e| {
                let object = format!("{}/{}", e.kind, e.name);
                let mut row =
                    vec![interval(e, now), e.type_.into(), e.reason.into(), object, e.message.trim().to_owned()];
                if everywhere {
                    row.insert(0, if e.namespace.is_empty() { "default".into() } else { e.namespace.clone() });
                }
                row
            })
            .collect();
        if !rows.is_empty() {
            let text = table.print(&heading, &rows);
            world.out.stdout.push_str(&text);
        }
        if watch { None } else { Some(0) }
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}
