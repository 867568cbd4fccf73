//! An option whose value must not be printed, also while nobody knows yet whether it makes sense.

use std::convert::Infallible;
use std::str::FromStr;

use keywright_domain::Secret;
use serde::Deserialize;

/// The text of a secret option. Its `Debug` says nothing about it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "String")]
pub(crate) struct SecretText(Secret<String>);

impl SecretText {
    /// The text, to be used and forgotten.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_print() {
        let text = SecretText::from("postgres://u:hunter22@h/d".to_owned());
        assert!(!format!("{text:?}").contains("hunter22"));
        assert_eq!(text.reveal(), "postgres://u:hunter22@h/d");
    }
}
