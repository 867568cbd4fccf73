//! Who this node is to the others: its name, what it offers, and the times its lease lives by.

use keywright_domain::{LeaseTerms, MAX_LABELS, WorkerLabel, WorkerLabels};

use super::{InvalidConfig, bad};

/// Longest name of a node, in characters.
const MAX_NAME_CHARS: usize = 253;

/// The times as they are written, milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TermsWritten {
    pub(super) ttl_ms: Option<u32>,
    pub(super) beat_ms: Option<u32>,
    pub(super) fence_ms: Option<u32>,
    pub(super) sweep_ms: Option<u32>,
}

/// The times a lease lives by. All nodes of one database should have the same.
pub(super) fn terms(written: TermsWritten) -> Result<LeaseTerms, InvalidConfig> {
    let default = LeaseTerms::default();
    let or = |given: Option<u32>, default: std::time::Duration| {
        given.unwrap_or_else(|| u32::try_from(default.as_millis()).unwrap_or(u32::MAX))
    };
    LeaseTerms::new(
        or(written.beat_ms, default.beat()),
        or(written.fence_ms, default.fence()),
        or(written.ttl_ms, default.ttl()),
        or(written.sweep_ms, default.sweep()),
    )
    .map_err(|error| bad("lease-ttl-ms", error))
}

/// What a worker offers.
pub(super) fn labels(written: &[String]) -> Result<WorkerLabels, InvalidConfig> {
    if written.len() > MAX_LABELS {
        return Err(bad("worker-label", format!("is given more than {MAX_LABELS} times")));
    }
    written.iter().map(|text| WorkerLabel::parse(text).map_err(|error| bad("worker-label", error))).collect()
}

/// The node's name for people: as it is written, or the machine's.
pub(super) fn name(written: Option<String>) -> Result<String, InvalidConfig> {
    let name = written.unwrap_or_else(machine);
    let length = name.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&length) && !name.chars().any(char::is_control) {
        Ok(name)
    } else {
        Err(bad("node-name", format!("must be 1 to {MAX_NAME_CHARS} characters long, without control characters")))
    }
}

/// The machine's name; a machine that has none is called `localhost`, as by everybody.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked_together() {
        assert_eq!(terms(TermsWritten::default()).unwrap(), LeaseTerms::default());
        let quick = TermsWritten { ttl_ms: Some(2_000), beat_ms: Some(500), fence_ms: Some(1_500), sweep_ms: Some(500) };
        assert_eq!(terms(quick).unwrap(), LeaseTerms::new(500, 1_500, 2_000, 500).unwrap());
        // A TTL alone that is shorter than the default fence would let two workers believe in one claim.
        let error = terms(TermsWritten { ttl_ms: Some(2_000), ..TermsWritten::default() }).unwrap_err().to_string();
        assert!(error.contains("lease-ttl-ms") && error.contains("fence (25000 ms)"), "{error}");
    }

    #[test]
    fn a_node_has_a_name_and_labels() {
        assert!(!name(None).unwrap().is_empty());
        assert_eq!(name(Some("rack 7".to_owned())).unwrap(), "rack 7");
        for bad in ["", "a\nb", &"x".repeat(254)] {
            assert!(name(Some(bad.to_owned())).is_err(), "{bad:?}");
        }
        assert_eq!(labels(&["eu".to_owned(), "eu".to_owned(), "gpu".to_owned()]).unwrap().len(), 2);
        assert!(labels(&["EU".to_owned()]).is_err());
        assert!(labels(&vec!["eu".to_owned(); MAX_LABELS + 1]).is_err());
    }
}
