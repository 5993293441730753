//! JSONPath templates (`client-go/util/jsonpath`): `{range .items[*]}{.metadata.name}{"\n"}{end}`.

use super::json;
use kube_api::yaml::{Tree, Value};

/// Most pieces that a template may have, and most values that a step may give.
const MOST: usize = 100_000;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// `..`
    Deep,
    /// `*`, `[*]`
    All,
    /// `[a:b:c]`; a lone index is `[a:a+1]`, and must be there.
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        by: i64,
        lone: bool,
    },
    /// `['a','b']`, `[0,2]`
    Union(Vec<Step>),
    /// `[?(@.a=="b")]`
    Filter(Operand, Option<(&'static str, Operand)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Value(Value),
}

/// A template, read.
#[derive(Clone, Debug)]
pub struct Template(Vec<Node>);

struct Parser<'a> {
    rest: &'a str,
    /// Inside `?(...)`, where operators end a path; elsewhere they are part of a field's name.
    in_filter: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// client-go's complaint.
    pub fn parse(text: &str) -> Result<Template, String> {
        // Open ranges, outermost first; the last list is what is being filled.
        let mut open: Vec<(Vec<Step>, Vec<Node>)> = Vec::new();
        let mut nodes = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            if start > 0 {
                nodes.push(Node::Text(rest[..start].into()));
            }
            let mut parser = Parser { rest: &rest[start + 1..], in_filter: false };
            loop {
                parser.blanks();
                match parser.rest.chars().next() {
                    None => return Err("unclosed action".into()),
                    Some('}') => break,
                    Some(quote @ ('"' | '\'')) => nodes.push(Node::Text(parser.quoted(quote)?)),
                    Some(c) if c.is_alphabetic() => match parser.word() {
                        "range" => {
                            parser.blanks();
                            open.push((parser.path()?, core::mem::take(&mut nodes)));
                            if open.len() > 64 {
                                return Err("too many ranges".into());
                            }
                        }
                        "end" => {
                            let Some((path, outer)) = open.pop() else {
                                return Err("not in range, nothing to end".into());
                            };
                            let inner = core::mem::replace(&mut nodes, outer);
                            nodes.push(Node::Range(path, inner));
                        }
                        word @ ("true" | "false") => nodes.push(Node::Text(word.into())),
                        word => return Err(format!("unrecognized identifier {word}")),
                    },
                    Some(c) if c.is_ascii_digit() => nodes.push(Node::Text(parser.word().into())),
                    Some(_) => nodes.push(Node::Path(parser.path()?)),
                }
            }
            rest = &parser.rest[1..];
        }
        if !rest.is_empty() {
            nodes.push(Node::Text(rest.into()));
        }
        // client-go lets a range without its end pass: for each, and then once more for what it stands in.
        while let Some((path, outer)) = open.pop() {
            let inner = core::mem::replace(&mut nodes, outer);
            nodes.push(Node::Range(path, inner.clone()));
            nodes.extend(inner);
        }
        Ok(Template(nodes))
    }

    /// Reads a single path, with or without braces and the first dot (`--sort-by`, custom columns).
    ///
    /// # Errors
    /// client-go's complaint.
    pub fn parse_relaxed(text: &str) -> Result<Template, String> {
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let inner = inner.strip_prefix('.').unwrap_or(inner);
        if inner.contains(['{', '}']) {
            return Err(format!(
                "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}'; got {text:?}"
            ));
        }
        Self::parse(&format!("{{.{inner}}}"))
    }

    /// Fills a template in.
    ///
    /// # Errors
    /// client-go's complaint.
    pub fn print(&self, root: &Tree) -> Result<String, String> {
        let mut out = String::new();
        fill(&self.0, root, &mut out)?;
        Ok(out)
    }

    /// The values that a single path finds.
    pub fn values<'a>(&self, root: &'a Tree) -> Vec<&'a Tree> {
        match self.0.first() {
            Some(Node::Path(steps)) => walk(steps, root).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

fn fill(nodes: &[Node], at: &Tree, out: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(steps) => {
                let found = walk(steps, at)?;
                let texts: Vec<String> = found.into_iter().map(value_text).collect();
                out.push_str(&texts.join(" "));
            }
            Node::Range(steps, inner) => {
                for item in walk(steps, at)? {
                    fill(inner, item, out)?;
                    if out.len() > 10_000_000 {
                        return Err("too much output".into());
                    }
                }
            }
        }
    }
    Ok(())
}

