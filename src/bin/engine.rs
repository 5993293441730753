//! The engine in its Worker: `crates/engine` behind a message port, and nothing else.
//!
//! A message is a `Uint8Array` that holds a `lab_protocol::Request`; each answer is one that holds a `Reply`.
#![forbid(unsafe_code)]

use engine::Engine;
use js_sys::{Array, Uint8Array};
use lab_protocol::{Reply, decode, encode};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

fn main() {
    console_error_panic_hook::set_once();
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else { return };
    let engine = RefCell::new(Engine::new());
    let port = scope.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let bytes = Uint8Array::new(&event.data()).to_vec();
        match decode(&bytes) {
            Ok(request) => {
                for reply in engine.borrow_mut().handle(request) {
                    post(&port, &reply);
                }
            }
            Err(error) => wasm_bindgen::throw_str(&error.to_string()),
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    post(&scope, &Engine::ready());
}

fn post(port: &DedicatedWorkerGlobalScope, reply: &Reply) {
    let bytes = Uint8Array::from(encode(reply).as_slice());
    // Transferred, not copied. A page that has gone takes no answer.
    let _ = port.post_message_with_transfer(&bytes, &Array::of1(&bytes.buffer()));
}
