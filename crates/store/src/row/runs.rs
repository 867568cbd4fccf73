//! A run's row, read in the three ways it is needed: whole for the engine, as its output for the world, and as the little
//! that a transition has to know; and the columns that a transition writes.

use keywright_domain::{
    ApiName, AuthSessionId, Budgets, DeploymentId, Effect, Epoch, ExtendedPayload, Progress, ProjectId, ProjectName, RunId,
    RunKind, RunPlan, RunState, Secret, SessionBinding, SessionKey, Stage, WorkerId, WorkspaceId,
};
use serde_json::Value;

use super::{Columns, Fields};
use crate::forms::{PayloadForm, ResultForm, outcome_json, read_failure, read_reason, to_json};
use crate::halt::Halt;
use crate::sealed::Seal;
use crate::{RunOutput, RunRecord, Vault};

/// What a transition has to know of its run.
pub(crate) struct Current {
    pub(crate) id: RunId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) project: ProjectId,
    pub(crate) plan: RunPlan,
    pub(crate) state: RunState,
    pub(crate) session: Option<SessionKey>,
    pub(crate) is_session_ephemeral: bool,
    pub(crate) holds_session: bool,
    pub(crate) owner: Option<WorkerId>,
}

/// The place of a run's sealed columns.
pub(crate) fn run_seal<'a>(vault: &'a Vault, workspace: &'a WorkspaceId, id: &'a RunId) -> Seal<'a> {
    Seal { vault, workspace, table: "runs", row: id.as_str() }
}

/// Reads [`Current`] from a whole row.
pub(crate) fn read_current(row: &dyn Columns) -> Result<Current, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    Ok(Current {
        id: fields.parse("id", RunId::parse)?,
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        project: fields.parse("project_id", ProjectId::parse)?,
        plan: read_plan(&fields)?,
        state: read_state(&fields)?,
        session: fields.parse_optional("session_key", SessionKey::parse)?,
        is_session_ephemeral: fields.flag("session_ephemeral")?,
        holds_session: fields.flag("holds_session")?,
        owner: fields.parse_optional("owner", WorkerId::parse)?,
    })
}

/// Reads a whole row for the engine. Its project's name and the number of an open attempt are in columns `project_name` and
/// `open_attempt`.
pub(crate) fn read_record(row: &dyn Columns, vault: &Vault) -> Result<RunRecord, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    let Current { id, workspace, project, plan, state, session, .. } = read_current(row)?;
    let seal = run_seal(vault, &workspace, &id);
    Ok(RunRecord {
        project_name: fields.parse("project_name", ProjectName::parse)?,
        deployment: fields.parse_optional("deployment_id", DeploymentId::parse)?,
        plan,
        api: fields.parse_optional("api", ApiName::parse)?,
        session: match session {
            None => None,
            Some(key) => Some(SessionBinding { key, id: fields.parse("session_id", AuthSessionId::parse)? }),
        },
        parameters: seal.read_json(&fields, "parameters_sealed")?,
        session_input: seal.read_json(&fields, "input_sealed")?,
        proxy: seal.read_proxy(&fields, "proxy_sealed")?,
        timeout: fields.timeout("timeout_s")?,
        session_timeout: fields.timeout("session_timeout_s")?,
        is_trace_wanted: fields.flag("trace")?,
        is_session_trace_wanted: fields.flag("session_trace")?,
        state,
        epoch: fields.epoch("epoch")?,
        candidate: seal.read_json(&fields, "candidate_sealed")?,
        open_attempt: fields.attempt_number_optional("open_attempt")?,
        created_at: fields.timestamp("created_at")?,
        id,
        workspace,
        project,
    })
}

/// Reads what a run shows the world.
pub(crate) fn read_output(row: &dyn Columns, vault: &Vault) -> Result<RunOutput, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    let id = fields.parse("id", RunId::parse)?;
    let workspace = fields.parse("workspace_id", WorkspaceId::parse)?;
    let (result, payloads) = match fields.bytes_optional("result_sealed")? {
        None => (None, Vec::new()),
        Some(sealed) => {
            let plain = run_seal(vault, &workspace, &id).open("result_sealed", &sealed)?;
            let form: ResultForm = serde_json::from_slice(&plain)
                .map_err(|_| fields.corrupt("result_sealed", "what it opens to is not a result"))?;
            (Some(form.result), form.payloads.into_iter().map(ExtendedPayload::from).collect())
        }
    };
    Ok(RunOutput {
        id,
        kind: fields.one_of("kind", RunKind::from_stored)?,
        api: fields.parse_optional("api", ApiName::parse)?,
        state: read_state(&fields)?,
        result,
        payloads,
        created_at: fields.timestamp("created_at")?,
        started_at: fields.timestamp_optional("started_at")?,
        ended_at: fields.timestamp_optional("ended_at")?,
    })
}

/// Reads a claim: a run's `id` and `epoch`.
pub(crate) fn read_claim(row: &dyn Columns) -> Result<(RunId, Epoch), Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    Ok((fields.parse("id", RunId::parse)?, fields.epoch("epoch")?))
}