/// A value as jsonpath prints it: texts without quotes, what has parts as JSON.
pub fn value_text(tree: &Tree) -> String {
    match &tree.value {
        Value::Str { raw, .. } => raw.clone(),
        Value::Null => String::new(),
        _ => json::compact(tree),
    }
}

fn walk<'a>(steps: &[Step], root: &'a Tree) -> Result<Vec<&'a Tree>, String> {
    let mut now = vec![root];
    for step in steps {
        let mut next = Vec::new();
        for tree in now {
            take(step, tree, &mut next)?;
            if next.len() > MOST {
                return Err("too many values".into());
            }
        }
        now = next;
    }
    Ok(now)
}

fn take<'a>(step: &Step, tree: &'a Tree, out: &mut Vec<&'a Tree>) -> Result<(), String> {
    match step {
        Step::Field(name) => out.extend(tree.get(name)),
        Step::All => {
            out.extend(tree.items());
            out.extend(tree.entries().iter().map(|(_, v)| v));
        }
        Step::Deep => deep(tree, out),
        Step::Union(parts) => {
            for part in parts {
                take(part, tree, out)?;
            }
        }
        Step::Slice { from, to, by, lone } => {
            let items = tree.items();
            if items.is_empty() && !matches!(tree.value, Value::Seq(_)) {
                return match tree.value {
                    Value::Null => Ok(()),
                    _ => Err("is not array or slice".to_string()),
                };
            }
            let length = items.len() as i64;
            let place = |i: i64| if i < 0 { i + length } else { i };
            let from = place(from.unwrap_or(0));
            if *lone {
                let found = usize::try_from(from).ok().and_then(|i| items.get(i));
                out.push(found.ok_or_else(|| format!("array index out of bounds: index {from}, length {length}"))?);
                return Ok(());
            }
            let to = place(to.unwrap_or(length)).min(length);
            if from < 0 || *by <= 0 || from > to {
                return Ok(());
            }
            out.extend((from..to).step_by(*by as usize).filter_map(|i| items.get(i as usize)));
        }
        Step::Filter(left, test) => {
            for item in tree.items().iter().chain(tree.entries().iter().map(|(_, v)| v)) {
                let values = |o: &Operand| -> Result<Vec<Tree>, String> {
                    match o {
                        Operand::Value(v) => Ok(vec![Tree { value: v.clone(), ..Tree::default() }]),
                        Operand::Path(p) => Ok(walk(p, item)?.into_iter().cloned().collect()),
                    }
                };
                let (left, right) = (values(left)?, test.as_ref().map(|(o, r)| Ok::<_, String>((*o, values(r)?))));
                let passes = match right.transpose()? {
                    None => !left.is_empty(),
                    Some((operator, right)) => match (left.first(), right.first()) {
                        (Some(l), Some(r)) => compare(operator, l, r),
                        _ => false,
                    },
                };
                if passes {
                    out.push(item);
                }
            }
        }
    }
    Ok(())
}

fn deep<'a>(tree: &'a Tree, out: &mut Vec<&'a Tree>) {
    out.push(tree);
    for value in tree.items().iter().chain(tree.entries().iter().map(|(_, v)| v)) {
        deep(value, out);
    }
}

