//! Command lines as kubectl reads them (`spf13/pflag`, `spf13/cobra`): `-o wide`, `-owide`, `--output=wide`, `-Aw`.

/// What a flag takes. A flag table is a text, one flag a word: `o,output:s` or `dry-run:?none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// `b`: true or false; alone it means true.
    Bool,
    /// `s`: a text; the last one counts.
    Text,
    /// `i`: a number.
    Number,
    /// `d`: a length of time.
    Duration,
    /// `l`: texts, parted by commas and repeated.
    List,
    /// `?x`: a text; alone it means x.
    Optional(&'static str),
}

/// A flag of a command.
#[derive(Clone, Copy, Debug)]
struct Flag {
    short: Option<char>,
    long: &'static str,
    takes: Takes,
    /// Whether it does something here; kubectl's others are refused.
    works: bool,
}

/// Flags of every command. Those after `~` exist but have no effect in the simulation, and say so.
const GLOBAL: &str = "n,namespace:s h,help:b v,v:i ~s,server:s ~context:s ~kubeconfig:s ~cluster:s ~user:s ~token:s \
~as:s ~as-group:l ~request-timeout:s ~insecure-skip-tls-verify:b ~certificate-authority:s ~client-key:s \
~client-certificate:s ~tls-server-name:s ~match-server-version:b ~warnings-as-errors:b ~cache-dir:s \
~disable-compression:b ~profile:s ~profile-output:s ~as-uid:s";

fn read(word: &'static str) -> Option<Flag> {
    let (names, kind) = word.split_once(':')?;
    let (names, works) = names.strip_prefix('~').map_or((names, true), |n| (n, false));
    let (short, long) = names.split_once(',').map_or((None, names), |(s, l)| (s.chars().next(), l));
    let takes = match kind {
        "b" => Takes::Bool,
        "s" => Takes::Text,
        "i" => Takes::Number,
        "d" => Takes::Duration,
        "l" => Takes::List,
        _ => Takes::Optional(kind.strip_prefix('?')?),
    };
    Some(Flag { short, long, takes, works })
}

fn flags(table: &'static str) -> impl Iterator<Item = Flag> {
    table.split_ascii_whitespace().chain(GLOBAL.split_ascii_whitespace()).filter_map(read)
}

/// A command line, read.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// `kubectl get`, for complaints.
    pub path: String,
    given: Vec<(&'static str, String)>,
    /// What is no flag.
    pub words: Vec<String>,
    /// How many of `words` stand before `--`, if it is there.
    pub dash: Option<usize>,
}

impl Args {
    /// Whether a boolean flag is on.
    pub fn on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
    /// A boolean flag that is on unless it was turned off.
    pub fn not_off(&self, name: &str) -> bool {
        self.get(name) != Some("false")
    }
    /// The value of a flag, if it was given; the last one counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
    /// The same, empty when it wasn't given.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
    /// The number of a flag.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }
    /// All values of a flag that can be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(n, _)| *n == name).flat_map(|(_, v)| v.split(','))
    }
    /// The same, without taking values apart at commas.
    pub fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
    /// `Error` of cobra's: the command's own complaint and where help is.
    pub fn usage(&self, complaint: &str) -> String {
        format!("error: {complaint}\nSee '{} -h' for help and examples", self.path)
    }
}

/// Reads the words after a command's name.
///
/// # Errors
/// kubectl's complaint.
pub fn parse(path: &str, table: &'static str, words: &[String]) -> Result<Args, String> {
    let mut args = Args { path: path.into(), ..Args::default() };
    let help = |complaint: String| format!("error: {complaint}\nSee '{path} --help' for usage.");
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            args.dash = Some(args.words.len());
            args.words.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            if name.is_empty() || name.starts_with('-') {
                return Err(help(format!("bad flag syntax: {word}")));
            }
            let Some(flag) = flags(table).find(|f| f.long == name) else {
                return Err(help(format!("unknown flag: --{name}")));
            };
            let value = match (value, flag.takes) {
                (Some(value), _) => value.to_owned(),
                (None, Takes::Bool) => "true".into(),
                (None, Takes::Optional(alone)) => alone.into(),
                (None, _) => match words.next() {
                    Some(next) => next.clone(),
                    None => return Err(help(format!("flag needs an argument: --{name}"))),
                },
            };
            args.set(flag, value).map_err(help)?;
        } else if let Some(short) = word.strip_prefix('-').filter(|s| !s.is_empty()) {
            let mut rest = short;
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                let Some(flag) = flags(table).find(|f| f.short == Some(c)) else {
                    return Err(help(format!("unknown shorthand flag: '{c}' in {word}")));
                };
                let value = match flag.takes {
                    _ if rest.starts_with('=') => core::mem::take(&mut rest)[1..].to_owned(),
                    Takes::Bool => "true".into(),
                    Takes::Optional(alone) => alone.into(),
                    _ if !rest.is_empty() => core::mem::take(&mut rest).to_owned(),
                    _ => match words.next() {
                        Some(next) => next.clone(),
                        None => return Err(help(format!("flag needs an argument: '{c}' in {word}"))),
                    },
                };
                args.set(flag, value).map_err(help)?;
            }
        } else {
            args.words.push(word.clone());
        }
    }
    Ok(args)
}

