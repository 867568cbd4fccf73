//! What a worker is told about one attempt: everything a slot needs, and nothing it does not.
//!
//! An order is made from committed rows, handed to a slot once, and never stored.

use serde_json::Value;

use crate::{
    AttemptId, AuthSessionId, BrowserChoice, DeploymentId, Entry, Isolation, Language, ProjectId, ProjectName, ProxyUrl, Secret,
    SessionKey, Stage, TimeoutSeconds, Viewport, WorkspaceId,
};

/// Which session an attempt acts for. A slot that served one session never serves another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionBinding {
    /// Its inner identity.
    pub key: SessionKey,
    /// Its name.
    pub id: AuthSessionId,
}

/// One attempt, ready to be executed.
#[derive(Clone, Debug)]
pub struct AttemptOrder {
    /// Which attempt of which run.
    pub attempt: AttemptId,
    /// What the attempt is for. `Check` and `PostCheck` execute the same entry on different states.
    pub stage: Stage,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The project.
    pub project: ProjectId,
    /// Its name, which user code may ask for.
    pub project_name: ProjectName,
    /// The version of the project; its folder is named by this id.
    pub deployment: DeploymentId,
    /// The language of that version.
    pub language: Language,
    /// The session it acts for, if any.
    pub session: Option<SessionBinding>,
    /// What to call.
    pub entry: Entry,
    /// What to call it with; absent for a check, which takes none.
    pub parameters: Option<Secret<Value>>,
    /// The browser state to restore before user code sees a page.
    pub state: Option<Secret<Value>>,
    /// What the session was made from, for user code that asks; absent when it may not know.
    pub auth_parameters: Option<Secret<Value>>,
    /// Texts that must not appear in this attempt's log, error or trace: credentials, cookies, tokens, passwords.
    pub masked: Secret<Vec<String>>,
    /// Which browser.
    pub browser: BrowserChoice,
    /// Whether the slot may serve another attempt.
    pub isolation: Isolation,
    /// The page's inner size.
    pub viewport: Viewport,
    /// IANA time zone of the page.
    pub timezone: Option<String>,
    /// Language of the page.
    pub locale: Option<String>,
    /// Where the browser's traffic goes; directly when absent.
    pub proxy: Option<ProxyUrl>,
    /// Whether to keep a Playwright trace.
    pub is_trace_wanted: bool,
    /// Time until the attempt is ended, counted anew whenever user code extends it.
    pub timeout: TimeoutSeconds,
}
