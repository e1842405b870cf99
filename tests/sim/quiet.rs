//! The clock: it goes on only when nobody has anything to do.
//!
//! A paused clock of tokio jumps to the next timer as soon as no task can go on, though a pipe may be readable that nobody
//! has looked at, or another thread be at work. Here a runtime that would idle is kept awake, and so polls its pipes
//! without letting time go by, while the host waits for a thread of its own, and until nothing has come of some polls in a
//! row. Must not know who waits for what.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use formicarium::held;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// Polls in a row from which nothing may come before time goes on. The longest way of a byte through pipes without anything
/// that is counted is two polls: into the epoll set of all agents, and from it to the tick loop.
const POLLS: u32 = 6;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Says that a process has done something.
pub fn stir() {
    COUNT.set(COUNT.get() + 1);
}

/// A runtime of one thread on such a clock.
pub fn runtime() -> std::io::Result<Runtime> {
    let wake = Arc::new(Notify::new());
    let waker = Arc::clone(&wake);
    let polls = std::sync::Mutex::new((0_u32, (0, 0)));
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || {
            let mut polls = polls.lock().expect("one thread");
            let now = (COUNT.get(), held::count());
            if held::is_held() {
                // Another thread works: it gets the processor.
                std::thread::sleep(Duration::from_micros(20));
                *polls = (0, now);
                waker.notify_one();
            } else if polls.1 != now {
                *polls = (0, now);
                waker.notify_one();
            } else if polls.0 < POLLS {
                polls.0 += 1;
                waker.notify_one();
            } else {
                polls.0 = 0;
            }
        })
        .build()?;
    runtime.spawn(async move {
        loop {
            wake.notified().await;
        }
    });
    Ok(runtime)
}
