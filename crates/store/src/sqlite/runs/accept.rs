//! Acceptance: the run, its operation, its session and its idempotency key, in one transaction.
//!
//! A repeated request is recognised before anything else is looked at, so that it is answered as the first one was even if
//! its session is gone by now. Refusals change nothing.

use keywright_domain::{
    ApiName, AuthSessionId, OperationId, ProjectId, RunId, RunKind, Secret, SessionBinding, SessionKey, SessionKind,
    TimeoutSeconds, Timestamp, WorkspaceId,
};
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::halt::Halt;
use crate::planted::{self, PlantedBug};
use crate::row::Fields;
use crate::row::history::NewEvent;
use crate::row::runs::run_seal;
use crate::sealed::Seal;
use crate::sqlite::history::append_event;
use crate::{Accepted, Idempotency, NewOperation, NewRun, RunEventKind, RunRequest, SessionTarget, Vault};

/// Where a request belongs and when it came.
struct Origin {
    vault: Vault,
    workspace: WorkspaceId,
    project: ProjectId,
    now: Timestamp,
}

/// What only a run of an API has.
struct ApiPart<'a> {
    api: &'a ApiName,
    parameters: &'a Secret<Value>,
    sink: Option<&'a Secret<Value>>,
    is_trace_wanted: bool,
}

/// A session that a run is for.
struct Bound {
    session: SessionBinding,
    is_ephemeral: bool,
}

/// Accepts a run of an API.
pub(super) async fn run(
    tx: &mut SqliteConnection,
    vault: Vault,
    workspace: WorkspaceId,
    project: ProjectId,
    new: NewRun,
    now: Timestamp,
) -> Result<Accepted, Halt> {
    let origin = Origin { vault, workspace, project, now };
    let part =
        ApiPart { api: &new.api, parameters: &new.parameters, sink: new.sink.as_ref(), is_trace_wanted: new.is_trace_wanted };
    accept(tx, &origin, &new.request, new.timeout, Some(part), None).await
}

/// Accepts an operation with its run.
pub(super) async fn operation(
    tx: &mut SqliteConnection,
    vault: Vault,
    workspace: WorkspaceId,
    project: ProjectId,
    new: NewOperation,
    now: Timestamp,
) -> Result<Accepted, Halt> {
    let origin = Origin { vault, workspace, project, now };
    accept(tx, &origin, &new.request, new.request.session_timeout, None, Some(&new.id)).await
}

async fn accept(
    tx: &mut SqliteConnection,
    origin: &Origin,
    request: &RunRequest,
    timeout: TimeoutSeconds,
    api: Option<ApiPart<'_>>,
    operation: Option<&OperationId>,
) -> Result<Accepted, Halt> {
    if (request.plan.kind == RunKind::Api) != api.is_some() {
        return Err(Halt::Misuse("a run of an API is not an operation, and an operation is not a run of an API"));
    }
    if let Some(idempotency) = &request.idempotency
        && let Some(earlier) = find_earlier(tx, origin, idempotency).await?
    {
        return Ok(earlier);
    }
    let bound = match &request.session {
        None => None,
        Some(target) => match bind(tx, origin, target).await? {
            Ok(bound) => Some(bound),
            Err(refusal) => return Ok(refusal),
        },
    };
    insert_run(tx, origin, request, timeout, api, bound.as_ref()).await?;
    if let Some(id) = operation.filter(|_| !planted::is(PlantedBug::AcceptInTwoSteps)) {
        let Some(bound) = &bound else { return Err(Halt::Misuse("an operation without a session")) };
        insert_operation(tx, origin, request, id, &bound.session.id).await?;
    }
    if let Some(idempotency) = &request.idempotency {
        insert_idempotency(tx, origin, idempotency, &request.id, operation).await?;
    }
    Ok(Accepted::New { run: request.id.clone(), operation: operation.cloned() })
}

