-- Times are microseconds since the Unix epoch, UTC. Columns named *_sealed hold ciphertext that opens only in its own row
-- and column.
-- Every enumeration is checked here as well as in the code, so that a row that makes no sense cannot be written.
-- Texts that things are listed by compare byte by byte, whatever language the database speaks.

CREATE TABLE workspaces (
    id            TEXT COLLATE "C" PRIMARY KEY,
    created_at    BIGINT NOT NULL
);

-- What seals a workspace's values. The key of the highest version seals, all of them open; none is ever removed, because blobs
-- keep the key that they were written with.
CREATE TABLE data_keys (
    workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
    version       BIGINT NOT NULL CHECK (version >= 1),
    wrapped       BYTEA NOT NULL,         -- the key, sealed with a master key
    created_at    BIGINT NOT NULL,
    settled_at    BIGINT,                 -- when every value in a row that an older key had sealed was sealed anew
    PRIMARY KEY (workspace_id, version)
);

CREATE TABLE api_keys (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY,
    id            TEXT COLLATE "C" PRIMARY KEY,
    workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
    name          TEXT NOT NULL,
    hash          BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),  -- SHA-256; the key itself is never stored
    created_at    BIGINT NOT NULL,
    revoked_at    BIGINT
);

-- One life of one process that executes or schedules. Everything it holds, it holds under the one lease of its row.
CREATE TABLE workers (
    id            TEXT COLLATE "C" PRIMARY KEY,
    node          TEXT NOT NULL,          -- its data folder
    host          TEXT NOT NULL,
    labels        TEXT NOT NULL,          -- JSON
    capacity      BIGINT NOT NULL CHECK (capacity >= 0),
    version       TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('live', 'lost', 'retired')),
    started_at    BIGINT NOT NULL,
    lease_until   BIGINT NOT NULL         -- by the database's clock
) WITH (fillfactor = 50);
CREATE INDEX workers_live ON workers (started_at) WHERE status = 'live';

-- Seats that one worker has at a time.
CREATE TABLE leases (
    name          TEXT PRIMARY KEY,
    owner         TEXT COLLATE "C" REFERENCES workers (id),
    epoch         BIGINT NOT NULL,        -- raised whenever the seat changes hands
    lease_until   BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE projects (
    id                TEXT COLLATE "C" PRIMARY KEY,
    workspace_id      TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
    name              TEXT COLLATE "C" NOT NULL,
    active_deployment TEXT COLLATE "C",   -- null until a first deployment is ready
    activated_at      BIGINT,             -- when it was; what follows is of it
    max_concurrent    BIGINT NOT NULL DEFAULT 1 CHECK (max_concurrent >= 1),  -- of the active deployment
    worker_labels     TEXT NOT NULL DEFAULT '[]',  -- JSON; of the active deployment: a worker must carry all of them
    turn              BIGINT NOT NULL DEFAULT 0,  -- raised beyond everybody's when it is served, so that projects take turns
    created_at        BIGINT NOT NULL,
    UNIQUE (workspace_id, name),
    UNIQUE (id, workspace_id),            -- what belongs to a project names its workspace too, and the two must agree
    CHECK ((active_deployment IS NULL) = (activated_at IS NULL))
) WITH (fillfactor = 50);

CREATE TABLE deployments (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- order of upload
    id            TEXT COLLATE "C" NOT NULL UNIQUE,
    workspace_id  TEXT COLLATE "C" NOT NULL,
    project_id    TEXT COLLATE "C" NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('building', 'ready', 'failed')),
    built_sealed  BYTEA,                  -- what the build found out; sealed because settings may name a proxy with its password
    problems      TEXT NOT NULL DEFAULT '[]',
    digest        TEXT NOT NULL,
    size_bytes    BIGINT NOT NULL,
    builder       TEXT COLLATE "C" REFERENCES workers (id),        -- the worker that builds it now
    created_at    BIGINT NOT NULL,
    finished_at   BIGINT,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK (builder IS NULL OR status = 'building'),
    CHECK ((status = 'building') = (finished_at IS NULL)),
    CHECK ((status = 'ready') = (built_sealed IS NOT NULL))
);
CREATE INDEX deployments_building ON deployments (seq) WHERE status = 'building';
CREATE INDEX deployments_of_project ON deployments (project_id, seq);