impl Args {
    fn set(&mut self, flag: Flag, value: String) -> Result<(), String> {
        let shown = flag.short.map_or_else(|| format!("--{}", flag.long), |s| format!("-{s}, --{}", flag.long));
        let wrong = |why: String| Err(format!("invalid argument {value:?} for \"{shown}\" flag: {why}"));
        let value = match flag.takes {
            // strconv.ParseBool
            Takes::Bool => match value.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => "true".into(),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => "false".into(),
                _ => return wrong(format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
            },
            Takes::Number => match value.parse::<i64>() {
                Ok(number) => number.to_string(),
                Err(_) => return wrong(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")),
            },
            Takes::Duration if crate::human::parse(&value).is_none() => {
                let unit = value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty();
                let why = if unit { "missing unit in duration" } else { "invalid duration" };
                return wrong(format!("time: {why} {value:?}"));
            }
            _ => value,
        };
        if !flag.works {
            return Err(format!("the flag --{} isn't simulated here", flag.long));
        }
        self.given.push((flag.long, value));
        Ok(())
    }
}

/// What cobra takes for a mistyped word: at most two letters off, or its beginning.
pub fn suggestions<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = typed.to_lowercase();
    known.filter(|k| distance(&lower, &k.to_lowercase()) <= 2 || k.to_lowercase().starts_with(&lower)).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "o,output:s w,watch:b A,all-namespaces:b l,selector:s f,filename:l dry-run:?unchanged replicas:i";

    fn args(line: &str) -> Result<Args, String> {
        parse("kubectl get", GET, &line.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn every_form_of_a_flag() {
        for line in ["-o wide", "-owide", "-o=wide", "--output wide", "--output=wide", "-Ao wide", "-o name -o wide"] {
            assert_eq!(args(&format!("pods {line} web")).unwrap().get("output"), Some("wide"), "{line}");
        }
        let found = args("-wAn shop --watch=false pods -- -x --y").unwrap();
        assert!(!found.on("watch") && found.on("all-namespaces"));
        assert_eq!((found.text("namespace"), found.dash), ("shop", Some(1)));
        assert_eq!(found.words, ["pods", "-x", "--y"]);
        assert_eq!(args("--dry-run x").unwrap().get("dry-run"), Some("unchanged"));
        assert_eq!(args("-f a,b -f c").unwrap().all("filename").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    /// Complaints of kubectl 1.32.4; that build writes `Error:` where others write `error:`.
    #[test]
    fn mistakes_in_pflags_words() {
        for (line, want) in [
            ("pods --foo", "unknown flag: --foo"),
            ("pods -x", "unknown shorthand flag: 'x' in -x"),
            ("pods -xo", "unknown shorthand flag: 'x' in -xo"),
            ("pods -o", "flag needs an argument: 'o' in -o"),
            ("pods -n", "flag needs an argument: 'n' in -n"),
            ("pods --selector", "flag needs an argument: --selector"),
            (
                "--replicas=x",
                "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "--watch=x",
                "invalid argument \"x\" for \"-w, --watch\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(args(line).unwrap_err(), format!("error: {want}\nSee 'kubectl get --help' for usage."));
        }
    }

    /// kubectl 1.20.2, `kubectl gt` and `kubectl foo`.
    #[test]
    fn near_words() {
        let all = ["create", "set", "get", "cp", "run", "top", "rollout"];
        assert_eq!(suggestions("gt", all.into_iter()), ["set", "get", "cp"]);
        assert_eq!(suggestions("foo", all.into_iter()), ["top"]);
        assert!(suggestions("rollback", all.into_iter()).is_empty());
        assert_eq!(suggestions("rollo", all.into_iter()), ["rollout"]);
    }
}
