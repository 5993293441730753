//! The page that is shown when the page has panicked. Built with the browser's own means: Leptos may be what broke.

use crate::{dom, i18n::t, storage};
use std::cell::{Cell, RefCell};
use wasm_bindgen::{JsCast, prelude::Closure};

type Text = Box<dyn Fn() -> Option<String>>;

thread_local! {
    static TEXT: RefCell<Option<Text>> = const { RefCell::new(None) };
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook: the console gets the trace, the learner gets the text and a way on.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        show(&info.to_string());
    }));
}

/// Test hook: `window.servicelab.panicPage()`, beside those of the cluster.
pub fn install_test_hook() {
    let window = dom::window();
    let Ok(hooks) = js_sys::Reflect::get(&window, &"servicelab".into()) else { return };
    let hooks = if hooks.is_object() { hooks } else { js_sys::Object::new().into() };
    let panics = Closure::<dyn Fn()>::new(|| show("a test asked for this")).into_js_value();
    let _ = js_sys::Reflect::set(&hooks, &"panicPage".into(), &panics);
    let _ = js_sys::Reflect::set(&window, &"servicelab".into(), &hooks);
}

/// Where the editor's present text is to be had.
pub fn editor_text(text: impl Fn() -> Option<String> + 'static) {
    TEXT.with(|t| {
        if let Ok(mut t) = t.try_borrow_mut() {
            *t = Some(Box::new(text));
        }
    });
}

/// The editor's text, from the editor, or as it was stored last.
fn yaml() -> String {
    let live = TEXT.with(|t| t.try_borrow().ok().and_then(|t| t.as_ref().and_then(|text| text())));
    let page = dom::root().get_attribute("data-lesson").unwrap_or_default();
    live.or_else(|| storage::get(storage::Keep::Always, &format!("text.{page}"))).unwrap_or_default()
}

/// Covers the page.
pub fn show(reason: &str) {
    if SHOWN.with(|s| s.replace(true)) {
        return;
    }
    if build(reason).is_none() {
        dom::root().set_class_name("is-broken");
    }
}

fn build(reason: &str) -> Option<()> {
    let document = dom::document();
    let element = |name: &str, class: &str| -> Option<web_sys::HtmlElement> {
        let element = document.create_element(name).ok()?;
        element.set_class_name(class);
        Some(element.unchecked_into())
    };
    let page = element("div", "panic")?;
    page.set_attribute("role", "alertdialog").ok()?;
    page.set_attribute("aria-modal", "true").ok()?;
    page.set_attribute("aria-labelledby", "panic-title").ok()?;
    let inner = element("div", "panic-in")?;
    let title = element("h1", "")?;
    title.set_id("panic-title");
    title.set_tab_index(-1);
    title.set_text_content(Some(&t("panic-title")));
    let kept = element("p", "")?;
    kept.set_text_content(Some(&t("panic-kept")));
    inner.append_child(&title).ok()?;
    inner.append_child(&kept).ok()?;
    let text = yaml();
    if !text.is_empty() {
        let label = element("label", "panic-label")?;
        label.set_text_content(Some(&t("panic-yaml")));
        let area: web_sys::HtmlTextAreaElement = element("textarea", "panic-yaml")?.unchecked_into();
        area.set_id("panic-yaml");
        label.set_attribute("for", "panic-yaml").ok()?;
        area.set_value(&text);
        area.set_read_only(true);
        area.set_spellcheck(false);
        inner.append_child(&label).ok()?;
        inner.append_child(&area).ok()?;
    }
    let row = element("p", "panic-row")?;
    for (key, class, fresh) in [("panic-reload", "btn btn-primary", false), ("panic-fresh", "btn", true)] {
        let button = element("button", class)?;
        button.set_text_content(Some(&t(key)));
        let click = Closure::<dyn FnMut()>::new(move || {
            if fresh {
                // The moment may be what it broke on; text and progress stay.
                let page = dom::root().get_attribute("data-lesson").unwrap_or_default();
                storage::remove(storage::Keep::Tab, &format!("moment.{page}"));
            }
            let _ = dom::window().location().reload();
        });
        button.set_onclick(Some(click.as_ref().unchecked_ref()));
        click.forget();
        row.append_child(&button).ok()?;
    }
    inner.append_child(&row).ok()?;
    let details = element("details", "panic-why")?;
    let summary = element("summary", "")?;
    summary.set_text_content(Some(&t("panic-why")));
    let code = element("pre", "")?;
    code.set_text_content(Some(reason));
    details.append_child(&summary).ok()?;
    details.append_child(&code).ok()?;
    inner.append_child(&details).ok()?;
    page.append_child(&inner).ok()?;
    document.body()?.append_child(&page).ok()?;
    title.focus().ok()
}
