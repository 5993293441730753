//! The little that the page asks of the browser directly.

use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

/// The window.
pub fn window() -> web_sys::Window {
    web_sys::window().expect("the site runs in a window")
}

/// The document.
pub fn document() -> web_sys::Document {
    window().document().expect("a window has a document")
}

/// `<html>`.
pub fn root() -> web_sys::HtmlElement {
    document().document_element().expect("a document has a root").unchecked_into()
}

/// An element by id.
pub fn by_id(id: &str) -> Option<web_sys::HtmlElement> {
    document().get_element_by_id(id).map(JsCast::unchecked_into)
}

/// Fetches a text relative to the site's root. Anything but 2xx is an error, told in a line.
pub async fn fetch_text(path: &str) -> Result<String, String> {
    let told = |e: JsValue| e.as_string().unwrap_or_else(|| format!("{path}: {}", js_sys::Object::from(e).to_string()));
    let response = JsFuture::from(window().fetch_with_str(path)).await.map_err(told)?;
    let response: web_sys::Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!("{path}: HTTP {}", response.status()));
    }
    let text = JsFuture::from(response.text().map_err(told)?).await.map_err(told)?;
    text.as_string().ok_or_else(|| format!("{path}: not a text"))
}

/// Waits.
pub async fn sleep(ms: u32) {
    gloo_timers::future::TimeoutFuture::new(ms).await;
}

/// Listens for the page's life. The listener is never taken away.
pub fn listen<E: JsCast + wasm_bindgen::convert::FromWasmAbi + 'static>(
    target: &web_sys::EventTarget,
    name: &str,
    handler: impl FnMut(E) + 'static,
) {
    let closure = Closure::<dyn FnMut(E)>::new(handler);
    let _ = target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Adds an element with a class and a text to another one.
pub fn add(parent: &web_sys::Element, tag: &str, class: &str, text: &str) -> web_sys::Element {
    let element = document().create_element(tag).unwrap_or_else(|_| parent.clone());
    if !class.is_empty() {
        element.set_class_name(class);
    }
    if !text.is_empty() {
        element.set_text_content(Some(text));
    }
    let _ = parent.append_child(&element);
    element
}

/// Adds an SVG element with attributes to another one.
pub fn add_svg(parent: &web_sys::Element, tag: &str, attributes: &[(&str, &str)]) -> web_sys::Element {
    let made = document().create_element_ns(Some("http://www.w3.org/2000/svg"), tag);
    let element = made.unwrap_or_else(|_| parent.clone());
    for (name, value) in attributes {
        let _ = element.set_attribute(name, value);
    }
    let _ = parent.append_child(&element);
    element
}
