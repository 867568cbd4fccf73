//! Makes a Playwright trace fit to be kept: what carries secrets by its nature is taken out, known secrets are blanked in
//! what remains, and the result is searched once more before anybody may have it.
//!
//! A trace of one login holds the password as a typed value, in the call log, in the DOM snapshots and in the request's
//! body, and the session's cookie in every request. Masking alone misses what it does not know and what it does not
//! recognise, so for logins only what is known to be harmless is kept: actions without what was typed, snapshots without
//! values, requests without bodies, cookies or unusual headers, no pictures, no sources.
//! Refuses, with a reason and without a trace, what is not a trace, what is larger than its limits, and what still holds a
//! secret at the end. The raw file is deleted in every case. If the process dies here the raw file stays in the trace
//! folder, which is swept at the next start; nothing else is written.

mod actions;
mod addresses;
mod learn;
mod lines;
mod network;
mod snapshot;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use keywright_domain::Secret;
use thiserror::Error;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use self::learn::Learned;
use self::lines::{MAX_LINE_BYTES, parse_line};
use crate::Masker;

/// Largest raw trace. A run of an hour with snapshots makes some tens of mebibytes.
const MAX_RAW_BYTES: u64 = 256 * 1024 * 1024;

/// Most bytes that a trace may inflate to; user code can replace the file by one that inflates without end.
const MAX_INFLATED_BYTES: u64 = 1024 * 1024 * 1024;

/// Largest single resource, which is held in memory while it is masked.
const MAX_RESOURCE_BYTES: u64 = 64 * 1024 * 1024;

/// Largest directory of the zip; its entries are held in memory. A hundred bytes an entry makes this some 80,000.
const MAX_DIRECTORY_BYTES: u32 = 8 * 1024 * 1024;

/// The verification reads in windows of this size,
const WINDOW_BYTES: usize = 1024 * 1024;

/// which overlap by more than the longest form of any piece of a secret.
const OVERLAP_BYTES: usize = 16 * 1024;

/// A trace as a runner wrote it: full of secrets, and never to be served.
#[derive(Debug)]
pub struct RawTrace {
    /// The zip file, moved out of the slot's reach.
    pub path: PathBuf,
    /// Whether it shows a login or the check of one.
    pub is_login: bool,
    /// The texts that must not be in the result.
    pub masked: Secret<Vec<String>>,
}

/// Why there is no trace. The run it belongs to is not affected. Completes "the trace was dropped because it …".
#[derive(Debug, Error)]
pub enum TraceDropped {
    /// The runner wrote none, or the disk does not give it back.
    #[error("could not be read")]
    Read(#[source] std::io::Error),
    /// Not a zip file that Playwright would write.
    #[error("is not a trace: {0}")]
    Malformed(String),
    /// Over a limit.
    #[error("is too large: {0}")]
    TooLarge(&'static str),
    /// A known secret survived. The entry is named, the secret is not.
    #[error("still held a secret, in {entry}")]
    SecretLeft {
        /// The entry of the zip.
        entry: String,
    },
}

/// What an entry of a trace is, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// Actions, log lines and snapshots, one JSON object a line.
    Actions,
    /// Requests, one JSON object a line.
    Network,
    /// Which lines of code called what.
    Stacks,
    /// A style sheet or a font, without which a snapshot does not look like the page.
    Style,
    /// Another body, or a picture.
    Resource,
    /// A frame of the screencast.
    Frame,
    /// Source code.
    Source,
}

/// Rewrites a trace and deletes the raw file. Blocking.
///
/// # Errors
/// When there can be no trace; see [`TraceDropped`].
pub fn clean_trace(trace: &RawTrace) -> Result<Bytes, TraceDropped> {
    let _deleted_at_the_end = Deleted(&trace.path);
    let file = open(&trace.path)?;
    let mut raw = ZipArchive::new(BufReader::new(file)).map_err(|error| malformed(&error))?;
    let mut budget = Budget { left_bytes: 2 * MAX_INFLATED_BYTES };

    let mut learned = Learned::new(trace.is_login);
    for_lines(&mut raw, &mut budget, |kind, line| {
        learned.add(kind, &line);
        if learned.is_overfull() { Err(TraceDropped::TooLarge("it holds too many cookies and typed values")) } else { Ok(()) }
    })?;
    let known = trace.masked.reveal();
    let certain = [known.as_slice(), &learned.certain()].concat();
    let verifier = Masker::new(&certain);
    let masker = Masker::new(&[certain, learned.likely()].concat());

    let cleaned = rewrite(&mut raw, &masker, trace.is_login, &mut budget)?;
    verify(&cleaned, &verifier)?;
    Ok(Bytes::from(cleaned))
}

/// Deletes the raw file when the work on it ends, however it ends.
struct Deleted<'a>(&'a Path);

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(error = &error as &dyn std::error::Error, "a raw trace could not be deleted; it holds secrets");
        }
    }
}

