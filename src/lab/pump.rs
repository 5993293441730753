//! One animation-frame loop for the whole page. It stands still when nothing changes.

use super::run::Run;
use super::{Notice, client, hooks};
use lab_protocol::ClusterId;
use leptos::prelude::{Set, document, window};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Draws a cluster's requests. Gets the cluster, the wall time in milliseconds, and whether the shown moment changed; tells
/// whether it wants another frame though time stands still (something glides).
pub type Drawer = Rc<dyn Fn(&Run, f64, bool) -> bool>;

type OnFrame = Closure<dyn FnMut(f64)>;

thread_local! {
    static LOOP: RefCell<Option<OnFrame>> = const { RefCell::new(None) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static LAST: Cell<Option<f64>> = const { Cell::new(None) };
    static DRAWERS: RefCell<BTreeMap<u32, (ClusterId, Drawer)>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u32> = const { Cell::new(0) };
}

/// Something with a cluster's run.
pub fn with_run<T>(id: ClusterId, f: impl FnOnce(&mut Run) -> T) -> Option<T> {
    client::with(|c| c.runs.get_mut(&id).map(f))
}

/// Calls `draw` on each frame in which the cluster has changed. Gives the number by which it is removed.
pub fn add_drawer(id: ClusterId, draw: Drawer) -> impl Fn() + Send + Sync + Copy + 'static {
    let number = NEXT.with(|n| n.replace(n.get() + 1));
    DRAWERS.with(|d| d.borrow_mut().insert(number, (id, draw)));
    redraw(id);
    move || {
        DRAWERS.with(|d| d.borrow_mut().remove(&number));
    }
}

/// Draws a cluster anew though time stands still.
pub fn redraw(id: ClusterId) {
    with_run(id, Run::touch);
    wake();
}

/// Sees to it that there is a next frame.
pub fn wake() {
    if ASKED.with(|a| a.replace(true)) {
        return;
    }
    LOOP.with(|l| {
        let mut l = l.borrow_mut();
        if l.is_none() {
            watch_visibility();
        }
        let closure = l.get_or_insert_with(|| Closure::new(frame));
        if window().request_animation_frame(closure.as_ref().unchecked_ref()).is_err() {
            ASKED.with(|a| a.set(false));
        }
    });
}

fn frame(at: f64) {
    ASKED.with(|a| a.set(false));
    let measure = hooks::frame_begins();
    let wall = LAST.with(|l| l.replace(Some(at))).map_or(16.0, |last| at - last);
    let (changed, running) = client::with(|c| {
        let changed: Vec<(ClusterId, bool)> = c.runs.values_mut().map(|r| (r.id, r.tick(wall))).collect();
        c.ask_all();
        (changed, c.runs.values().any(Run::running))
    });
    let mut again = running;
    let drawers: Vec<(ClusterId, Drawer)> = DRAWERS.with(|d| d.borrow().values().cloned().collect());
    for (id, draw) in drawers {
        let moved = changed.iter().any(|(c, moved)| *c == id && *moved);
        if let Some(wants) = with_run(id, |run| draw(run, at, moved)) {
            again |= wants;
        }
    }
    hooks::frame_ends(measure);
    if again {
        wake();
    } else {
        LAST.with(|l| l.set(None));
    }
}

/// Time stops while nobody can see it; clusters that are only looked at go on by themselves afterwards.
fn watch_visibility() {
    let changed = Closure::<dyn FnMut()>::new(|| {
        let hidden = document().hidden();
        client::with(|c| {
            for run in c.runs.values_mut() {
                if hidden && run.clock.playing {
                    run.clock.playing = false;
                    run.asleep = true;
                    run.signals.playing.set(false);
                    if run.options.interactive {
                        run.signals.notice.set(Some(Notice::Hidden));
                    }
                } else if !hidden && std::mem::take(&mut run.asleep) && !run.options.interactive {
                    run.clock.playing = true;
                    run.signals.playing.set(true);
                }
            }
        });
        LAST.with(|l| l.set(None));
        wake();
    });
    let _ = document().add_event_listener_with_callback("visibilitychange", changed.as_ref().unchecked_ref());
    changed.forget();
}
