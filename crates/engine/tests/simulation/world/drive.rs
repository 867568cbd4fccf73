//! Does a call of the store on the spot: the simulated world, its time included, stands still while the real store works.
//!
//! The store lives on a runtime of its own with threads and real time; a simulated node never sees it half done. That makes
//! every call of the store one step, and a world that is played again from its seed the same world.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::runtime::Handle;

/// Wakes the thread that the world is played on.
struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Drives a call to its end.
pub(crate) fn at_once<T>(store: &Handle, call: impl Future<Output = T>) -> T {
    drive(store, call, u64::MAX).expect("it is polled until it is ready")
}

/// Drives a call until it has been polled `polls` times, and then drops it where it is: what a death in the middle of it
/// leaves. Nothing is returned then.
pub(crate) fn cut_short<T>(store: &Handle, call: impl Future<Output = T>, polls: u64) -> Option<T> {
    drive(store, call, polls)
}

fn drive<T>(store: &Handle, call: impl Future<Output = T>, polls: u64) -> Option<T> {
    // What the call starts or sleeps on belongs to the store's runtime.
    let _entered = store.enter();
    // The budget of the simulated task that waits is not the store's.
    let mut call = pin!(tokio::task::unconstrained(call));
    let unpark = Arc::new(Unpark { thread: std::thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    for _ in 0..polls {
        if let Poll::Ready(value) = call.as_mut().poll(&mut context) {
            return Some(value);
        }
        while !unpark.is_woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
    None
}
