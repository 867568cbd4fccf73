//! What a run's session offers: whether there is something to check, and something to log in with.
//!
//! Pure: rows in, answers out.

use keywright_domain::{RunKind, RunPlan, Secret, SessionKind, SessionStanding};
use keywright_store::planted::{self, PlantedBug};
use keywright_store::{RunRecord, SessionSecrets};
use serde_json::Value;

/// How the session stands when a run reaches it.
pub(crate) fn standing(secrets: Option<&SessionSecrets>) -> SessionStanding {
    match secrets {
        None => SessionStanding::Missing,
        Some(SessionSecrets { state: Some(_), .. }) => SessionStanding::WithState,
        Some(SessionSecrets { state: None, .. }) => SessionStanding::WithoutState,
    }
}

/// What `create` is called with on behalf of this run; nothing when nobody knows it.
pub(crate) fn login_input<'a>(run: &'a RunRecord, secrets: &'a SessionSecrets) -> Option<&'a Secret<Value>> {
    match (run.plan.kind, secrets.kind) {
        (RunKind::Create, SessionKind::Credentials | SessionKind::Runtime) => run.session_input.as_ref(),
        // An update that only pins another proxy logs in again with what the session was made from.
        (RunKind::Update, SessionKind::Credentials | SessionKind::Runtime) => {
            run.session_input.as_ref().or(secrets.parameters.as_ref())
        }
        (RunKind::Api | RunKind::Validate, SessionKind::Credentials) => secrets.parameters.as_ref(),
        (RunKind::Api | RunKind::Validate, SessionKind::Runtime) => run.session_input.as_ref(),
    }
}

/// The plan as it can be carried out: a new login that was allowed, but for which there is no input, is not possible. So it
/// is with a session whose first login never succeeded, and with a RUNTIME session of a run that brings no input.
pub(crate) fn feasible_plan(run: &RunRecord, secrets: Option<&SessionSecrets>) -> RunPlan {
    let has_input = secrets.is_some_and(|secrets| login_input(run, secrets).is_some());
    let needs_session = run.plan.needs_session && !planted::is(PlantedBug::SessionUnchecked);
    RunPlan { may_recreate: run.plan.may_recreate && has_input, needs_session, ..run.plan }
}
