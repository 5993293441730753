//! `kubectl get`.

use crate::flags::Args;
use crate::print::{json, jsonpath, yaml};
use crate::resource::{self, Item, Named, Type};
use crate::table::Table;
use crate::{Step, World, columns};
use cluster::Cluster;
use kube_api::wire::{map, of};
use kube_api::yaml::{Tree, Value};

/// Its flags.
pub const FLAGS: &str = "o,output:s l,selector:s A,all-namespaces:b w,watch:b watch-only:b show-labels:b \
L,label-columns:l no-headers:b sort-by:s ignore-not-found:b field-selector:s f,filename:l show-kind:b \
chunk-size:i output-watch-events:b server-print:b ~R,recursive:b ~k,kustomize:s ~raw:s ~subresource:s \
allow-missing-template-keys:b ~template:s ~show-managed-fields:b";

/// Forms of `-o`.
pub(crate) enum Form {
    Table { wide: bool },
    Yaml,
    Json,
    Name,
    Path(String, jsonpath::Template),
    Columns(Vec<(String, jsonpath::Template)>, bool),
}

impl Form {
    /// Reads `-o`.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub fn read(text: &str) -> Result<Form, String> {
        let (name, rest) = text.split_once('=').map_or((text, None), |(n, r)| (n, Some(r)));
        Ok(match (name, rest) {
            ("", None) => Form::Table { wide: false },
            ("wide", None) => Form::Table { wide: true },
            ("yaml", None) => Form::Yaml,
            ("json", None) => Form::Json,
            ("name", None) => Form::Name,
            ("jsonpath", Some(template)) => {
                let read = jsonpath::Template::parse(template);
                Form::Path(
                    template.into(),
                    read.map_err(|why| format!("error: error parsing jsonpath {template}, {why}"))?,
                )
            }
            ("jsonpath", None) => return Err("error: template format specified but no template given".into()),
            ("custom-columns", None | Some("")) => {
                return Err("error: custom-columns format specified but no custom columns given".into());
            }
            ("custom-columns", Some(spec)) => {
                let column = |part: &str| {
                    let Some((heading, path)) = part.split_once(':').filter(|(_, p)| !p.is_empty()) else {
                        return Err(format!(
                            "error: unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
                        ));
                    };
                    let template = jsonpath::Template::parse_relaxed(path).map_err(|why| format!("error: {why}"))?;
                    Ok((heading.to_owned(), template))
                };
                Form::Columns(spec.split(',').map(column).collect::<Result<_, _>>()?, true)
            }
            (
                "go-template"
                | "go-template-file"
                | "template"
                | "templatefile"
                | "jsonpath-file"
                | "jsonpath-as-json"
                | "custom-columns-file",
                _,
            ) => {
                return Err(format!("error: the output format {name:?} isn't simulated here"));
            }
            _ => {
                return Err(format!(
                    "error: unable to match a printer suitable for the output format {text:?}, allowed formats are: custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml"
                ));
            }
        })
    }
}

/// What is asked for, to be looked up again while one watches.
struct Query {
    args: Args,
    words: Vec<String>,
    form: Form,
    /// Whether names are printed with their kind.
    kinds: bool,
}

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let form = match Form::read(args.text("output")) {
        Ok(form) => form,
        Err(complaint) => return world.fail(&complaint),
    };
    let words = match files(world, args) {
        Ok(words) => words,
        Err(complaint) => return world.fail(&complaint),
    };
    if words.is_empty() {
        return world.fail("You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n\nerror: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples");
    }
    let several = match resource::named(&words) {
        Ok(Named::Types(types)) => types.len() > 1,
        Ok(Named::Objects(objects)) => objects.iter().any(|(t, _)| Some(t) != objects.first().map(|(t, _)| t)),
        Err(complaint) => return world.fail(&complaint),
    };
    resource::warn_of_deprecated(world, &words);
    let kinds = several || args.on("show-kind") || words.iter().any(|w| w == "all");
    let query = Query { args: args.clone(), words, form, kinds };
    if args.on("watch") || args.on("watch-only") {
        if several {
            return world.fail("error: you may only specify a single resource type");
        }
        return watch(world, query);
    }
    once(world, &query)
}

