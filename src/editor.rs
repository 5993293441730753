//! The YAML editor: CodeMirror in a shadow root, fetched when it is wanted; a plain text area until then, and for good
//! where it can't be had.

use crate::{dom, i18n::t, i18n::tp, lab};
use js_sys::{Array, Function, JsString, Object, Promise, Reflect};
use lab_protocol::{Change, ClusterId, Diagnostic, Explanation, Fix, Suggestion, TextEdit, Verb};
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen::{JsCast, JsValue, prelude::*};
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};
use web_sys::{HtmlElement, HtmlTextAreaElement};

/// No API server takes more: etcd's own limit for a request.
pub const LARGEST: u32 = 1_572_864;
/// How long nobody types before the text is read, in milliseconds.
const QUIET: u32 = 150;

#[wasm_bindgen(inline_js = "export function load(url) { return import(new URL(url, document.baseURI).href); }")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn load(url: &str) -> Result<Promise, JsValue>;
}

enum Surface {
    None,
    Plain(HtmlTextAreaElement),
    Module { module: JsValue, handle: JsValue },
}

impl Surface {
    fn call(&self, name: &str, args: &[JsValue]) -> Option<JsValue> {
        let Surface::Module { module, handle } = self else { return None };
        let function: Function = Reflect::get(module, &name.into()).ok()?.dyn_into().ok()?;
        let all = Array::of1(handle);
        for arg in args {
            all.push(arg);
        }
        function.apply(&JsValue::UNDEFINED, &all).ok()
    }
}

/// How far the text has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Not yet, or not since it changed.
    Behind,
    /// As it is now.
    Done,
    /// It is too large to be read.
    TooLarge,
}

/// The editor of a page. Copies are the same editor.
#[derive(Clone, Copy)]
pub struct Editor {
    surface: StoredValue<Surface, LocalStorage>,
    /// For which cluster the text is.
    cluster: ClusterId,
    /// The text until there is a surface, and after it has gone.
    spare: StoredValue<String>,
    start: StoredValue<String>,
    /// Rises with each change.
    pub version: RwSignal<u64>,
    /// What is wrong with the text.
    pub diagnostics: RwSignal<Arc<Vec<Diagnostic>>>,
    /// How some of it can be put right, and of which list of mistakes that is said.
    fixes: StoredValue<(Arc<Vec<Diagnostic>>, Vec<Fix>)>,
    /// How far the text has been read.
    pub reading: RwSignal<Reading>,
    /// Whether the text differs from the one at the start.
    pub changed: RwSignal<bool>,
    /// Whether it is the plain text area.
    pub plain: RwSignal<bool>,
    /// Whether what `Apply` would change stands beside it.
    pub comparing: RwSignal<bool>,
    /// Called when the text has come to rest.
    rest: StoredValue<Option<Rest>, LocalStorage>,
}

type Rest = std::rc::Rc<dyn Fn(&str)>;

impl Editor {
    /// An editor that holds `text`, for a cluster; `start` is what it goes back to.
    pub fn new(cluster: ClusterId, text: String, start: String) -> Editor {
        let editor = Editor {
            surface: StoredValue::new_local(Surface::None),
            cluster,
            changed: RwSignal::new(text != start),
            spare: StoredValue::new(text),
            start: StoredValue::new(start),
            version: RwSignal::new(0),
            diagnostics: RwSignal::default(),
            fixes: StoredValue::default(),
            reading: RwSignal::new(Reading::Behind),
            plain: RwSignal::new(true),
            comparing: RwSignal::new(false),
            rest: StoredValue::new_local(None),
        };
        Effect::new(move || {
            editor.version.track();
            editor.reading.set(Reading::Behind);
            spawn_local(editor.read_soon());
        });
        Effect::new(move || editor.mark(&editor.diagnostics.get()));
        editor
    }

    /// Calls `rest` with the text whenever nobody has typed for a moment.
    pub fn at_rest(&self, rest: impl Fn(&str) + 'static) {
        self.rest.set_value(Some(std::rc::Rc::new(rest)));
    }

    /// The text.
    pub fn text(&self) -> String {
        self.js_text().map(String::from).unwrap_or_else(|| self.spare.get_value())
    }

    fn js_text(&self) -> Option<JsString> {
        self.surface.try_with_value(|s| match s {
            Surface::None => None,
            Surface::Plain(area) => Some(JsString::from(area.value())),
            Surface::Module { .. } => s.call("getText", &[]).and_then(|t| t.dyn_into().ok()),
        })?
    }

