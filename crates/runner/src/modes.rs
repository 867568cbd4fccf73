//! Makes a tree of files what runners may use: owned by the server, readable for everybody, writable for its owner only.
//!
//! Follows no links. Drops set-user-id bits and whatever else installers leave.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Takes a tree into the server's possession and sets its modes, then waits until its content is on the disk.
pub(crate) fn readable_for_everybody(folder: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    take(folder, own)?;
    rustix::fs::syncfs(std::fs::File::open(folder)?)?;
    Ok(())
}

fn take(path: &Path, own: u32) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    // First its owner, then its mode: until then the user of an installer could change it back.
    std::os::unix::fs::lchown(path, Some(own), None)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = if metadata.is_dir() || metadata.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            take(&entry?.path(), own)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_becomes_readable_and_links_are_not_followed() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("private");
        std::fs::create_dir(&private).unwrap();
        std::fs::write(private.join("data"), "x").unwrap();
        std::fs::write(private.join("program"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), private.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", private.join("dangling")).unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(&private.join("data"), 0o600);
        set(&private.join("program"), 0o4700);
        set(&private, 0o700);
        set(outside.path(), 0o600);
        readable_for_everybody(folder.path()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&private), mode(&private.join("data")), mode(&private.join("program"))), (0o755, 0o644, 0o755));
        assert_eq!(mode(outside.path()), 0o600);
    }
}