/// The words of the line, or the objects of the files that `-f` names.
fn files(world: &World<'_>, args: &Args) -> Result<Vec<String>, String> {
    if args.get("filename").is_none() {
        return Ok(args.words.clone());
    }
    let mut words = Vec::new();
    for name in args.all("filename") {
        let text = world.api.file(name).ok_or_else(|| format!("error: the path {name:?} does not exist"))?;
        for manifest in kube_api::manifest::parse_as(&text, world.cluster().release()).manifests {
            if let kube_api::manifest::Content::Object(object) = manifest.content {
                words.push(format!("{}/{}", object.kind().plural(), object.metadata().name));
            }
        }
    }
    Ok(words)
}

impl Query {
    fn items(&self, world: &World<'_>) -> Result<(Vec<Item>, Vec<String>), String> {
        let (mut items, missing) = resource::items(world, &self.args, &self.words)?;
        if let Some(selector) = self.args.get("field-selector") {
            let tests = fields(selector)?;
            items.retain(|item| {
                let tree = item.wire(world.cluster());
                tests.iter().all(|(path, value, equal)| {
                    let found = tree.at(&path.split('.').collect::<Vec<_>>()).map(jsonpath::value_text);
                    (found.unwrap_or_default() == *value) == *equal
                })
            });
        }
        if let Some(path) = self.args.get("sort-by") {
            let template = jsonpath::Template::parse_relaxed(path).map_err(|why| format!("error: {why}"))?;
            let key = |item: &Item| {
                let tree = item.wire(world.cluster());
                let value = template.values(&tree).first().map(|t| t.value.clone());
                let number = match value {
                    Some(Value::Int(i)) => i,
                    _ => 0,
                };
                (number, value.map(|value| jsonpath::value_text(&of(value))).unwrap_or_default())
            };
            let mut keyed: Vec<((i128, String), Item)> = items.into_iter().map(|i| (key(&i), i)).collect();
            crate::order::sort_by(&mut keyed, |a, b| a.0.cmp(&b.0));
            items = keyed.into_iter().map(|(_, item)| item).collect();
        }
        Ok((items, missing))
    }

    /// Headings and cells of some objects of one type.
    fn rows(&self, cluster: &Cluster, type_: &'static Type, items: &[&Item]) -> (Vec<String>, Vec<Vec<String>>) {
        let wide = matches!(self.form, Form::Table { wide: true });
        let headings = columns::headings(type_, wide);
        let split = headings.iter().position(|h| h.is_empty());
        let shown = if wide { headings.len() } else { split.unwrap_or(headings.len()) };
        let mut heading: Vec<String> =
            headings[..shown].iter().filter(|h| !h.is_empty()).map(|h| (*h).to_owned()).collect();
        let count = heading.len();
        let label_columns: Vec<&str> = self.args.all("label-columns").collect();
        heading.extend(label_columns.iter().map(|l| l.rsplit('/').next().unwrap_or_default().to_uppercase()));
        if self.args.on("show-labels") {
            heading.push("LABELS".into());
        }
        let namespaces = self.args.on("all-namespaces") && type_.namespaced;
        if namespaces {
            heading.insert(0, "NAMESPACE".into());
        }
        let rows = items
            .iter()
            .map(|item| {
                let mut row = columns::cells(item, cluster, wide);
                row.truncate(count);
                if self.kinds
                    && type_.kind != "Event"
                    && let Some(name) = row.first_mut()
                {
                    *name = item.slashed();
                }
                row.extend(label_columns.iter().map(|l| item.meta.labels.get(*l).cloned().unwrap_or_default()));
                if self.args.on("show-labels") {
                    row.push(crate::select::format_labels(&item.meta.labels));
                }
                if namespaces {
                    row.insert(0, item.meta.namespace.clone());
                }
                row
            })
            .collect();
        (heading, rows)
    }

    fn table(&self) -> Table {
        let bare = self.args.on("no-headers") || matches!(self.form, Form::Columns(_, false));
        if bare { Table::without_heading() } else { Table::default() }
    }
}

