//! Ctrl-C: the bindings install a hook that asks Python; long loops ask the hook now and then.

use crate::error::{Error, Kind, Result};
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static HOOK: OnceLock<fn() -> bool> = OnceLock::new();

const EVERY: Duration = Duration::from_millis(50);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static CALLS: Cell<u8> = const { Cell::new(0) };
}

/// `hook` says whether an interrupt is waiting; it may take the interpreter lock.
pub fn set_hook(hook: fn() -> bool) {
    HOOK.get_or_init(|| hook);
    crate::gpu::set_interrupt_hook(hook);
}

/// An error if the user pressed Ctrl-C. Reads the clock every 16 calls, asks Python every 50 ms.
pub fn check() -> Result<()> {
    let calls = CALLS.get().wrapping_add(1);
    CALLS.set(calls);
    if calls % 16 != 0 {
        return Ok(());
    }
    let now = Instant::now();
    if LAST.get().is_some_and(|t| now - t < EVERY) {
        return Ok(());
    }
    LAST.set(Some(now));
    match HOOK.get() {
        Some(hook) if hook() => Err(Error::new(Kind::Interrupted, "interrupted")),
        _ => Ok(()),
    }
}
