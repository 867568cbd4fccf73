//! An error with its causes in one line, for a log or a message: no error of ours repeats its cause in its own text.

use std::error::Error;
use std::fmt::Write as _;

/// Most causes of one error that are told. Chains are short; one that runs in a circle would be told for ever.
const MAX_CAUSES: usize = 16;

/// The error's text and those of its causes, outermost first.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()).take(MAX_CAUSES) {
        let _ = write!(text, ": {cause}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error)]
    #[error("the outer one")]
    struct Outer(#[source] Inner);

    #[derive(Debug, Error)]
    #[error("the inner one")]
    struct Inner;

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(with_causes(&Outer(Inner)), "the outer one: the inner one");
        assert_eq!(with_causes(&Inner), "the inner one");
    }
}