/// `status.phase=Running,metadata.name!=web`
fn fields(text: &str) -> Result<Vec<(String, String, bool)>, String> {
    let part = |part: &str| {
        let (path, value, equal) = match (part.split_once("!="), part.split_once("=="), part.split_once('=')) {
            (Some((p, v)), ..) => (p, v, false),
            (_, Some((p, v)), _) | (_, _, Some((p, v))) => (p, v, true),
            _ => return Err(format!("error: invalid selector: '{text}'; can't understand '{part}'")),
        };
        Ok((path.to_owned(), value.to_owned(), equal))
    };
    text.split(',').filter(|p| !p.is_empty()).map(part).collect()
}

fn once(world: &mut World<'_>, query: &Query) -> Step {
    let (items, mut missing) = match query.items(world) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if query.args.on("ignore-not-found") {
        missing.clear();
    }
    let single = match resource::named(&query.words) {
        Ok(Named::Objects(objects)) => objects.len() == 1,
        _ => false,
    };
    match &query.form {
        Form::Table { .. } => tables(world, query, &items, missing.is_empty()),
        form => {
            let result = if single && items.is_empty() {
                Ok(String::new())
            } else {
                print(world.cluster(), form, &items, single, query.args.on("no-headers"))
            };
            match result {
                Ok(text) => world.out.stdout.push_str(&text),
                Err(complaint) => return world.fail(&complaint),
            }
        }
    }
    for complaint in &missing {
        world.complain(complaint);
    }
    Step::Done(i32::from(!missing.is_empty()))
}

/// Objects in a form that isn't a table.
pub(crate) fn print(
    cluster: &Cluster,
    form: &Form,
    items: &[Item],
    single: bool,
    bare: bool,
) -> Result<String, String> {
    let trees = || items.iter().map(|i| i.wire(cluster)).collect::<Vec<Tree>>();
    let whole = || match (single, trees()) {
        (true, mut trees) if trees.len() == 1 => trees.remove(0),
        (_, trees) => of(map(vec![
            ("apiVersion", Value::text("v1")),
            ("items", Value::Seq(trees)),
            ("kind", Value::text("List")),
            ("metadata", map(vec![("resourceVersion", Value::text(""))])),
        ])),
    };
    Ok(match form {
        Form::Yaml => yaml::document(&whole()),
        Form::Json => json::pretty(&whole()),
        Form::Name => items.iter().map(|i| i.slashed() + "\n").collect(),
        Form::Path(text, template) => template
            .print(&whole())
            .map_err(|why| format!("error: error executing jsonpath {text:?}: Error executing template: {why}"))?,
        Form::Columns(columns, _) => {
            let cell = |template: &jsonpath::Template, tree: &Tree| {
                let values: Vec<String> = template.values(tree).into_iter().map(jsonpath::value_text).collect();
                if values.is_empty() { "<none>".into() } else { values.join(",") }
            };
            let rows: Vec<Vec<String>> =
                trees().iter().map(|tree| columns.iter().map(|(_, t)| cell(t, tree)).collect()).collect();
            let heading: Vec<String> = columns.iter().map(|(h, _)| h.clone()).collect();
            let mut table = if bare { Table::without_heading() } else { Table::default() };
            table.print(&heading, &rows)
        }
        Form::Table { .. } => String::new(),
    })
}

fn none(query: &Query) -> String {
    let namespaced = match resource::named(&query.words) {
        Ok(Named::Types(types)) => types.iter().any(|t| t.namespaced),
        _ => true,
    };
    if namespaced && !query.args.on("all-namespaces") {
        format!("No resources found in {} namespace.", resource::namespace(&query.args))
    } else {
        "No resources found".into()
    }
}

