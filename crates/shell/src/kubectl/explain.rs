//! `kubectl explain` (`kubectl/pkg/explain/v2/templates/plaintext.tmpl`).

use crate::flags::Args;
use crate::resource::Type;
use crate::{Step, World};
use kube_api::assist::{Field, Reference, fields_of, type_of_kind};

/// Its flags.
pub const FLAGS: &str = "recursive:b api-version:s ~o,output:s";

/// Columns of a description, besides its indent.
const WIDTH: usize = 76;
/// How deep `--recursive` goes: the schema has a type within itself.
const DEEPEST: usize = 12;

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let [word] = &args.words[..] else {
        return world.fail(match args.words.len() {
            0 => "error: You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.",
            _ => "error: We accept only this format: explain RESOURCE",
        });
    };
    let mut path = word.split('.');
    let type_ = match Type::find(path.next().unwrap_or_default()) {
        Ok(type_) => type_,
        Err(complaint) => return world.fail(&complaint),
    };
    // Endpoints are made from slices here, so their type isn't in the schema.
    let Some(root) = type_of_kind(&type_.api_version(), type_.kind) else {
        return world.fail(&format!("error: {} are not explained here", type_.plural));
    };
    let nothing = Reference::default();
    let mut out = String::new();
    let found = {
        let reference = world.api.reference().unwrap_or(&nothing);
        if !type_.group.is_empty() {
            out += &format!("GROUP:      {}\n", type_.group);
        }
        out += &format!("KIND:       {}\nVERSION:    v1\n\n", type_.kind);
        explain(&mut out, root, path, reference, args.on("recursive"))
    };
    world.out.stdout.push_str(&out);
    match found {
        Ok(()) => Step::Done(0),
        Err(complaint) => world.fail(&complaint),
    }
}

fn explain<'a>(
    out: &mut String,
    root: &'static str,
    path: impl Iterator<Item = &'a str>,
    reference: &Reference,
    recursive: bool,
) -> Result<(), String> {
    let mut owner = Some(root);
    let mut at: Option<(&'static str, Field)> = None;
    for name in path {
        let field = owner.and_then(|o| fields_of(o, reference).into_iter().find(|f| f.name == name).map(|f| (o, f)));
        let Some((of, field)) = field else { return Err(format!("error: field {name:?} does not exist")) };
        owner = field.kind.of;
        at = Some((of, field));
    }
    let mut texts = Vec::new();
    if let Some((of, field)) = &at {
        *out += &format!("FIELD: {} <{}>", field.name, field.kind.text);
        if field.required {
            *out += " -required-";
        }
        let text = reference.of_field(of, field.name);
        let values = values(&text);
        if values.is_empty() {
            *out += "\n\n\n";
        } else {
            *out += &format!("\nENUM:\n    {}\n\n", values.join("\n    "));
        }
        texts.push(text);
    }
    texts.extend(owner.map(|o| reference.of_type(o)));
    *out += "DESCRIPTION:\n";
    texts.retain(|t| !t.is_empty());
    if texts.is_empty() {
        texts.push("<empty>".into());
    }
    texts.iter().for_each(|t| *out += &wrap(t));
    *out += "    \n";
    let Some(owner) = owner else {
        out.push('\n');
        return Ok(());
    };
    *out += "FIELDS:\n";
    if recursive {
        list(out, owner, reference, 1);
        out.push('\n');
        return Ok(());
    }
    for field in sorted(owner, reference) {
        let text = reference.of_field(owner, field.name);
        head(out, &field, &values(&text), 1);
        *out += &if text.is_empty() { "    <no description>\n".into() } else { wrap(&text) };
        out.push('\n');
    }
    out.push('\n');
    Ok(())
}

fn sorted(owner: &str, reference: &Reference) -> Vec<Field> {
    let mut fields = fields_of(owner, reference);
    crate::order::sort_by_key(&mut fields, |f| f.name);
    fields
}

/// A field's name, type and whether it is required.
fn head(out: &mut String, field: &Field, values: &[&str], depth: usize) {
    let indent = "  ".repeat(depth);
    let required = if field.required { " -required-" } else { "" };
    *out += &format!("{indent}{}\t<{}>{required}\n", field.name, field.kind.text);
    if !values.is_empty() {
        *out += &format!("{indent}enum: {}\n", values.join(", "));
    }
}

fn list(out: &mut String, owner: &str, reference: &Reference, depth: usize) {
    for field in sorted(owner, reference) {
        let text = reference.of_field(owner, field.name);
        head(out, &field, &values(&text), depth);
        if let Some(inner) = field.kind.of.filter(|_| depth < DEEPEST) {
            list(out, inner, reference, depth + 1);
        }
    }
}

/// The values that a description lists under "Possible enum values".
fn values(text: &str) -> Vec<&str> {
    let Some((_, after)) = text.split_once("Possible enum values:") else { return Vec::new() };
    let value = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.find("- `\"")? + 4;
        Some((start, start + line[start..].find('"')?))
    };
    after.lines().filter_map(|line| value(line).map(|(from, to)| &line[from..to])).collect()
}