/// The second step of [`PlantedBug::AcceptInTwoSteps`].
pub(super) async fn operation_alone(
    tx: &mut SqliteConnection,
    project: ProjectId,
    new: NewOperation,
    now: Timestamp,
) -> Result<(), Halt> {
    let id = match &new.request.session {
        Some(SessionTarget::Existing(id) | SessionTarget::CreateOrReplace { id, .. } | SessionTarget::Runtime { id, .. }) => id,
        None => return Err(Halt::Misuse("an operation without a session")),
    };
    sqlx::query("INSERT INTO operations (id, project_id, kind, session_id, run_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(new.id.as_str())
        .bind(project.as_str())
        .bind(new.request.plan.kind.as_str())
        .bind(id.as_str())
        .bind(new.request.id.as_str())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

async fn find_earlier(tx: &mut SqliteConnection, origin: &Origin, given: &Idempotency) -> Result<Option<Accepted>, Halt> {
    let row = sqlx::query(
        "SELECT key, fingerprint_sealed, run_id, operation_id FROM idempotency_keys WHERE workspace_id = $1 AND key = $2",
    )
    .bind(origin.workspace.as_str())
    .bind(&given.key)
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let fields = Fields::new(&row, "idempotency_keys", "key")?;
    let sealed = fields.bytes("fingerprint_sealed")?;
    if fingerprint_seal(origin, &given.key).open("fingerprint_sealed", &sealed)?.as_slice() != given.fingerprint {
        return Ok(Some(Accepted::KeyReused));
    }
    Ok(Some(Accepted::Repeated {
        run: fields.parse("run_id", RunId::parse)?,
        operation: fields.parse_optional("operation_id", OperationId::parse)?,
    }))
}

/// Finds or makes the session; the inner error is a refusal.
async fn bind(tx: &mut SqliteConnection, origin: &Origin, target: &SessionTarget) -> Result<Result<Bound, Accepted>, Halt> {
    let found = match target {
        SessionTarget::Existing(id) | SessionTarget::CreateOrReplace { id, .. } | SessionTarget::Runtime { id, .. } => {
            find_session(tx, &origin.project, id).await?
        }
    };
    let bound = |key: &SessionKey, id: &AuthSessionId, is_ephemeral| Bound {
        session: SessionBinding { key: key.clone(), id: id.clone() },
        is_ephemeral,
    };
    Ok(match (target, found) {
        (SessionTarget::Existing(id) | SessionTarget::CreateOrReplace { id, .. }, Some((key, _))) => Ok(bound(&key, id, false)),
        (SessionTarget::Existing(_), None) => Err(Accepted::NoSuchSession),
        (SessionTarget::CreateOrReplace { id, key_if_new }, None) => {
            insert_session(tx, origin, id, key_if_new, SessionKind::Credentials).await?;
            Ok(bound(key_if_new, id, false))
        }
        // A made-up name that is taken already belongs to somebody, who does not expect it to vanish.
        (SessionTarget::Runtime { id, .. }, Some((key, SessionKind::Runtime))) => Ok(bound(&key, id, false)),
        (SessionTarget::Runtime { .. }, Some((_, SessionKind::Credentials))) => Err(Accepted::NotRuntime),
        (SessionTarget::Runtime { id, key_if_new, is_ephemeral }, None) => {
            insert_session(tx, origin, id, key_if_new, SessionKind::Runtime).await?;
            Ok(bound(key_if_new, id, *is_ephemeral))
        }
    })
}

async fn find_session(
    tx: &mut SqliteConnection,
    project: &ProjectId,
    id: &AuthSessionId,
) -> Result<Option<(SessionKey, SessionKind)>, Halt> {
    let row = sqlx::query("SELECT key, kind FROM auth_sessions WHERE project_id = $1 AND id = $2")
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let fields = Fields::new(&row, "auth_sessions", "key")?;
    Ok(Some((fields.parse("key", SessionKey::parse)?, fields.one_of("kind", SessionKind::from_stored)?)))
}

/// A session without state. Its parameters stay with the run until a login with them has succeeded.
async fn insert_session(
    tx: &mut SqliteConnection,
    origin: &Origin,
    id: &AuthSessionId,
    key: &SessionKey,
    kind: SessionKind,
) -> Result<(), Halt> {
    sqlx::query(
        "INSERT INTO auth_sessions (key, workspace_id, project_id, id, kind, status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6)",
    )
    .bind(key.as_str())
    .bind(origin.workspace.as_str())
    .bind(origin.project.as_str())
    .bind(id.as_str())
    .bind(kind.as_str())
    .bind(origin.now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores the run, at the end of the line for its session. It has its turn if that line is empty.
async fn insert_run(
    tx: &mut SqliteConnection,
    origin: &Origin,
    request: &RunRequest,
    timeout: TimeoutSeconds,
    api: Option<ApiPart<'_>>,
    bound: Option<&Bound>,
) -> Result<(), Halt> {
    let plan = &request.plan;
    let seal = run_seal(&origin.vault, &origin.workspace, &request.id);
    let parameters = api.as_ref().map(|part| part.parameters);
    let sink = api.as_ref().and_then(|part| part.sink);
    sqlx::query(
        "INSERT INTO runs (id, workspace_id, project_id, kind, api, needs_session, may_recreate,
                           create_attempts, check_attempts, api_attempts, timeout_s, session_timeout_s, trace, session_trace,
                           session_key, session_id, session_ephemeral,
                           parameters_sealed, input_sealed, proxy_sealed, sink_sealed, state, holds_session, has_turn, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 $18, $19, $20, $21, 'pending', $6,
                 NOT $6 OR NOT EXISTS (
                     SELECT 1 FROM runs e WHERE e.session_key = $15 AND e.ended_at IS NULL AND e.holds_session = 1
                 ) OR $23, $22)",
    )
    .bind(request.id.as_str())
    .bind(origin.workspace.as_str())
    .bind(origin.project.as_str())
    .bind(plan.kind.as_str())
    .bind(api.as_ref().map(|part| part.api.as_str()))
    .bind(plan.needs_session)
    .bind(plan.may_recreate)
    .bind(plan.budgets.create.get())
    .bind(plan.budgets.check.get())
    .bind(plan.budgets.api.get())
    .bind(timeout.get())
    .bind(request.session_timeout.get())
    .bind(api.as_ref().is_some_and(|part| part.is_trace_wanted))
    .bind(request.is_session_trace_wanted)
    .bind(bound.map(|bound| bound.session.key.as_str()))
    .bind(bound.map(|bound| bound.session.id.as_str()))
    .bind(bound.is_some_and(|bound| bound.is_ephemeral))
    .bind(seal.json_optional("parameters_sealed", parameters)?)
    .bind(seal.json_optional("input_sealed", request.session_input.as_ref())?)
    .bind(seal.proxy("proxy_sealed", request.proxy.as_ref())?)
    .bind(seal.json_optional("sink_sealed", sink)?)
    .bind(origin.now.as_micros())
    .bind(planted::is(PlantedBug::TwoOwnersOfSession))
    .execute(&mut *tx)
    .await?;
    let accepted = NewEvent { kind: RunEventKind::Accepted, worker: None, attempt: None, detail: None };
    append_event(tx, &request.id, &accepted, origin.now).await
}

async fn insert_operation(
    tx: &mut SqliteConnection,
    origin: &Origin,
    request: &RunRequest,
    id: &OperationId,
    session: &AuthSessionId,
) -> Result<(), Halt> {
    sqlx::query("INSERT INTO operations (id, project_id, kind, session_id, run_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id.as_str())
        .bind(origin.project.as_str())
        .bind(request.plan.kind.as_str())
        .bind(session.as_str())
        .bind(request.id.as_str())
        .bind(origin.now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

async fn insert_idempotency(
    tx: &mut SqliteConnection,
    origin: &Origin,
    idempotency: &Idempotency,
    run: &RunId,
    operation: Option<&OperationId>,
) -> Result<(), Halt> {
    sqlx::query(
        "INSERT INTO idempotency_keys (workspace_id, key, fingerprint_sealed, run_id, operation_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(origin.workspace.as_str())
    .bind(&idempotency.key)
    .bind(fingerprint_seal(origin, &idempotency.key).bytes("fingerprint_sealed", &idempotency.fingerprint)?)
    .bind(run.as_str())
    .bind(operation.map(OperationId::as_str))
    .bind(origin.now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

/// A fingerprint is the hash of a request that may hold a password, so it is not left to be guessed at.
fn fingerprint_seal<'a>(origin: &'a Origin, key: &'a str) -> Seal<'a> {
    Seal { vault: &origin.vault, workspace: &origin.workspace, table: "idempotency_keys", row: key }
}
