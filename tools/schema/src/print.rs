//! The two files.

use crate::api::Type;
use crate::list::Lists;
use std::fmt::Write;

const SCHEMA: &str = "\
# Made by tools/schema from Kubernetes 1.36's OpenAPI document (k8s-openapi; The Kubernetes Authors, Apache-2.0).
# Don't edit: tools/schema/without-effect.txt and texts.txt are what is written by hand.
# One type a line: its name, then field:type. A ~ stands before a field that has no effect in the simulation, after it
# =the value that Kubernetes gives it anyway.
# s string (s=v1.X: a named one), i int32, l int64, b bool, t time, u time with microseconds, q quantity,
# p int or string, x anything, m map[string]string, r quantities by name, y bytes by name, w times by name,
# []T a list, else a type of this file. core.X is another X, of that group.
";

const REFERENCE: &str = "\
# What the fields of Kubernetes' objects mean, in the words of Kubernetes 1.36's OpenAPI document.
# Copyright The Kubernetes Authors. Licensed under the Apache License, Version 2.0: see LICENSE beside this file, or
# http://www.apache.org/licenses/LICENSE-2.0. Changed: descriptions were taken out of their document, one a line.
# Made by tools/schema. A line is: `Type description`, or with a tab before it a field of that type: `field description`,
# `field! description` where it is required; a line end within a description is \\n. `=Type values` and
# `=Type.field values` tell which values there are.
";

/// Fields and their types.
pub fn schema(types: &[Type]) -> String {
    let mut out = SCHEMA.to_owned();
    for each in types {
        if each.version.is_some() {
            out.push('\n');
        }
        out.push_str(&each.name);
        for field in &each.fields {
            let (name, kind) = (&field.name, &field.kind);
            let _ = match field.without_effect.as_deref() {
                None => write!(out, " {name}:{kind}"),
                Some("") => write!(out, " ~{name}:{kind}"),
                Some(usual) => write!(out, " ~{name}={usual}:{kind}"),
            };
        }
        out.push('\n');
    }
    out
}

/// What they mean.
pub fn reference(types: &[Type], lists: &Lists) -> String {
    let mut out = REFERENCE.to_owned();
    for (name, values) in &lists.values {
        let _ = writeln!(out, "={name} {values}");
    }
    for each in types {
        let _ = writeln!(out, "{} {}", each.name, line(&each.description));
        for field in &each.fields {
            let mark = if field.required { "!" } else { "" };
            let _ = writeln!(out, "\t{}{mark} {}", field.name, line(&field.description));
        }
    }
    out
}

fn line(text: &str) -> String {
    text.trim().replace('\\', "\\\\").replace('\n', "\\n")
}
