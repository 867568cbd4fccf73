//! Gates: whoever is inside is alone with what the gate's key names, on this machine.
//!
//! Gates of AuthSessions: the store gives a session to one run at a time, but a canceled run lets go of it the moment the
//! cancellation is committed, while its attempt may need some seconds to die. Whoever comes next on this machine waits here
//! for that; on another machine the two may overlap for these seconds. Gates of deployments: one build at a time works on a
//! folder. Gates live in this process only: after a crash nothing of an earlier attempt is left that one could wait for.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// All gates. Those that nobody holds or waits at are forgotten, so there are never more than tasks under way.
#[derive(Debug)]
pub(crate) struct Gates<K> {
    gates: Mutex<HashMap<K, Weak<Gate<()>>>>,
}

impl<K> Default for Gates<K> {
    fn default() -> Self {
        Self { gates: Mutex::default() }
    }
}

impl<K: Clone + Debug + Eq + Hash> Gates<K> {
    /// Waits until nobody is busy with what the key names, and keeps everybody else out until the guard is dropped.
    pub(crate) async fn enter(&self, key: &K) -> OwnedMutexGuard<()> {
        self.gate(key).lock_owned().await
    }

    fn gate(&self, key: &K) -> Arc<Gate<()>> {
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
    async fn one_at_a_time_is_inside_and_others_are_not_held_up() {
        let gates = Gates::default();
        let inside = gates.enter(&1).await;
        assert!(!is_ready(gates.enter(&1)));
        assert!(is_ready(gates.enter(&2)));
        drop(inside);
        assert!(is_ready(gates.enter(&1)));
        assert!(gates.gates.lock().unwrap().values().all(|gate| gate.strong_count() == 0));
    }
}
