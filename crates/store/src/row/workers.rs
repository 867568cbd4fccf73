//! A row of `workers`, and labels as they are stored: a JSON list, in order.

use keywright_domain::{NodeId, WorkerId, WorkerLabel, WorkerLabels};

use super::{Columns, Fields};
use crate::forms::to_json;
use crate::halt::Halt;
use crate::{WorkerRecord, WorkerStatus};

/// Reads a worker. How many runs it holds is in a column `held_runs`.
pub(crate) fn read_worker(row: &dyn Columns) -> Result<WorkerRecord, Halt> {
    let fields = Fields::new(row, "workers", "id")?;
    Ok(WorkerRecord {
        id: fields.parse("id", WorkerId::parse)?,
        node: fields.parse("node", NodeId::parse)?,
        host: fields.text("host")?,
        labels: fields.parse("labels", read_labels)?,
        capacity: fields.count("capacity")?,
        version: fields.text("version")?,
        status: fields.one_of("status", WorkerStatus::from_stored)?,
        started_at: fields.timestamp("started_at")?,
        lease_until: fields.timestamp("lease_until")?,
        runs: fields.count("held_runs")?,
    })
}

/// The stored form of labels.
pub(crate) fn labels_json(labels: &WorkerLabels) -> String {
    to_json(&labels.iter().map(WorkerLabel::as_str).collect::<Vec<_>>())
}

/// Reads stored labels.
fn read_labels(json: &str) -> Result<WorkerLabels, String> {
    let texts: Vec<String> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    texts.iter().map(|text| WorkerLabel::parse(text).map_err(|error| error.to_string())).collect()
}
