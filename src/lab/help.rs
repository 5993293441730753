//! Help while one writes: the engine knows the fields, files of `reference/` what they mean. Those are fetched when
//! somebody first asks, and given to the engine; a new engine is given them again.

use super::client::{request, tell};
use crate::{dom, i18n};
use lab_protocol::{Explanation, Reply, Request, Suggestion};
use std::cell::RefCell;

thread_local! {
    static TEXT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Descriptions of all fields. Empty where they can't be had: words and types are told all the same.
async fn reference() -> String {
    if let Some(text) = TEXT.with(|t| t.borrow().clone()) {
        return text;
    }
    let mut text = String::new();
    for file in ["kubernetes".to_owned(), format!("lab-{}", i18n::lang())] {
        let part = dom::fetch_text(&format!("reference/{file}.txt")).await.unwrap_or_default();
        text.push_str(&part);
        text.push('\n');
    }
    TEXT.with(|t| *t.borrow_mut() = Some(text.clone()));
    text
}

/// What can be written at a place, the likeliest first, and the column where the word begins that it replaces.
pub async fn complete(yaml: String, line: u32, column: u32) -> Option<(u32, Vec<Suggestion>)> {
    let text = reference().await;
    for given in [false, true] {
        let yaml = yaml.clone();
        let ask = request(|ticket| Request::Complete { ticket, yaml, line, column });
        let Some(Reply::Completed { column, suggestions, reference, .. }) = ask.await else { return None };
        if reference || given || text.len() < 3 {
            return Some((column, suggestions));
        }
        tell(&Request::Reference { text: text.clone() });
    }
    None
}

/// What the word at a place means.
pub async fn explain(yaml: String, line: u32, column: u32) -> Option<Explanation> {
    let text = reference().await;
    for given in [false, true] {
        let yaml = yaml.clone();
        let ask = request(|ticket| Request::Explain { ticket, yaml, line, column });
        let Some(Reply::Explained { explanation, reference, .. }) = ask.await else { return None };
        if reference || given || text.len() < 3 {
            return explanation;
        }
        tell(&Request::Reference { text: text.clone() });
    }
    None
}
