//! `servicelab rules`: a node's rules, as kube-proxy writes them.

use crate::arguments::Arguments;
use kube_api::manifest::{Content, parse_as};
use kube_api::{IpFamily, Object, Release, Severity};
pub use kube_proxy::Mode;
use kube_proxy::{Settings, proxier_of};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// How the command is called.
pub const USAGE: &str = "servicelab rules --mode iptables|nftables|ipvs --node NODE [--ip-family IPv4|IPv6] \
[--settings FILE] [--release 1.30..1.36] -f FILE...";

/// Why there are no rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// A file can't be read.
    Unreadable(String),
    /// What was read can't be used.
    Invalid(String),
}

impl Failure {
    /// The exit code of the command.
    pub const fn code(&self) -> u8 {
        match self {
            Failure::Invalid(_) => 1,
            Failure::Usage(_) | Failure::Unreadable(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) => write!(f, "{text}\nusage: {USAGE}"),
            Failure::Unreadable(text) | Failure::Invalid(text) => f.write_str(text),
        }
    }
}

/// The kind of rules that `--mode` names.
pub fn mode(text: &str) -> Result<Mode, Failure> {
    match text {
        "iptables" => Ok(Mode::Iptables),
        "nftables" => Ok(Mode::Nftables),
        "ipvs" => Ok(Mode::Ipvs),
        other => Err(Failure::Usage(format!("unknown mode {other:?}; iptables, nftables or ipvs"))),
    }
}

struct Options {
    mode: Mode,
    node: String,
    family: IpFamily,
    settings: Option<String>,
    release: Release,
    files: Vec<String>,
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let (mut mode, mut node, mut settings, mut files) = (None, None, None, Vec::new());
    let (mut family, mut release) = (IpFamily::V4, Release::default());
    let mut args = Arguments::new(args);
    while let Some(name) = args.next() {
        match name {
            "--mode" => mode = Some(self::mode(&args.value()?)?),
            "--node" => node = Some(args.value()?),
            "--ip-family" => {
                family = match args.value()?.as_str() {
                    "IPv4" => IpFamily::V4,
                    "IPv6" => IpFamily::V6,
                    other => return Err(Failure::Usage(format!("unknown IP family {other:?}"))),
                };
            }
            "--settings" => settings = Some(args.value()?),
            "--release" => release = args.value()?.parse().map_err(Failure::Usage)?,
            "-f" | "--filename" => files.push(args.value()?),
            _ => return Err(args.unknown()),
        }
    }
    let mode = mode.ok_or_else(|| Failure::Usage("--mode is missing".into()))?;
    let node = node.ok_or_else(|| Failure::Usage("--node is missing".into()))?;
    if files.is_empty() {
        return Err(Failure::Usage("-f is missing".into()));
    }
    Ok(Options { mode, node, family, settings, release, files })
}

/// The text of a file, or of standard input for `-`.
pub fn text_of(file: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|all| bytes = all)
    };
    read.map_err(|e| Failure::Unreadable(format!("{file}: {e}")))?;
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|b| **b == b'\n').count();
        Failure::Unreadable(format!("{file}:{line}: not valid UTF-8"))
    })
}

/// The objects of a text, with the API server's defaults; mistakes with their places.
pub fn objects(file: &str, text: &str, release: Release) -> Result<Vec<Object>, Failure> {
    let parsed = parse_as(text, release);
    let errors: Vec<String> = parsed
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| format!("{file}:{}:{}: {}", d.span.line, d.span.column, d.message))
        .collect();
    if !errors.is_empty() {
        return Err(Failure::Invalid(errors.join("\n")));
    }
    let objects = parsed.manifests.into_iter().filter_map(|m| match m.content {
        Content::Object(mut object) => {
            kube_api::defaults::apply(&mut object);
            Some(object)
        }
        Content::Lab { .. } => None,
    });
    Ok(objects.collect())
}

/// kube-proxy's settings out of a small JSON file.
pub fn settings(file: &str, text: &str, release: Release) -> Result<Settings, Failure> {
    let mut settings: Settings = serde_json::from_str(text).map_err(|e| {
        // serde_json ends its message with the place, which stands in front here.
        let message = e.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m);
        Failure::Invalid(format!("{file}:{}:{}: {message}", e.line(), e.column()))
    })?;
    settings.release = release;
    settings.check().map_err(|e| Failure::Invalid(format!("{file}: {e}")))?;
    Ok(settings)
}

/// The rules that kube-proxy writes on a node.
pub fn render(
    objects: &[Object],
    mode: Mode,
    node: &str,
    family: IpFamily,
    settings: Arc<Settings>,
) -> Result<String, Failure> {
    let proxier = proxier_of(objects, node, settings, family).map_err(|e| Failure::Invalid(e.to_string()))?;
    Ok(proxier.in_mode(mode).sync_rules().text())
}

/// The objects of all files, and the settings.
pub fn input(
    files: &[String],
    settings_file: Option<&str>,
    release: Release,
) -> Result<(Vec<Object>, Arc<Settings>), Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(objects(file, &text_of(file)?, release)?);
    }
    let settings = match settings_file {
        Some(file) => settings(file, &text_of(file)?, release)?,
        None => Settings { release, ..Settings::default() },
    };
    Ok((all, Arc::new(settings)))
}

/// Runs the command.
pub fn run(args: &[String]) -> Result<String, Failure> {
    let options = options(args)?;
    let (all, settings) = input(&options.files, options.settings.as_deref(), options.release)?;
    render(&all, options.mode, &options.node, options.family, settings)
}

/// Reads a file of a case.
pub fn read(path: &Path) -> Result<String, Failure> {
    text_of(&path.display().to_string())
}
