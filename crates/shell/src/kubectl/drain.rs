//! `kubectl drain` (`kubectl/pkg/cmd/drain`, `kubectl/pkg/drain`): cordon, then node by node evict and wait.

use super::change::{nodes, set_schedulable};
use crate::flags::Args;
use crate::human::go;
use crate::resource::Item;
use crate::select::Selector;
use crate::{Step, World};
use kube_api::{NamespacedName, Pod, Uid};
use lab_base::{Span, Time};
use lab_protocol::Command;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Its flags.
pub const FLAGS: &str = "ignore-daemonsets:b delete-emptydir-data:b delete-local-data:b force:b grace-period:i \
timeout:d l,selector:s pod-selector:s disable-eviction:b dry-run:?unchanged chunk-size:i skip-wait-for-delete-timeout:i";

/// How long it waits after a refused eviction (`EvictErrorRetryDelay`).
const RETRY: Span = Span::from_secs(5);
/// How often it looks whether a Pod is gone.
const LOOK: Span = Span::from_secs(1);

/// What the flags ask for.
struct Options {
    selector: Selector,
    force: bool,
    ignore_daemon_sets: bool,
    delete_empty_dirs: bool,
    evicts: bool,
    grace: Option<u32>,
    timeout: Option<Span>,
    /// A Pod whose deletion is older than so many seconds isn't waited for.
    skip_after: i64,
    dry: Option<&'static str>,
}

/// What has to happen to a Pod.
struct Task {
    key: NamespacedName,
    uid: Uid,
    /// It waits for its end; else its eviction is yet to be granted.
    going: bool,
    /// When to do the next thing.
    due: Time,
}

/// A node in the course of being drained.
struct Node {
    item: Item,
    begun: Time,
    tasks: Vec<Task>,
    errors: Vec<String>,
}

struct Drain {
    options: Options,
    waiting: VecDeque<Item>,
    node: Option<Node>,
    failed: Vec<(String, String)>,
}

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    if !args.words.is_empty() && args.get("selector").is_some() {
        return world.fail(&args.usage("cannot specify both a node name and a --selector option"));
    }
    let Ok(selector) = Selector::parse(args.text("pod-selector")) else {
        return world.fail("error: --pod-selector=<pod_selector> must be a valid label selector");
    };
    let (items, missing) = match nodes(world, args, "drain") {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if let Some(complaint) = missing.first() {
        return world.fail(complaint);
    }
    let options = Options {
        selector,
        force: args.on("force"),
        ignore_daemon_sets: args.on("ignore-daemonsets"),
        delete_empty_dirs: args.on("delete-emptydir-data") || args.on("delete-local-data"),
        evicts: !args.on("disable-eviction"),
        grace: args.number("grace-period").filter(|g| *g >= 0).and_then(|g| u32::try_from(g).ok()),
        timeout: args.get("timeout").and_then(crate::human::parse).filter(|t| t.as_micros() > 0),
        skip_after: args.number("skip-wait-for-delete-timeout").unwrap_or(0),
        dry: super::manifest::dry(args),
    };
    let code = set_schedulable(world, args, &items, true);
    if code != 0 {
        return Step::Done(code);
    }
    let mut drain = Drain { options, waiting: items.into(), node: None, failed: Vec::new() };
    match drain.go_on(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(move |world| drain.go_on(world))),
    }
}

impl Drain {
    /// Does what is due. Some: it has ended.
    fn go_on(&mut self, world: &mut World<'_>) -> Option<i32> {
        loop {
            if let Some(mut node) = self.node.take() {
                node.go_on(world, &self.options);
                if !node.tasks.is_empty() {
                    self.node = Some(node);
                    return None;
                }
                self.finish(world, node);
            } else if let Some(item) = self.waiting.pop_front() {
                self.begin(world, item);
            } else {
                return Some(self.end(world));
            }
        }
    }

