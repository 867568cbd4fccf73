//! The file under the database: ours alone, private, on a disk of this machine, and not damaged.
//!
//! Refuses what SQLite would go along with and lose data by: a second server, a file system whose locks and flushes are
//! another machine's, and pages that contradict each other. A damaged file is left exactly as it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteError;

use super::halt::is_damage;
use super::open::OpenError;

/// Largest database that is read through before it is used: a second or two. Larger ones are read by `keywright verify`.
const MAX_CHECKED_BYTES: u64 = 256 * 1024 * 1024;

/// Takes the lock file beside the database. The system gives it back when the process dies, however it dies.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = beside(path, ".lock");
    let failed = |source| OpenError::File { path: lock_path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes the file readable by us alone before there is anything in it; SQLite gives its companions the same mode.
pub(super) fn make_private(path: &Path) -> Result<(), OpenError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    opened.map(drop).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

/// Refuses a file system that is known to lie on another machine. One that the kernel only knows as FUSE may be local and is
/// let through; the lock is then as good as whatever serves it.
pub(super) fn refuse_network_file_system(path: &Path) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = rustix::fs::statfs(folder);
    let found = found.map_err(|error| OpenError::File { path: folder.to_owned(), source: error.into() })?;
    match network_file_system(i128::from(found.f_type)) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The name of a file system of another machine, by the number that the kernel gives it.
fn network_file_system(magic: i128) -> Option<&'static str> {
    // The kernel's numbers have 32 bits, and some machines extend their sign.
    Some(match magic & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0102_1997 => "9P",
        _ => return None,
    })
}

/// Reads the whole file, unless it is large, and refuses it when its pages contradict each other: what is built on damage
/// makes it worse.
pub(super) async fn refuse_damage(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let length = std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?.len();
    if length > MAX_CHECKED_BYTES {
        tracing::info!(length, "the database is too large to be checked at every start; `keywright verify` checks it");
        return Ok(());
    }
    let found: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await;
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(what) => Err(OpenError::Damaged { path: path.to_owned(), what }),
        Err(error) => Err(not_opened(path, error)),
    }
}

/// The error for a database that cannot be opened.
pub(super) fn not_opened(path: &Path, source: sqlx::Error) -> OpenError {
    let damage = source.as_database_error().and_then(|error| error.try_downcast_ref::<SqliteError>());
    match damage.filter(|error| is_damage(error)) {
        Some(error) => OpenError::Damaged { path: path.to_owned(), what: error.to_string() },
        None => OpenError::Database { path: path.to_owned(), source },
    }
}

/// A file beside the database, named after it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, Connection as _};

    use super::*;
    use crate::sqlite::open::options;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        for (magic, kind) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (i128::from(0xff53_4d42_u32.cast_signed()), "CIFS")] {
            assert_eq!(network_file_system(magic), Some(kind));
        }
        for (magic, name) in [(0xef53, "ext4"), (0x0102_1994, "tmpfs"), (0x794c_7630, "overlay"), (0x6573_5546, "FUSE")] {
            assert_eq!(network_file_system(magic), None, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        refuse_network_file_system(&folder.path().join("keywright.db")).unwrap();
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keywright.db");
        let mut connection = options(&path).create_if_missing(true).connect().await.unwrap();
        for statement in [
            "CREATE TABLE numbers (number INTEGER PRIMARY KEY, ballast TEXT) STRICT",
            "CREATE INDEX numbers_by_ballast ON numbers (ballast)",
            "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 2000)
             INSERT INTO numbers SELECT n, hex(randomblob(50)) FROM n",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        refuse_damage(&mut connection, &path).await.unwrap();
        connection.close().await.unwrap();

        let mut torn = std::fs::read(&path).unwrap();
        torn[8 * 4096..8 * 4096 + 512].fill(0x5a);
        for broken in [torn, vec![0x5a; 8192]] {
            std::fs::write(&path, &broken).unwrap();
            let refused = match options(&path).connect().await {
                Ok(mut connection) => refuse_damage(&mut connection, &path).await.unwrap_err(),
                Err(error) => not_opened(&path, error),
            };
            assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
            assert!(std::fs::read(&path).unwrap() == broken);
        }
    }
}