fn read_plan(fields: &Fields<'_>) -> Result<RunPlan, Halt> {
    Ok(RunPlan {
        kind: fields.one_of("kind", RunKind::from_stored)?,
        budgets: Budgets {
            create: fields.attempts("create_attempts")?,
            check: fields.attempts("check_attempts")?,
            api: fields.attempts("api_attempts")?,
        },
        may_recreate: fields.flag("may_recreate")?,
        needs_session: fields.flag("needs_session")?,
    })
}

/// Reads the state out of its columns.
pub(crate) fn read_state(fields: &Fields<'_>) -> Result<RunState, Halt> {
    match fields.text("state")?.as_str() {
        "pending" => Ok(RunState::Pending),
        "started" => Ok(RunState::Started(Progress {
            stage: fields.one_of("stage", Stage::from_stored)?,
            used: fields.count("used")?,
            lost_in_row: fields.count("lost_in_row")?,
            saw_user_fault: fields.flag("saw_user_fault")?,
        })),
        "completed" => Ok(RunState::Completed),
        "failed" => fields.parse("outcome", read_failure).map(RunState::Failed),
        "canceled" => fields.parse("outcome", read_reason).map(RunState::Canceled),
        other => Err(fields.corrupt("state", format!("{other} is none"))),
    }
}

/// The columns of a state, and what follows from it for the others.
pub(crate) struct StateColumns {
    pub(crate) state: &'static str,
    pub(crate) stage: Option<&'static str>,
    pub(crate) used: i64,
    pub(crate) lost_in_row: i64,
    pub(crate) saw_user_fault: bool,
    pub(crate) outcome: Option<String>,
    /// Whether the run wants its session alone, or has it.
    pub(crate) holds_session: bool,
    /// A candidate is worth something until its check is decided, and is a secret of no use afterwards.
    pub(crate) is_candidate_kept: bool,
    /// Owner and input go.
    pub(crate) is_terminal: bool,
}

impl StateColumns {
    /// Those of a state that a run of this plan has reached.
    pub(crate) fn of(plan: &RunPlan, state: &RunState) -> Self {
        let progress = match state {
            RunState::Started(progress) => Some(progress),
            RunState::Pending | RunState::Completed | RunState::Failed(_) | RunState::Canceled(_) => None,
        };
        let wants_session = match state {
            RunState::Pending => true,
            RunState::Started(progress) => progress.stage.holds_session(),
            RunState::Completed | RunState::Failed(_) | RunState::Canceled(_) => false,
        };
        Self {
            state: state.as_str(),
            stage: progress.map(|progress| progress.stage.as_str()),
            used: progress.map_or(0, |progress| i64::from(progress.used)),
            lost_in_row: progress.map_or(0, |progress| i64::from(progress.lost_in_row)),
            saw_user_fault: progress.is_some_and(|progress| progress.saw_user_fault),
            outcome: outcome_json(state),
            holds_session: plan.needs_session && wants_session,
            is_candidate_kept: matches!(state, RunState::Started(Progress { stage: Stage::PostCheck, .. })),
            is_terminal: state.is_terminal(),
        }
    }
}

/// What a transition brings along to be kept.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) candidate: Option<Secret<Value>>,
    pub(crate) result: Option<Value>,
    pub(crate) payloads: Vec<ExtendedPayload>,
}

/// The same, sealed for its columns, as far as the effects ask for it.
pub(crate) struct SealedKept {
    pub(crate) candidate: Option<Vec<u8>>,
    pub(crate) result: Option<Vec<u8>>,
}

impl Kept {
    /// Seals what the effects ask for, which must be there.
    pub(crate) fn seal(self, effects: &[Effect], seal: Seal<'_>) -> Result<SealedKept, Halt> {
        let mut sealed = SealedKept { candidate: None, result: None };
        if effects.contains(&Effect::KeepCandidate) {
            let state = self.candidate.ok_or(Halt::Misuse("a candidate is to be kept, but none was brought"))?;
            sealed.candidate = Some(seal.json("candidate_sealed", state.reveal())?);
        }
        if effects.contains(&Effect::KeepResult) {
            let result = self.result.ok_or(Halt::Misuse("a result is to be kept, but none was brought"))?;
            let payloads = self.payloads.into_iter().map(PayloadForm::from).collect();
            let form = to_json(&ResultForm { result, payloads });
            sealed.result = Some(seal.bytes("result_sealed", form.as_bytes())?);
        }
        Ok(sealed)
    }
}

/// Whether an effect says of a session that it is good. The others only clean up and have nothing to do when it is gone.
pub(crate) const fn needs_session(effect: Effect) -> bool {
    match effect {
        Effect::KeepCandidate | Effect::AdoptCandidate | Effect::MarkReady => true,
        Effect::MarkExpired | Effect::MarkExpiredIfNew | Effect::KeepResult => false,
    }
}
