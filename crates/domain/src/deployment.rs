//! A project's uploaded version: what language it is in, whether it can be used, and what is wrong with it.

use serde::{Deserialize, Serialize};

/// The language a project is written in, told by its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// TypeScript or JavaScript, run by Node.
    Node,
    /// Python.
    Python,
}

impl Language {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        match text {
            "node" => Some(Self::Node),
            "python" => Some(Self::Python),
            _ => None,
        }
    }
}

/// Something to tell the author about one place in the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Path in the project.
    pub file: String,
    /// 1-based line, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What is wrong, for a person.
    pub message: String,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// Uploaded; its dependencies are being installed and its code checked.
    Building,
    /// Usable; one ready deployment of a project is the active one.
    Ready,
    /// Refused, with problems.
    Failed,
}

impl DeploymentStatus {
    /// The form on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Building, Self::Ready, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }
}
