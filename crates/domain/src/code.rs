//! The closed sets of codes that say why an attempt or a run did not succeed, as the published clients know them.

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The operator: processes, browsers, machines.
    Infrastructure,
    /// The author of the project.
    Execution,
    /// Whoever holds the credentials.
    Auth,
}

impl Category {
    /// The form on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infrastructure => "infrastructure",
            Self::Execution => "execution",
            Self::Auth => "auth",
        }
    }
}

/// Why one attempt did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptCode {
    /// The user's code threw.
    ScriptExecutionException,
    /// Its time was over.
    ScriptTimeout,
    /// The process that held it ended by itself, was killed or ran out of memory.
    ScriptProcessCrashed,
    /// It ended without a result that is JSON.
    ScriptNoValidOutput,
    /// Its result was over the limit.
    ResultTooBig,
    /// `check` did anything but return true.
    AuthCheckFailed,
    /// Our own fault: no browser, no slot, or the worker was lost.
    InternalServerError,
}

impl AttemptCode {
    /// Every code, for reading the stored form and for tables in tests.
    pub const ALL: [Self; 7] = [
        Self::ScriptExecutionException,
        Self::ScriptTimeout,
        Self::ScriptProcessCrashed,
        Self::ScriptNoValidOutput,
        Self::ResultTooBig,
        Self::AuthCheckFailed,
        Self::InternalServerError,
    ];

    /// The form on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScriptExecutionException => "script-execution-exception",
            Self::ScriptTimeout => "script-timeout",
            Self::ScriptProcessCrashed => "script-process-crashed",
            Self::ScriptNoValidOutput => "script-no-valid-output-received",
            Self::ResultTooBig => "result-too-big-error",
            Self::AuthCheckFailed => "auth-check-failed",
            Self::InternalServerError => "internal-server-error",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Who has to act on it.
    #[must_use]
    pub const fn category(self) -> Category {
        match self {
            Self::ScriptExecutionException | Self::ScriptTimeout | Self::ScriptNoValidOutput | Self::ResultTooBig => {
                Category::Execution
            }
            Self::AuthCheckFailed => Category::Auth,
            Self::ScriptProcessCrashed | Self::InternalServerError => Category::Infrastructure,
        }
    }
}

/// Why a run or an operation failed, or which failure of its login canceled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunCode {
    /// Every attempt of the API was used up.
    ApiAttemptsFailed,
    /// No attempt of `create` succeeded.
    CreateAttemptsFailed,
    /// The check after a successful create never passed.
    PostCreateCheckAttemptsFailed,
    /// No check passed and no new login was allowed.
    CheckAttemptsFailed,
    /// Every attempt was lost to our own faults.
    InternalServerError,
    /// The session was not there any more. Legal only as the cause of a cancellation.
    AuthSessionNotFound,
    /// Another run held the session for longer than this one could wait. Legal only as the cause of a cancellation.
    AuthSessionLocked,
}

impl RunCode {
    /// Every code, for reading the stored form.
    pub const ALL: [Self; 7] = [
        Self::ApiAttemptsFailed,
        Self::CreateAttemptsFailed,
        Self::PostCreateCheckAttemptsFailed,
        Self::CheckAttemptsFailed,
        Self::InternalServerError,
        Self::AuthSessionNotFound,
        Self::AuthSessionLocked,
    ];

    /// The form on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiAttemptsFailed => "api-attempts-failed",
            Self::CreateAttemptsFailed => "create-attempts-failed",
            Self::PostCreateCheckAttemptsFailed => "post-create-check-attempts-failed",
            Self::CheckAttemptsFailed => "check-attempts-failed",
            Self::InternalServerError => "internal-server-error",
            Self::AuthSessionNotFound => "auth-session-not-found",
            Self::AuthSessionLocked => "auth-session-locked",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Who has to act on it.
    #[must_use]
    pub const fn category(self) -> Category {
        match self {
            Self::ApiAttemptsFailed => Category::Execution,
            Self::CreateAttemptsFailed
            | Self::PostCreateCheckAttemptsFailed
            | Self::CheckAttemptsFailed
            | Self::AuthSessionNotFound
            | Self::AuthSessionLocked => Category::Auth,
            Self::InternalServerError => Category::Infrastructure,
        }
    }

    /// Whether the same request may succeed when it is simply sent again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::InternalServerError)
    }
}
