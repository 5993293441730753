//! `kubectl describe`.

use crate::flags::Args;
use crate::resource::{self, Item, Named};
use crate::{Step, World, describe};

/// Its flags.
pub const FLAGS: &str =
    "l,selector:s A,all-namespaces:b show-events:b f,filename:l chunk-size:i ~R,recursive:b ~k,kustomize:s";

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    if args.words.is_empty() {
        return world.fail("error: You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.");
    }
    resource::warn_of_deprecated(world, &args.words);
    let (mut items, mut missing) = match resource::items(world, args, &args.words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    // What isn't a whole name may be the beginning of one.
    let mut begun = false;
    if let (Ok(Named::Objects(objects)), true) = (resource::named(&args.words), items.is_empty())
        && let [(type_, prefix)] = &objects[..]
        && !args.words.iter().any(|w| w.contains('/'))
    {
        let all = resource::list(world.cluster(), type_, Some(resource::namespace(args)));
        items = all.into_iter().filter(|i| i.meta.name.starts_with(prefix)).collect::<Vec<Item>>();
        if !items.is_empty() {
            missing.clear();
            begun = true;
        }
    }
    for (i, item) in items.iter().enumerate() {
        let text = describe::describe(item, world.cluster(), args.not_off("show-events"));
        if i > 0 && !begun {
            world.out.stdout.push_str("\n\n");
        }
        world.out.stdout.push_str(&text);
        if begun {
            world.out.stdout.push('\n');
        }
    }
    if items.is_empty() && missing.is_empty() {
        let everywhere = args.on("all-namespaces");
        let namespaced = matches!(resource::named(&args.words), Ok(Named::Types(t)) if t.iter().any(|t| t.namespaced));
        let place = if everywhere || !namespaced {
            String::new()
        } else {
            format!(" in {} namespace.", resource::namespace(args))
        };
        world.complain(&format!("No resources found{place}"));
    }
    missing.iter().for_each(|m| world.complain(m));
    Step::Done(i32::from(!missing.is_empty()))
}
