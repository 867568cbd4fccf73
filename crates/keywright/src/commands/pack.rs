//! Packs a project's folder into the archive that is uploaded.
//!
//! Leaves out what must not travel: `.env`, version control, installed dependencies, local sessions. Refuses links, which the
//! server would refuse too, and folders far larger than any project. Reads only; if the process dies here, nothing happened.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use keywright_domain::{MAX_PROJECT_BYTES, MAX_PROJECT_ENTRIES};

/// Names that are left out wherever they appear.
const LEFT_OUT: [&str; 10] = [
    ".env",
    ".git",
    ".hg",
    ".keywright",
    ".pytest_cache",
    ".svn",
    ".venv",
    "__pycache__",
    "auth-sessions-instances",
    "node_modules",
];

/// The folder as a gzipped tar archive, the same bytes for the same content.
pub(crate) fn pack(folder: &Path) -> anyhow::Result<Vec<u8>> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut total_bytes = 0;
    for name in &files {
        let unreadable = || format!("cannot read {}", name.display());
        // Looked at before it is read: a disk image that lies in the folder is not to fill the memory first.
        total_bytes += fs::metadata(folder.join(name)).with_context(unreadable)?.len();
        if total_bytes > MAX_PROJECT_BYTES {
            bail!(
                "{} holds more than {MAX_PROJECT_BYTES} bytes; is something in it that does not belong to the project?",
                folder.display()
            );
        }
        let content = fs::read(folder.join(name)).with_context(unreadable)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, content.as_slice()).with_context(|| format!("cannot pack {}", name.display()))?;
    }
    Ok(archive.into_inner()?.finish()?)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let is_left_out = entry.file_name().to_str().is_some_and(|name| LEFT_OUT.contains(&name));
        if is_left_out {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path.strip_prefix(root).expect("it was found below the root").to_owned());
        } else {
            bail!("{} is neither a file nor a folder; links cannot be deployed", path.display());
        }
        if files.len() > MAX_PROJECT_ENTRIES {
            bail!(
                "{} holds more than {MAX_PROJECT_ENTRIES} files; is something in it that does not belong to the project?",
                root.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_must_not_travel_is_left_out_and_the_rest_is_stable() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        for name in [
            "Intuned.json",
            "api/nested/deep.ts",
            ".env",
            "node_modules/x/index.js",
            "api/.env",
            ".git/config",
            ".parameters/api/a.json",
        ] {
            write(name);
        }
        let packed = pack(folder.path()).unwrap();
        assert_eq!(packed, pack(folder.path()).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().to_string_lossy().into_owned();
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                assert_eq!(content, name);
                name
            })
            .collect();
        assert_eq!(names, [".parameters/api/a.json", "Intuned.json", "api/nested/deep.ts"]);
    }

    #[test]
    fn what_is_far_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let image = fs::File::create(folder.path().join("disk.img")).unwrap();
        image.set_len(1 << 40).unwrap();
        assert!(pack(folder.path()).unwrap_err().to_string().contains("holds more than"));
    }

    #[test]
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("x.ts")).unwrap();
        assert!(pack(folder.path()).unwrap_err().to_string().contains("links"));
    }
}
