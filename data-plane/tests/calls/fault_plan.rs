//! Panics at chosen places of the proxy: where it reads its clock, and where it asks its source of configuration.

use std::{
    backtrace::Backtrace,
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use toolgate_model::Timestamp;
use toolgate_runtime::clock::{Clock, SystemClock};

/// Text of the injected panics.
const INJECTED: &str = "an injected fault";

/// Plan of the next panic, and the places of earlier panics.
#[derive(Default)]
pub struct FaultPlan {
    /// Number of visits up to the panic; 0 if none is planned.
    left: AtomicUsize,
    places: Mutex<BTreeSet<String>>,
}

/// System clock whose readings are visits of a plan.
pub struct FaultyClock(pub Arc<FaultPlan>);

impl FaultPlan {
    /// Plans a panic at this visit from now on.
    pub fn arm(&self, visit: usize) {
        self.left.store(visit, Ordering::SeqCst);
    }

    /// Removes the plan. Returns `true` if the panic has happened.
    pub fn disarm(&self) -> bool {
        self.left.swap(0, Ordering::SeqCst) == 0
    }

    /// Functions of the proxy in which a panic has happened.
    pub fn places(&self) -> BTreeSet<String> {
        self.places.lock().unwrap().clone()
    }

    /// Panics if it is planned for this visit.
    pub fn visit(&self) {
        let step = |left: usize| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        if before == Ok(1) {
            self.places.lock().unwrap().insert(calling_function());
            panic!("{INJECTED}");
        }
    }
}

impl Clock for FaultyClock {
    fn now(&self) -> Timestamp {
        self.0.visit();
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        self.0.visit();
        SystemClock.monotonic()
    }
}

/// Line of the innermost function of the proxy on the stack. Paths of this package begin with a dot.
fn calling_function() -> String {
    let stack = Backtrace::force_capture().to_string();
    let of_proxy = |at: &&str| {
        let folders = ["at ./src/", "/data-plane/", "/shared/"];
        let known = folders.iter().any(|folder| at.contains(folder));
        at.starts_with("at ") && known && !at.contains("tests/") && !at.contains("/.cargo/")
    };
    let mut lines = stack.lines().map(str::trim);
    lines
        .find(of_proxy)
        .map_or_else(|| stack.clone(), str::to_owned)
}

/// Leaves the injected panics out of the output of the tests.
pub fn silence_injected_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let owned = payload.downcast_ref::<String>().map(String::as_str);
        let text = owned.or_else(|| payload.downcast_ref::<&str>().copied());
        if text != Some(INJECTED) {
            before(panic);
        }
    }));
}
