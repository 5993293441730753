//! Words. Every text that a person reads stands in `public/i18n/{en,zh}.json`, flat, with `{name}` for values.
//!
//! One page is in one language from first to last (another language is another page), so texts are plain strings and no
//! signals. A key that is missing is shown itself, so that it is seen.

use crate::dom;
use lab_protocol::Phrase;
use std::{cell::RefCell, collections::BTreeMap};
use wasm_bindgen::JsValue;

thread_local! {
    static TEXTS: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// The page's language: `en` or `zh`.
pub fn lang() -> &'static str {
    let tag = dom::root().lang();
    if tag == "zh" || tag.starts_with("zh-") { "zh" } else { "en" }
}

/// Fetches the page's catalogue. Without it (a broken deployment) keys are shown.
pub async fn load() {
    if let Ok(text) = dom::fetch_text(&format!("i18n/{}.json", lang())).await {
        read(&text);
    }
}

fn read(json: &str) {
    let Ok(value) = js_sys::JSON::parse(json) else { return };
    if !value.is_object() {
        return;
    }
    let mut texts = BTreeMap::new();
    for entry in js_sys::Object::entries(&js_sys::Object::from(value)).iter() {
        let entry = js_sys::Array::from(&entry);
        if let (Some(key), Some(text)) = (entry.get(0).as_string(), entry.get(1).as_string()) {
            texts.insert(key, text);
        }
    }
    TEXTS.with(|t| *t.borrow_mut() = texts);
}

/// The text of `key`.
pub fn t(key: &str) -> String {
    TEXTS.with(|texts| texts.borrow().get(key).cloned()).unwrap_or_else(|| key.to_owned())
}

/// Whether there is a text of `key`.
pub fn has(key: &str) -> bool {
    TEXTS.with(|texts| texts.borrow().contains_key(key))
}

/// The text of `key` with values in place of `{name}`.
pub fn tf(key: &str, args: &[(&str, &str)]) -> String {
    fill(&t(key), |name| args.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
}

/// A phrase of the engine or of a lesson's checks.
pub fn tp(phrase: &Phrase) -> String {
    fill(&t(&phrase.id), |name| phrase.args.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
}

/// A text that depends on a number: `key_one`, `key_other` (whichever the language asks for), with `{n}`.
pub fn tn(key: &str, n: u64) -> String {
    tnf(key, n, &[])
}

/// The same with further values.
pub fn tnf(key: &str, n: u64, args: &[(&str, &str)]) -> String {
    let number = group(n);
    let mut form = format!("{key}_{}", plural(n));
    if !has(&form) {
        form = format!("{key}_other");
    }
    fill(&t(&form), |name| {
        if name == "n" {
            return Some(number.clone());
        }
        args.iter().find(|(a, _)| *a == name).map(|(_, value)| (*value).to_owned())
    })
}

fn plural(n: u64) -> String {
    let locales = js_sys::Array::of1(&JsValue::from_str(lang()));
    let rules = js_sys::Intl::PluralRules::new(&locales, &js_sys::Object::new());
    rules.select(n as f64).into()
}

/// A whole number with thin spaces between thousands: `12 345`.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(c);
    }
    out
}

/// Puts values in place of `{name}`; a name without a value stays visible.
fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let tail = &rest[start..];
        let Some(end) = tail.find('}') else {
            rest = tail;
            break;
        };
        match value(&tail[1..end]) {
            Some(v) => out.push_str(&v),
            None => out.push_str(&tail[..=end]),
        }
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    out
}
