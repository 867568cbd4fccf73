//! What a project's archive may hold, and a table of what it may not.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use keywright_runner::{UnpackError, unpack};
use tar::{EntryType, Header};

/// Builds archives that no honest tool would.
struct Tar(Vec<u8>);

impl Tar {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn raw(mut self, kind: EntryType, name: &[u8], mode: u32, content: &[u8], size: u64) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(EntryType::Regular, name.as_bytes(), 0o644, content, content.len() as u64)
    }

    fn folder(self, name: &str) -> Self {
        self.raw(EntryType::Directory, name.as_bytes(), 0o755, b"", 0)
    }

    fn link(mut self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_link_name(target).unwrap();
        header.set_mode(0o777);
        header.set_size(0);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    fn long_name(self, name: &[u8]) -> Self {
        self.raw(EntryType::GNULongName, b"././@LongLink", 0o644, name, name.len() as u64)
    }

    fn extended(self, key: &str, value: &str) -> Self {
        let line = format!(" {key}={value}\n");
        let length = (line.len() + 1..).find(|length| length.to_string().len() + line.len() == *length).unwrap();
        self.raw(EntryType::XHeader, b"x", 0o644, format!("{length}{line}").as_bytes(), length as u64)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        gzip(&self.0)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.strip_prefix(folder).unwrap().display().to_string()) }
        }
    }
    found.sort();
    found
}

#[test]
fn a_project_is_unpacked_readable_for_everybody_and_without_what_is_local() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("d1");
    let long = format!("api/{}/{}.ts", "a".repeat(100), "b".repeat(100));
    let archive = Tar::new()
        .folder("./")
        .file("./Intuned.json", b"{}")
        .raw(EntryType::Regular, b"tools/run.sh", 0o700, b"#!", 2)
        .file("api/orders/details.ts", b"export {}")
        .folder("api/")
        .file("api/caf\u{e9}.ts", b"x")
        .long_name(format!("{long}\0").as_bytes())
        .file("short", b"long")
        .extended("path", "api/extended.ts")
        .file("other", b"extended")
        .file(".env", b"SECRET=1")
        .file("api/.env", b"SECRET=1")
        .file("node_modules/x/index.js", b"x")
        .link(EntryType::Symlink, "node_modules/.bin/x", "../x/index.js")
        .file(".git/config", b"x")
        .file("pkg/.venv/bin/python", b"x")
        .file("auth-sessions-instances/a/auth-session.json", b"{}")
        .file("lib/auth-sessions-instances/kept.ts", b"x")
        .file(".keywright/manifest.json", b"{}")
        .end();
    unpack(&archive, &target).unwrap();
    let mut expected = vec![
        "Intuned.json".to_owned(),
        "api/caf\u{e9}.ts".to_owned(),
        "api/extended.ts".to_owned(),
        "api/orders/details.ts".to_owned(),
        "lib/auth-sessions-instances/kept.ts".to_owned(),
        long,
        "tools/run.sh".to_owned(),
    ];
    expected.sort();
    assert_eq!(files(&target), expected);
    let mode = |name: &str| std::fs::metadata(target.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("api/orders"), mode("Intuned.json"), mode("tools/run.sh")), (0o755, 0o755, 0o644, 0o755));
    assert_eq!(std::fs::read(target.join("api/extended.ts")).unwrap(), b"extended");
}

