//! How quickly a worker fills its places when a life begins: a few at first, twice as many every second. A server that is
//! started again and again by something it takes on does not take on everything each time, and a fleet that returns does not
//! fall upon a database that has just recovered.
//!
//! Pure.

use std::time::Duration;

/// Places open at first.
const FIRST_PLACES: usize = 2;

/// After this long there are twice as many.
pub(crate) const STEP: Duration = Duration::from_secs(1);

/// How many of `capacity` places are open so long after the life began.
pub(crate) fn open_places(elapsed: Duration, capacity: usize) -> usize {
    let steps = u32::try_from(elapsed.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
    // Beyond this many doublings every capacity is open.
    FIRST_PLACES.checked_shl(steps.min(usize::BITS - 2)).unwrap_or(usize::MAX).min(capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_open_step_by_step_up_to_the_capacity() {
        let open = |millis, capacity| open_places(Duration::from_millis(millis), capacity);
        assert_eq!([open(0, 100), open(999, 100), open(1_000, 100), open(4_500, 100)], [2, 2, 4, 32]);
        assert_eq!([open(0, 1), open(60_000, 100), open(u64::MAX, 100)], [1, 100, 100]);
    }
}
