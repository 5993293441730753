//! A lesson's files, fetched when the page runs: a lesson that was changed is shown without a build.

use crate::dom;
use crate::i18n::lang;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

/// Fetches the files of a lesson's folder that its page needs. A file that isn't there is left out; its reader says so.
pub async fn fetch(folder: &str) -> Result<Vec<(String, String)>, String> {
    let path = |name: &str| format!("lessons/{folder}/{name}");
    let spec = dom::fetch_text(&path("lesson.yaml")).await?;
    let names = lesson::page_files(&spec, lang());
    // A promise begins at once, a future when someone waits for it: so all are fetched side by side.
    let asked: Vec<_> = names
        .into_iter()
        .filter(|name| name != "lesson.yaml")
        .map(|name| {
            let url = path(&name);
            (name, future_to_promise(async move { Ok(dom::fetch_text(&url).await?.into()) }))
        })
        .collect();
    let mut files = vec![("lesson.yaml".to_owned(), spec)];
    for (name, text) in asked {
        if let Some(text) = JsFuture::from(text).await.ok().and_then(|t| t.as_string()) {
            files.push((name, text));
        }
    }
    Ok(files)
}
