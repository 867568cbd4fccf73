//! Typed identifiers. A project id cannot be handed where a run id is wanted.
//!
//! Refuses to make randomness: a new id is built from entropy that the caller brings. Ids that come from outside are
//! parsed once; anything that could not have been made by us is refused, which the API answers as 404.

use thiserror::Error;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    /// The kind that was wanted, in words.
    pub kind: &'static str,
}

/// 64 URL-safe characters: six bits of entropy each, without bias.
const ALPHABET: &[u8; 64] = b"_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn nanoid(entropy: &[u8]) -> String {
    entropy.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

fn is_nanoid(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! nanoid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A new id from fresh entropy, a byte for each of its characters.
            #[must_use]
            pub fn from_entropy(entropy: [u8; $length]) -> Self {
                Self(nanoid(&entropy))
            }

            /// Reads an id that came from outside.
            ///
            /// # Errors
            /// When no id of this kind has this form.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if is_nanoid(text, $length) { Ok(Self(text.to_owned())) } else { Err(InvalidId { kind: $kind }) }
            }

            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

nanoid_id! {
    /// One requested execution; 21 characters on the wire, as the clients expect.
    RunId, "run", 21
}
nanoid_id! {
    /// An asynchronous create, update or validate of an AuthSession.
    OperationId, "operation", 21
}
nanoid_id! {
    /// An uploaded, immutable version of a project.
    DeploymentId, "deployment", 21
}
nanoid_id! {
    /// A project, whatever its name.
    ProjectId, "project", 21
}
nanoid_id! {
    /// The inner identity of an AuthSession: a session that is deleted and made again under its old name is another one.
    SessionKey, "session", 21
}
nanoid_id! {
    /// An API key's public identity; never the key itself.
    KeyId, "key", 21
}
nanoid_id! {
    /// A file that user code stored.
    FileId, "file", 21
}
nanoid_id! {
    /// One life of one worker process.
    WorkerId, "worker", 21
}
nanoid_id! {
    /// A data folder: what outlives the lives of the processes that use it one after the other.
    NodeId, "node", 21
}

/// The tenant boundary; a UUID on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// A new id from 16 bytes of entropy, as a version 4 UUID.
    #[must_use]
    pub fn from_entropy(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
    }

    /// Reads a UUID in its hyphenated form, either case.
    ///
    /// # Errors
    /// When the text is not a UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let shaped = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if shaped { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidId { kind: "workspace" }) }
    }

    /// The text form, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One attempt: its run and its number in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The run it belongs to.
    pub run: RunId,
    /// 1-based, without gaps.
    pub number: crate::AttemptNumber,
}

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.run, self.number.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let id = RunId::from_entropy([7; 21]);
        assert_eq!(RunId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn foreign_texts_are_refused() {
        for text in ["", "short", "x'; drop table runs;--", "äääääääääää", "..................../"] {
            assert!(RunId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn workspace_ids_are_version_4_uuids() {
        let id = WorkspaceId::from_entropy([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(WorkspaceId::parse("FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF"), Ok(id));
    }
}
