//! Which slots there are and who may have them: the bookkeeping of the pool, without processes or clocks.
//!
//! A slot that has served one deployment and session is *bound* to that pair until it ends. Bound slots, running or idle, are
//! never more than the pool's concurrency. Warm slots belong to nobody yet and are kept beside them, one per wanted kind.

use std::collections::HashMap;

use keywright_domain::{AttemptOrder, DeploymentId, SessionKey};

use crate::environment::SlotKind;

/// Most kinds that are kept warm beside the base of each language; each costs the memory of an idle browser.
pub(crate) const MAX_EXTRA_KINDS: usize = 4;

/// Whom a slot serves. Nobody else, ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) deployment: DeploymentId,
    pub(crate) session: Option<SessionKey>,
}

impl Pair {
    /// Whom a slot that executes this order belongs to from then on.
    pub(crate) fn of(order: &AttemptOrder) -> Self {
        Self { deployment: order.deployment.clone(), session: order.session.as_ref().map(|session| session.key.clone()) }
    }
}

/// The number under which a bound slot is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u64);

/// The number under which an attempt waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Bound<S> {
    pair: Pair,
    kind: SlotKind,
    standing: Standing<S>,
}

#[derive(Debug)]
enum Standing<S> {
    /// An attempt is under way.
    Running,
    /// The attempt is over, its context is being closed.
    Settling,
    /// Free for the same pair. The number orders idle slots by when they became idle.
    Idle { slot: S, since: u64 },
}

#[derive(Debug)]
enum Warm<S> {
    /// Being started; the first attempt that wants it waits for it, others start their own.
    Starting {
        claimed_by: Option<Ticket>,
    },
    Ready(S),
}

/// What an attempt gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<S> {
    /// A slot that served the same pair before.
    Again(Place, S),
    /// A warm one.
    Warm(Place, S),
    /// A place, but the slot has to be started.
    Cold(Place),
    /// Nothing yet: look again after the next change.
    Wait,
}

/// The bookkeeping.
#[derive(Debug)]
pub(crate) struct Ledger<S> {
    capacity: usize,
    bound: HashMap<Place, Bound<S>>,
    warm: HashMap<SlotKind, Warm<S>>,
    wanted: Vec<SlotKind>,
    base_kinds: usize,
    counter: u64,
}

impl<S> Ledger<S> {
    /// Room for `capacity` bound slots, and these kinds to be kept warm always.
    pub(crate) fn new(capacity: usize, base: Vec<SlotKind>) -> Self {
        Self { capacity, bound: HashMap::new(), warm: HashMap::new(), base_kinds: base.len(), wanted: base, counter: 0 }
    }

    fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A number for an attempt that wants a slot.
    pub(crate) fn ticket(&mut self) -> Ticket {
        Ticket(self.next_number())
    }

    /// Gives an attempt what there is for it. `is_fresh_wanted` refuses slots that served before. An idle slot of another pair
    /// that had to make room is handed out to be ended. The caller has made sure that no more attempts ask than there is room.
    pub(crate) fn take(&mut self, pair: &Pair, kind: &SlotKind, is_fresh_wanted: bool, ticket: Ticket) -> (Taken<S>, Option<S>) {
        if !is_fresh_wanted {
            let own = self.bound.iter().filter(|(_, bound)| bound.pair == *pair && bound.kind == *kind);
            let (mut idle, mut is_settling) = (None, false);
            for (place, bound) in own {
                match bound.standing {
                    Standing::Idle { .. } => idle = Some(*place),
                    Standing::Settling => is_settling = true,
                    Standing::Running => {}
                }
            }
            if let Some(place) = idle
                && let Some(bound) = self.bound.get_mut(&place)
                && let Standing::Idle { slot, .. } = std::mem::replace(&mut bound.standing, Standing::Running)
            {
                return (Taken::Again(place, slot), None);
            }
            if is_settling {
                return (Taken::Wait, None);
            }
        }
        let mut evicted = None;
        if self.bound.len() >= self.capacity {
            evicted = self.evict();
            if evicted.is_none() {
                return (Taken::Wait, None);
            }
        }
        match self.warm.remove(kind) {
            Some(Warm::Ready(slot)) => (Taken::Warm(self.occupy(pair, kind), slot), evicted),
            Some(Warm::Starting { claimed_by }) => {
                let is_mine = claimed_by.is_none_or(|claimed| claimed == ticket);
                let claimed_by = Some(claimed_by.unwrap_or(ticket));
                self.warm.insert(kind.clone(), Warm::Starting { claimed_by });
                let taken = if is_mine { Taken::Wait } else { Taken::Cold(self.occupy(pair, kind)) };
                (taken, evicted)
            }
            None => (Taken::Cold(self.occupy(pair, kind)), evicted),
        }
    }

