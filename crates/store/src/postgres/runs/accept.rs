//! Acceptance: the run, its operation, its session and its idempotency key, in one transaction.
//!
//! A repeated request is recognised before anything else is looked at, so that it is answered as the first one was even if
//! its session is gone by now; two that come at once wait for each other. Refusals change nothing.

use keywright_domain::{
    ApiName, AuthSessionId, OperationId, ProjectId, RunId, RunKind, Secret, SessionBinding, SessionKey, SessionKind,
    TimeoutSeconds, WorkspaceId,
};
use serde_json::Value;

use crate::halt::Halt;
use crate::postgres::locks::{lock_idempotency_key, lock_line};
use crate::postgres::transaction::Tx;
use crate::row::Fields;
use crate::row::runs::run_seal;
use crate::sealed::Seal;
use crate::{Accepted, Idempotency, NewOperation, NewRun, RunEventKind, RunRequest, SessionTarget, StoreError, Vault};

/// How often a session is looked for that others make and delete at the same time.
const MAX_LOOKS: u32 = 5;

/// Where a request belongs.
pub(super) struct Origin {
    pub(super) vault: Vault,
    pub(super) workspace: WorkspaceId,
    pub(super) project: ProjectId,
}

/// What only a run of an API has.
struct ApiPart<'a> {
    api: &'a ApiName,
    parameters: &'a Secret<Value>,
    sink: Option<&'a Secret<Value>>,
    is_trace_wanted: bool,
}

/// A session that a run is for. Its line is locked.
struct Bound {
    session: SessionBinding,
    is_ephemeral: bool,
}

/// Accepts a run of an API.
pub(super) async fn run(tx: &mut Tx, origin: &Origin, new: &NewRun) -> Result<Accepted, Halt> {
    let part =
        ApiPart { api: &new.api, parameters: &new.parameters, sink: new.sink.as_ref(), is_trace_wanted: new.is_trace_wanted };
    accept(tx, origin, &new.request, new.timeout, Some(part), None).await
}

/// Accepts an operation with its run.
pub(super) async fn operation(tx: &mut Tx, origin: &Origin, new: &NewOperation) -> Result<Accepted, Halt> {
    accept(tx, origin, &new.request, new.request.session_timeout, None, Some(&new.id)).await
}

async fn accept(
    tx: &mut Tx,
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
    if let Some(id) = operation {
        let Some(bound) = &bound else { return Err(Halt::Misuse("an operation without a session")) };
        insert_operation(tx, origin, request, id, &bound.session.id).await?;
    }
    if let Some(idempotency) = &request.idempotency {
        insert_idempotency(tx, origin, idempotency, &request.id, operation).await?;
    }
    Ok(Accepted::New { run: request.id.clone(), operation: operation.cloned() })
}

async fn find_earlier(tx: &mut Tx, origin: &Origin, given: &Idempotency) -> Result<Option<Accepted>, Halt> {
    lock_idempotency_key(tx, &origin.workspace, &given.key).await?;
    let statement = sqlx::query(
        "SELECT key, fingerprint_sealed, run_id, operation_id FROM idempotency_keys WHERE workspace_id = $1 AND key = $2",
    )
    .bind(origin.workspace.as_str())
    .bind(given.key.as_str());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(None) };
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

/// Finds or makes the session and locks its line; the inner error is a refusal. The session is looked at again once its line
/// is locked, because only then nobody deletes it.
async fn bind(tx: &mut Tx, origin: &Origin, target: &SessionTarget) -> Result<Result<Bound, Accepted>, Halt> {
    let (SessionTarget::Existing(id) | SessionTarget::CreateOrReplace { id, .. } | SessionTarget::Runtime { id, .. }) = target;
    let bound = |key: SessionKey, is_ephemeral| Bound { session: SessionBinding { key, id: id.clone() }, is_ephemeral };
    for _ in 0..MAX_LOOKS {
        if let Some((key, _)) = find_session(tx, &origin.project, id).await? {
            lock_line(tx, &key).await?;
            match find_session(tx, &origin.project, id).await? {
                // A made-up name that is taken already belongs to somebody, who does not expect it to vanish.
                Some((again, kind)) if again == key => {
                    return Ok(match (target, kind) {
                        (SessionTarget::Runtime { .. }, SessionKind::Credentials) => Err(Accepted::NotRuntime),
                        (SessionTarget::Runtime { .. }, SessionKind::Runtime)
                        | (SessionTarget::Existing(_) | SessionTarget::CreateOrReplace { .. }, _) => Ok(bound(key, false)),
                    });
                }
                Some(_) | None => continue,
            }
        }
        let (key, kind, is_ephemeral) = match target {
            SessionTarget::Existing(_) => return Ok(Err(Accepted::NoSuchSession)),
            SessionTarget::CreateOrReplace { key_if_new, .. } => (key_if_new, SessionKind::Credentials, false),
            SessionTarget::Runtime { key_if_new, is_ephemeral, .. } => (key_if_new, SessionKind::Runtime, *is_ephemeral),
        };
        if insert_session(tx, origin, id, key, kind).await? {
            lock_line(tx, key).await?;
            return Ok(Ok(bound(key.clone(), is_ephemeral)));
        }
    }
    Err(StoreError::Unavailable("the session is made and deleted by others all the time".into()).into())
}