    fn begin(&mut self, world: &mut World<'_>, item: Item) {
        let (pods, warnings) = match self.options.pods(world, &item.meta.name) {
            Ok(found) => found,
            Err(why) => return self.give_up(world, item.meta.name, why),
        };
        if !warnings.is_empty() {
            world.complain(&format!("Warning: {warnings}"));
        }
        if let Some(dry) = self.options.dry {
            for pod in pods {
                world.say(&format!("evicting pod {}{dry}", pod.metadata.key()));
            }
            return world.say(&format!("{} drained{dry}", item.slashed()));
        }
        let begun = world.now();
        let going = !self.options.evicts;
        let mut tasks = Vec::new();
        for pod in pods {
            let (key, uid) = (pod.metadata.key(), pod.metadata.uid);
            if going {
                world.api.execute(self.options.delete(&key));
            }
            tasks.push(Task { key, uid, going, due: begun });
        }
        self.node = Some(Node { item, begun, tasks, errors: Vec::new() });
    }

    fn finish(&mut self, world: &mut World<'_>, node: Node) {
        let Node { item, errors, .. } = node;
        if errors.is_empty() {
            return world.say(&format!("{} drained", item.slashed()));
        }
        let (name, why) = (item.meta.name, aggregate(&errors));
        match self.options.pods(world, &name) {
            Ok((pending, _)) if !pending.is_empty() => {
                world.complain(&format!("There are pending pods in node {name:?} when an error occurred: {why}"));
                pending.iter().for_each(|pod| world.complain(&format!("pod/{}", pod.metadata.name)));
            }
            Ok(_) => {}
            Err(more) => {
                world.complain(&format!("Following errors occurred while getting the list of pods to delete:\n{more}"))
            }
        }
        self.give_up(world, name, why);
    }

    fn give_up(&mut self, world: &mut World<'_>, name: String, why: String) {
        world.complain(&format!("error: unable to drain node {name:?} due to error: {why}, continuing command..."));
        self.failed.push((name, why));
    }

    fn end(&self, world: &mut World<'_>) -> i32 {
        if self.failed.is_empty() {
            return 0;
        }
        world.complain("There are pending nodes to be drained:");
        self.failed.iter().for_each(|(name, _)| world.complain(&format!(" {name}")));
        self.failed.iter().for_each(|(_, why)| world.complain(why));
        1
    }
}

impl Node {
    fn go_on(&mut self, world: &mut World<'_>, options: &Options) {
        let (begun, mut left) = (self.begun, Vec::new());
        for mut task in core::mem::take(&mut self.tasks) {
            match task.go_on(world, options, begun) {
                Ok(true) => {}
                Ok(false) => left.push(task),
                // Deletions are waited for together, so one ends them all.
                Err(why) if !options.evicts => {
                    self.errors = vec![why];
                    return;
                }
                Err(why) => self.errors.push(why),
            }
        }
        self.tasks = left;
    }
}

impl Task {
    /// Does what is due. Whether nothing is left to do.
    fn go_on(&mut self, world: &mut World<'_>, options: &Options, begun: Time) -> Result<bool, String> {
        let now = world.now();
        let out_of_time = options.timeout.filter(|t| now.since(begun) >= *t).map(go);
        let (namespace, name) = (self.key.namespace.clone(), self.key.name.clone());
        if !self.going && self.due <= now {
            world.say(&format!("evicting pod {}", self.key));
            if let Some(time) = out_of_time {
                return Err(format!(
                    "error when evicting pods/{name:?} -n {namespace:?}: global timeout reached: {time}"
                ));
            }
            let grace_seconds = options.grace;
            let applied =
                world.api.execute(Command::Evict { namespace: namespace.clone(), name: name.clone(), grace_seconds });
            let answer = applied.results.first().map_or("", String::as_str);
            match answer.strip_prefix("Error from server").and_then(|rest| rest.split_once(": ")) {
                None => (self.going, self.due) = (true, now),
                Some((" (NotFound)", _)) => return Ok(true),
                Some((" (TooManyRequests)", why)) => {
                    world.complain(&format!(
                        "error when evicting pods/{name:?} -n {namespace:?} (will retry after {}): {why}",
                        go(RETRY)
                    ));
                    self.due = now + RETRY;
                }
                Some((_, why)) => return Err(format!("error when evicting pods/{name:?} -n {namespace:?}: {why}")),
            }
        }
        if !self.going || self.due > now && out_of_time.is_none() {
            return Ok(false);
        }
        let verb = if options.evicts { "evicted" } else { "deleted" };
        let pod = world.cluster().store().get::<Pod>(&self.key).filter(|p| p.metadata.uid == self.uid).cloned();
        let Some(pod) = pod else {
            world.say(&format!("pod/{name} {verb}"));
            return Ok(true);
        };
        if options.skips(&pod, now) {
            let seconds = options.skip_after;
            world.say(&format!("pod {name:?} has DeletionTimestamp older than {seconds} seconds, skipping"));
            return Ok(true);
        }
        self.due = now + LOOK;
        match out_of_time {
            Some(time) if options.evicts => Err(format!(
                "error when waiting for pod {name:?} in namespace {namespace:?} to terminate: global timeout reached: {time}"
            )),
            Some(time) => Err(format!("global timeout reached: {time}")),
            None => Ok(false),
        }
    }
}

