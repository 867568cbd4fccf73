//! One try of a run: which stage it belongs to and how it ended.

use serde_json::Value;

use crate::{AttemptCode, Secret};

/// The number of an attempt in its run: 1-based, without gaps, over all stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNumber(u32);

impl AttemptNumber {
    /// From a number that is at least 1.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number >= 1).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `check` on the session's stored state.
    Check,
    /// `create`: a login.
    Create,
    /// `check` on the state that the login before it left.
    PostCheck,
    /// The API's own code.
    Api,
}

impl Stage {
    /// Whether it is part of a login: `create`, or a check of what one left.
    #[must_use]
    pub const fn is_login(self) -> bool {
        match self {
            Self::Check | Self::Create | Self::PostCheck => true,
            Self::Api => false,
        }
    }

    /// Whether the run holds its session alone during this stage: whatever is part of a login does.
    #[must_use]
    pub const fn holds_session(self) -> bool {
        self.is_login()
    }

    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Create => "create",
            Self::PostCheck => "post-check",
            Self::Api => "api",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Check, Self::Create, Self::PostCheck, Self::Api].into_iter().find(|stage| stage.as_str() == text)
    }
}

/// A call that user code asked for and that nobody made yet.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtendedPayload {
    /// The API's name, as the user wrote it.
    pub api: String,
    /// Its parameters.
    pub parameters: Value,
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// The closed reason.
    pub code: AttemptCode,
    /// One line for a person; known secrets are already masked in it.
    pub message: String,
    /// Whether another attempt could do better.
    pub is_retryable: bool,
    /// Whether user code may have started, so that the attempt uses up its budget.
    pub is_counted: bool,
}

impl AttemptFailure {
    /// A fault of ours after user code may have started.
    #[must_use]
    pub fn may_have_started(message: &str) -> Self {
        Self { code: AttemptCode::InternalServerError, message: message.to_owned(), is_retryable: true, is_counted: true }
    }

    /// An attempt whose worker is gone: user code may have run.
    #[must_use]
    pub fn worker_lost() -> Self {
        Self::may_have_started("the worker was lost during the attempt")
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptEnd {
    /// The API returned.
    Returned {
        /// What it returned; JSON within the size limit.
        result: Value,
        /// What it asked to be run next.
        payloads: Vec<ExtendedPayload>,
    },
    /// `create` returned and the browser's state was captured.
    Captured {
        /// Cookies and storage, to be tested by a check before it counts.
        state: Secret<Value>,
    },
    /// `check` returned true.
    CheckPassed,
    /// Anything else.
    Failed(AttemptFailure),
    /// The run was canceled under it.
    Aborted,
}
