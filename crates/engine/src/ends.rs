//! Ends that are nobody's result: attempts that were lost, stopped, or reported as what they cannot be.
//!
//! Pure.

use keywright_domain::{AttemptCode, AttemptEnd, AttemptFailure, Stage};

/// Why the engine told an attempt to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its run was canceled, or taken by somebody else.
    ClaimLost,
    /// The worker's life is over: nothing can be said of it any more.
    LifeOver,
    /// The server stops.
    Stopping,
}

/// A fault of ours before user code could start. It uses up nothing.
pub(crate) fn not_started(message: String) -> AttemptFailure {
    AttemptFailure { code: AttemptCode::InternalServerError, message, is_retryable: true, is_counted: false }
}

/// The end as it may be put to the machine: one that fits its stage.
pub(crate) fn settle(stage: Stage, end: AttemptEnd, told: Option<Told>) -> AttemptEnd {
    match (stage, end) {
        (_, end @ AttemptEnd::Failed(_))
        | (Stage::Check | Stage::PostCheck, end @ AttemptEnd::CheckPassed)
        | (Stage::Create, end @ AttemptEnd::Captured { .. })
        | (Stage::Api, end @ AttemptEnd::Returned { .. }) => end,
        (_, AttemptEnd::Aborted) => AttemptEnd::Failed(AttemptFailure::may_have_started(match told {
            Some(Told::Stopping) => "the server was stopped during the attempt",
            Some(Told::ClaimLost | Told::LifeOver) | None => "the attempt was aborted although nobody had asked for it",
        })),
        (_, AttemptEnd::CheckPassed | AttemptEnd::Captured { .. } | AttemptEnd::Returned { .. }) => {
            let message = "the worker reported an end that this kind of attempt cannot have";
            AttemptEnd::Failed(AttemptFailure::may_have_started(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::Secret;
    use serde_json::json;

    fn ends() -> [AttemptEnd; 5] {
        [
            AttemptEnd::Returned { result: json!(1), payloads: Vec::new() },
            AttemptEnd::Captured { state: Secret::new(json!({})) },
            AttemptEnd::CheckPassed,
            AttemptEnd::Failed(not_started("no slot".to_owned())),
            AttemptEnd::Aborted,
        ]
    }

    #[test]
    fn an_end_of_another_stage_is_our_fault_and_counts() {
        let fitting = |stage| ends().into_iter().filter(|end| settle(stage, end.clone(), None) == *end).count();
        for stage in [Stage::Check, Stage::Create, Stage::PostCheck, Stage::Api] {
            assert_eq!(fitting(stage), 2, "{stage:?} takes its own success and any failure");
            for end in ends() {
                let AttemptEnd::Failed(failure) = settle(stage, end.clone(), None) else { continue };
                assert_eq!(failure.is_counted, !matches!(end, AttemptEnd::Failed(_)));
            }
        }
    }

    #[test]
    fn a_stop_is_named_as_the_cause() {
        let AttemptEnd::Failed(failure) = settle(Stage::Api, AttemptEnd::Aborted, Some(Told::Stopping)) else { panic!() };
        assert_eq!(failure.message, "the server was stopped during the attempt");
    }
}
