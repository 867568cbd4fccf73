//! Ends a server whose SQLite file cannot be written any more for a reason that waiting does not cure: a file system that was
//! remounted read-only, a disk that answers with errors.
//!
//! For a while it waits all the same, answers 503 and acknowledges nothing; a disk that comes back is used again. A full disk
//! is waited for as long as it takes, because whoever frees room does not want to restart servers too.

use std::path::Path;
use std::time::Duration;

use keywright_domain::with_causes;
use keywright_store::{Clock, Store};

/// How long the trouble may last.
const MAX_TROUBLE: Duration = Duration::from_secs(60);

/// How often the database is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// With less room than this the disk is full, whatever error it answers with.
const FULL_BYTES: u64 = 4 * 1024 * 1024;

/// Returns when the database's disk has been broken for too long, with the last error in words.
pub(super) async fn lasting(store: &dyn Store, clock: &dyn Clock, folder: &Path) -> String {
    let mut broken_since = None;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        match store.ping().await {
            Err(error) if error.is_disk_failure() && !is_full(folder) => {
                let now = clock.uptime();
                let since = *broken_since.get_or_insert(now);
                if now.saturating_sub(since) >= MAX_TROUBLE {
                    return with_causes(&error);
                }
                tracing::error!(cause = with_causes(&error), "the database's file cannot be written; waiting a little");
            }
            Ok(_) | Err(_) => broken_since = None,
        }
    }
}

fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BYTES)
}
