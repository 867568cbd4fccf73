//! Names of projects and of the things in them that can be executed.
//!
//! A name of these types can be put into a path: it has no `..`, no absolute part and no control characters.

use thiserror::Error;

/// Why a name is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Too short or too long.
    #[error("must be {min} to {max} characters long")]
    Length {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// Characters that have no place in it; the text completes "the name …".
    #[error("{0}")]
    Pattern(&'static str),
}

/// The name under which a project is deployed and called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(String);

impl ProjectName {
    const MAX: usize = 100;

    /// Reads a project name: letters, digits, `-`, `_` and `.`, starting with a letter or digit.
    ///
    /// # Errors
    /// When it breaks that rule.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(InvalidName::Length { min: 1, max: Self::MAX });
        }
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || !text.chars().all(is_name_char) {
            return Err(InvalidName::Pattern(
                "may hold only letters, digits, '-', '_' and '.', and starts with a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ProjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An API: the path of its file below `api/`, without extension; may be nested.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiName(String);

impl ApiName {
    const MAX: usize = 200;

    /// Reads an API name: segments of letters, digits, `-`, `_` and `.`, joined by `/`.
    ///
    /// # Errors
    /// When it could not be the path of a file below `api/`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(InvalidName::Length { min: 1, max: Self::MAX });
        }
        let segment_ok = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && segment.chars().all(is_name_char);
        if !text.split('/').all(segment_ok) {
            return Err(InvalidName::Pattern("is not the path of a file below api/, without extension"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text form, without the `api/` prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ApiName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing a runner can be told to execute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A file below `api/`.
    Api(ApiName),
    /// `auth-sessions/create`.
    Create,
    /// `auth-sessions/check`.
    Check,
}

impl Entry {
    /// Its path in the project, without extension.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Api(name) => format!("api/{name}"),
            Self::Create => "auth-sessions/create".to_owned(),
            Self::Check => "auth-sessions/check".to_owned(),
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_names_are_paths_below_api() {
        for (text, ok) in [
            ("orders", true),
            ("orders/details", true),
            ("02-wait_strategies", true),
            ("", false),
            ("/abs", false),
            ("a//b", false),
            ("../x", false),
            ("a/../b", false),
            ("a/.hidden", false),
            ("a b", false),
            ("a\\b", false),
        ] {
            assert_eq!(ApiName::parse(text).is_ok(), ok, "{text}");
        }
    }
}
