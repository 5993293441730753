//! Light, dark, high contrast: as chosen, else as the system asks. `boot.js` does the same before the first paint.

use crate::{dom, storage};

/// A choice that is stored under its name; None: what the system asks for.
fn apply() {
    let wants = |query: &str| dom::window().match_media(query).ok().flatten().is_some_and(|m| m.matches());
    let theme = storage::plain("theme");
    let theme = theme.as_deref().filter(|t| matches!(*t, "light" | "dark"));
    let dark = theme.map_or_else(|| wants("(prefers-color-scheme: dark)"), |t| t == "dark");
    let contrast = storage::plain("contrast");
    let more = contrast.as_deref().map_or_else(|| wants("(prefers-contrast: more)"), |c| c == "more");
    let root = dom::root();
    let _ = root.set_attribute("data-theme", if dark { "dark" } else { "light" });
    let _ = match more {
        true => root.set_attribute("data-contrast", "more"),
        false => root.remove_attribute("data-contrast"),
    };
}

/// What is chosen: `light`, `dark` or `system`; `normal`, `more` or `system`.
pub fn chosen(key: &str) -> String {
    storage::plain(key)
        .filter(|v| matches!(v.as_str(), "light" | "dark" | "more" | "normal"))
        .unwrap_or_else(|| "system".into())
}

/// Chooses.
pub fn choose(key: &str, value: &str) {
    storage::set_plain(key, (value != "system").then_some(value));
    apply();
}

/// Follows the system from now on.
pub fn start() {
    apply();
    for query in ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"] {
        if let Ok(Some(media)) = dom::window().match_media(query) {
            dom::listen::<web_sys::Event>(&media, "change", |_| apply());
            // The list lives as long as it is listened to, which is for ever.
            std::mem::forget(media);
        }
    }
    // Another tab has chosen.
    dom::listen::<web_sys::Event>(&dom::window(), "storage", |_| apply());
}