#[test]
fn nasty_archives_are_refused_with_the_entry_named_and_leave_nothing() {
    let file = |name: &str| Tar::new().file(name, b"x").end();
    let link = |kind, name: &str, target: &str| Tar::new().link(kind, name, target);
    let kind = |kind| Tar::new().raw(kind, b"device", 0o644, b"", 0).end();
    let long = "d/".repeat(150) + "f";
    let whole = Tar::new().file("a", &(0..50_000_u32).flat_map(|at| (at * 7919).to_le_bytes()).collect::<Vec<_>>()).end();
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    let many = (0..10_001).fold(Tar::new(), |tar, at| tar.file(&format!("f{at}"), b"")).end();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("../../etc/x", file("../../etc/x"), "climbs"),
        ("a/../../x", file("a/../../x"), "climbs"),
        ("/abs", file("/abs"), "absolute"),
        ("..\\x", file("..\\x"), "backslash"),
        ("C:\\x", file("C:\\x"), "backslash"),
        ("C:x", file("C:x"), "drive"),
        ("new line", file("a\nb"), "control"),
        ("a NUL in an extended path", Tar::new().extended("path", "a\0b").file("x", b"x").end(), "control"),
        ("a//b", file("a//b"), "empty part"),
        ("a/./b", file("a/./b"), "empty part"),
        ("trailing dot", file("a./b"), "dot or a space"),
        ("trailing space", file("a "), "dot or a space"),
        ("not UTF-8", Tar::new().raw(EntryType::Regular, b"a\xff", 0o644, b"", 0).end(), "UTF-8"),
        ("no name", Tar::new().raw(EntryType::Regular, b"", 0o644, b"", 0).end(), "without a name"),
        ("a climbing long name", Tar::new().long_name(b"../up").file("x", b"x").end(), "climbs"),
        ("a long path", Tar::new().long_name(long.as_bytes()).file("x", b"x").end(), "240"),
        ("an endless long name", Tar::new().long_name(&vec![b'a'; 1 << 20]).file("x", b"x").end(), "16 KiB"),
        ("a symbolic link", link(EntryType::Symlink, "l", "/etc").file("l/x", b"x").end(), "link"),
        ("a hard link", link(EntryType::Link, "l", "/etc/passwd").end(), "link"),
        ("a link in place of a folder", Tar::new().folder("d").link(EntryType::Symlink, "d", "/tmp").end(), "link"),
        ("a character device", kind(EntryType::Char), "neither"),
        ("a block device", kind(EntryType::Block), "neither"),
        ("a pipe", kind(EntryType::Fifo), "neither"),
        ("a sparse file", kind(EntryType::GNUSparse), "neither"),
        ("a sparse file of another kind", Tar::new().extended("GNU.sparse.size", "1099511627776").file("x", b"").end(), "sparse"),
        ("a size in an extended header", Tar::new().extended("size", "1").file("x", b"x").end(), "extended header"),
        ("set-user-id", Tar::new().raw(EntryType::Regular, b"su", 0o4755, b"x", 1).end(), "set-user-id"),
        ("set-group-id", Tar::new().raw(EntryType::Regular, b"su", 0o2755, b"x", 1).end(), "set-user-id"),
        ("twice", Tar::new().file("a", b"1").file("a", b"2").end(), "twice"),
        ("a file below a file", Tar::new().file("a", b"1").file("a/b", b"2").end(), "twice"),
        ("a folder instead of a file", Tar::new().file("a", b"1").folder("a").end(), "twice"),
        ("another case", Tar::new().file("api/Orders.ts", b"").file("api/orders.ts", b"").end(), "case"),
        ("a folder in another case", Tar::new().file("api/a.ts", b"").file("API/b.ts", b"").end(), "case"),
        ("sharp s", Tar::new().file("stra\u{df}e", b"").file("STRASSE", b"").end(), "case"),
        ("another composition", Tar::new().file("caf\u{e9}", b"").file("cafe\u{301}", b"").end(), "case"),
        ("a folder with content", Tar::new().raw(EntryType::Directory, b"d/", 0o755, b"x", 1).end(), "content of its own"),
        ("too many entries", many, "10000 entries"),
        ("a terabyte", Tar::new().raw(EntryType::Regular, b"t", 0o644, b"", 1 << 40).end(), "200 MiB"),
        ("a bomb", Tar::new().file("zeros", &vec![0; 20 << 20]).end(), "hundredfold"),
        ("nothing", Tar::new().end(), "nothing of a project"),
        ("only what is left out", file(".env"), "nothing of a project"),
        ("empty", Vec::new(), "not a whole tar.gz"),
        ("a zip", b"PK\x03\x04 this is another kind of archive".to_vec(), "not a whole tar.gz"),
        ("noise", (0..5_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), "not a whole tar.gz"),
        ("noise in gzip", gzip(&[7; 2_048]), "not a whole tar.gz"),
        ("cut off", whole[..whole.len() / 2].to_vec(), "not a whole tar.gz"),
        ("a wrong sum", flipped, "not a whole tar.gz"),
        ("a second archive behind it", [whole.clone(), whole].concat(), "something else"),
        ("a name without its file", Tar::new().long_name(b"a").end(), "middle"),
        (
            "a file cut off by its size",
            {
                let mut header = Tar::new().raw(EntryType::Regular, b"x", 0o644, b"", 4_096).0;
                header.truncate(512);
                gzip(&header)
            },
            "",
        ),
    ];
    let place = tempfile::tempdir().unwrap();
    for (name, archive, expected) in cases {
        let target = place.path().join("target");
        let error = unpack(&archive, &target).expect_err(name);
        let UnpackError::Refused(problem) = &error else { panic!("{name}: {error:?}") };
        assert!(problem.message.contains(expected), "{name}: {error}");
        assert!(!problem.file.is_empty() && !problem.file.contains('\n'), "{name}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "{name}: something was left");
    }
}

#[test]
fn an_existing_folder_is_never_written_into() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("kept"), "kept").unwrap();
    let error = unpack(&Tar::new().file("a", b"x").end(), &target).unwrap_err();
    assert!(matches!(error, UnpackError::Disk(_)));
    assert_eq!(files(&target), ["kept"]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}
