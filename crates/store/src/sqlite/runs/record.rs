//! A run's row, read in the three ways it is needed: whole for the engine, as its output for the world, and as the little
//! that a transition has to know.

use keywright_domain::{
    ApiName, AttemptNumber, AuthSessionId, Budgets, DeploymentId, ExtendedPayload, Progress, ProjectId, ProjectName, RunId,
    RunKind, RunPlan, RunState, SessionBinding, SessionKey, Stage, WorkspaceId,
};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::sqlite::forms::{ResultForm, read_failure, read_reason};
use crate::sqlite::halt::Halt;
use crate::sqlite::row::Fields;
use crate::sqlite::sealed::Seal;
use crate::{RunOutput, RunRecord, Vault};

/// What a transition has to know of its run.
pub(super) struct Current {
    pub(super) id: RunId,
    pub(super) workspace: WorkspaceId,
    pub(super) plan: RunPlan,
    pub(super) state: RunState,
    pub(super) session: Option<SessionKey>,
    pub(super) is_session_ephemeral: bool,
}

/// The place of a run's sealed columns.
pub(super) fn run_seal<'a>(vault: &'a Vault, workspace: &'a WorkspaceId, id: &'a RunId) -> Seal<'a> {
    Seal { vault, workspace, table: "runs", row: id.as_str() }
}

/// Reads [`Current`] from a whole row.
pub(super) fn read_current(row: &SqliteRow) -> Result<Current, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    Ok(Current {
        id: fields.parse("id", RunId::parse)?,
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        plan: read_plan(&fields)?,
        state: read_state(&fields)?,
        session: fields.parse_optional("session_key", SessionKey::parse)?,
        is_session_ephemeral: fields.get("session_ephemeral")?,
    })
}

/// The run with this sequence number, for the engine.
pub(super) async fn get_record(tx: &mut SqliteConnection, vault: &Vault, seq: i64) -> Result<RunRecord, Halt> {
    let row = sqlx::query(
        "SELECT r.*, p.name AS project_name,
                (SELECT a.number FROM attempts a WHERE a.run_id = r.id AND a.ended_at IS NULL) AS open_attempt
         FROM runs r JOIN projects p ON p.id = r.project_id WHERE r.seq = $1",
    )
    .bind(seq)
    .fetch_one(tx)
    .await?;
    read_record(&row, vault)
}

fn read_record(row: &SqliteRow, vault: &Vault) -> Result<RunRecord, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    let Current { id, workspace, plan, state, session, is_session_ephemeral: _ } = read_current(row)?;
    let seal = run_seal(vault, &workspace, &id);
    Ok(RunRecord {
        project: fields.parse("project_id", ProjectId::parse)?,
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
        is_trace_wanted: fields.get("trace")?,
        is_session_trace_wanted: fields.get("session_trace")?,
        state,
        epoch: fields.get("epoch")?,
        candidate: seal.read_json(&fields, "candidate_sealed")?,
        open_attempt: match fields.get::<Option<i64>>("open_attempt")? {
            None => None,
            Some(_) => {
                let number = AttemptNumber::new(fields.count("open_attempt")?);
                Some(number.ok_or_else(|| fields.corrupt("open_attempt", "below 1"))?)
            }
        },
        created_at: fields.timestamp("created_at")?,
        id,
        workspace,
    })
}

/// What a run of this project shows the world.
pub(super) async fn find_output(
    connection: &mut SqliteConnection,
    vault: &Vault,
    project: &ProjectId,
    id: &RunId,
) -> Result<Option<RunOutput>, Halt> {
    let row = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND id = $2")
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| read_output(row, vault)).transpose()
}

fn read_output(row: &SqliteRow, vault: &Vault) -> Result<RunOutput, Halt> {
    let fields = Fields::new(row, "runs", "id")?;
    let id = fields.parse("id", RunId::parse)?;
    let workspace = fields.parse("workspace_id", WorkspaceId::parse)?;
    let (result, payloads) = match fields.get::<Option<Vec<u8>>>("result_sealed")? {
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

fn read_plan(fields: &Fields<'_>) -> Result<RunPlan, Halt> {
    Ok(RunPlan {
        kind: fields.one_of("kind", RunKind::from_stored)?,
        budgets: Budgets {
            create: fields.attempts("create_attempts")?,
            check: fields.attempts("check_attempts")?,
            api: fields.attempts("api_attempts")?,
        },
        may_recreate: fields.get("may_recreate")?,
        needs_session: fields.get("needs_session")?,
    })
}

/// Reads the state out of its columns.
pub(in crate::sqlite) fn read_state(fields: &Fields<'_>) -> Result<RunState, Halt> {
    let outcome = || fields.get::<Option<String>>("outcome")?.ok_or_else(|| fields.corrupt("outcome", "is missing"));
    match fields.get::<String>("state")?.as_str() {
        "pending" => Ok(RunState::Pending),
        "started" => Ok(RunState::Started(Progress {
            stage: fields.one_of("stage", Stage::from_stored)?,
            used: fields.count("used")?,
            lost_in_row: fields.count("lost_in_row")?,
            saw_user_fault: fields.get("saw_user_fault")?,
        })),
        "completed" => Ok(RunState::Completed),
        "failed" => read_failure(&outcome()?).map(RunState::Failed).map_err(|why| fields.corrupt("outcome", why)),
        "canceled" => read_reason(&outcome()?).map(RunState::Canceled).map_err(|why| fields.corrupt("outcome", why)),
        other => Err(fields.corrupt("state", format!("{other} is none"))),
    }
}