CREATE TABLE auth_sessions (
    key               TEXT COLLATE "C" PRIMARY KEY,
    workspace_id      TEXT COLLATE "C" NOT NULL,
    project_id        TEXT COLLATE "C" NOT NULL,
    id                TEXT COLLATE "C" NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('credentials', 'runtime')),
    status            TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'expired')),
    generation        BIGINT NOT NULL DEFAULT 0 CHECK (generation >= 0),
    parameters_sealed BYTEA,
    proxy_sealed      BYTEA,
    state_sealed      BYTEA,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK (status <> 'ready' OR state_sealed IS NOT NULL),           -- READY always has a state
    CHECK ((generation > 0) = (state_sealed IS NOT NULL)),
    CHECK (status <> 'pending' OR generation = 0),                   -- of a session that has a state, PENDING is only derived
    CHECK (kind <> 'runtime' OR parameters_sealed IS NULL)           -- a RUNTIME input is never kept
) WITH (fillfactor = 80);

CREATE TABLE runs (
    seq               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,   -- order of acceptance
    id                TEXT COLLATE "C" NOT NULL UNIQUE,
    workspace_id      TEXT COLLATE "C" NOT NULL,
    project_id        TEXT COLLATE "C" NOT NULL,
    deployment_id     TEXT COLLATE "C" REFERENCES deployments (id),  -- set when it is first taken
    kind              TEXT NOT NULL CHECK (kind IN ('api', 'create', 'update', 'validate')),
    api               TEXT,
    needs_session     BOOLEAN NOT NULL,
    may_recreate      BOOLEAN NOT NULL,
    create_attempts   BIGINT NOT NULL,
    check_attempts    BIGINT NOT NULL,
    api_attempts      BIGINT NOT NULL,
    timeout_s         BIGINT NOT NULL,
    session_timeout_s BIGINT NOT NULL,
    trace             BOOLEAN NOT NULL,
    session_trace     BOOLEAN NOT NULL,
    session_key       TEXT COLLATE "C",                    -- no foreign key: a deleted session leaves its runs behind
    session_id        TEXT COLLATE "C",
    session_ephemeral BOOLEAN NOT NULL DEFAULT FALSE,
    parameters_sealed BYTEA,
    input_sealed      BYTEA,                               -- of a login; gone when the run has ended
    proxy_sealed      BYTEA,
    sink_sealed       BYTEA,
    candidate_sealed  BYTEA,                               -- captured by a login, not checked yet
    result_sealed     BYTEA,
    state             TEXT NOT NULL CHECK (state IN ('pending', 'started', 'completed', 'failed', 'canceled')),
    stage             TEXT CHECK (stage IN ('check', 'create', 'post-check', 'api')),
    used              BIGINT NOT NULL DEFAULT 0,
    lost_in_row       BIGINT NOT NULL DEFAULT 0,
    saw_user_fault    BOOLEAN NOT NULL DEFAULT FALSE,
    outcome           TEXT,                                -- JSON of the failure or the reason
    attempts          BIGINT NOT NULL DEFAULT 0,           -- attempts begun, over all stages
    holds_session     BOOLEAN NOT NULL,                    -- it wants its session alone, or has it
    has_turn          BOOLEAN NOT NULL,                    -- it need not wait for another run of its session
    events            BIGINT NOT NULL DEFAULT 0,           -- how many events it has
    owner             TEXT COLLATE "C" REFERENCES workers (id),      -- the worker that has claimed it
    claimed_at        BIGINT,                              -- since when
    epoch             BIGINT NOT NULL DEFAULT 0,           -- raised by every claim and by a cancellation
    created_at        BIGINT NOT NULL,
    started_at        BIGINT,
    ended_at          BIGINT,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK ((kind = 'api') = (api IS NOT NULL)),
    CHECK ((session_key IS NULL) = (session_id IS NULL)),
    CHECK ((owner IS NULL) = (claimed_at IS NULL)),
    CHECK (NOT needs_session OR session_key IS NOT NULL),
    CHECK ((state = 'started') = (stage IS NOT NULL)),
    CHECK (has_turn OR holds_session),                     -- who wants no session waits for none
    CHECK ((state IN ('completed', 'failed', 'canceled')) = (ended_at IS NOT NULL)),
    CHECK ((state IN ('failed', 'canceled')) = (outcome IS NOT NULL)),
    CHECK (ended_at IS NULL OR (owner IS NULL AND input_sealed IS NULL AND candidate_sealed IS NULL AND proxy_sealed IS NULL
                                AND NOT holds_session))
-- A run is written about ten times in its life. Room on its page keeps the next version near, and what is dead is removed
-- before the queue's indexes fill up with it.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- Ciphertext does not get smaller by being compressed.
ALTER TABLE runs ALTER COLUMN parameters_sealed SET STORAGE EXTERNAL, ALTER COLUMN input_sealed SET STORAGE EXTERNAL,
                 ALTER COLUMN candidate_sealed SET STORAGE EXTERNAL, ALTER COLUMN result_sealed SET STORAGE EXTERNAL;
ALTER TABLE auth_sessions ALTER COLUMN state_sealed SET STORAGE EXTERNAL;
CREATE INDEX runs_claimable ON runs (project_id, seq) WHERE ended_at IS NULL AND owner IS NULL AND has_turn;
CREATE INDEX runs_unfinished ON runs (project_id, kind) WHERE ended_at IS NULL;
CREATE INDEX runs_owned ON runs (project_id) WHERE owner IS NOT NULL;
CREATE INDEX runs_of_worker ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
-- The line for a session, in order of acceptance.
CREATE INDEX runs_of_session ON runs (session_key, holds_session, seq) WHERE ended_at IS NULL AND session_key IS NOT NULL;
-- Single flight: never two owners of one session, whatever the code does.
CREATE UNIQUE INDEX runs_one_owner_of_session ON runs (session_key) WHERE owner IS NOT NULL AND holds_session;

CREATE TABLE operations (
    id            TEXT COLLATE "C" PRIMARY KEY,
    project_id    TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    kind          TEXT NOT NULL CHECK (kind IN ('create', 'update', 'validate')),
    session_id    TEXT NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES runs (id),
    created_at    BIGINT NOT NULL
);

CREATE TABLE attempts (
    run_id        TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    number        BIGINT NOT NULL CHECK (number >= 1),
    stage         TEXT NOT NULL CHECK (stage IN ('check', 'create', 'post-check', 'api')),
    epoch         BIGINT NOT NULL,
    worker_id     TEXT COLLATE "C" NOT NULL,               -- who made it; kept when the worker is forgotten
    outcome       TEXT CHECK (outcome IN ('succeeded', 'failed', 'aborted')),
    failure       TEXT,                                    -- JSON of why it failed
    log_blob      TEXT,
    trace         TEXT NOT NULL DEFAULT 'none' CHECK (trace IN ('none', 'pending', 'stored', 'dropped')),
    trace_note    TEXT,                                    -- the blob's key, or why it was dropped
    started_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    PRIMARY KEY (run_id, number),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK (outcome IS NULL OR (outcome = 'failed') = (failure IS NOT NULL)),
    CHECK ((trace IN ('stored', 'dropped')) = (trace_note IS NOT NULL))
) WITH (fillfactor = 80);
-- At most one attempt of a run is under way, and at most one API attempt of it succeeded.
CREATE UNIQUE INDEX attempts_one_open ON attempts (run_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX attempts_one_success ON attempts (run_id) WHERE stage = 'api' AND outcome = 'succeeded';
CREATE INDEX attempts_pending_trace ON attempts (worker_id) WHERE trace = 'pending';

-- What happened to a run, step by step. Appended to by every write that changes a run, in the same transaction.
CREATE TABLE run_events (
    run_id        TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    number        BIGINT NOT NULL CHECK (number >= 1),
    at            BIGINT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('accepted', 'claimed', 'released', 'rescued', 'attempt-begun', 'attempt-ended', 'moved')),
    epoch         BIGINT NOT NULL,        -- of the run, after it
    worker_id     TEXT COLLATE "C",
    attempt       BIGINT,
    detail        TEXT,
    PRIMARY KEY (run_id, number)
);
CREATE FUNCTION refuse_to_change_an_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are only ever appended';
END
$$;
CREATE TRIGGER run_events_are_never_changed BEFORE UPDATE ON run_events
FOR EACH ROW EXECUTE FUNCTION refuse_to_change_an_event();

-- What lies in the blob store for a project and counts for its share: logs, traces, files.
CREATE TABLE artifacts (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id  TEXT COLLATE "C" NOT NULL,
    project_id    TEXT COLLATE "C" NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('log', 'trace', 'file')),
    blob          TEXT COLLATE "C" NOT NULL UNIQUE,
    size_bytes    BIGINT NOT NULL,
    run_id        TEXT COLLATE "C",
    attempt       BIGINT,
    created_at    BIGINT NOT NULL,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id),
    CHECK ((kind = 'file') = (run_id IS NULL)),
    CHECK ((run_id IS NULL) = (attempt IS NULL))
);
CREATE INDEX artifacts_by_age ON artifacts (kind, created_at);
CREATE INDEX artifacts_of_project ON artifacts (project_id, seq) INCLUDE (size_bytes);
CREATE INDEX artifacts_of_run ON artifacts (run_id) WHERE run_id IS NOT NULL;