/// How much may still be inflated, over both passes.
struct Budget {
    left_bytes: u64,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), TraceDropped> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(TraceDropped::TooLarge("it inflates to more than 1 GiB"))?;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, TraceDropped> {
    let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("the flag is a small number");
    let mut file = File::options().read(true).custom_flags(no_link).open(path).map_err(TraceDropped::Read)?;
    let metadata = file.metadata().map_err(TraceDropped::Read)?;
    if !metadata.is_file() {
        return Err(TraceDropped::Malformed("it is not a regular file".to_owned()));
    }
    if metadata.len() > MAX_RAW_BYTES {
        return Err(TraceDropped::TooLarge("the zip file is over 256 MiB"));
    }
    // The end record says how large the directory is, before anybody reads that into memory.
    let tail_bytes = metadata.len().min(22 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(metadata.len() - tail_bytes)).map_err(TraceDropped::Read)?;
    let mut tail = Vec::new();
    (&file).take(tail_bytes).read_to_end(&mut tail).map_err(TraceDropped::Read)?;
    let end = tail.windows(4).rposition(|window| window == b"PK\x05\x06").and_then(|at| tail.get(at + 12..at + 16));
    let Some(directory_bytes) = end.and_then(|size| size.try_into().ok()).map(u32::from_le_bytes) else {
        return Err(TraceDropped::Malformed("it has no end record".to_owned()));
    };
    if directory_bytes > MAX_DIRECTORY_BYTES {
        return Err(TraceDropped::TooLarge("its directory is over 8 MiB"));
    }
    file.rewind().map_err(TraceDropped::Read)?;
    Ok(file)
}

/// Calls `visit` with every line of the actions and the network entries.
fn for_lines(
    raw: &mut ZipArchive<BufReader<File>>,
    budget: &mut Budget,
    mut visit: impl FnMut(EntryKind, serde_json::Value) -> Result<(), TraceDropped>,
) -> Result<(), TraceDropped> {
    for index in 0..raw.len() {
        let entry = raw.by_index(index).map_err(|error| malformed(&error))?;
        let Some(kind) = kind_of(entry.name()).filter(|kind| matches!(kind, EntryKind::Actions | EntryKind::Network)) else {
            continue;
        };
        each_line(entry, budget, |line| visit(kind, parse_line(line)?))?;
    }
    Ok(())
}

/// Reads an entry line by line, each of bounded length.
fn each_line(
    entry: impl Read,
    budget: &mut Budget,
    mut visit: impl FnMut(&[u8]) -> Result<(), TraceDropped>,
) -> Result<(), TraceDropped> {
    let mut reader = BufReader::with_capacity(64 * 1024, entry);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
        if read == 0 {
            return Ok(());
        }
        budget.take(read)?;
        if line.len() as u64 > MAX_LINE_BYTES {
            return Err(TraceDropped::TooLarge("one of its lines is over 32 MiB"));
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            visit(text)?;
        }
    }
}

