//! A worker that takes runs through the domain's own state machine, so that their answers can be looked at in every state.

use keywright_domain::{AttemptCode, AttemptEnd, AttemptFailure, RunEvent, RunState, Secret, SessionStanding, Transition};
use keywright_store::{
    AttemptClose, AttemptOutcome, AuthSessions as _, BlobKey, Claimed, CommitOutcome, RunCommit, RunRecord, Runs as _, StoredBlob,
};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// Takes the only run that can go on and begins it.
    pub(crate) async fn take(&self) -> RunRecord {
        let Claimed::Runs(mut taken) = self.store.claim_runs(&self.worker, 100).await.unwrap() else { panic!("no worker") };
        assert_eq!(taken.len(), 1, "{taken:?}");
        let record = taken.remove(0);
        let standing = match &record.session {
            None => SessionStanding::WithoutState,
            Some(session) => match self.store.session_secrets(&session.key).await.unwrap() {
                None => SessionStanding::Missing,
                Some(secrets) if secrets.state.is_some() => SessionStanding::WithState,
                Some(_) => SessionStanding::WithoutState,
            },
        };
        let transition = record.state.clone().on(&record.plan, RunEvent::Begin(standing)).unwrap();
        self.commit(record, transition, None, None).await
    }

    /// Makes one attempt that ends so, with a log if one is given.
    pub(crate) async fn attempt(&self, record: RunRecord, end: AttemptEnd, log: Option<BlobKey>) -> RunRecord {
        let RunState::Started(progress) = &record.state else { panic!("not started: {:?}", record.state) };
        let number = self.store.begin_attempt(&record.id, record.epoch, progress.stage).await.unwrap().unwrap();
        let outcome = match &end {
            AttemptEnd::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
            AttemptEnd::Aborted => AttemptOutcome::Aborted,
            AttemptEnd::Returned { .. } | AttemptEnd::Captured { .. } | AttemptEnd::CheckPassed => AttemptOutcome::Succeeded,
        };
        let close = AttemptClose {
            number,
            outcome,
            is_trace_pending: log.is_some(),
            log: log.map(|key| StoredBlob { key, size_bytes: 100 }),
        };
        let transition = record.state.clone().on(&record.plan, RunEvent::AttemptEnded(&end)).unwrap();
        self.commit(record, transition, Some(close), Some(end)).await
    }

    async fn commit(
        &self,
        mut record: RunRecord,
        next: Transition,
        attempt: Option<AttemptClose>,
        end: Option<AttemptEnd>,
    ) -> RunRecord {
        let (candidate, result, payloads) = match end {
            Some(AttemptEnd::Captured { state }) => (Some(state), None, Vec::new()),
            Some(AttemptEnd::Returned { result, payloads }) => (None, Some(result), payloads),
            Some(AttemptEnd::CheckPassed | AttemptEnd::Failed(_) | AttemptEnd::Aborted) | None => (None, None, Vec::new()),
        };
        record.state = next.state.clone();
        let commit = RunCommit {
            run: record.id.clone(),
            epoch: record.epoch,
            state: next.state,
            effects: next.effects,
            attempt,
            candidate,
            result,
            payloads,
        };
        assert_eq!(self.store.commit_run(commit).await.unwrap(), CommitOutcome::Committed);
        record
    }

    /// Takes a create or update, logs in and checks.
    pub(crate) async fn log_in(&self) {
        let record = self.take().await;
        let record = self.attempt(record, captured(), None).await;
        self.attempt(record, AttemptEnd::CheckPassed, None).await;
    }

    /// A session of `shop` that is READY.
    pub(crate) async fn ready_session(&self, id: &str) {
        self.start_create(id).await;
        self.log_in().await;
    }
}

pub(crate) fn captured() -> AttemptEnd {
    AttemptEnd::Captured { state: Secret::new(json!({"cookies": []})) }
}

pub(crate) fn returned(result: Value) -> AttemptEnd {
    AttemptEnd::Returned { result, payloads: Vec::new() }
}

pub(crate) fn failed(code: AttemptCode) -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure { code, message: "the page said no".to_owned(), is_retryable: true, is_counted: true })
}