    /// Length in UTF-16 units, without copying the text.
    pub fn length(&self) -> u32 {
        self.js_text().map_or_else(|| self.spare.with_value(|t| t.len() as u32), |t| t.length())
    }

    /// The text at the start.
    pub fn start(&self) -> String {
        self.start.get_value()
    }

    /// The text to go back to is another one (the lesson has changed).
    pub fn set_start(&self, start: String) {
        self.start.set_value(start);
        self.touched();
    }

    /// Replaces the text; what differs can be undone.
    pub fn set_text(&self, text: &str) {
        self.surface.with_value(|s| match s {
            Surface::None => self.spare.set_value(text.to_owned()),
            Surface::Plain(area) => area.set_value(text),
            Surface::Module { .. } => drop(s.call("setText", &[text.into()])),
        });
        self.touched();
    }

    fn touched(&self) {
        self.version.update(|v| *v += 1);
    }

    /// Puts the caret somewhere, and the focus.
    pub fn go_to(&self, line: u32, column: u32) {
        self.surface.with_value(|s| match s {
            Surface::None => {}
            Surface::Module { .. } => drop(s.call("gotoLine", &[line.into(), column.into()])),
            Surface::Plain(area) => {
                let text = area.value();
                let before: usize =
                    text.split('\n').take(line as usize - 1).map(|l| l.encode_utf16().count() + 1).sum();
                let at = before as u32 + column.saturating_sub(1);
                let _ = area.focus();
                let _ = area.set_selection_range(at, at);
            }
        });
    }

    /// Gives it the focus.
    pub fn focus(&self) {
        self.surface.with_value(|s| match s {
            Surface::Plain(area) => drop(area.focus()),
            _ => drop(s.call("focus", &[])),
        });
    }

    /// Shows beside the text what `Apply` would change, or no more.
    pub fn toggle_compare(&self) {
        self.surface.with_value(|s| drop(s.call("toggleCompare", &[])));
    }

    /// The cluster has become another: what would change may be something else.
    pub fn refresh_compare(&self) {
        self.surface.with_value(|s| drop(s.call("refreshCompare", &[])));
    }

    /// Puts the text into its canonical layout. Whether something changed, or why it can't be read.
    pub async fn format(&self) -> Result<bool, Diagnostic> {
        let version = self.version.get_untracked();
        let old = self.text();
        // What was typed meanwhile goes before.
        let new = lab::format(old.clone()).await?.filter(|_| self.version.try_get_untracked() == Some(version));
        let changed = new.filter(|new| *new != old);
        if let Some(new) = &changed {
            self.set_text(new);
        }
        Ok(changed.is_some())
    }

    /// Reads the text now and tells what is wrong with it.
    pub async fn read_now(&self) -> Arc<Vec<Diagnostic>> {
        let version = self.version.get_untracked();
        if self.length() > LARGEST {
            self.diagnostics.set(Arc::default());
            self.reading.set(Reading::TooLarge);
            return Arc::default();
        }
        let (found, fixes) = lab::check(self.cluster, self.text()).await;
        let found = Arc::new(found);
        if self.version.try_get_untracked() == Some(version) {
            self.fixes.set_value((found.clone(), fixes));
            self.diagnostics.set(found.clone());
            self.reading.set(Reading::Done);
        }
        found
    }

    async fn read_soon(self) {
        let Some(version) = self.version.try_get_untracked() else { return };
        dom::sleep(QUIET).await;
        if self.version.try_get_untracked() != Some(version) {
            return;
        }
        let text = self.text();
        self.changed.set(self.start.with_value(|s| *s != text));
        if let Some(rest) = self.rest.get_value() {
            rest(&text);
        }
        drop(text);
        self.read_now().await;
    }

    fn mark(&self, diagnostics: &Arc<Vec<Diagnostic>>) {
        let list: Array = diagnostics.iter().take(200).map(to_js).collect();
        self.fixes.with_value(|(of, fixes)| {
            for fix in fixes.iter().filter(|f| Arc::ptr_eq(of, diagnostics) && f.diagnostic < list.length()) {
                let _ = Reflect::set(&list.get(fix.diagnostic), &"fix".into(), &fix_to_js(fix));
            }
        });
        self.surface.with_value(|s| drop(s.call("setDiagnostics", &[list.into()])));
    }