-- Blobs that no row names any more and that are still to be removed.
CREATE TABLE blob_garbage (
    workspace_id  TEXT COLLATE "C" NOT NULL,
    blob          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id, blob)
);

CREATE TABLE idempotency_keys (
    workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
    key           TEXT COLLATE "C" NOT NULL,
    fingerprint_sealed BYTEA NOT NULL,    -- of the whole request, which may hold a password
    run_id        TEXT COLLATE "C" NOT NULL,
    operation_id  TEXT COLLATE "C",
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_keys_of_run ON idempotency_keys (run_id);

CREATE TABLE key_values (
    workspace_id  TEXT COLLATE "C" NOT NULL,
    project_id    TEXT COLLATE "C" NOT NULL,
    key           TEXT COLLATE "C" NOT NULL,
    value_sealed  BYTEA NOT NULL,
    PRIMARY KEY (project_id, key),
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id)
);

CREATE TABLE files (
    id            TEXT COLLATE "C" PRIMARY KEY,
    workspace_id  TEXT COLLATE "C" NOT NULL,
    project_id    TEXT COLLATE "C" NOT NULL,
    name          TEXT NOT NULL,
    content_type  TEXT,
    size_bytes    BIGINT NOT NULL,
    blob          TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    FOREIGN KEY (project_id, workspace_id) REFERENCES projects (id, workspace_id)
);
CREATE INDEX files_by_blob ON files (blob);

-- The server's life, by a name that somebody made up at its beginning. PostgreSQL empties an unlogged table when it recovers
-- from a crash and keeps it through an orderly restart, which is the difference that counts here: after a crash, numbers of
-- transactions that were never flushed are given out again, so the fate of a transaction can be asked for by its number only
-- while the life is the one in which it began. This table is this database's alone; SQLite has no use for it.
CREATE UNLOGGED TABLE server_lives (
    only_row      BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    life          TEXT NOT NULL
);
