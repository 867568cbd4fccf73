//! Facts about the seats that one worker has at a time.

use keywright_domain::{Epoch, RetentionPolicy, WorkerId};
use keywright_store::{Held, LeaseName};

use crate::bench::{Bench, TTL_MS};

async fn acquire(bench: &Bench, worker: &WorkerId) -> Option<Held> {
    bench.store.acquire_lease(LeaseName::Scheduler, worker, TTL_MS).await.unwrap()
}

/// Whether anything can be done under it: all that is done under a seat at once.
async fn counts(bench: &Bench, held: &Held) -> bool {
    let canceled = bench.store.cancel_locked_out(held, 10).await.unwrap().is_some();
    let rescued = bench.store.rescue_workers(held, 10).await.unwrap().is_some();
    let expired = bench.store.expire_history(held, &RetentionPolicy::default(), 10).await.unwrap().is_some();
    assert!(canceled == rescued && rescued == expired, "{canceled} {rescued} {expired}");
    canceled
}

pub(crate) async fn a_seat_is_kept_by_whoever_renews_it(bench: &Bench) {
    let (one, two) = (bench.worker(), bench.join(bench.new_worker()).await);
    let held = acquire(bench, &one).await.unwrap();
    assert_eq!((held.name, &held.owner), (LeaseName::Scheduler, &one));
    for _ in 0..5 {
        bench.pass_seconds(20);
        assert_eq!(acquire(bench, &two).await, None);
        assert_eq!(acquire(bench, &one).await, Some(held.clone()), "renewed under its epoch");
        assert!(counts(bench, &held).await);
        bench.store.renew_worker(&two, TTL_MS).await.unwrap();
    }
}

pub(crate) async fn a_seat_that_lapsed_is_anybodys_under_a_new_epoch(bench: &Bench) {
    let (one, two) = (bench.worker(), bench.join(bench.new_worker()).await);
    let first = acquire(bench, &one).await.unwrap();
    // The seat lapses; the workers do not.
    let lapse = async || {
        bench.pass_seconds(31);
        for worker in [&one, &two] {
            bench.store.renew_worker(worker, TTL_MS).await.unwrap();
        }
    };
    lapse().await;
    assert!(!counts(bench, &first).await, "what has lapsed counts for nothing");
    assert_eq!(acquire(bench, &one).await, Some(first.clone()), "nobody has taken it meanwhile");
    assert!(counts(bench, &first).await);

    lapse().await;
    let second = acquire(bench, &two).await.unwrap();
    assert!(second.epoch > first.epoch);
    assert!(!counts(bench, &first).await);
    assert_eq!(acquire(bench, &one).await, None);
    lapse().await;
    let third = acquire(bench, &one).await.unwrap();
    assert!(third.epoch > second.epoch);
    // The same holder under an epoch of long ago is not the holder.
    assert!(!counts(bench, &first).await && counts(bench, &third).await);
}

pub(crate) async fn a_seat_is_given_back_by_its_holder_only(bench: &Bench) {
    let (one, two) = (bench.worker(), bench.join(bench.new_worker()).await);
    let held = acquire(bench, &one).await.unwrap();
    for other in [Held { owner: two.clone(), ..held.clone() }, Held { epoch: Epoch::new(held.epoch.get() - 1), ..held.clone() }] {
        bench.store.release_lease(&other).await.unwrap();
        assert!(counts(bench, &held).await && !counts(bench, &other).await);
    }
    bench.store.release_lease(&held).await.unwrap();
    bench.store.release_lease(&held).await.unwrap();
    assert!(!counts(bench, &held).await);
    assert!(acquire(bench, &two).await.unwrap().epoch > held.epoch, "at once");
}

pub(crate) async fn a_seat_goes_with_its_worker(bench: &Bench) {
    let first = bench.seat().await;
    let other = bench.join(bench.new_worker()).await;
    bench.store.retire_worker(&first.owner).await.unwrap();
    assert!(!counts(bench, &first).await);
    assert_eq!(acquire(bench, &first.owner).await, None, "who is gone takes no seat");
    assert_eq!(acquire(bench, &WorkerId::from_entropy([1; 21])).await, None);
    let second = acquire(bench, &other).await.unwrap();
    assert!(second.epoch > first.epoch);
    bench.next_life().await;
    assert!(!counts(bench, &second).await);
    assert!(bench.seat().await.epoch > second.epoch);
}