    /// Shows the editor in `host`: at once as a text area, which CodeMirror replaces when it has come.
    pub fn mount(self, host: HtmlElement, apply: impl Fn() + Clone + 'static, format: impl Fn() + 'static) {
        let Some(area) = self.mount_plain(&host, apply.clone()) else { return };
        spawn_local(async move {
            let Some(module) = fetch_bundle().await else { return };
            let focused = dom::document().active_element().is_some_and(|e| e.is_same_node(Some(&area)));
            let caret = area.selection_start().ok().flatten().unwrap_or(0);
            let text = area.value();
            let inner = dom::document().create_element("div").ok();
            let Some(inner) = inner else { return };
            inner.set_class_name("editor-cm");
            let _ = host.append_child(&inner);
            let Some(handle) = self.create(&module, &inner, &text, apply, format) else {
                inner.remove();
                return;
            };
            area.remove();
            self.surface.set_value(Surface::Module { module, handle });
            self.plain.set(false);
            if focused {
                let before: String = text.encode_utf16().take(caret as usize).map(|_| ' ').collect();
                let line = text.chars().take(before.len()).filter(|c| *c == '\n').count() as u32 + 1;
                let column = text.chars().take(before.len()).collect::<Vec<_>>();
                let column = column.iter().rev().take_while(|c| **c != '\n').count() as u32 + 1;
                self.go_to(line, column);
            }
            self.mark(&self.diagnostics.get_untracked());
        });
    }

    fn mount_plain(self, host: &HtmlElement, apply: impl Fn() + 'static) -> Option<HtmlTextAreaElement> {
        let area: HtmlTextAreaElement = dom::document().create_element("textarea").ok()?.unchecked_into();
        area.set_class_name("editor-plain");
        area.set_spellcheck(false);
        area.set_wrap("off");
        let _ = area.set_attribute("aria-label", &t("editor-label"));
        let _ = area.set_attribute("autocapitalize", "off");
        area.set_value(&self.spare.get_value());
        host.replace_children_with_node_1(&area);
        dom::listen::<web_sys::Event>(&area, "input", move |_| self.touched());
        dom::listen::<web_sys::KeyboardEvent>(&area, "keydown", move |e| {
            if (e.ctrl_key() || e.meta_key()) && !e.alt_key() && matches!(e.key().as_str(), "s" | "Enter") {
                e.prevent_default();
                apply();
            }
        });
        self.surface.set_value(Surface::Plain(area.clone()));
        Some(area)
    }

    fn create(
        self,
        module: &JsValue,
        host: &web_sys::Element,
        text: &str,
        apply: impl Fn() + 'static,
        format: impl Fn() + 'static,
    ) -> Option<JsValue> {
        let changed = Closure::<dyn FnMut(JsValue)>::new(move |_| self.touched()).into_js_value();
        let apply = Closure::<dyn FnMut()>::new(apply).into_js_value();
        let options = Object::new();
        let set = |name: &str, value: &JsValue| Reflect::set(&options, &name.into(), value).is_ok();
        set("text", &text.into());
        set("label", &t("editor-label").into());
        set("dark", &(dom::root().get_attribute("data-theme").as_deref() == Some("dark")).into());
        set("phrases", &phrases());
        set("onChange", &changed);
        set("onApply", &apply);
        set("onFormat", &Closure::<dyn FnMut()>::new(format).into_js_value());
        let told = Closure::<dyn FnMut(bool)>::new(move |open| self.comparing.set(open));
        set("onCompare", &told.into_js_value());
        set(
            "compare",
            &answering(move |text, _, _| async move {
                lab::compare(self.cluster, text).await.iter().map(change_to_js).collect::<Array>().into()
            }),
        );
        set(
            "complete",
            &answering(|text, line, column| async move {
                lab::complete(text, line, column).await.map_or(JsValue::NULL, |(column, items)| {
                    let items: Array = items.iter().map(suggestion_to_js).collect();
                    object(&[("column", column.into()), ("items", items.into())])
                })
            }),
        );
        set(
            "explain",
            &answering(|text, line, column| async move {
                lab::explain(text, line, column).await.as_ref().map_or(JsValue::NULL, explanation_to_js)
            }),
        );
        let create: Function = Reflect::get(module, &"create".into()).ok()?.dyn_into().ok()?;
        create.call2(&JsValue::UNDEFINED, host, &options).ok()
    }
}

