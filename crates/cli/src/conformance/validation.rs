//! `validation/<case>.yaml`, `<case>.errors`: the API server's answers, word for word.

use super::Report;
use crate::{rules, validate};
use kube_api::Release;
use std::path::{Path, PathBuf};

fn check(manifest: &Path, errors: &Path) -> Result<(), String> {
    let read = |path: &Path| rules::read(path).map_err(|e| e.to_string());
    let (text, want) = (read(manifest)?, read(errors)?);
    // The cases are of this release.
    let seen = validate::answers(&text, Release::OLDEST);
    if want.trim_end() == seen.trim_end() {
        return Ok(());
    }
    Err(format!("expected {:?}, seen {:?}", want.trim_end(), seen.trim_end()))
}

/// Runs the cases among some files.
pub fn run(files: &[PathBuf], report: &mut Report) {
    for errors in files.iter().filter(|f| f.extension().is_some_and(|e| e == "errors")) {
        let manifest = errors.with_extension("yaml");
        let case = errors.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        report.case("validation", case, check(&manifest, errors));
    }
}
