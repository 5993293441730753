//! *Service Lab*: the site. It draws, listens and remembers; the cluster runs in the engine's worker.
#![forbid(unsafe_code)]

mod dom;
mod i18n;

fn main() {
    console_error_panic_hook::set_once();
    wasm_bindgen_futures::spawn_local(i18n::load());
}
