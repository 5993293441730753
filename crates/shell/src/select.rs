//! Label selectors as one types them: `app=web,tier!=db,zone in (a, b),!canary` (`apimachinery/pkg/labels/selector.go`).

use kube_api::{LabelSelector, SelectorOperator, StringMap};

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Greater(String, i64),
    Less(String, i64),
}

/// A selector. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub fn parse(text: &str) -> Result<Selector, String> {
        let wrong = |why: String| format!("error: unable to parse requirement: {why}");
        let mut parser = Parser { rest: text };
        let mut all = Vec::new();
        if parser.peek().is_empty() {
            return Ok(Selector::default());
        }
        loop {
            all.push(parser.requirement().map_err(wrong)?);
            match parser.next() {
                "" => return Ok(Selector(all)),
                "," => {
                    if matches!(parser.peek(), "" | ",") {
                        let found = parser.peek();
                        return Err(wrong(format!("found '{found}', expected: identifier after ','")));
                    }
                }
                other => return Err(wrong(format!("found '{other}', expected: ',' or 'end of string'"))),
            }
        }
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &StringMap) -> bool {
        let number = |key: &String| labels.get(key).and_then(|v| v.parse::<i64>().ok());
        self.0.iter().all(|r| match r {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Missing(key) => !labels.contains_key(key),
            Requirement::Greater(key, n) => number(key).is_some_and(|v| v > *n),
            Requirement::Less(key, n) => number(key).is_some_and(|v| v < *n),
        })
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// The next token, without taking it.
    fn peek(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
        let end = match self.rest.chars().next() {
            Some('=' | '!') => self.rest.find(|c| c != '=' && c != '!').unwrap_or(self.rest.len()).min(2),
            Some(c) if special(c) => 1,
            _ => self.rest.find(|c: char| special(c) || c.is_whitespace()).unwrap_or(self.rest.len()),
        };
        // `!key` is a token of its own, `!=` another.
        let end = if self.rest.starts_with('!') && !self.rest.starts_with("!=") { 1 } else { end };
        &self.rest[..end]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = &self.rest[token.len()..];
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == "!" {
            self.next();
            return Ok(Requirement::Missing(self.key()?));
        }
        let key = self.key()?;
        match self.peek() {
            "" | "," => Ok(Requirement::Exists(key)),
            operator @ ("=" | "==" | "!=") => {
                self.next();
                let value = match self.peek() {
                    "" | "," => String::new(),
                    _ => self.next().to_owned(),
                };
                valid_value(&key, &value)?;
                let values = vec![value];
                Ok(if operator == "!=" { Requirement::NotIn(key, values) } else { Requirement::In(key, values) })
            }
            operator @ (">" | "<") => {
                self.next();
                let value = self.next();
                let Ok(number) = value.parse() else {
                    return Err(format!(
                        "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ));
                };
                Ok(if operator == ">" { Requirement::Greater(key, number) } else { Requirement::Less(key, number) })
            }
            operator @ ("in" | "notin") => {
                self.next();
                let values = self.values(&key)?;
                Ok(if operator == "in" { Requirement::In(key, values) } else { Requirement::NotIn(key, values) })
            }
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn key(&mut self) -> Result<String, String> {
        let token = self.next();
        if token.is_empty() || !token.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')) {
            return Err(format!("found '{token}', expected: !, identifier, or ','"));
        }
        let name = token.rsplit('/').next().unwrap_or_default();
        if !is_label(name) || name.is_empty() {
            return Err(format!(
                "key: Invalid value: {token:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ));
        }
        Ok(token.to_owned())
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                ")" => return Ok(values),
                "," => {}
                "" => return Err("found '', expected: ',' or ')'".into()),
                value => {
                    valid_value(key, value)?;
                    values.push(value.to_owned());
                }
            }
        }
    }
}

fn is_label(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a text can be a label's value.
///
/// # Errors
/// What apimachinery says of one that can't.
pub fn label_value(value: &str) -> Result<(), &'static str> {
    if is_label(value) {
        return Ok(());
    }
    Err(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    )
}

fn valid_value(key: &str, value: &str) -> Result<(), String> {
    label_value(value).map_err(|why| format!("values[0][{key}]: Invalid value: {value:?}: {why}"))
}

/// `app=web,tier=db`, as `labels.FormatLabels` writes a map; `<none>` when it is empty.
pub fn format_labels(labels: &StringMap) -> String {
    if labels.is_empty() {
        return "<none>".into();
    }
    labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

/// A selector of an object as `metav1.FormatLabelSelector` writes it.
pub fn format_selector(selector: &LabelSelector) -> String {
    let mut parts: Vec<(String, String)> =
        selector.match_labels.iter().map(|(k, v)| (k.clone(), format!("{k}={v}"))).collect();
    parts.extend(selector.match_expressions.iter().map(|r| {
        let mut values = r.values.clone();
        crate::order::sort_by(&mut values, |a, b| a.cmp(b));
        let (key, values) = (&r.key, values.join(","));
        let text = match r.operator {
            SelectorOperator::In => format!("{key} in ({values})"),
            SelectorOperator::NotIn => format!("{key} notin ({values})"),
            SelectorOperator::Exists => key.clone(),
            SelectorOperator::DoesNotExist => format!("!{key}"),
        };
        (key.clone(), text)
    }));
    crate::order::sort_by(&mut parts, |a, b| a.0.cmp(&b.0));
    if parts.is_empty() {
        return "<none>".into();
    }
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> StringMap {
        text.split(',').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    /// Rows of `TestSelectorMatches` and `TestSetMatches` (`labels/selector_test.go`).
    #[test]
    fn what_a_selector_selects() {
        for (selector, yes, no) in [
            ("", "x=y", "-"),
            ("x=y", "x=y", "x=z"),
            ("x=y,z=w", "x=y,z=w", "x=z,z=w"),
            ("x!=y,z!=w", "x=z,z=a", "x=y,z=a"),
            ("notin=in", "notin=in", "notin=x"),
            ("x", "x=z", "y=z"),
            ("!x", "y=z", "x=z"),
            ("x>1", "x=2", "x=0"),
            ("x<7", "x=6", "x=8"),
            ("x in (a, b)", "x=b", "x=c"),
            ("x notin (a,b)", "y=a", "x=a"),
            ("x==y", "x=y", "x=z"),
            ("x in (a),!y", "x=a", "x=a,y=1"),
            ("x=", "x=", "x=a"),
        ] {
            let parsed = Selector::parse(selector).unwrap();
            assert!(parsed.matches(&labels(yes)), "{selector} {yes}");
            assert!(no == "-" || !parsed.matches(&labels(no)), "{selector} {no}");
        }
    }

    #[test]
    fn bad_selectors_are_told() {
        for text in ["x=a||y=b", "x==a==b", "!x=a", "x<a", "x in (b", "x,", "in (a", "x y"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
