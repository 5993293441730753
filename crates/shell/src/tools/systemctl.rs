//! `systemctl`: a node's kubelet is a service of systemd.

use super::{Place, Step, World};
use lab_protocol::{Command, Fault};

/// Runs `systemctl start|stop|restart|is-active kubelet`.
pub(super) fn run(world: &mut World<'_>, place: &Place, words: &[String]) -> Step {
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|w| !w.starts_with('-')).collect();
    let (verb, unit) = match words.as_slice() {
        [verb, unit] => (*verb, unit.strip_suffix(".service").unwrap_or(unit)),
        _ => return world.fail("Too few arguments."),
    };
    if unit != "kubelet" {
        if verb == "is-active" {
            world.say("inactive");
            return Step::Done(4);
        }
        world.complain(&format!("Failed to {verb} {unit}.service: Unit {unit}.service not found."));
        return Step::Done(5);
    }
    let node = place.node.clone();
    let runs = world.cluster().kubelet_runs(&node);
    match verb {
        "start" => start(world, node),
        "stop" => stop(world, node),
        "restart" => {
            stop(world, node.clone());
            start(world, node);
        }
        "is-active" => {
            world.say(if runs { "active" } else { "inactive" });
            return Step::Done(if runs { 0 } else { 3 });
        }
        _ => return world.fail(&format!("Unknown command verb '{verb}'.")),
    }
    Step::Done(0)
}

fn start(world: &mut World<'_>, node: String) {
    world.api.execute(Command::Fault(Fault::StartKubelet { node }));
}

fn stop(world: &mut World<'_>, node: String) {
    world.api.execute(Command::Fault(Fault::StopKubelet { node }));
}
