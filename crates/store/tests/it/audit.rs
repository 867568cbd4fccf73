//! Facts about the audit: it is content with whatever was done through the store (every fact of this suite ends with that),
//! and finds each damage that is done past it.

use keywright_domain::{AttemptEnd, RunReason};
use keywright_store::Idempotency;
use serde_json::json;

use crate::bench::{Bench, existing, returned};

/// A damage, its repair, and how the invariant begins that it breaks.
type Damage = (&'static str, &'static str, &'static str);

const DAMAGES: &[Damage] = &[
    (
        "UPDATE operations SET kind = 'update' WHERE run_id = '{login}'",
        "UPDATE operations SET kind = 'create' WHERE run_id = '{login}'",
        "I1 every operation",
    ),
    ("UPDATE idempotency_keys SET run_id = 'gone'", "UPDATE idempotency_keys SET run_id = '{login}'", "I1 an idempotency key"),
    (
        "UPDATE runs SET attempts = attempts + 1 WHERE id = '{done}'",
        "UPDATE runs SET attempts = attempts - 1 WHERE id = '{done}'",
        "I2 the attempts",
    ),
    (
        "UPDATE runs SET api_attempts = 0 WHERE id = '{done}'",
        "UPDATE runs SET api_attempts = 3 WHERE id = '{done}'",
        "I2 no stage",
    ),
    (
        "INSERT INTO run_events (run_id, number, at, kind, epoch) SELECT id, events + 1, 0, 'released', epoch FROM runs WHERE id = '{done}'",
        "DELETE FROM run_events WHERE run_id = '{done}' AND kind = 'released'",
        "I3 nothing of a run",
    ),
    (
        "UPDATE attempts SET ended_at = NULL, outcome = NULL WHERE run_id = '{done}'",
        "UPDATE attempts SET ended_at = started_at, outcome = 'succeeded' WHERE run_id = '{done}'",
        "I3 only unfinished runs",
    ),
    (
        "UPDATE runs SET owner = '{worker}', claimed_at = 1 WHERE id = '{waiting}'",
        "UPDATE runs SET owner = NULL, claimed_at = NULL WHERE id = '{waiting}'",
        "I4 a session has one owner",
    ),
    (
        "UPDATE workers SET status = 'lost' WHERE id = '{worker}'",
        "UPDATE workers SET status = 'live' WHERE id = '{worker}'",
        "I4 whatever is held",
    ),
    (
        "INSERT INTO run_events (run_id, number, at, kind, epoch) SELECT id, events + 1, 0, 'released', 0 FROM runs WHERE id = '{running}'",
        "DELETE FROM run_events WHERE run_id = '{running}' AND kind = 'released'",
        "I4 epochs never fall",
    ),
    (
        "UPDATE attempts SET epoch = 99 WHERE run_id = '{running}'",
        "UPDATE attempts SET epoch = 1 WHERE run_id = '{running}'",
        "I4 an attempt was made",
    ),
    (
        "UPDATE attempts SET stage = 'check' WHERE run_id = '{done}'",
        "UPDATE attempts SET stage = 'api' WHERE run_id = '{done}'",
        "I5 a run of an API",
    ),
    (
        "UPDATE attempts SET outcome = 'aborted' WHERE run_id = '{login}' AND stage = 'post-check'",
        "UPDATE attempts SET outcome = 'succeeded' WHERE run_id = '{login}' AND stage = 'post-check'",
        "I5 an operation",
    ),
    (
        "UPDATE runs SET result_sealed = NULL WHERE id = '{done}'",
        "UPDATE runs SET result_sealed = parameters_sealed WHERE id = '{done}'",
        "I6 a result",
    ),
    (
        "UPDATE runs SET candidate_sealed = parameters_sealed WHERE id = '{running}'",
        "UPDATE runs SET candidate_sealed = NULL WHERE id = '{running}'",
        "I8 a candidate",
    ),
    (
        "UPDATE auth_sessions SET generation = 0 WHERE id = 'ada'",
        "UPDATE auth_sessions SET generation = 1 WHERE id = 'ada'",
        "I10 a session that is READY",
    ),
    (
        "UPDATE auth_sessions SET status = 'pending' WHERE id = 'bob'",
        "UPDATE auth_sessions SET status = 'expired' WHERE id = 'bob'",
        "I10 a session is PENDING",
    ),
    ("UPDATE projects SET max_concurrent = 1", "UPDATE projects SET max_concurrent = 10", "I12 no run was taken"),
    (
        "UPDATE workers SET capacity = 1 WHERE id = '{worker}'",
        "UPDATE workers SET capacity = 100 WHERE id = '{worker}'",
        "I12 no worker",
    ),
    (
        "UPDATE runs SET proxy_sealed = parameters_sealed WHERE id = '{done}'",
        "UPDATE runs SET proxy_sealed = NULL WHERE id = '{done}'",
        "I18 nothing secret",
    ),
    (
        "UPDATE runs SET session_key = 'gone', input_sealed = parameters_sealed WHERE id = '{running}'",
        "UPDATE runs SET session_key = (SELECT key FROM auth_sessions WHERE id = 'ada'), input_sealed = NULL WHERE id = '{running}'",
        "I18 nothing secret",
    ),
    (
        "UPDATE auth_sessions SET kind = 'runtime' WHERE id = 'ada'",
        "UPDATE auth_sessions SET kind = 'credentials' WHERE id = 'ada'",
        "I18 the input",
    ),
    (
        "UPDATE runs SET has_turn = (1 = 1) WHERE id = '{waiting}'",
        "UPDATE runs SET has_turn = (1 = 0) WHERE id = '{waiting}'",
        "I21 who waits",
    ),
    (
        "UPDATE runs SET has_turn = (1 = 0) WHERE id = '{running}'",
        "UPDATE runs SET has_turn = (1 = 1) WHERE id = '{running}'",
        "I21 who waits",
    ),
    (
        "UPDATE runs SET has_turn = (1 = 0) WHERE id = '{done}'",
        "UPDATE runs SET has_turn = (1 = 1) WHERE id = '{done}'",
        "I21 who does not hold",
    ),
    (
        "UPDATE runs SET events = events + 1 WHERE id = '{done}'",
        "UPDATE runs SET events = events - 1 WHERE id = '{done}'",
        "I22 the events of a run are numbered",
    ),
    (
        "UPDATE runs SET epoch = epoch + 1 WHERE id = '{waiting}'",
        "UPDATE runs SET epoch = epoch - 1 WHERE id = '{waiting}'",
        "I22 the events of a run fold to its epoch",
    ),
    (
        "UPDATE runs SET stage = 'create' WHERE id = '{running}'",
        "UPDATE runs SET stage = 'check' WHERE id = '{running}'",
        "I22 the events of a run fold to its state",
    ),
    (
        "UPDATE runs SET owner = NULL, claimed_at = NULL WHERE id = '{running}'",
        "UPDATE runs SET owner = '{worker}', claimed_at = 1 WHERE id = '{running}'",
        "I22 the events of a run fold to its owner",
    ),
    (
        "UPDATE attempts SET worker_id = 'another' WHERE run_id = '{done}'",
        "UPDATE attempts SET worker_id = '{worker}' WHERE run_id = '{done}'",
        "I22 the events of a run fold to its attempts",
    ),
    (
        "UPDATE projects SET active_deployment = 'gone'",
        "UPDATE projects SET active_deployment = (SELECT id FROM deployments)",
        "the active deployment",
    ),
    (
        "UPDATE attempts SET trace = 'pending', worker_id = 'another' WHERE run_id = '{login}'",
        "UPDATE attempts SET trace = 'none', worker_id = '{worker}' WHERE run_id = '{login}'",
        "a trace waits",
    ),
    (
        "UPDATE attempts SET log_blob = 'another' WHERE run_id = '{done}'",
        "UPDATE attempts SET log_blob = (SELECT blob FROM artifacts WHERE run_id = '{done}') WHERE run_id = '{done}'",
        "every log",
    ),
    (
        "UPDATE attempts SET log_blob = NULL WHERE run_id = '{done}'",
        "UPDATE attempts SET log_blob = (SELECT blob FROM artifacts WHERE run_id = '{done}') WHERE run_id = '{done}'",
        "whatever counts",
    ),
    (
        "INSERT INTO blob_garbage (workspace_id, blob) SELECT workspace_id, blob FROM artifacts WHERE kind = 'file'",
        "DELETE FROM blob_garbage",
        "no garbage",
    ),
];

pub(crate) async fn each_planted_damage_is_found(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    let mut login = bench.create("ada", json!({}));
    login.request.idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: [1; 32] });
    let (login, _) = bench.accept_operation(&project, login).await;
    bench.log_in(json!("state")).await;
    let (given_up, _) = bench.accept_operation(&project, bench.create("bob", json!({}))).await;
    bench.store.cancel_run(&project, &given_up, RunReason::UserAction).await.unwrap();
    let done = bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    bench.attempt(record, returned(json!(1))).await;
    bench.store.insert_file(bench.file(&project, bench.blob(5))).await.unwrap();
    bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let past_its_check = bench.take().await;
    bench.attempt(past_its_check, AttemptEnd::CheckPassed).await;
    let running = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let record = bench.take().await;
    bench.store.begin_attempt(&running, record.epoch, keywright_domain::Stage::Check).await.unwrap().unwrap();
    let waiting = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    bench.seat().await;
    bench.expect_sound().await;

    let worker = bench.worker();
    let names = [("{login}", login.as_str()), ("{done}", done.as_str()), ("{running}", running.as_str())];
    let names = names.into_iter().chain([("{waiting}", waiting.as_str()), ("{worker}", worker.as_str())]);
    let names: Vec<_> = names.collect();
    let filled_in = |statement: &str| names.iter().fold(statement.to_owned(), |text, (name, id)| text.replace(name, id));
    // What not even the database's own constraints keep out is kept out by an index.
    bench.damage("DROP INDEX runs_one_owner_of_session").await;
    for (damage, repair, invariant) in DAMAGES {
        bench.damage(&filled_in(damage)).await;
        let found = bench.store.audit(10).await.unwrap();
        assert!(found.iter().any(|found| found.invariant.starts_with(invariant)), "{damage}: {found:?}");
        assert!(found.iter().all(|found| !found.row.is_empty()));
        bench.damage(&filled_in(repair)).await;
        assert_eq!(bench.store.audit(10).await.unwrap(), [], "after the repair of: {damage}");
    }
}

pub(crate) async fn no_more_is_said_than_asked_for(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    for _ in 0..5 {
        bench.accept_run(&project, bench.api_run(None)).await;
    }
    bench.damage("UPDATE runs SET events = events + 1").await;
    for limit in [0, 3] {
        assert_eq!(bench.store.audit(limit).await.unwrap().len(), limit as usize);
    }
}
