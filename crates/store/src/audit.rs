//! The promises that a database can be asked about, as statements that both databases understand.
//!
//! Each selects the rows that break one promise, in words for a person, in one column named `broken`. Flags stand alone in a
//! condition, because one database keeps them as numbers and the other as truth values. Nothing here compares moments of
//! different transactions: their order is that of the events, not of the clock.

/// A promise and how to look for rows that break it. The first parameter is how many are wanted.
pub(crate) struct Check {
    pub(crate) invariant: &'static str,
    pub(crate) sql: &'static str,
}

macro_rules! checks {
    ($($invariant:literal: $select:literal;)+) => {
        /// All of them.
        pub(crate) const CHECKS: &[Check] = &[
            $(Check { invariant: $invariant, sql: concat!("SELECT broken FROM (", $select, ") AS found LIMIT $1") }),+
        ];
    };
}

checks! {
    "I1 every operation has one run of its own kind, and every run that is one its operation":
        "SELECT 'operation ' || o.id AS broken FROM operations o LEFT JOIN runs r ON r.id = o.run_id
         WHERE r.id IS NULL OR r.kind <> o.kind OR r.project_id <> o.project_id
         UNION ALL
         SELECT 'run ' || r.id FROM runs r
         WHERE r.kind <> 'api' AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.run_id = r.id)";

    "I1 an idempotency key leads to a run":
        "SELECT 'key of run ' || k.run_id AS broken FROM idempotency_keys k
         WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = k.run_id)";

    "I2 the attempts of a run are numbered without gaps":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.attempts <> (SELECT count(*) FROM attempts a WHERE a.run_id = r.id)
         OR r.attempts <> (SELECT coalesce(max(a.number), 0) FROM attempts a WHERE a.run_id = r.id)";

    "I2 no stage of a run has more attempts that count than it may have":
        "SELECT 'run ' || r.id || ' ' || a.stage AS broken FROM runs r JOIN attempts a ON a.run_id = r.id
         WHERE a.failure IS NULL OR a.failure NOT LIKE '%\"counted\":false%'
         GROUP BY r.id, a.stage, r.create_attempts, r.check_attempts, r.api_attempts
         HAVING count(*) > CASE a.stage WHEN 'create' THEN r.create_attempts WHEN 'api' THEN r.api_attempts
                                        ELSE r.check_attempts END";

    "I3 nothing of a run happens after it has ended":
        "SELECT 'run ' || e.run_id || ' event ' || e.number AS broken FROM run_events e
         JOIN run_events ending ON ending.run_id = e.run_id AND ending.number < e.number
         WHERE ending.kind = 'moved' AND ending.detail IN ('completed', 'failed', 'canceled')";

    "I3 only unfinished runs have an open attempt":
        "SELECT 'attempt ' || a.run_id || '.' || a.number AS broken FROM attempts a JOIN runs r ON r.id = a.run_id
         WHERE a.ended_at IS NULL AND r.ended_at IS NOT NULL";

    "I4 a session has one owner at a time":
        "SELECT 'session ' || r.session_key AS broken FROM runs r WHERE r.owner IS NOT NULL AND r.holds_session
         GROUP BY r.session_key HAVING count(*) > 1";

    "I4 whatever is held is held by a live worker":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = r.owner AND w.status = 'live')
         UNION ALL
         SELECT 'deployment ' || d.id FROM deployments d
         WHERE d.builder IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = d.builder AND w.status = 'live')
         UNION ALL
         SELECT 'seat ' || l.name FROM leases l
         WHERE l.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = l.owner AND w.status = 'live')";

    "I4 epochs never fall, and rise with every claim and rescue":
        "SELECT 'run ' || e.run_id || ' event ' || e.number AS broken FROM run_events e
         JOIN run_events before ON before.run_id = e.run_id AND before.number = e.number - 1
         WHERE e.epoch < before.epoch OR e.kind IN ('claimed', 'rescued') AND e.epoch = before.epoch";

    "I4 an attempt was made under an epoch of its run":
        "SELECT 'attempt ' || a.run_id || '.' || a.number AS broken FROM attempts a JOIN runs r ON r.id = a.run_id
         WHERE a.epoch < 1 OR a.epoch > r.epoch";

    "I5 a run of an API is completed exactly when one of its API attempts succeeded":
        "SELECT 'run ' || r.id AS broken FROM runs r WHERE r.kind = 'api'
         AND CASE r.state WHEN 'completed' THEN 1 ELSE 0 END <> (
             SELECT count(*) FROM attempts a WHERE a.run_id = r.id AND a.stage = 'api' AND a.outcome = 'succeeded'
         )";

    "I5 an operation is completed only when a check succeeded":
        "SELECT 'run ' || r.id AS broken FROM runs r WHERE r.kind <> 'api' AND r.state = 'completed'
         AND NOT EXISTS (
             SELECT 1 FROM attempts a
             WHERE a.run_id = r.id AND a.stage IN ('check', 'post-check') AND a.outcome = 'succeeded'
         )";

    "I6 a result belongs to a completed run of an API, and the other way round":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE (r.result_sealed IS NOT NULL) <> (r.kind = 'api' AND r.state = 'completed')";

    "I8 a candidate lives from its login to its check":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.candidate_sealed IS NOT NULL AND (r.stage IS NULL OR r.stage <> 'post-check')
         OR r.candidate_sealed IS NULL AND r.stage = 'post-check'
            AND EXISTS (SELECT 1 FROM auth_sessions s WHERE s.key = r.session_key)";

    "I10 a session that is READY has a state, and one without generation has none":
        "SELECT 'session ' || s.key AS broken FROM auth_sessions s
         WHERE s.status = 'ready' AND s.state_sealed IS NULL
         OR (s.generation > 0) <> (s.state_sealed IS NOT NULL)
         OR s.status = 'pending' AND s.generation > 0";

    "I10 a session is PENDING only while somebody is going to log it in":
        "SELECT 'session ' || s.key AS broken FROM auth_sessions s WHERE s.status = 'pending'
         AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.session_key = s.key AND r.ended_at IS NULL AND r.holds_session)";

    "I12 no run was taken beyond its project's concurrency":
        "SELECT 'project ' || p.id AS broken FROM projects p JOIN runs r ON r.project_id = p.id AND r.owner IS NOT NULL
         GROUP BY p.id, p.max_concurrent, p.activated_at
         HAVING count(*) > p.max_concurrent AND max(r.claimed_at) > p.activated_at";

    "I12 no worker holds more runs than it has room for":
        "SELECT 'worker ' || w.id AS broken FROM workers w JOIN runs r ON r.owner = w.id
         GROUP BY w.id, w.capacity HAVING count(*) > w.capacity";

    "I18 nothing secret is kept for an ended run but its result, nor for a session that is gone":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.ended_at IS NOT NULL
         AND (r.input_sealed IS NOT NULL OR r.candidate_sealed IS NOT NULL OR r.proxy_sealed IS NOT NULL)
         UNION ALL
         SELECT 'run ' || r.id FROM runs r
         WHERE r.ended_at IS NULL AND r.session_key IS NOT NULL
         AND (r.input_sealed IS NOT NULL OR r.candidate_sealed IS NOT NULL)
         AND NOT EXISTS (SELECT 1 FROM auth_sessions s WHERE s.key = r.session_key)";

    "I18 the input of a RUNTIME session is not kept":
        "SELECT 'session ' || s.key AS broken FROM auth_sessions s
         WHERE s.kind = 'runtime' AND s.parameters_sealed IS NOT NULL";

    "I21 who waits for a session waits behind somebody, and whoever is first has the turn":
        "SELECT 'run ' || r.id AS broken FROM runs r WHERE r.ended_at IS NULL AND r.holds_session
         AND CASE WHEN r.has_turn THEN 1 ELSE 0 END = CASE WHEN EXISTS (
             SELECT 1 FROM runs earlier
             WHERE earlier.session_key = r.session_key AND earlier.ended_at IS NULL AND earlier.holds_session
             AND earlier.seq < r.seq
         ) THEN 1 ELSE 0 END";

    "I21 who does not hold a session does not wait for one":
        "SELECT 'run ' || r.id AS broken FROM runs r WHERE NOT r.has_turn AND NOT r.holds_session";

    "I22 the events of a run are numbered without gaps, and begin with its acceptance":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.events <> (SELECT count(*) FROM run_events e WHERE e.run_id = r.id)
         OR r.events <> (SELECT coalesce(max(e.number), 0) FROM run_events e WHERE e.run_id = r.id)
         OR 1 <> (SELECT count(*) FROM run_events e WHERE e.run_id = r.id AND e.kind = 'accepted' AND e.number = 1)
         OR 1 <> (SELECT count(*) FROM run_events e WHERE e.run_id = r.id AND e.kind = 'accepted')";

    "I22 the events of a run fold to its epoch":
        "SELECT 'run ' || r.id AS broken FROM runs r
         JOIN run_events e ON e.run_id = r.id AND e.number = r.events WHERE e.epoch <> r.epoch";

    "I22 the events of a run fold to its state":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE r.state || coalesce('/' || r.stage, '') <> coalesce((
             SELECT e.detail FROM run_events e WHERE e.run_id = r.id AND e.kind = 'moved' ORDER BY e.number DESC LIMIT 1
         ), 'pending')";

    "I22 the events of a run fold to its owner":
        "SELECT 'run ' || r.id AS broken FROM runs r
         WHERE coalesce(r.owner, '') <> coalesce((
             SELECT CASE e.kind WHEN 'claimed' THEN e.worker_id END FROM run_events e
             WHERE e.run_id = r.id AND (
                 e.kind IN ('claimed', 'released', 'rescued')
                 OR e.kind = 'moved' AND e.detail IN ('completed', 'failed', 'canceled')
             )
             ORDER BY e.number DESC LIMIT 1
         ), '')";

    "I22 the events of a run fold to its attempts":
        "SELECT 'attempt ' || a.run_id || '.' || a.number AS broken FROM attempts a
         WHERE 1 <> (
             SELECT count(*) FROM run_events e
             WHERE e.run_id = a.run_id AND e.attempt = a.number AND e.kind = 'attempt-begun' AND e.detail = a.stage
             AND e.epoch = a.epoch AND e.worker_id = a.worker_id
         ) OR coalesce(a.outcome, '') <> coalesce((
             SELECT min(e.detail) FROM run_events e
             WHERE e.run_id = a.run_id AND e.attempt = a.number AND e.kind = 'attempt-ended'
         ), '')
         UNION ALL
         SELECT 'run ' || e.run_id || ' event ' || e.number FROM run_events e
         WHERE e.attempt IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = e.run_id AND a.number = e.attempt)";

    "the active deployment of a project is a ready one of its own":
        "SELECT 'project ' || p.id AS broken FROM projects p
         WHERE p.active_deployment IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM deployments d
             WHERE d.id = p.active_deployment AND d.project_id = p.id AND d.status = 'ready'
         )
         UNION ALL
         SELECT 'run ' || r.id FROM runs r JOIN deployments d ON d.id = r.deployment_id
         WHERE d.project_id <> r.project_id OR d.status <> 'ready'";

    "a trace waits to be cleaned by a live worker":
        "SELECT 'attempt ' || a.run_id || '.' || a.number AS broken FROM attempts a
         WHERE a.trace = 'pending' AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = a.worker_id AND w.status = 'live')";

    "every log, trace and file counts for its project":
        "SELECT 'log ' || a.log_blob AS broken FROM attempts a
         WHERE a.log_blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM artifacts s WHERE s.blob = a.log_blob AND s.kind = 'log')
         UNION ALL
         SELECT 'trace ' || a.trace_note FROM attempts a
         WHERE a.trace = 'stored' AND NOT EXISTS (SELECT 1 FROM artifacts s WHERE s.blob = a.trace_note AND s.kind = 'trace')
         UNION ALL
         SELECT 'file ' || f.blob FROM files f
         WHERE NOT EXISTS (SELECT 1 FROM artifacts s WHERE s.blob = f.blob AND s.kind = 'file')";

    "whatever counts for a project is a log, trace or file that is there":
        "SELECT s.kind || ' ' || s.blob AS broken FROM artifacts s
         WHERE NOT EXISTS (
             SELECT 1 FROM attempts a WHERE a.run_id = s.run_id AND a.number = s.attempt
             AND (s.kind = 'log' AND a.log_blob = s.blob OR s.kind = 'trace' AND a.trace = 'stored' AND a.trace_note = s.blob)
         ) AND NOT EXISTS (
             SELECT 1 FROM files f WHERE s.kind = 'file' AND f.blob = s.blob AND f.project_id = s.project_id
         )";

    "no garbage is anybody's":
        "SELECT s.kind || ' ' || s.blob AS broken FROM artifacts s JOIN blob_garbage g ON g.blob = s.blob";
}
