//! `proxy/<scenario>/`: a node's rules, byte for byte.

use super::Report;
use crate::rules::{self, Mode};
use kube_api::{IpFamily, Object, Release};
use kube_proxy::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file of a case holds, by its ending.
fn kind(file: &Path) -> Option<(&'static str, Mode, IpFamily)> {
    Some(match file.extension()?.to_str()? {
        "iptables" => ("proxy-iptables", Mode::Iptables, IpFamily::V4),
        "iptables6" => ("proxy-iptables", Mode::Iptables, IpFamily::V6),
        "nft" => ("proxy-nftables", Mode::Nftables, IpFamily::V4),
        "nft6" => ("proxy-nftables", Mode::Nftables, IpFamily::V6),
        "ipvs" => ("proxy-ipvs", Mode::Ipvs, IpFamily::V4),
        "ipvs6" => ("proxy-ipvs", Mode::Ipvs, IpFamily::V6),
        _ => return None,
    })
}

/// The objects and settings of a scenario.
pub type Scenario = (Arc<Vec<Object>>, Arc<Settings>);

/// Reads a scenario. Cases are of release 1.30.
pub fn scenario(dir: &Path) -> Result<Scenario, String> {
    let release = Release::OLDEST;
    let manifests = dir.join("manifests.yaml");
    let read = |path: &Path| rules::read(path).map_err(|e| e.to_string());
    let objects = rules::objects(&manifests.display().to_string(), &read(&manifests)?, release);
    let objects = objects.map_err(|e| e.to_string())?;
    let file = dir.join("settings.json");
    let settings = if file.exists() {
        rules::settings(&file.display().to_string(), &read(&file)?, release).map_err(|e| e.to_string())?
    } else {
        Settings { release, ..Settings::default() }
    };
    Ok((Arc::new(objects), Arc::new(settings)))
}

fn check(scenario: &Result<Scenario, String>, file: &Path, mode: Mode, family: IpFamily) -> Result<(), String> {
    let (objects, settings) = scenario.as_ref().map_err(Clone::clone)?;
    let node = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let want = rules::read(file).map_err(|e| e.to_string())?;
    let seen = rules::render(objects, mode, node, family, settings.clone()).map_err(|e| e.to_string())?;
    if want == seen {
        return Ok(());
    }
    let (mut want, mut seen) = (want.lines(), seen.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (want.next(), seen.next()) {
            (None, None) => return Err("differs at the end of the text".into()),
            (w, s) if w == s => {}
            (w, s) => {
                let show = |text: Option<&str>| text.map_or("the end".into(), |t| format!("{t:?}"));
                return Err(format!("line {line}: expected {}, seen {}", show(w), show(s)));
            }
        }
    }
}

/// Runs all cases of this form.
pub fn run(files: &[PathBuf], report: &mut Report) {
    let mut last: Option<(&Path, Result<Scenario, String>)> = None;
    for file in files {
        let Some((suite, mode, family)) = kind(file) else { continue };
        let Some(dir) = file.parent() else { continue };
        let read = match last.take() {
            Some((at, read)) if at == dir => read,
            _ => scenario(dir),
        };
        let name = |path: Option<&std::ffi::OsStr>| path.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let case = format!("{}/{}", name(dir.file_name()), name(file.file_name()));
        report.case(suite, &case, check(&read, file, mode, family));
        last = Some((dir, read));
    }
}
