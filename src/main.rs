//! *Service Lab*: the site. It draws, listens and remembers; the cluster runs in the engine's worker.

mod chart;
mod dom;
mod editor;
mod i18n;
mod lab;
mod lesson_pane;
mod pages;
mod panic;
mod stage;
mod storage;
mod theme;
mod timebar;

fn main() {
    panic::install();
    wasm_bindgen_futures::spawn_local(async {
        i18n::load().await;
        pages::start();
    });
}