/// The editor's own words, in the page's language. In English they are its own.
fn phrases() -> JsValue {
    let object = Object::new();
    for (phrase, key) in [
        ("Find", "find"),
        ("Replace", "replace"),
        ("next", "next"),
        ("previous", "previous"),
        ("all", "all"),
        ("match case", "match-case"),
        ("regexp", "regexp"),
        ("by word", "by-word"),
        ("replace", "replace-one"),
        ("replace all", "replace-all"),
        ("close", "close"),
        ("Go to line", "go-to-line"),
        ("go", "go"),
        ("current match", "current-match"),
        ("on line", "on-line"),
        ("replaced match on line $", "replaced"),
        ("replaced $ matches", "replaced-all"),
        ("Completions", "completions"),
        ("required", "required"),
        ("no effect here", "idle"),
        ("If applied now", "compare"),
        ("No object to compare", "compare-none"),
        ("created", "created"),
        ("configured", "configured"),
        ("unchanged", "unchanged"),
        ("refused", "refused"),
        ("not applied", "not-applied"),
    ] {
        let _ = Reflect::set(&object, &phrase.into(), &t(&format!("editor-{key}")).into());
    }
    object.into()
}

async fn fetch_bundle() -> Option<JsValue> {
    let named = dom::document().query_selector("meta[name='editor']").ok().flatten();
    let url = named.and_then(|m| m.get_attribute("content")).unwrap_or_else(|| "vendor/editor.js".into());
    match load(&url) {
        Ok(promise) => JsFuture::from(promise).await.ok(),
        Err(_) => None,
    }
}

/// What is wrong, in words.
pub fn words(diagnostic: &Diagnostic) -> String {
    match &diagnostic.phrase {
        Some(phrase) => tp(phrase),
        None => diagnostic.message.clone(),
    }
}

/// A function `(text, line, column) -> Promise` for the editor.
fn answering<F: Future<Output = JsValue> + 'static>(answer: impl Fn(String, u32, u32) -> F + 'static) -> JsValue {
    Closure::<dyn Fn(String, u32, u32) -> Promise>::new(move |text, line, column| {
        let answer = answer(text, line, column);
        future_to_promise(async move { Ok(answer.await) })
    })
    .into_js_value()
}

fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in entries {
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

fn to_js(diagnostic: &Diagnostic) -> JsValue {
    object(&[
        ("line", diagnostic.line.into()),
        ("column", diagnostic.column.into()),
        ("length", diagnostic.length.into()),
        ("severity", if diagnostic.error { "error" } else { "warning" }.into()),
        ("message", words(diagnostic).into()),
    ])
}

fn fix_to_js(fix: &Fix) -> JsValue {
    let edit = |e: &TextEdit| {
        object(&[
            ("line", e.line.into()),
            ("column", e.column.into()),
            ("length", e.length.into()),
            ("text", e.text.as_str().into()),
        ])
    };
    let edits: Array = fix.edits.iter().map(edit).collect();
    object(&[("title", tp(&fix.title).into()), ("edits", edits.into())])
}

fn change_to_js(c: &Change) -> JsValue {
    let verb = match c.verb {
        Verb::Created => "created",
        Verb::Configured => "configured",
        Verb::Unchanged => "unchanged",
        Verb::Refused => "refused",
        Verb::Scenario => "not applied",
    };
    object(&[("object", c.object.as_str().into()), ("verb", verb.into()), ("lines", c.lines.as_str().into())])
}

fn suggestion_to_js(s: &Suggestion) -> JsValue {
    object(&[
        ("label", s.label.as_str().into()),
        ("insert", s.insert.as_str().into()),
        ("field", s.field.into()),
        ("type", s.type_.as_str().into()),
        ("description", s.description.as_str().into()),
        ("required", s.required.into()),
        ("idle", s.without_effect.into()),
    ])
}

fn explanation_to_js(e: &Explanation) -> JsValue {
    let values: Array = e.values.iter().map(|v| JsValue::from_str(v)).collect();
    object(&[
        ("column", e.column.into()),
        ("length", e.length.into()),
        ("name", e.name.as_str().into()),
        ("type", e.type_.as_str().into()),
        ("description", e.description.as_str().into()),
        ("values", values.into()),
        ("required", e.required.into()),
        ("idle", e.without_effect.into()),
    ])
}