/// Breaks lines at blanks, and indents them.
fn wrap(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut row = String::new();
        let lead: String = line.chars().take_while(|c| *c == ' ').collect();
        for word in line.split(' ').filter(|w| !w.is_empty()) {
            if row.is_empty() {
                row = format!("{lead}{word}");
            } else if row.chars().count() + 1 + word.chars().count() > WIDTH {
                out += &format!("    {row}\n");
                row = word.to_owned();
            } else {
                row += &format!(" {word}");
            }
        }
        out += &format!("    {row}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Service Service is a named abstraction of software service (for example, mysql) consisting of local port (for example 3306) that the proxy listens on, and the selector that determines which pods will answer requests sent through the proxy.
ServiceSpec ServiceSpec describes the attributes that a user creates on a service.
\ttype type determines how the Service is exposed.\\n\\nPossible enum values:\\n - `\"ClusterIP\"` means x\\n - `\"NodePort\"` means y
\tselector Route service traffic
\tports The list of ports that are exposed by this service. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies
ServicePort ServicePort contains information on service's port.
\tport! The port that will be exposed by this service.";

    fn print(path: &str) -> String {
        let mut out = String::new();
        let path = path.split('.').filter(|p| !p.is_empty());
        match explain(&mut out, "Service", path, &Reference::read(TEXT.into()), false) {
            Ok(()) => out,
            Err(complaint) => complaint,
        }
    }

    /// What kubectl 1.32.4 printed of an OpenAPI document with these descriptions.
    #[test]
    fn as_kubectl_explains() {
        assert_eq!(
            print("spec.type"),
            "FIELD: type <string>\nENUM:\n    ClusterIP\n    NodePort\n\nDESCRIPTION:\n    type determines how the Service is exposed.\n    \n    Possible enum values:\n     - `\"ClusterIP\"` means x\n     - `\"NodePort\"` means y\n    \n\n"
        );
        assert_eq!(
            print("spec.selector"),
            "FIELD: selector <map[string]string>\n\n\nDESCRIPTION:\n    Route service traffic\n    \n\n"
        );
        assert!(print("spec.ports").starts_with("FIELD: ports <[]ServicePort>\n\n\nDESCRIPTION:\n    The list of ports that are exposed by this service. More info:\n    https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies\n    ServicePort contains information on service's port.\n    \nFIELDS:\n"));
        assert!(
            print("spec.ports")
                .contains("  port\t<integer> -required-\n    The port that will be exposed by this service.\n\n")
        );
        assert!(print("").starts_with("DESCRIPTION:\n    Service is a named abstraction of software service (for example, mysql)\n    consisting of local port (for example 3306) that the proxy listens on, and\n    the selector that determines which pods will answer requests sent through\n    the proxy.\n    \nFIELDS:\n  apiVersion\t<string>\n"));
        assert_eq!(print("spec.nope"), "error: field \"nope\" does not exist");
    }
}
