//! The frame of every page: language, theme, sharing, links within the page.

use super::Session;
use crate::i18n::{t, tf};
use crate::storage::{LONGEST_LINK, Moment};
use crate::{dom, storage, theme};
use std::cell::RefCell;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Element, Event, HtmlElement, HtmlInputElement, KeyboardEvent, MouseEvent};

thread_local! {
    static LINKED: RefCell<Option<Moment>> = const { RefCell::new(None) };
}

/// Brings the frame to life.
pub fn start() {
    take_link();
    menus();
    choices();
    languages();
    places();
}

/// The moment that the page's address held when it was opened.
pub fn linked_moment() -> Option<Moment> {
    LINKED.with(|l| l.borrow().clone())
}

/// Reads a share link's state out of the address, where it would come back with each reload.
fn take_link() {
    let location = dom::window().location();
    let hash = location.hash().unwrap_or_default();
    let Some(state) = hash.strip_prefix("#s=") else { return };
    let moment = Moment::read(state);
    let here = dom::root().get_attribute("data-lesson").unwrap_or_default();
    match moment {
        Some(moment) if moment.page == here => LINKED.with(|l| *l.borrow_mut() = Some(moment)),
        Some(moment) if is_page(&moment.page) => {
            let base = dom::document().base_uri().ok().flatten().unwrap_or_default();
            let there = format!("{base}{}/{}/{hash}", crate::i18n::lang(), moment.page);
            let _ = location.replace(&there);
        }
        _ => announce(&t("link-broken")),
    }
    let path = location.pathname().unwrap_or_default() + &location.search().unwrap_or_default();
    if let Ok(history) = dom::window().history() {
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
    }
}

fn is_page(id: &str) -> bool {
    !id.is_empty() && id.len() < 64 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Says something to everyone: a line that is seen for a while, and read by screen readers.
pub fn announce(text: &str) {
    let Some(toast) = dom::by_id("toast") else { return };
    toast.set_text_content(Some(text));
    let _ = toast.class_list().add_1("is-on");
    let text = text.to_owned();
    spawn_local(async move {
        dom::sleep(5_000).await;
        if toast.text_content().as_deref() == Some(&text) {
            let _ = toast.class_list().remove_1("is-on");
        }
    });
}

fn all(selector: &str) -> Vec<Element> {
    let Ok(list) = dom::document().query_selector_all(selector) else { return Vec::new() };
    (0..list.length()).filter_map(|i| list.get(i)?.dyn_into().ok()).collect()
}

/// Menus close when one clicks beside them or presses Escape.
fn menus() {
    let close = |except: Option<&web_sys::Node>| {
        for menu in all("details.menu[open]") {
            if !except.is_some_and(|n| menu.contains(Some(n))) {
                let _ = menu.remove_attribute("open");
            }
        }
    };
    dom::listen::<Event>(&dom::document(), "click", move |e| {
        close(e.target().and_then(|t| t.dyn_into::<web_sys::Node>().ok()).as_ref());
    });
    dom::listen::<KeyboardEvent>(&dom::document(), "keydown", move |e| {
        let Some(menu) = all("details.menu[open]").into_iter().next() else { return };
        if e.key() == "Escape" {
            let _ = menu.remove_attribute("open");
            if let Ok(Some(summary)) = menu.query_selector("summary") {
                let _ = summary.unchecked_into::<HtmlElement>().focus();
            }
        }
    });
}

/// Theme and contrast.
fn choices() {
    for input in all("input[data-choice]") {
        let input: HtmlInputElement = input.unchecked_into();
        let key = input.get_attribute("data-choice").unwrap_or_default();
        input.set_checked(theme::chosen(&key) == input.value());
        let chosen = input.clone();
        dom::listen::<Event>(&input, "change", move |_| theme::choose(&key, &chosen.value()));
    }
}

/// Remembers the language for the next visit. What was done goes along by itself, see `Session`.
fn languages() {
    for link in all("a[data-lang]") {
        let lang = link.get_attribute("data-lang").unwrap_or_default();
        dom::listen::<MouseEvent>(&link, "click", move |_| storage::set_plain("lang", Some(&lang)));
    }
}

/// Links to a place of the same page: with a base they would lead to the site's root.
fn places() {
    dom::listen::<MouseEvent>(&dom::document(), "click", |e| {
        let target = e.target().and_then(|t| t.dyn_into::<Element>().ok());
        let Some(link) = target.and_then(|t| t.closest("a[href*='#']").ok().flatten()) else { return };
        let href = link.get_attribute("href").unwrap_or_default();
        let Some((page, id)) = href.split_once('#') else { return };
        let here = link.unchecked_ref::<web_sys::HtmlAnchorElement>().pathname()
            == dom::window().location().pathname().unwrap_or_default();
        let Some(place) = dom::by_id(id).filter(|_| page.is_empty() || here) else { return };
        e.prevent_default();
        if place.tab_index() < 0 {
            place.set_tab_index(-1);
        }
        place.scroll_into_view();
        let _ = place.focus();
    });
}

/// Makes the share button work.
pub fn share(session: Session) {
    let Some(button) = dom::by_id("share") else { return };
    let _ = button.remove_attribute("hidden");
    dom::listen::<MouseEvent>(&button, "click", move |_| {
        let location = dom::window().location();
        let moment = Moment { playing: false, ..session.moment(true) };
        let state = moment.write();
        if state.len() > LONGEST_LINK {
            let size = (state.len() / 1024).to_string();
            return announce(&tf("share-too-long", &[("size", &size), ("most", &(LONGEST_LINK / 1024).to_string())]));
        }
        let path = location.pathname().unwrap_or_default();
        let url = format!("{}{path}#s={state}", location.origin().unwrap_or_default());
        spawn_local(copy(url, "share-copied"));
    });
}

/// Copies a text; where the browser doesn't let us (plain http), shows it for copying by hand.
pub async fn copy(text: String, done: &'static str) {
    let navigator = dom::window().navigator();
    let allowed = js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|c| c.is_object());
    if allowed && JsFuture::from(navigator.clipboard().write_text(&text)).await.is_ok() {
        return announce(&t(done));
    }
    if by_command(&text) == Some(true) {
        return announce(&t(done));
    }
    announce(&t("copy-failed"));
}

/// The old way, which plain http allows, too.
fn by_command(text: &str) -> Option<bool> {
    let document = dom::document();
    let focused = document.active_element().and_then(|e| e.dyn_into::<HtmlElement>().ok());
    let area: web_sys::HtmlTextAreaElement = document.create_element("textarea").ok()?.unchecked_into();
    area.set_value(text);
    area.set_class_name("sr");
    document.body()?.append_child(&area).ok()?;
    area.select();
    let command = js_sys::Reflect::get(&document, &"execCommand".into()).ok()?;
    let command: js_sys::Function = command.dyn_into().ok()?;
    let done = command.call1(&document, &"copy".into()).ok().and_then(|d| d.as_bool());
    area.remove();
    if let Some(focused) = focused {
        let _ = focused.focus();
    }
    done
}
