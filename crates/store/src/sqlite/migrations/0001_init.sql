-- Times are microseconds since the Unix epoch, UTC. Columns named *_sealed hold ciphertext that opens only in its own row
-- and column.
-- Every enumeration is checked here as well as in the code, so that a row that makes no sense cannot be written.

CREATE TABLE workspaces (
    id            TEXT PRIMARY KEY,
    created_at    INTEGER NOT NULL
) STRICT;

-- What seals a workspace's values. The key of the highest version seals, all of them open; none is ever removed, because blobs
-- keep the key that they were written with.
CREATE TABLE data_keys (
    workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
    version       INTEGER NOT NULL CHECK (version >= 1),
    wrapped       BLOB NOT NULL,          -- the key, sealed with a master key
    created_at    INTEGER NOT NULL,
    settled_at    INTEGER,                -- when every value in a row that an older key had sealed was sealed anew
    PRIMARY KEY (workspace_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id            TEXT PRIMARY KEY,
    workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
    name          TEXT NOT NULL,
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),  -- SHA-256; the key itself is never stored
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT;

-- One life of one process that executes or schedules. Everything it holds, it holds under the one lease of its row.
CREATE TABLE workers (
    id            TEXT PRIMARY KEY,
    node          TEXT NOT NULL,          -- its data folder
    host          TEXT NOT NULL,
    labels        TEXT NOT NULL,          -- JSON
    capacity      INTEGER NOT NULL CHECK (capacity >= 0),
    version       TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('live', 'lost', 'retired')),
    started_at    INTEGER NOT NULL,
    lease_until   INTEGER NOT NULL        -- by the database's clock
) STRICT;
CREATE INDEX workers_live ON workers (lease_until) WHERE status = 'live';

-- Seats that one worker has at a time.
CREATE TABLE leases (
    name          TEXT PRIMARY KEY,
    owner         TEXT REFERENCES workers (id),
    epoch         INTEGER NOT NULL,       -- raised whenever the seat changes hands
    lease_until   INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id                TEXT PRIMARY KEY,
    workspace_id      TEXT NOT NULL REFERENCES workspaces (id),
    name              TEXT NOT NULL,
    active_deployment TEXT,               -- null until a first deployment is ready
    activated_at      INTEGER,            -- when it was; what follows is of it
    max_concurrent    INTEGER NOT NULL DEFAULT 1 CHECK (max_concurrent >= 1),  -- of the active deployment
    worker_labels     TEXT NOT NULL DEFAULT '[]',  -- JSON; of the active deployment: a worker must carry all of them
    turn              INTEGER NOT NULL DEFAULT 0,  -- raised beyond everybody's when it is served, so that projects take turns
    created_at        INTEGER NOT NULL,
    UNIQUE (workspace_id, name),
    UNIQUE (id, workspace_id),            -- what belongs to a project names its workspace too, and the two must agree
    CHECK ((active_deployment IS NULL) = (activated_at IS NULL))
) STRICT;
CREATE INDEX projects_by_turn ON projects (turn);

CREATE TABLE deployments (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of upload
    id            TEXT NOT NULL UNIQUE,
    workspace_id  TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('building', 'ready', 'failed')),
    built_sealed  BLOB,                   -- what the build found out; sealed because settings may name a proxy with its password
    problems      TEXT NOT NULL DEFAULT '[]',
    digest        TEXT NOT NULL,
    size_bytes    INTEGER NOT NULL,
    builder       TEXT REFERENCES workers (id),        -- the worker that builds it now
    created_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK (builder IS NULL OR status = 'building'),
    CHECK ((status = 'building') = (finished_at IS NULL)),
    CHECK ((status = 'ready') = (built_sealed IS NOT NULL))
) STRICT;
CREATE INDEX deployments_building ON deployments (seq) WHERE status = 'building';
CREATE INDEX deployments_of_project ON deployments (project_id, seq);

CREATE TABLE auth_sessions (
    key               TEXT PRIMARY KEY,
    workspace_id      TEXT NOT NULL,
    project_id        TEXT NOT NULL,
    id                TEXT NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('credentials', 'runtime')),
    status            TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'expired')),
    generation        INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    parameters_sealed BLOB,
    proxy_sealed      BLOB,
    state_sealed      BLOB,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK (status <> 'ready' OR state_sealed IS NOT NULL),           -- READY always has a state
    CHECK ((generation > 0) = (state_sealed IS NOT NULL)),
    CHECK (status <> 'pending' OR generation = 0),                   -- of a session that has a state, PENDING is only derived
    CHECK (kind <> 'runtime' OR parameters_sealed IS NULL)           -- a RUNTIME input is never kept
) STRICT;

