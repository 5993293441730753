//! A line of a shell, split into words: quotes, escapes, and pipes between commands.

/// What a line of a shell says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Commands, each as its words; what one prints is what the next one reads.
    pub commands: Vec<Vec<String>>,
}

/// Splits a line as a POSIX shell does, as far as one is simulated.
///
/// # Errors
/// What bash would say, or that something of bash isn't simulated here.
pub fn split(line: &str) -> Result<Line, String> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err(unclosed('\'')),
                    }
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        // Within double quotes a backslash stands for itself but before these.
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                            Some('\n') => {}
                            Some(c) => text.extend(['\\', c]),
                            None => return Err(unclosed('"')),
                        },
                        Some(c) => text.push(c),
                        None => return Err(unclosed('"')),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => word.get_or_insert_default().push('\\'),
            },
            '|' if chars.peek() == Some(&'|') => return Err(unsupported("||")),
            '|' => {
                commands.last_mut().into_iter().for_each(|words: &mut Vec<String>| words.extend(word.take()));
                if commands.last().is_some_and(Vec::is_empty) {
                    return Err("bash: syntax error near unexpected token `|'".into());
                }
                commands.push(Vec::new());
            }
            '#' if word.is_none() => break,
            ';' | '&' | '>' | '<' | '`' => return Err(unsupported(&c.to_string())),
            '$' if chars.peek() == Some(&'(') => return Err(unsupported("$(")),
            c if c.is_whitespace() => {
                if let (Some(text), Some(words)) = (word.take(), commands.last_mut()) {
                    words.push(text);
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    if let Some(words) = commands.last_mut() {
        words.extend(word);
        if words.is_empty() && commands.len() > 1 {
            return Err("bash: syntax error: unexpected end of file".into());
        }
    }
    if commands.iter().all(Vec::is_empty) {
        commands.clear();
    }
    Ok(Line { commands })
}

fn unclosed(quote: char) -> String {
    format!("bash: unexpected EOF while looking for matching `{quote}'")
}

fn unsupported(what: &str) -> String {
    format!("{what}: not simulated here; one command at a time, with | between commands")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        split(line).unwrap().commands
    }

    /// Each held against `bash -c 'printf "<%s>" WORDS'`.
    #[test]
    fn words_as_bash_splits_them() {
        for (line, want) in [
            ("kubectl get pods", "kubectl|get|pods"),
            ("  a\t b ", "a|b"),
            ("a'b c'd", "ab cd"),
            (r#"a "b \"c\" \d $""#, r#"a|b "c" \d $"#),
            (r"a\ b \'", "a b|'"),
            ("'' x", "|x"),
            ("-o jsonpath='{.items[*].metadata.name}'", "-o|jsonpath={.items[*].metadata.name}"),
            ("a # b", "a"),
            ("a#b", "a#b"),
        ] {
            assert_eq!(words(line), [want.split('|').map(String::from).collect::<Vec<_>>()], "{line}");
        }
        assert!(words("").is_empty() && words("  # x").is_empty());
        assert_eq!(words("a b | grep 'x y'"), [vec!["a", "b"], vec!["grep", "x y"]]);
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["'a", "\"a", "| a", "a |", "a || b", "a > b", "a; b", "a && b", "$(a)"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
