//! `requires-python`: which interpreters a project allows (PEP 440 specifiers, as far as they are about releases). Pure.

use std::cmp::Ordering;

/// A version of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) [u32; 3]);

impl Version {
    /// Reads `3.11.2`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (parts, count) = release(text)?;
        (count >= 2).then_some(Self(parts))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0[0], self.0[1], self.0[2])
    }
}

/// What a project allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement(Vec<Clause>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clause {
    operator: Operator,
    parts: [u32; 3],
    /// How many of them were written.
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal { is_prefix: bool },
    Unequal { is_prefix: bool },
    Compatible,
}

impl Requirement {
    /// Reads `>=3.12,<3.13`; nothing when it is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|clause| !clause.is_empty())
            .map(Clause::parse)
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// Whether a version is allowed.
    pub(super) fn allows(&self, version: Version) -> bool {
        self.0.iter().all(|clause| clause.allows(version))
    }

    /// The version that the requirement is about: what the nearest one is near to.
    pub(super) fn anchor(&self) -> Version {
        let is_lower =
            |clause: &&Clause| !matches!(clause.operator, Operator::AtMost | Operator::Below | Operator::Unequal { .. });
        let clause = self.0.iter().find(is_lower).or_else(|| self.0.first());
        Version(clause.map_or([3, 0, 0], |clause| clause.parts))
    }
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let (operator, rest) = ["===", ">=", "<=", "==", "!=", "~=", ">", "<"]
            .into_iter()
            .find_map(|operator| text.strip_prefix(operator).map(|rest| (operator, rest.trim())))?;
        let (rest, is_prefix) = match rest.strip_suffix(".*") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (parts, count) = release(rest)?;
        let operator = match (operator, is_prefix) {
            ("==", _) => Operator::Equal { is_prefix },
            ("!=", _) => Operator::Unequal { is_prefix },
            ("===", false) => Operator::Equal { is_prefix },
            (">=", false) => Operator::AtLeast,
            ("<=", false) => Operator::AtMost,
            (">", false) => Operator::Above,
            ("<", false) => Operator::Below,
            ("~=", false) if count >= 2 => Operator::Compatible,
            _ => return None,
        };
        Some(Self { operator, parts, count })
    }

    fn allows(self, Version(version): Version) -> bool {
        let has_prefix = |count: usize| version[..count.min(3)] == self.parts[..count.min(3)];
        let order = version.cmp(&self.parts);
        match self.operator {
            Operator::AtLeast => order != Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Above => order == Ordering::Greater,
            Operator::Below => order == Ordering::Less,
            Operator::Equal { is_prefix: true } => has_prefix(self.count),
            Operator::Equal { is_prefix: false } => order == Ordering::Equal,
            Operator::Unequal { is_prefix: true } => !has_prefix(self.count),
            Operator::Unequal { is_prefix: false } => order != Ordering::Equal,
            Operator::Compatible => order != Ordering::Less && has_prefix(self.count - 1),
        }
    }
}

/// Up to three numbers joined by dots; a pre-release and the like after them is left aside.
fn release(text: &str) -> Option<([u32; 3], usize)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts = [0; 3];
    let mut count = 0;
    for number in text[..end].trim_end_matches('.').split('.') {
        if count < 3 {
            parts[count] = number.parse().ok()?;
            count += 1;
        }
    }
    Some((parts, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_mean_what_pep_440_says() {
        for (requirement, version, is_allowed) in [
            (">=3.12,<3.13", "3.12.1", true),
            (">=3.12,<3.13", "3.13.0", false),
            (">=3.10", "3.11.2", true),
            ("==3.12.*", "3.12.9", true),
            ("==3.12.*", "3.13.0", false),
            ("~=3.11", "3.13.0", true),
            ("~=3.11.2", "3.11.9", true),
            ("~=3.11.2", "3.12.0", false),
            ("!=3.11.*", "3.11.2", false),
            (">3.11", "3.11.0", false),
            ("<=3.11", "3.11.1", false),
            ("", "3.11.1", true),
            ("==3.12", "3.12.1", false),
            (" >= 3.10 , != 3.11.2 ", "3.11.2", false),
        ] {
            let allowed = Requirement::parse(requirement).unwrap().allows(Version::parse(version).unwrap());
            assert_eq!(allowed, is_allowed, "{requirement} {version}");
        }
        for nonsense in ["3.12", ">=x", ">=3.*", "~=3", "^3.12"] {
            assert_eq!(Requirement::parse(nonsense), None, "{nonsense}");
        }
        assert_eq!(Requirement::parse("<3.13,>=3.12").unwrap().anchor(), Version([3, 12, 0]));
    }
}