CREATE TABLE runs (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of acceptance
    id                TEXT NOT NULL UNIQUE,
    workspace_id      TEXT NOT NULL,
    project_id        TEXT NOT NULL,
    deployment_id     TEXT REFERENCES deployments (id),    -- set when it is first taken
    kind              TEXT NOT NULL CHECK (kind IN ('api', 'create', 'update', 'validate')),
    api               TEXT,
    needs_session     INTEGER NOT NULL CHECK (needs_session IN (0, 1)),
    may_recreate      INTEGER NOT NULL CHECK (may_recreate IN (0, 1)),
    create_attempts   INTEGER NOT NULL,
    check_attempts    INTEGER NOT NULL,
    api_attempts      INTEGER NOT NULL,
    timeout_s         INTEGER NOT NULL,
    session_timeout_s INTEGER NOT NULL,
    trace             INTEGER NOT NULL CHECK (trace IN (0, 1)),
    session_trace     INTEGER NOT NULL CHECK (session_trace IN (0, 1)),
    session_key       TEXT,                                -- no foreign key: a deleted session leaves its runs behind
    session_id        TEXT,
    session_ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (session_ephemeral IN (0, 1)),
    parameters_sealed BLOB,
    input_sealed      BLOB,                                -- of a login; gone when the run has ended
    proxy_sealed      BLOB,
    sink_sealed       BLOB,
    candidate_sealed  BLOB,                                -- captured by a login, not checked yet
    result_sealed     BLOB,
    state             TEXT NOT NULL CHECK (state IN ('pending', 'started', 'completed', 'failed', 'canceled')),
    stage             TEXT CHECK (stage IN ('check', 'create', 'post-check', 'api')),
    used              INTEGER NOT NULL DEFAULT 0,
    lost_in_row       INTEGER NOT NULL DEFAULT 0,
    saw_user_fault    INTEGER NOT NULL DEFAULT 0,
    outcome           TEXT,                                -- JSON of the failure or the reason
    attempts          INTEGER NOT NULL DEFAULT 0,          -- attempts begun, over all stages
    holds_session     INTEGER NOT NULL CHECK (holds_session IN (0, 1)),  -- it wants its session alone, or has it
    has_turn          INTEGER NOT NULL CHECK (has_turn IN (0, 1)),       -- it need not wait for another run of its session
    events            INTEGER NOT NULL DEFAULT 0,          -- how many events it has
    owner             TEXT REFERENCES workers (id),        -- the worker that has claimed it
    claimed_at        INTEGER,                             -- since when
    epoch             INTEGER NOT NULL DEFAULT 0,          -- raised by every claim and by a cancellation
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    ended_at          INTEGER,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK ((kind = 'api') = (api IS NOT NULL)),
    CHECK ((session_key IS NULL) = (session_id IS NULL)),
    CHECK ((owner IS NULL) = (claimed_at IS NULL)),
    CHECK (needs_session = 0 OR session_key IS NOT NULL),
    CHECK ((state = 'started') = (stage IS NOT NULL)),
    CHECK (has_turn = 1 OR holds_session = 1),             -- who wants no session waits for none
    CHECK ((state IN ('completed', 'failed', 'canceled')) = (ended_at IS NOT NULL)),
    CHECK ((state IN ('failed', 'canceled')) = (outcome IS NOT NULL)),
    CHECK (ended_at IS NULL OR (owner IS NULL AND input_sealed IS NULL AND candidate_sealed IS NULL AND proxy_sealed IS NULL
                                AND holds_session = 0))
) STRICT;
CREATE INDEX runs_claimable ON runs (project_id, seq) WHERE ended_at IS NULL AND owner IS NULL AND has_turn = 1;
CREATE INDEX runs_unfinished ON runs (project_id, kind) WHERE ended_at IS NULL;
CREATE INDEX runs_owned ON runs (project_id) WHERE owner IS NOT NULL;
CREATE INDEX runs_of_worker ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
-- The line for a session, in order of acceptance.
CREATE INDEX runs_of_session ON runs (session_key, seq) WHERE ended_at IS NULL AND holds_session = 1;
-- Single flight: never two owners of one session, whatever the code does.
CREATE UNIQUE INDEX runs_one_owner_of_session ON runs (session_key) WHERE owner IS NOT NULL AND holds_session = 1;

