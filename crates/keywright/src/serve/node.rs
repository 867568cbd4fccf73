//! The data folder as a node: private, used by one process at a time, with an identity that outlives the processes.
//!
//! The identity is made once and written beside and renamed, so a crash never leaves half of one. The lock is the system's:
//! it ends with the process, however that ends. Whoever holds it knows that every earlier life of the node is over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keywright_domain::NodeId;
use keywright_store::Entropy;

use crate::config::{NODE_FILE, NODE_LOCK_FILE};

/// How often a lock that another has is asked for. A process that was killed while it started a child leaves the lock with
/// that child until it has become the program it is to be, some milliseconds later.
const MAX_LOCK_TRIES: u32 = 40;

/// The pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A data folder that is this process's alone, until this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    _lock: File,
}

impl Node {
    /// Makes the folder private, takes its lock, and reads its identity or makes one.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub(crate) fn take(folder: &Path, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        let unusable = || format!("the data folder {} cannot be used", folder.display());
        make_private(folder).with_context(unusable)?;
        let lock = lock(folder)?;
        let id = identity(folder, entropy).with_context(unusable)?;
        Ok(Self { id, _lock: lock })
    }
}

/// Nobody else on the machine may look into the folder, and a power cut may not take it away with all that is in it: its
/// name, and the names of the folders that had to be made above it, are on the disk before anything is put into it.
fn make_private(folder: &Path) -> io::Result<()> {
    let made: Vec<&Path> = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for path in made {
        File::open(path)?.sync_all()?;
        let above = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(NODE_LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
    for _ in 0..MAX_LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("{} cannot be locked", path.display())),
        }
    }
    bail!("another process uses the data folder {}", folder.display())
}

fn identity(folder: &Path, entropy: &dyn Entropy) -> io::Result<NodeId> {
    let path = folder.join(NODE_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => NodeId::parse(text.trim()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = NodeId::from_entropy(entropy.bytes());
            let new = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "{id}")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_store::SystemEntropy;

    #[test]
    fn a_folder_is_one_node_and_one_processs() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        let node = Node::take(&data, &SystemEntropy).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = Node::take(&data, &SystemEntropy).unwrap_err().to_string();
        assert!(refused.contains("another process uses the data folder"), "{refused}");
        let id = node.id.clone();
        drop(node);
        assert_eq!(Node::take(&data, &SystemEntropy).unwrap().id, id);
    }

    #[test]
    fn an_identity_that_is_none_is_refused_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NODE_FILE), "half").unwrap();
        assert!(Node::take(folder.path(), &SystemEntropy).is_err());
        assert_eq!(fs::read_to_string(folder.path().join(NODE_FILE)).unwrap(), "half");
    }
}