fn compare(operator: &str, left: &Tree, right: &Tree) -> bool {
    use core::cmp::Ordering;
    let number = |t: &Tree| match t.value {
        Value::Int(i) => Some(i as f64),
        Value::Float(f) => Some(f),
        _ => None,
    };
    let order = match (number(left), number(right)) {
        (Some(l), Some(r)) => l.partial_cmp(&r),
        _ => Some(value_text(left).cmp(&value_text(right))),
    };
    match operator {
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | ')')
}

impl<'a> Parser<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[i + c.len_utf8()..];
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, c)) => out.push(c),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err("unterminated quoted string".into())
    }

    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        if !self.eat("$") {
            self.eat("@");
        }
        loop {
            if steps.len() > 100 {
                return Err("path too long".into());
            }
            if self.eat("..") {
                steps.push(Step::Deep);
                if !self.rest.starts_with(['[', '.']) {
                    steps.push(self.field()?);
                }
            } else if self.rest.starts_with(".[") {
                self.eat(".");
            } else if self.eat(".") {
                if self.rest.is_empty() || self.rest.starts_with(['}', ' ', ')']) {
                    return Ok(steps);
                }
                steps.push(self.field()?);
            } else if self.eat("[") {
                steps.push(self.bracket()?);
            } else {
                let stops = |c: char| c == '}' || c.is_whitespace() || self.in_filter && is_operator(c);
                return match self.rest.chars().next() {
                    Some(c) if !stops(c) => Err(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32)),
                    _ => Ok(steps),
                };
            }
        }
    }

    fn field(&mut self) -> Result<Step, String> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                // `isTerminator` in client-go's parser.go.
                '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' => {
                    end = i;
                    break;
                }
                c if c.is_whitespace() || self.in_filter && is_operator(c) => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() { Err("invalid field".into()) } else { Ok(Step::Field(name)) }
    }

    fn bracket(&mut self) -> Result<Step, String> {
        self.blanks();
        if self.eat("?(") {
            let outside = std::mem::replace(&mut self.in_filter, true);
            let left = self.operand()?;
            self.blanks();
            let operator = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|o| self.eat(o));
            let test = match operator {
                Some(operator) => {
                    self.blanks();
                    Some((operator, self.operand()?))
                }
                None => None,
            };
            self.blanks();
            if !self.eat(")") {
                return Err("unterminated filter".into());
            }
            self.in_filter = outside;
            self.blanks();
            return if self.eat("]") { Ok(Step::Filter(left, test)) } else { Err("unterminated array".into()) };
        }
        let mut parts = Vec::new();
        loop {
            self.blanks();
            parts.push(match self.rest.chars().next() {
                Some(quote @ ('\'' | '"')) => Step::Field(self.quoted(quote)?),
                Some('*') => {
                    self.eat("*");
                    Step::All
                }
                _ => self.slice()?,
            });
            self.blanks();
            if self.eat("]") {
                break;
            }
            if !self.eat(",") || parts.len() > 100 {
                return Err("unterminated array".into());
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Step::Union(parts) })
    }

    fn slice(&mut self) -> Result<Step, String> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-' && c != ':').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let invalid = || format!("invalid array index {}", self.rest.split(']').next().unwrap_or_default());
        let part = |s: &str| if s.is_empty() { Ok(None) } else { s.parse().map(Some).map_err(|_| invalid()) };
        let parts = text.split(':').map(part).collect::<Result<Vec<Option<i64>>, _>>()?;
        let step = match parts[..] {
            [Some(i)] => Step::Slice { from: Some(i), to: None, by: 1, lone: true },
            [from, to] => Step::Slice { from, to, by: 1, lone: false },
            [from, to, by] => Step::Slice { from, to, by: by.unwrap_or(1), lone: false },
            _ => return Err(invalid()),
        };
        self.rest = rest;
        Ok(step)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.blanks();
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => Ok(Operand::Value(Value::text(self.quoted(quote)?))),
            Some('@' | '.' | '$' | '[') => Ok(Operand::Path(self.path()?)),
            _ => {
                let end = self.rest.find([')', '=', '!', '<', '>', ' ']).unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(Operand::Value(match (text, text.parse::<i128>(), text.parse::<f64>()) {
                    ("true", ..) => Value::Bool(true),
                    ("false", ..) => Value::Bool(false),
                    (_, Ok(i), _) => Value::Int(i),
                    (_, _, Ok(f)) => Value::Float(f),
                    _ => return Err(format!("unrecognized identifier {text}")),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(template: &str) -> Result<String, String> {
        let text = r#"{"bicycle": [{"color": "red", "price": 19.95, "isNew": true}, {"color": "green", "price": 20.01, "isNew": false}],
            "book": [{"category": "reference", "author": "Nigel Rees", "price": 8.95}, {"category": "fiction", "author": "Evelyn Waugh", "price": 12.99},
            {"category": "fiction", "author": "Herman Melville", "price": 8.99}], "name": "jsonpath", "labels": {"web/html": 15, "k8s-app": 20}}"#;
        let tree = kube_api::yaml::load(text).remove(0).unwrap();
        Template::parse(template)?.print(&tree)
    }

    /// Rows of `client-go/util/jsonpath/jsonpath_test.go`, on a smaller store.
    #[test]
    fn as_in_client_go() {
        for (template, want) in [
            ("hello jsonpath", "hello jsonpath"),
            ("{\"{\"}", "{"),
            ("{1}{true}", "1true"),
            ("{.name}", "jsonpath"),
            ("{$.name}", "jsonpath"),
            ("{.bicycle[*].price}", "19.95 20.01"),
            ("{.book[0].author}", "Nigel Rees"),
            ("{.book[-1].author}", "Herman Melville"),
            ("{.book[0:2].author}", "Nigel Rees Evelyn Waugh"),
            ("{.book[-2:].author}", "Evelyn Waugh Herman Melville"),
            ("{.book[0,2].author}", "Nigel Rees Herman Melville"),
            ("{.book[*]['author', 'price']}", "Nigel Rees 8.95 Evelyn Waugh 12.99 Herman Melville 8.99"),
            ("{..author}", "Nigel Rees Evelyn Waugh Herman Melville"),
            ("{.labels.web/html}", "15"),
            ("{.labels['web/html']}", "15"),
            ("{.labels.k8s-app}", "20"),
            ("{.nothing}", ""),
            ("{.bicycle[?(@.color==\"green\")].price}", "20.01"),
            ("{.bicycle[?(@.price>20)].color}", "green"),
            ("{.bicycle[?(@.isNew==true)].color}", "red"),
            ("{range .bicycle[*]}{.color}:{.price}{\"\\n\"}{end}", "red:19.95\ngreen:20.01\n"),
            ("{range .bicycle[*]}{\"{\"}{@.color}{\"} \"}{end}", "{red} {green} "),
            ("{.bicycle[0]}", r#"{"color":"red","price":19.95,"isNew":true}"#),
        ] {
            assert_eq!(print(template).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for template in ["{.name", "{end}", "{.book[5]}", "{.book[x]}", "{'a}", "{foo}", "{.a[", "{?}"] {
            assert!(print(template).is_err(), "{template}");
        }
    }

    /// What kubectl 1.32.4 says to them.
    #[test]
    fn what_is_no_template_is_refused() {
        for (template, want) in [
            ("{.speath={.spec.ports", "unrecognized character in action: U+007B '{'"),
            ("{=}", "unrecognized character in action: U+003D '='"),
            ("{~}", "unrecognized character in action: U+007E '~'"),
        ] {
            assert_eq!(Template::parse(template).err().as_deref(), Some(want), "{template}");
        }
        for template in ["{.a=}", "{.a&}", "{.a b}", "{.a+b}", "{range =", "{$@", "{.a[?(@.b==", "{..{"] {
            let _ = Template::parse(template);
        }
    }
}