async fn find_session(tx: &mut Tx, project: &ProjectId, id: &AuthSessionId) -> Result<Option<(SessionKey, SessionKind)>, Halt> {
    let statement = sqlx::query("SELECT key, kind FROM auth_sessions WHERE project_id = $1 AND id = $2")
        .bind(project.as_str())
        .bind(id.as_str());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(None) };
    let fields = Fields::new(&row, "auth_sessions", "key")?;
    Ok(Some((fields.parse("key", SessionKey::parse)?, fields.one_of("kind", SessionKind::from_stored)?)))
}

/// A session without state. Its parameters stay with the run until a login with them has succeeded. Returns whether the name
/// was free; whoever takes it at the same time is waited for.
async fn insert_session(
    tx: &mut Tx,
    origin: &Origin,
    id: &AuthSessionId,
    key: &SessionKey,
    kind: SessionKind,
) -> Result<bool, Halt> {
    let statement = sqlx::query(
        "INSERT INTO auth_sessions (key, workspace_id, project_id, id, kind, status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6) ON CONFLICT (project_id, id) DO NOTHING",
    )
    .bind(key.as_str())
    .bind(origin.workspace.as_str())
    .bind(origin.project.as_str())
    .bind(id.as_str())
    .bind(kind.as_str())
    .bind(tx.now.as_micros());
    Ok(tx.change(statement).await? == 1)
}

/// Stores the run with its first event, at the end of the line for its session. It has its turn if that line is empty.
async fn insert_run(
    tx: &mut Tx,
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
    let statement = sqlx::query(
        "WITH run AS (
             INSERT INTO runs (id, workspace_id, project_id, kind, api, needs_session, may_recreate,
                               create_attempts, check_attempts, api_attempts, timeout_s, session_timeout_s, trace, session_trace,
                               session_key, session_id, session_ephemeral,
                               parameters_sealed, input_sealed, proxy_sealed, sink_sealed, state, holds_session, has_turn,
                               events, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                     $18, $19, $20, $21, 'pending', $6,
                     NOT $6 OR NOT EXISTS (
                         SELECT 1 FROM runs e WHERE e.session_key = $15 AND e.ended_at IS NULL AND e.holds_session
                     ), 1, $22)
             RETURNING id, events, epoch
         )
         INSERT INTO run_events (run_id, number, at, kind, epoch) SELECT id, events, $22, $23, epoch FROM run",
    )
    .bind(request.id.as_str())
    .bind(origin.workspace.as_str())
    .bind(origin.project.as_str())
    .bind(plan.kind.as_str())
    .bind(api.as_ref().map(|part| part.api.as_str()))
    .bind(plan.needs_session)
    .bind(plan.may_recreate)
    .bind(i64::from(plan.budgets.create.get()))
    .bind(i64::from(plan.budgets.check.get()))
    .bind(i64::from(plan.budgets.api.get()))
    .bind(i64::from(timeout.get()))
    .bind(i64::from(request.session_timeout.get()))
    .bind(api.as_ref().is_some_and(|part| part.is_trace_wanted))
    .bind(request.is_session_trace_wanted)
    .bind(bound.map(|bound| bound.session.key.as_str()))
    .bind(bound.map(|bound| bound.session.id.as_str()))
    .bind(bound.is_some_and(|bound| bound.is_ephemeral))
    .bind(seal.json_optional("parameters_sealed", parameters)?)
    .bind(seal.json_optional("input_sealed", request.session_input.as_ref())?)
    .bind(seal.proxy("proxy_sealed", request.proxy.as_ref())?)
    .bind(seal.json_optional("sink_sealed", sink)?)
    .bind(tx.now.as_micros())
    .bind(RunEventKind::Accepted.as_str());
    tx.change(statement).await?;
    Ok(())
}

async fn insert_operation(
    tx: &mut Tx,
    origin: &Origin,
    request: &RunRequest,
    id: &OperationId,
    session: &AuthSessionId,
) -> Result<(), Halt> {
    let statement = sqlx::query(
        "INSERT INTO operations (id, project_id, kind, session_id, run_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.as_str())
    .bind(origin.project.as_str())
    .bind(request.plan.kind.as_str())
    .bind(session.as_str())
    .bind(request.id.as_str())
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

async fn insert_idempotency(
    tx: &mut Tx,
    origin: &Origin,
    idempotency: &Idempotency,
    run: &RunId,
    operation: Option<&OperationId>,
) -> Result<(), Halt> {
    let statement = sqlx::query(
        "INSERT INTO idempotency_keys (workspace_id, key, fingerprint_sealed, run_id, operation_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(origin.workspace.as_str())
    .bind(idempotency.key.as_str())
    .bind(fingerprint_seal(origin, &idempotency.key).bytes("fingerprint_sealed", &idempotency.fingerprint)?)
    .bind(run.as_str())
    .bind(operation.map(OperationId::as_str))
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

/// A fingerprint is the hash of a request that may hold a password, so it is not left to be guessed at.
fn fingerprint_seal<'a>(origin: &'a Origin, key: &'a str) -> Seal<'a> {
    Seal { vault: &origin.vault, workspace: &origin.workspace, table: "idempotency_keys", row: key }
}
