//! The page's one Worker: messages to and from the engine, and a watch over its life.

use lab_protocol::{Reply, Request, decode, encode};
use std::cell::Cell;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

/// Where the engine is when the page doesn't say.
const ENGINE_URL: &str = "engine-worker.js";

/// A Worker and what listens to it.
pub struct EngineWorker {
    worker: Worker,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(web_sys::Event)>,
}

thread_local! {
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that came from engines so far.
pub fn bytes_received() -> u64 {
    BYTES.with(Cell::get)
}

/// The engine's address, as the page's `<meta name="engine-worker">` gives it.
fn address() -> String {
    let document = leptos::prelude::document();
    let named = document
        .query_selector("meta[name='engine-worker']")
        .ok()
        .flatten()
        .and_then(|m| m.get_attribute("content"))
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| ENGINE_URL.into());
    let base = document.base_uri().ok().flatten().unwrap_or_default();
    js_sys::Reflect::get(&js_sys::global(), &"URL".into())
        .ok()
        .and_then(|url| url.dyn_into::<js_sys::Function>().ok())
        .and_then(|url| js_sys::Reflect::construct(&url, &js_sys::Array::of2(&named.clone().into(), &base.into())).ok())
        .and_then(|url| js_sys::Reflect::get(&url, &"href".into()).ok())
        .and_then(|href| href.as_string())
        .unwrap_or(named)
}

impl EngineWorker {
    /// Starts an engine. `heard` gets its replies, `died` the reason when it is no more.
    pub fn start(heard: impl Fn(Reply) + 'static, died: impl Fn(String) + Clone + 'static) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&address(), &options).map_err(|e| format!("{e:?}"))?;
        let gone = died.clone();
        let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let bytes = js_sys::Uint8Array::new(&event.data()).to_vec();
            BYTES.with(|b| b.set(b.get() + bytes.len() as u64));
            match decode::<Reply>(&bytes) {
                Ok(reply) => heard(reply),
                Err(e) => gone(e.to_string()),
            }
        });
        let error = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
            event.prevent_default();
            let text = event.dyn_ref::<web_sys::ErrorEvent>().map(web_sys::ErrorEvent::message).unwrap_or_default();
            died(text);
        });
        worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(error.as_ref().unchecked_ref()));
        worker.set_onmessageerror(Some(error.as_ref().unchecked_ref()));
        Ok(EngineWorker { worker, _message: message, _error: error })
    }

    /// Sends a request.
    pub fn send(&self, request: &Request) {
        let bytes = js_sys::Uint8Array::from(encode(request).as_slice());
        let transfer = js_sys::Array::of1(&bytes.buffer());
        // It can only fail for a buffer that was sent before, and this one is new.
        let _ = self.worker.post_message_with_transfer(&bytes, &transfer);
    }

    /// Test hook: what it says is not heard.
    pub fn deafen(&self) {
        self.worker.set_onmessage(None);
    }

    /// Ends it. Nothing is heard from it any more.
    pub fn stop(self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.set_onmessageerror(None);
        self.worker.terminate();
        // The closures may be running right now (an error event led here): let them end first.
        wasm_bindgen_futures::spawn_local(async move { drop(self) });
    }
}
