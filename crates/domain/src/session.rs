//! A stored login: how it is named, what kinds there are, and the status the world is shown.

use crate::InvalidName;

/// Shortest and longest accepted id, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=200;

/// The caller's own name for an AuthSession.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthSessionId(String);

impl AuthSessionId {
    /// Reads a name for a new session: 3 to 200 of letters, digits, `-`, `_`, `(`, `)` and `,`.
    ///
    /// # Errors
    /// When the name breaks the published pattern.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if !LENGTHS.contains(&text.chars().count()) {
            return Err(InvalidName::Length { min: *LENGTHS.start(), max: *LENGTHS.end() });
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-(),_".contains(c)) {
            return Err(InvalidName::Pattern("may hold only letters, digits, '-', '_', '(', ')' and ','"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A made-up name for a caller who gave none.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 12]) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345679";
        let tail: String = entropy.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect();
        Self(format!("auth-session-{tail}"))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AuthSessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a session's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Made by `auth-sessions/create` from stored parameters; can be logged in again by us.
    Credentials,
    /// Made from input that a run brought along; the input is not kept.
    Runtime,
}

impl SessionKind {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Runtime => "runtime",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        match text {
            "credentials" => Some(Self::Credentials),
            "runtime" => Some(Self::Runtime),
            _ => None,
        }
    }
}

/// What the last finished work said of a session. While a login is under way the world is shown
/// [`SessionStatus::Pending`] instead; that is derived from the runs, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// Being created, updated or created again. Stored only for a session whose first login has not ended.
    Pending,
    /// Its state passed a check.
    Ready,
    /// It has no state that holds; an update or a recreate can heal it.
    Expired,
}

impl SessionStatus {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Expired => "expired",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        match text {
            "pending" => Some(Self::Pending),
            "ready" => Some(Self::Ready),
            "expired" => Some(Self::Expired),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_pattern_is_kept() {
        for (text, ok) in
            [("auth-session-123", true), ("a(b),c_d", true), ("ab", false), ("a b c", false), ("a/b/c", false), ("äöü", false)]
        {
            assert_eq!(AuthSessionId::parse(text).is_ok(), ok, "{text}");
        }
    }
}