/// What a filter says of a Pod (`kubectl/pkg/drain/filters.go`).
enum Verdict {
    Goes,
    GoesWith(&'static str),
    Stays,
    StaysWith(&'static str),
    Fails(String),
}

impl Options {
    fn delete(&self, key: &NamespacedName) -> Command {
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        match self.grace {
            Some(grace_seconds) => Command::DeletePod { namespace, name, grace_seconds },
            None => Command::Delete { kind: "Pod".into(), namespace, name },
        }
    }

    /// The Pods that have to go from a node, and what is to be said of them.
    fn pods(&self, world: &World<'_>, node: &str) -> Result<(Vec<Arc<Pod>>, String), String> {
        let (mut going, mut warnings, mut errors) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for pod in world.cluster().store().pods_on(node).filter(|p| self.selector.matches(&p.metadata.labels)) {
            let name = pod.metadata.key().to_string();
            match self.verdict(world, pod) {
                Verdict::Goes => going.push(pod.clone()),
                Verdict::GoesWith(what) => {
                    warnings.entry(what).or_insert_with(Vec::new).push(name);
                    going.push(pod.clone());
                }
                Verdict::Stays => {}
                Verdict::StaysWith(what) => warnings.entry(what).or_insert_with(Vec::new).push(name),
                Verdict::Fails(why) => errors.entry(why).or_insert_with(Vec::new).push(name),
            }
        }
        if !errors.is_empty() {
            let lines: Vec<String> =
                errors.into_iter().map(|(why, pods)| format!("cannot delete {why}: {}", pods.join(", "))).collect();
            return Err(aggregate(&lines));
        }
        let warnings: Vec<String> =
            warnings.into_iter().map(|(what, pods)| format!("{what}: {}", pods.join(", "))).collect();
        Ok((going, warnings.join("; ")))
    }

    fn verdict(&self, world: &World<'_>, pod: &Pod) -> Verdict {
        if self.skips(pod, world.now()) {
            return Verdict::Stays;
        }
        let owner = pod.metadata.controller();
        if owner.is_some_and(|o| o.kind == "DaemonSet") && !pod.is_finished() {
            return match self.ignore_daemon_sets {
                true => Verdict::StaysWith("ignoring DaemonSet-managed Pods"),
                false => Verdict::Fails("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".into()),
            };
        }
        if pod.metadata.annotations.contains_key("kubernetes.io/config.mirror") {
            return Verdict::Stays;
        }
        // A warning about its data is lost behind the next filter, as in kubectl.
        let local = pod.spec.volumes.iter().any(|v| v.empty_dir.is_some());
        if local && !pod.is_finished() && !self.delete_empty_dirs {
            return Verdict::Fails("Pods with local storage (use --delete-emptydir-data to override)".into());
        }
        match (pod.is_finished() || owner.is_some(), self.force) {
            (true, _) => Verdict::Goes,
            (_, true) => Verdict::GoesWith("deleting Pods that declare no controller"),
            _ => Verdict::Fails("cannot delete Pods that declare no controller (use --force to override)".into()),
        }
    }

    /// Whether a Pod's deletion is so old that nobody waits for it.
    fn skips(&self, pod: &Pod, now: Time) -> bool {
        let since = pod.metadata.deletion_timestamp.filter(|at| *at <= now).map(|at| now.since(at));
        self.skip_after > 0 && since.is_some_and(|since| since.as_micros() / 1_000_000 > self.skip_after as u64)
    }
}

/// Several complaints as one (`utilerrors.NewAggregate`).
fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