fn tables(world: &mut World<'_>, query: &Query, items: &[Item], quiet: bool) {
    if items.is_empty() {
        if quiet && !query.args.on("ignore-not-found") {
            world.complain(&none(query));
        }
        return;
    }
    let mut rest = items;
    let mut first = true;
    while let Some(item) = rest.first() {
        let same = rest.iter().take_while(|i| i.type_ == item.type_).count();
        let group: Vec<&Item> = rest[..same].iter().collect();
        rest = &rest[same..];
        let (heading, rows) = query.rows(world.cluster(), item.type_, &group);
        let text = query.table().print(&heading, &rows);
        if !first && !query.args.on("no-headers") {
            world.say("");
        }
        first = false;
        world.out.stdout.push_str(&text);
    }
    warn_of_endpoints(world, items);
}

/// Endpoints are deprecated from 1.33 on, and the server says so.
fn warn_of_endpoints(world: &mut World<'_>, items: &[Item]) {
    if world.cluster().release().0 >= 33 && items.iter().any(|i| i.type_.kind == "Endpoints") {
        world.complain("Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
    }
}

/// `-w`: what is there, then a row for each change, until one stops it.
fn watch(world: &mut World<'_>, query: Query) -> Step {
    let mut table = query.table();
    let mut seen: Vec<(String, String, u64, Item)> = Vec::new();
    let key = |i: &Item| (i.meta.namespace.clone(), i.meta.name.clone());
    let mut first = true;
    let mut look = move |world: &mut World<'_>| -> Option<i32> {
        let (items, missing) = match query.items(world) {
            Ok(found) => found,
            Err(complaint) => {
                world.complain(&complaint);
                return Some(1);
            }
        };
        if first && items.is_empty() && !missing.is_empty() {
            missing.iter().for_each(|m| world.complain(m));
            return Some(1);
        }
        let mut news: Vec<(&str, &Item)> = Vec::new();
        for item in &items {
            let (namespace, name) = key(item);
            let version = version(item);
            match seen.iter_mut().find(|(ns, n, ..)| *ns == namespace && *n == name) {
                Some(old) if old.2 == version => {}
                Some(old) => {
                    (old.2, old.3) = (version, item.clone());
                    news.push(("MODIFIED", item));
                }
                None => {
                    seen.push((namespace, name, version, item.clone()));
                    news.push(("ADDED", item));
                }
            }
        }
        let present: Vec<_> = items.iter().map(key).collect();
        let gone: Vec<Item> = seen
            .iter()
            .filter(|(ns, n, ..)| !present.contains(&(ns.clone(), n.clone())))
            .map(|s| s.3.clone())
            .collect();
        seen.retain(|(ns, n, ..)| present.contains(&(ns.clone(), n.clone())));
        news.extend(gone.iter().map(|i| ("DELETED", i)));
        let silent = first && query.args.on("watch-only");
        first = false;
        if silent || news.is_empty() {
            return None;
        }
        let type_ = news.first().map(|(_, i)| i.type_)?;
        match &query.form {
            Form::Table { .. } => {
                let all: Vec<&Item> = news.iter().map(|(_, i)| *i).collect();
                let (mut heading, mut rows) = query.rows(world.cluster(), type_, &all);
                if query.args.on("output-watch-events") {
                    heading.insert(0, "EVENT".into());
                    rows.iter_mut().zip(&news).for_each(|(row, (what, _))| row.insert(0, (*what).into()));
                }
                let text = table.print(&heading, &rows);
                world.out.stdout.push_str(&text);
            }
            form => {
                for (_, item) in news {
                    match print(world.cluster(), form, core::slice::from_ref(item), true, query.args.on("no-headers")) {
                        Ok(text) if matches!(form, Form::Yaml) => {
                            world.say("---");
                            world.out.stdout.push_str(&text);
                        }
                        Ok(text) => world.out.stdout.push_str(&text),
                        Err(complaint) => world.complain(&complaint),
                    }
                }
            }
        }
        None
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}

/// What changes when an object changes.
fn version(item: &Item) -> u64 {
    match &item.body {
        resource::Body::Stored(object) => object.metadata().resource_version,
        resource::Body::Lease(lease) => lease.renewed.as_micros(),
        resource::Body::Event(event) => event.number << 32 | u64::from(event.count),
        resource::Body::Endpoints(subsets) => {
            let text = format!("{subsets:?}");
            text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        }
    }
}