CREATE TABLE operations (
    id            TEXT PRIMARY KEY,
    project_id    TEXT NOT NULL REFERENCES projects (id),
    kind          TEXT NOT NULL CHECK (kind IN ('create', 'update', 'validate')),
    session_id    TEXT NOT NULL,
    run_id        TEXT NOT NULL UNIQUE REFERENCES runs (id),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE attempts (
    run_id        TEXT NOT NULL REFERENCES runs (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    stage         TEXT NOT NULL CHECK (stage IN ('check', 'create', 'post-check', 'api')),
    epoch         INTEGER NOT NULL,
    worker_id     TEXT NOT NULL,                           -- who made it; kept when the worker is forgotten
    outcome       TEXT CHECK (outcome IN ('succeeded', 'failed', 'aborted')),
    failure       TEXT,                                    -- JSON of why it failed
    log_blob      TEXT,
    trace         TEXT NOT NULL DEFAULT 'none' CHECK (trace IN ('none', 'pending', 'stored', 'dropped')),
    trace_note    TEXT,                                    -- the blob's key, or why it was dropped
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    PRIMARY KEY (run_id, number),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK (outcome IS NULL OR (outcome = 'failed') = (failure IS NOT NULL)),
    CHECK ((trace IN ('stored', 'dropped')) = (trace_note IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- At most one attempt of a run is under way, and at most one API attempt of it succeeded.
CREATE UNIQUE INDEX attempts_one_open ON attempts (run_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX attempts_one_success ON attempts (run_id) WHERE stage = 'api' AND outcome = 'succeeded';
CREATE INDEX attempts_pending_trace ON attempts (worker_id) WHERE trace = 'pending';

-- What happened to a run, step by step. Appended to by every write that changes a run, in the same transaction.
CREATE TABLE run_events (
    run_id        TEXT NOT NULL REFERENCES runs (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    at            INTEGER NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('accepted', 'claimed', 'released', 'rescued', 'attempt-begun', 'attempt-ended', 'moved')),
    epoch         INTEGER NOT NULL,       -- of the run, after it
    worker_id     TEXT,
    attempt       INTEGER,
    detail        TEXT,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER run_events_are_never_changed BEFORE UPDATE ON run_events
BEGIN SELECT raise(ABORT, 'events are only ever appended'); END;

-- What lies in the blob store for a project and counts for its share: logs, traces, files.
CREATE TABLE artifacts (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('log', 'trace', 'file')),
    blob          TEXT NOT NULL UNIQUE,
    size_bytes    INTEGER NOT NULL,
    run_id        TEXT,
    attempt       INTEGER,
    created_at    INTEGER NOT NULL,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK ((kind = 'file') = (run_id IS NULL)),
    CHECK ((run_id IS NULL) = (attempt IS NULL))
) STRICT;
CREATE INDEX artifacts_by_age ON artifacts (kind, created_at);
CREATE INDEX artifacts_of_project ON artifacts (project_id, seq, size_bytes);
CREATE INDEX artifacts_of_run ON artifacts (run_id) WHERE run_id IS NOT NULL;

-- Blobs that no row names any more and that are still to be removed.
CREATE TABLE blob_garbage (
    workspace_id  TEXT NOT NULL,
    blob          TEXT NOT NULL,
    PRIMARY KEY (blob, workspace_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
    key           TEXT NOT NULL,
    fingerprint_sealed BLOB NOT NULL,     -- of the whole request, which may hold a password
    run_id        TEXT NOT NULL,
    operation_id  TEXT,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_of_run ON idempotency_keys (run_id);

CREATE TABLE key_values (
    workspace_id  TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    key           TEXT NOT NULL,
    value_sealed  BLOB NOT NULL,
    PRIMARY KEY (project_id, key),
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    id            TEXT PRIMARY KEY,
    workspace_id  TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    name          TEXT NOT NULL,
    content_type  TEXT,
    size_bytes    INTEGER NOT NULL,
    blob          TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id)
) STRICT;
CREATE INDEX files_by_blob ON files (blob);