    fn occupy(&mut self, pair: &Pair, kind: &SlotKind) -> Place {
        let place = Place(self.next_number());
        self.bound.insert(place, Bound { pair: pair.clone(), kind: kind.clone(), standing: Standing::Running });
        place
    }

    /// Takes the slot that has been idle for longest out of the books.
    fn evict(&mut self) -> Option<S> {
        let idle = self.bound.iter().filter_map(|(place, bound)| match bound.standing {
            Standing::Idle { since, .. } => Some((since, *place)),
            Standing::Running | Standing::Settling => None,
        });
        let (_, place) = idle.min()?;
        self.leave(place)
    }

    /// The attempt in this place is over, its context is being closed.
    pub(crate) fn settle(&mut self, place: Place) {
        if let Some(bound) = self.bound.get_mut(&place) {
            bound.standing = Standing::Settling;
        }
    }

    /// The slot in this place is free for its pair again.
    pub(crate) fn park(&mut self, place: Place, slot: S) {
        let since = self.next_number();
        if let Some(bound) = self.bound.get_mut(&place) {
            bound.standing = Standing::Idle { slot, since };
        }
    }

    /// The place is free. Gives back the slot if one was idle in it.
    pub(crate) fn leave(&mut self, place: Place) -> Option<S> {
        match self.bound.remove(&place)?.standing {
            Standing::Idle { slot, .. } => Some(slot),
            Standing::Running | Standing::Settling => None,
        }
    }

