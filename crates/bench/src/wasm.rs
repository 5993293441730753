//! For Node, which has the clock.

use crate::{Done, works};
use std::cell::RefCell;
use wasm_bindgen::prelude::wasm_bindgen;

type Run = Box<dyn FnMut() -> Done>;

thread_local! {
    static PREPARED: RefCell<Option<Run>> = const { RefCell::new(None) };
    static DONE: RefCell<Option<Done>> = const { RefCell::new(None) };
}

/// Makes a work ready.
#[wasm_bindgen]
pub fn prepare(index: usize) {
    let run = works().into_iter().nth(index).map(|work| (work.prepare)());
    PREPARED.with(|p| *p.borrow_mut() = run);
}

/// Runs it once.
#[wasm_bindgen]
pub fn run() {
    let done = PREPARED.with(|p| p.borrow_mut().as_mut().map(|run| run()));
    DONE.with(|d| *d.borrow_mut() = done);
}

/// Drops what the last run made, and gives its checksum.
#[wasm_bindgen]
pub fn rest() -> String {
    DONE.with(|d| d.borrow_mut().take()).map(|done| done.checksum).unwrap_or_default()
}

/// The memory that there is now, in bytes; wasm's never shrinks.
#[wasm_bindgen]
pub fn memory_size() -> f64 {
    core::arch::wasm32::memory_size::<0>() as f64 * 65_536.0
}
