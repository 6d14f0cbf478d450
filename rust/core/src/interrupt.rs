//! Ctrl-C: the bindings install a hook that asks Python; long loops ask the hook now and then.

use crate::error::Result;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Asks whether the wait is to end: with that error. It may take the interpreter lock.
pub type Hook = fn() -> Result<()>;

static HOOK: OnceLock<Hook> = OnceLock::new();

const EVERY: Duration = Duration::from_millis(50);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static CALLS: Cell<u8> = const { Cell::new(0) };
}

pub fn set_hook(hook: Hook) {
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
    HOOK.get().map_or(Ok(()), |hook| hook())
}
