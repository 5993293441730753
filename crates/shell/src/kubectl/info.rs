//! `kubectl api-resources`, `api-versions`, `version`.

use crate::flags::Args;
use crate::order::sort_by_key;
use crate::resource::TYPES;
use crate::table::Table;
use crate::{Step, World};

/// Flags of api-resources.
pub const RESOURCES: &str = "o,output:s no-headers:b namespaced:b api-group:s sort-by:s verbs:l cached:b categories:l";
/// Flags of version.
pub const VERSION: &str = "client:b ~o,output:s";

/// `kubectl api-resources`: what is simulated.
pub fn resources(world: &mut World<'_>, args: &Args) -> Step {
    let form = args.text("output");
    if !matches!(form, "" | "wide" | "name") {
        return world.fail(&format!(
            "error: --output {form} is not available\nSee 'kubectl api-resources -h' for help and examples"
        ));
    }
    let mut types: Vec<_> = TYPES
        .iter()
        .filter(|t| args.get("namespaced").is_none_or(|n| (n == "true") == t.namespaced))
        .filter(|t| args.get("api-group").is_none_or(|g| g == t.group))
        .collect();
    match args.text("sort-by") {
        "" => {}
        "name" => sort_by_key(&mut types, |t| t.plural),
        "kind" => sort_by_key(&mut types, |t| t.kind),
        _ => {
            return world.fail(
                "error: --sort-by accepts only name or kind\nSee 'kubectl api-resources -h' for help and examples",
            );
        }
    }
    if form == "name" {
        types.iter().for_each(|t| world.say(&t.full_plural()));
        return Step::Done(0);
    }
    let wide = form == "wide";
    let mut heading: Vec<String> = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"].map(String::from).into();
    if wide {
        heading.extend(["VERBS", "CATEGORIES"].map(String::from));
    }
    let rows: Vec<Vec<String>> = types
        .iter()
        .map(|t| {
            let mut row = vec![
                t.plural.to_owned(),
                t.short.join(","),
                t.api_version(),
                t.namespaced.to_string(),
                t.kind.to_owned(),
            ];
            if wide {
                row.push("create,delete,deletecollection,get,list,patch,update,watch".into());
                row.push(if t.in_all { "all".into() } else { String::new() });
            }
            row
        })
        .collect();
    let mut table = if args.on("no-headers") { Table::without_heading() } else { Table::default() };
    let text = table.print(&heading, &rows);
    world.out.stdout.push_str(&text);
    Step::Done(0)
}

/// `kubectl api-versions`.
pub fn versions(world: &mut World<'_>, _: &Args) -> Step {
    let mut all: Vec<String> = TYPES.iter().map(|t| t.api_version()).collect();
    sort_by_key(&mut all, Clone::clone);
    all.dedup();
    all.iter().for_each(|v| world.say(v));
    Step::Done(0)
}

/// `kubectl version`.
pub fn version(world: &mut World<'_>, args: &Args) -> Step {
    let version = client_version(world);
    if !args.on("client") {
        world.say(&format!("Server Version: {version}"));
    }
    Step::Done(0)
}

/// What it says of itself; the server is of the same release.
pub fn client_version(world: &mut World<'_>) -> String {
    let version = crate::columns::kubelet_version(world.cluster());
    world.say(&format!("Client Version: {version}"));
    version
}
