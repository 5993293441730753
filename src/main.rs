//! *Service Lab*: the site. It draws, listens and remembers; the cluster runs in the engine's worker.

mod dom;
mod editor;
mod i18n;
mod lab;
mod panic;
mod storage;
mod theme;

fn main() {
    panic::install();
    wasm_bindgen_futures::spawn_local(async {
        i18n::load().await;
        theme::start();
    });
}