    /// Whether any attempt is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.bound.values().any(|bound| matches!(bound.standing, Standing::Running))
    }

    /// Takes out every idle and warm slot that is not fit to be kept.
    pub(crate) fn retain(&mut self, is_fit: impl Fn(&mut S) -> bool) -> Vec<S> {
        let mut unfit = Vec::new();
        let mut idle = Vec::new();
        for (place, bound) in &mut self.bound {
            if let Standing::Idle { slot, .. } = &mut bound.standing
                && !is_fit(slot)
            {
                idle.push(*place);
            }
        }
        unfit.extend(idle.into_iter().filter_map(|place| self.leave(place)));
        let mut warm = Vec::new();
        for (kind, slot) in &mut self.warm {
            if let Warm::Ready(slot) = slot
                && !is_fit(slot)
            {
                warm.push(kind.clone());
            }
        }
        unfit.extend(warm.into_iter().filter_map(|kind| self.cool(&kind)));
        unfit
    }

    /// Wants a kind kept warm. When there are too many the one wanted first is given up; its slot, if warm, is handed out.
    pub(crate) fn want(&mut self, kind: SlotKind) -> Option<S> {
        if self.wanted.contains(&kind) {
            return None;
        }
        self.wanted.push(kind);
        if self.wanted.len() - self.base_kinds <= MAX_EXTRA_KINDS {
            return None;
        }
        let dropped = self.wanted.remove(self.base_kinds);
        self.cool(&dropped)
    }

    /// Marks a wanted kind that is not warm as being started. False when there is nothing to start.
    pub(crate) fn begin_warming(&mut self, kind: &SlotKind) -> bool {
        let is_missing = self.wanted.contains(kind) && !self.warm.contains_key(kind);
        if is_missing {
            self.warm.insert(kind.clone(), Warm::Starting { claimed_by: None });
        }
        is_missing
    }

    /// The slot that was being started is there, or did not come up. Handed back when nobody wants its kind any more.
    pub(crate) fn end_warming(&mut self, kind: &SlotKind, slot: Option<S>) -> Option<S> {
        self.warm.remove(kind);
        let slot = slot?;
        if !self.wanted.contains(kind) {
            return Some(slot);
        }
        self.warm.insert(kind.clone(), Warm::Ready(slot));
        None
    }

    fn cool(&mut self, kind: &SlotKind) -> Option<S> {
        match self.warm.remove(kind)? {
            Warm::Ready(slot) => Some(slot),
            Warm::Starting { .. } => None,
        }
    }

    /// Wanted kinds that are neither warm nor being started.
    pub(crate) fn missing(&self) -> Vec<SlotKind> {
        self.wanted.iter().filter(|kind| !self.warm.contains_key(kind)).cloned().collect()
    }

    /// Everything that is idle or warm, at the end; nothing is wanted afterwards.
    pub(crate) fn close(&mut self) -> Vec<S> {
        self.wanted.clear();
        self.retain(|_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::Language;

    fn pair(deployment: u8, session: Option<u8>) -> Pair {
        Pair {
            deployment: DeploymentId::from_entropy([deployment; 21]),
            session: session.map(|key| SessionKey::from_entropy([key; 21])),
        }
    }

    fn node() -> SlotKind {
        SlotKind::base(Language::Node)
    }

    /// One warm slot called 1, room for two.
    fn ledger() -> Ledger<u32> {
        let mut ledger = Ledger::new(2, vec![node()]);
        assert!(ledger.begin_warming(&node()));
        assert_eq!(ledger.end_warming(&node(), Some(1)), None);
        ledger
    }

    fn take(ledger: &mut Ledger<u32>, pair: &Pair) -> (Taken<u32>, Option<u32>) {
        let ticket = ledger.ticket();
        ledger.take(pair, &node(), false, ticket)
    }

    fn place(taken: &Taken<u32>) -> Place {
        match taken {
            Taken::Again(place, _) | Taken::Warm(place, _) | Taken::Cold(place) => *place,
            Taken::Wait => panic!("no place"),
        }
    }

    #[test]
    fn a_slot_serves_its_pair_again_and_nobody_else() {
        let mut ledger = ledger();
        let (first, _) = take(&mut ledger, &pair(1, Some(1)));
        assert!(matches!(first, Taken::Warm(_, 1)));
        ledger.settle(place(&first));
        assert_eq!(take(&mut ledger, &pair(1, Some(1))).0, Taken::Wait);
        ledger.park(place(&first), 1);
        for other in [pair(1, Some(2)), pair(1, None), pair(2, Some(1))] {
            let (taken, evicted) = take(&mut ledger, &other);
            assert!(matches!(taken, Taken::Cold(_)) && evicted.is_none(), "{other:?}");
            ledger.leave(place(&taken));
        }
        assert!(matches!(take(&mut ledger, &pair(1, Some(1))).0, Taken::Again(_, 1)));
    }

    #[test]
    fn a_fresh_slot_is_never_a_used_one() {
        let mut ledger = ledger();
        let (first, _) = take(&mut ledger, &pair(1, None));
        ledger.park(place(&first), 1);
        let ticket = ledger.ticket();
        assert!(matches!(ledger.take(&pair(1, None), &node(), true, ticket).0, Taken::Cold(_)));
    }

    #[test]
    fn at_capacity_the_longest_idle_slot_makes_room() {
        let mut ledger = ledger();
        let (one, two) = (take(&mut ledger, &pair(1, None)).0, take(&mut ledger, &pair(2, None)).0);
        ledger.park(place(&two), 2);
        ledger.park(place(&one), 1);
        let (three, evicted) = take(&mut ledger, &pair(3, None));
        assert!(matches!(three, Taken::Cold(_)));
        assert_eq!(evicted, Some(2));
        ledger.settle(place(&three));
        let (four, evicted) = take(&mut ledger, &pair(4, None));
        assert!(matches!(four, Taken::Cold(_)) && evicted == Some(1));
        assert_eq!(take(&mut ledger, &pair(5, None)), (Taken::Wait, None));
        assert!(ledger.is_busy());
    }

    #[test]
    fn the_first_waits_for_the_slot_that_is_being_started_and_the_second_starts_its_own() {
        let mut ledger: Ledger<u32> = Ledger::new(2, vec![node()]);
        ledger.begin_warming(&node());
        let (first, second) = (ledger.ticket(), ledger.ticket());
        assert_eq!(ledger.take(&pair(1, None), &node(), false, first).0, Taken::Wait);
        assert_eq!(ledger.take(&pair(1, None), &node(), false, first).0, Taken::Wait);
        assert!(matches!(ledger.take(&pair(2, None), &node(), false, second).0, Taken::Cold(_)));
        ledger.end_warming(&node(), None);
        assert!(matches!(ledger.take(&pair(1, None), &node(), false, first).0, Taken::Cold(_)));
        assert_eq!(ledger.missing(), [node()]);
    }

    #[test]
    fn what_is_kept_warm_is_bounded() {
        let mut ledger = ledger();
        let own = |number: u8| SlotKind { own: Some(DeploymentId::from_entropy([number; 21])), ..node() };
        for number in 0..u8::try_from(MAX_EXTRA_KINDS).unwrap() {
            assert_eq!(ledger.want(own(number)), None);
        }
        ledger.begin_warming(&own(0));
        ledger.end_warming(&own(0), Some(7));
        assert_eq!(ledger.want(own(100)), Some(7));
        assert!(!ledger.begin_warming(&own(0)));
        assert_eq!(ledger.end_warming(&own(0), Some(8)), Some(8));
        assert_eq!(ledger.close(), [1]);
        assert!(ledger.missing().is_empty());
    }
}