fn rewrite(
    raw: &mut ZipArchive<BufReader<File>>,
    masker: &Masker,
    is_login: bool,
    budget: &mut Budget,
) -> Result<Vec<u8>, TraceDropped> {
    let mut written = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o644);
    let full = |error: &dyn std::fmt::Display| TraceDropped::Malformed(error.to_string());
    for index in 0..raw.len() {
        let mut entry = raw.by_index(index).map_err(|error| malformed(&error))?;
        let name = entry.name().to_owned();
        let Some(kind) = kind_of(&name) else { continue };
        let is_kept = match kind {
            EntryKind::Actions | EntryKind::Network | EntryKind::Stacks | EntryKind::Style => true,
            EntryKind::Resource | EntryKind::Frame | EntryKind::Source => !is_login,
        };
        if !is_kept {
            continue;
        }
        written.start_file(&name, options).map_err(|error| full(&error))?;
        match kind {
            EntryKind::Actions | EntryKind::Network => each_line(entry, budget, |line| {
                let mut value = parse_line(line)?;
                let is_kept = match kind == EntryKind::Network {
                    true => network::clean(&mut value, masker, is_login),
                    false => actions::clean(&mut value, masker, is_login),
                };
                if is_kept {
                    serde_json::to_writer(&mut written, &value).map_err(|error| full(&error))?;
                    written.write_all(b"\n").map_err(|error| full(&error))?;
                }
                Ok(())
            })?,
            EntryKind::Stacks | EntryKind::Style | EntryKind::Resource | EntryKind::Frame | EntryKind::Source => {
                let mut body = Vec::new();
                entry.by_ref().take(MAX_RESOURCE_BYTES + 1).read_to_end(&mut body).map_err(|error| unreadable(&error))?;
                budget.take(body.len())?;
                if body.len() as u64 > MAX_RESOURCE_BYTES {
                    return Err(TraceDropped::TooLarge("one of its resources is over 64 MiB"));
                }
                written.write_all(&masker.mask_bytes(&body)).map_err(|error| full(&error))?;
            }
        }
    }
    written.finish().map(Cursor::into_inner).map_err(|error| malformed(&error))
}

/// Searches the finished zip, inflated, and the names in it.
fn verify(cleaned: &[u8], masker: &Masker) -> Result<(), TraceDropped> {
    let mut archive = ZipArchive::new(Cursor::new(cleaned)).map_err(|error| malformed(&error))?;
    let mut window = vec![0; OVERLAP_BYTES + WINDOW_BYTES];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| malformed(&error))?;
        let found_in = |name: &str| TraceDropped::SecretLeft { entry: name.to_owned() };
        if masker.finds(entry.name().as_bytes()) {
            return Err(found_in("the name of an entry"));
        }
        let name = entry.name().to_owned();
        let mut filled = 0;
        loop {
            let read = entry.read(&mut window[filled..]).map_err(|error| unreadable(&error))?;
            filled += read;
            if (read == 0 || filled == window.len()) && masker.finds(&window[..filled]) {
                return Err(found_in(&name));
            }
            if read == 0 {
                break;
            }
            if filled == window.len() {
                window.copy_within(filled - OVERLAP_BYTES.., 0);
                filled = OVERLAP_BYTES;
            }
        }
    }
    Ok(())
}

/// What an entry is; nothing for names that Playwright does not use, which are left out.
fn kind_of(name: &str) -> Option<EntryKind> {
    let is_plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c)) && part != "..";
    match name.split_once('/') {
        None if !is_plain(name) => None,
        None => match name.rsplit_once('.')?.1 {
            "trace" => Some(EntryKind::Actions),
            "network" => Some(EntryKind::Network),
            "stacks" => Some(EntryKind::Stacks),
            _ => None,
        },
        Some((_, inner)) if !is_plain(inner) => None,
        Some(("src", _)) => Some(EntryKind::Source),
        Some(("screencast", _)) => Some(EntryKind::Frame),
        Some(("resources", inner)) => Some(if is_style(inner) { EntryKind::Style } else { EntryKind::Resource }),
        Some(_) => None,
    }
}

/// A resource is named by the hash of its content and its kind; older versions put screencast frames beside them under
/// names of another shape.
fn is_style(name: &str) -> bool {
    let Some((hash, extension)) = name.split_once('.') else { return false };
    hash.len() == 40
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && ["css", "woff", "woff2", "ttf", "otf"].contains(&extension)
}

fn malformed(error: &ZipError) -> TraceDropped {
    TraceDropped::Malformed(error.to_string())
}

fn unreadable(error: &std::io::Error) -> TraceDropped {
    TraceDropped::Malformed(error.to_string())
}
