//! How the process stands, for probes and for people. Reads what others know and decides nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keywright_api::Vitals;
use keywright_engine::{Engine, EngineStatus};
use keywright_runner::Protections;
use keywright_wire::rfc3339;
use serde_json::{Map, Value, json};

use super::node::Node;
use crate::config::{Config, Roles};

/// With less room than this, writes are soon refused.
const MIN_FREE_BYTES: u64 = 256 * 1024 * 1024;

/// What is known of the process.
#[derive(Debug)]
pub(super) struct Condition {
    roles: Roles,
    database: &'static str,
    data_dir: PathBuf,
    /// What does not change while the process lives.
    fixed: Map<String, Value>,
    engine: Arc<Engine>,
    is_ending: AtomicBool,
}

impl Condition {
    pub(super) fn new(config: &Config, node: &Node, protections: Option<&Protections>, engine: Arc<Engine>) -> Self {
        let mut fixed = Map::new();
        fixed.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        fixed.insert("roles".to_owned(), json!(config.roles.names()));
        fixed.insert("node".to_owned(), json!({"id": node.id.as_str(), "name": config.node_name}));
        if config.roles.is_worker() {
            let labels: Vec<&str> = config.worker_labels.iter().map(keywright_domain::WorkerLabel::as_str).collect();
            fixed.insert("labels".to_owned(), json!(labels));
        }
        if let Some(protections) = protections {
            fixed.insert("protections".to_owned(), json!(protections));
        }
        Self {
            roles: config.roles.clone(),
            database: config.database.kind(),
            data_dir: config.data_dir.clone(),
            fixed,
            engine,
            is_ending: AtomicBool::new(false),
        }
    }

    /// From now on requests should go elsewhere.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    /// What the worker cannot do now.
    fn of_worker(&self, status: &EngineStatus) -> Vec<String> {
        let mut troubles = Vec::new();
        if status.is_fenced {
            troubles.push("the worker has lost its lease and takes no work until the database answers again".to_owned());
        }
        if self.roles.is_worker() && status.is_unfit {
            let failures = status.start_failures;
            troubles
                .push(format!("{failures} attempts in a row could not be started on this machine; its browser may be broken"));
        }
        troubles
    }
}

impl Vitals for Condition {
    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.is_ending.load(Ordering::Acquire) {
            troubles.push("the server is ending".to_owned());
        }
        // Where requests are served, a worker's troubles are no reason to send them elsewhere.
        if !self.roles.is_api() {
            troubles.extend(self.of_worker(&self.engine.status()));
        }
        troubles
    }

    fn database(&self) -> &'static str {
        self.database
    }

    fn report(&self) -> Map<String, Value> {
        let status = self.engine.status();
        let mut report = self.fixed.clone();
        let mut degraded = self.of_worker(&status);
        if self.roles.is_worker() || self.roles.is_scheduler() {
            let worker = json!({
                "id": status.worker.as_ref().map(keywright_domain::WorkerId::as_str),
                "isFenced": status.is_fenced,
                "isScheduler": status.is_scheduler,
                "isDraining": status.is_draining,
                "places": if self.roles.is_worker() { status.places } else { 0 },
                "placesFree": if self.roles.is_worker() { status.places_free } else { 0 },
                "databaseTroubleSince": status.store_trouble_since.map(rfc3339),
            });
            report.insert("worker".to_owned(), worker);
        }
        let free_bytes = rustix::fs::statvfs(&self.data_dir).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if free_bytes.is_some_and(|free| free < MIN_FREE_BYTES) {
            degraded.push("the disk of the data folder is nearly full".to_owned());
        }
        report.insert("disk".to_owned(), json!({"freeBytes": free_bytes}));
        report.insert("degraded".to_owned(), json!(degraded));
        report
    }
}
