//! Looks for broken promises in a store and its blobs. Reads, changes nothing, and can look at a live store: what seems to be
//! missing is looked for once more, because it may have been removed, row and all, in between.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use keywright_domain::with_causes;
use keywright_store::{Blobs, Clock as _, NamedBlob, NamedBy, SealedCursor, Store, SystemClock};
use serde::Serialize;

/// Broken rows that are told for each promise.
const MAX_TOLD: u32 = 100;

/// Rows read at once.
const PAGE: u32 = 500;

/// Most blobs whose names are kept in memory, to find those that nobody names; about 100 bytes each.
const MAX_COMPARED: usize = 1_000_000;

/// A blob that no row names is a leftover at this age; a younger one may be about to get its row.
const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);

/// The promise about blobs.
const BLOBS_ARE_THERE: &str = "a blob that a row names is there and opens";

/// The promise about sealed values.
const VALUES_OPEN: &str = "a sealed value opens where it lies";

/// How closely blobs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Whether they are there.
    Presence,
    /// Whether they open.
    Content,
}

/// A promise that does not hold somewhere.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) invariant: String,
    pub(super) row: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Findings {
    pub(super) violations: Vec<Finding>,
    /// Sealed values that open.
    pub(super) sealed_values: u64,
    /// Blobs that rows name and that are there.
    pub(super) blobs: u64,
    /// Blobs that no row names any more or ever did; none of anybody's business but the disk's. Not known when there were too
    /// many to compare.
    pub(super) unnamed_blobs: Option<u64>,
    /// How large those are together.
    pub(super) unnamed_bytes: u64,
    /// Whether a rotation of keys was begun and not finished.
    pub(super) is_rotation_open: bool,
}

impl Findings {
    fn broken(&mut self, invariant: &str, row: String) {
        self.violations.push(Finding { invariant: invariant.to_owned(), row });
    }
}

/// Looks at everything. Blobs whose paths are in `excused` may be missing.
pub(super) async fn examine(
    store: &dyn Store,
    blobs: &Blobs,
    depth: Depth,
    excused: &HashSet<String>,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let audited = store.audit(MAX_TOLD).await.context("the database cannot be audited")?;
    for violation in audited {
        findings.broken(violation.invariant, violation.row);
    }
    sealed_values(store, &mut findings).await.context("the sealed values cannot be read")?;
    let named = named_blobs(store, blobs, depth, excused, &mut findings).await.context("the blobs cannot be looked at")?;
    if let Some(named) = named {
        unnamed_blobs(store, blobs, &named, &mut findings).await.context("the blobs cannot be listed")?;
    }
    Ok(findings)
}

async fn sealed_values(store: &dyn Store, findings: &mut Findings) -> anyhow::Result<()> {
    for keys in store.list_data_keys().await? {
        findings.is_rotation_open |= !keys.is_settled || !keys.is_wrapped_by_current;
        let mut next = Some(SealedCursor::default());
        while let Some(from) = next {
            let batch = store.check_sealed(&keys.workspace, &from, PAGE).await?;
            findings.sealed_values += batch.values;
            batch.damaged.into_iter().for_each(|place| findings.broken(VALUES_OPEN, place));
            next = batch.next;
        }
    }
    Ok(())
}

/// Looks for every blob that is named. Returns their paths, unless they are too many to be kept.
async fn named_blobs(
    store: &dyn Store,
    blobs: &Blobs,
    depth: Depth,
    excused: &HashSet<String>,
    findings: &mut Findings,
) -> anyhow::Result<Option<HashSet<String>>> {
    let mut paths = Some(HashSet::new());
    for by in NamedBy::ALL {
        let mut after = String::new();
        loop {
            let page = store.list_named_blobs(by, &after, PAGE).await?;
            let mut suspects = Vec::new();
            for blob in &page {
                let path = Blobs::path(&blob.workspace, &blob.key);
                match defect(blobs, blob, depth).await? {
                    None => findings.blobs += 1,
                    Some(why) if !excused.contains(&path) => suspects.push((blob.clone(), why)),
                    Some(_) => {}
                }
                if let Some(paths) = paths.as_mut() {
                    paths.insert(path);
                }
            }
            if paths.as_ref().is_some_and(|paths| paths.len() > MAX_COMPARED) {
                paths = None;
            }
            if !suspects.is_empty() {
                let still_named = store.list_named_blobs(by, &after, PAGE).await?;
                for (blob, why) in suspects.into_iter().filter(|(blob, _)| still_named.contains(blob)) {
                    findings.broken(BLOBS_ARE_THERE, format!("{}: {why}", Blobs::path(&blob.workspace, &blob.key)));
                }
            }
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after.clone_from(&last.row),
                Some(_) | None => break,
            }
        }
    }
    Ok(paths)
}

/// What is wrong with a blob. A blob store that does not answer is nothing wrong with the blob.
async fn defect(blobs: &Blobs, blob: &NamedBlob, depth: Depth) -> anyhow::Result<Option<String>> {
    let is_there = match depth {
        Depth::Presence => blobs.exists(&blob.workspace, &blob.key).await?,
        Depth::Content => match blobs.get(&blob.workspace, &blob.key).await {
            Ok(found) => found.is_some(),
            Err(keywright_store::BlobError::Sealed(error)) => return Ok(Some(with_causes(&error))),
            Err(error) => return Err(error.into()),
        },
    };
    Ok((!is_there).then(|| "it is not there".to_owned()))
}

async fn unnamed_blobs(store: &dyn Store, blobs: &Blobs, named: &HashSet<String>, findings: &mut Findings) -> anyhow::Result<()> {
    let garbage = store.list_garbage(PAGE).await?;
    let garbage: HashSet<String> = garbage.iter().map(|blob| Blobs::path(&blob.workspace, &blob.key)).collect();
    let youngest = SystemClock.now().as_micros() - i64::try_from(MIN_LEFTOVER_AGE.as_micros()).unwrap_or(i64::MAX);
    let mut count = 0;
    let mut listed = blobs.list();
    while let Some(object) = listed.try_next().await? {
        if object.modified_at.as_micros() < youngest && !named.contains(&object.path) && !garbage.contains(&object.path) {
            count += 1;
            findings.unnamed_bytes += object.size_bytes;
        }
    }
    findings.unnamed_blobs = Some(count);
    Ok(())
}
