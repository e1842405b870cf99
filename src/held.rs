//! Waits for the host's own threads, which a simulation must know of: its clock may not go on meanwhile.
//!
//! Without the feature `sim` such a wait is nothing but itself. Must not know who waits, nor for what.

/// Waits; on a simulation's clock no time goes by meanwhile.
pub(crate) async fn held<F: Future>(wait: F) -> F::Output {
    #[cfg(feature = "sim")]
    let _hold = sim::Hold::new();
    wait.await
}

#[cfg(feature = "sim")]
pub use sim::{count, is_held};

#[cfg(feature = "sim")]
mod sim {
    use std::cell::Cell;

    // A simulation has one runtime on one thread, and may have several of them at once.
    thread_local! {
        static HOLDS: Cell<usize> = const { Cell::new(0) };
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) struct Hold;

    impl Hold {
        pub(super) fn new() -> Hold {
            HOLDS.set(HOLDS.get() + 1);
            Hold
        }
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            HOLDS.set(HOLDS.get() - 1);
            COUNT.set(COUNT.get() + 1);
        }
    }

    /// Whether this thread's runtime waits for another thread.
    pub fn is_held() -> bool {
        HOLDS.get() > 0
    }

    /// Waits of this thread that are over.
    pub fn count() -> u64 {
        COUNT.get()
    }
}
