//! Reads the recorded cases.

use kube_api::manifest::{Content, parse_as};
use kube_api::{Object, Release};
use kube_proxy::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folders of all cases, sorted.
pub fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/proxy");
    let mut dirs: Vec<_> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    dirs.sort();
    dirs
}

/// The objects and settings of a case.
pub fn read(case: &Path) -> (Vec<Object>, Arc<Settings>) {
    let text = std::fs::read_to_string(case.join("manifests.yaml")).unwrap();
    let release = Release::OLDEST;
    let parsed = parse_as(&text, release);
    let errors: Vec<_> = parsed.diagnostics.iter().filter(|d| d.severity == kube_api::Severity::Error).collect();
    assert!(errors.is_empty(), "{}: {errors:?}", case.display());
    let objects = parsed.manifests.into_iter().filter_map(|m| match m.content {
        Content::Object(mut object) => {
            kube_api::defaults::apply(&mut object);
            Some(object)
        }
        Content::Lab { .. } => None,
    });
    let mut settings: Settings = match std::fs::read_to_string(case.join("settings.json")) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => Settings::default(),
    };
    settings.release = release;
    settings.check().unwrap();
    (objects.collect(), Arc::new(settings))
}
