//! The claims of one life, and the one task that watches over them.
//!
//! A claim that ends elsewhere (the run was canceled, or given to another worker) must end its attempt here. The watcher asks
//! the store for everything this worker holds whenever something is committed, and now and then by itself, and tells the
//! attempts whose claims are gone. It also looks the other way: a claim that the store knows and nobody here leads, because
//! the answer to the claim or to handing it back never came, is handed back. If the process dies here, the next life frees
//! everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keywright_domain::{Epoch, RunId};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::life::Life;

/// At least so long between two looks, however much is committed meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Claims are looked at this often even if nothing seems to happen: what a canceled attempt may go on for, on top of the ten
/// seconds that ending it may take, when the signal of the cancellation was lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// An answer that takes longer is not waited for; the next look is the next try.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

type Led = Arc<Mutex<BTreeMap<(RunId, Epoch), CancellationToken>>>;

/// The claims of one life that are led here.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    led: Led,
    /// Held while runs are taken, so that no claim is in the store and not yet here when it is.
    pub(crate) taking: tokio::sync::Mutex<()>,
}

/// A claim that is led here, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    key: (RunId, Epoch),
    led: Led,
    /// Fires when the claim does not hold any more.
    pub(crate) lost: CancellationToken,
}

impl Claims {
    /// Begins to lead a claim.
    pub(crate) fn lead(&self, run: RunId, epoch: Epoch) -> Claim {
        let (key, lost) = ((run, epoch), CancellationToken::new());
        lock(&self.led).insert(key.clone(), lost.clone());
        Claim { key, led: Arc::clone(&self.led), lost }
    }

    fn all(&self) -> Vec<((RunId, Epoch), CancellationToken)> {
        lock(&self.led).iter().map(|(key, lost)| (key.clone(), lost.clone())).collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.led).remove(&self.key);
    }
}

fn lock(led: &Led) -> std::sync::MutexGuard<'_, BTreeMap<(RunId, Epoch), CancellationToken>> {
    led.lock().expect("no thread panics while it holds this lock")
}

/// Watches until the life is over.
pub(crate) async fn watch(life: Arc<Life>) {
    let over = life.over.clone();
    over.run_until_cancelled_owned(watch_forever(&life)).await;
}

async fn watch_forever(life: &Life) {
    let mut commits = life.shared.store.signals().subscribe();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // The store lives as long as the engine, so its signals do not end; if they did, the ticks would be left.
        let is_tick = tokio::select! {
            biased;
            _ = ticks.tick() => true,
            Ok(()) = commits.changed() => false,
        };
        commits.mark_unchanged();
        if is_tick {
            // While runs are being taken it cannot be told which claims nobody leads; the next tick is soon enough.
            let taking = life.claims.taking.try_lock();
            let unled = look(life).await;
            if taking.is_ok() {
                hand_back(life, unled).await;
            }
        } else if !life.claims.all().is_empty() {
            look(life).await;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Tells attempts whose claims are gone. Returns what the store holds for this worker and nobody here leads, which is true
/// only while no run is being taken. A store that cannot be asked says nothing: the commit of the attempt will find out.
async fn look(life: &Life) -> Vec<(RunId, Epoch)> {
    // What is led is listed before the store is asked: a claim that is newer than the answer is not judged by it.
    let led = life.claims.all();
    let asked = life.shared.store.list_claims(&life.worker);
    let Ok(Ok(held)) = tokio::time::timeout(LOOK_TIMEOUT, asked).await else { return Vec::new() };
    let held: BTreeSet<(RunId, Epoch)> = held.into_iter().collect();
    for (key, lost) in &led {
        if !held.contains(key) {
            lost.cancel();
        }
    }
    let led: BTreeSet<_> = led.into_iter().map(|(key, _)| key).collect();
    held.difference(&led).cloned().collect()
}

/// Hands back claims that nobody leads.
async fn hand_back(life: &Life, unled: Vec<(RunId, Epoch)>) {
    for (run, epoch) in unled {
        tracing::warn!(run = %run, "a claim that nobody leads is handed back");
        let released = life.shared.store.release_run(&run, epoch);
        if !matches!(tokio::time::timeout(LOOK_TIMEOUT, released).await, Ok(Ok(()))) {
            return;
        }
    }
}
