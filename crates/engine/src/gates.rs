//! One gate per AuthSession: an attempt that logs in or checks is alone with its session until it is really over.
//!
//! The store gives a session to one run at a time, but a canceled run lets go of it the moment the cancellation is
//! committed, while its attempt may need some seconds to die. Whoever comes next waits here for that. Gates live in this
//! process only: after a crash nothing of an earlier attempt is left that one could wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use keywright_domain::SessionKey;
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// All gates. Those that nobody holds or waits at are forgotten, so there are never more than runs under way.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: Mutex<HashMap<SessionKey, Weak<Gate<()>>>>,
}

impl Gates {
    /// Waits until nobody is busy with the session, and keeps everybody else out until the guard is dropped.
    pub(crate) async fn enter(&self, key: &SessionKey) -> OwnedMutexGuard<()> {
        self.gate(key).lock_owned().await
    }

    fn gate(&self, key: &SessionKey) -> Arc<Gate<()>> {
        let mut gates = self.gates.lock().expect("no thread panics while it holds this lock");
        gates.retain(|_, gate| gate.strong_count() > 0);
        match gates.get(key).and_then(Weak::upgrade) {
            Some(gate) => gate,
            None => {
                let gate = Arc::default();
                gates.insert(key.clone(), Arc::downgrade(&gate));
                gate
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_test::is_ready;

    mod futures_test {
        use std::future::Future;
        use std::pin::pin;
        use std::task::{Context, Waker};

        pub(super) fn is_ready(future: impl Future) -> bool {
            pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }
    }

    #[tokio::test]
    async fn a_session_is_for_one_at_a_time_and_others_are_not_held_up() {
        let (gates, one, other) = (Gates::default(), SessionKey::from_entropy([1; 21]), SessionKey::from_entropy([2; 21]));
        let inside = gates.enter(&one).await;
        assert!(!is_ready(gates.enter(&one)));
        assert!(is_ready(gates.enter(&other)));
        drop(inside);
        assert!(is_ready(gates.enter(&one)));
        assert!(gates.gates.lock().unwrap().values().all(|gate| gate.strong_count() == 0));
    }
}
