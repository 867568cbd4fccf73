//! Where the rows are: in a file of the data folder, or in PostgreSQL, which several nodes can share.
//!
//! Refuses to split the roles of a server over processes that could not see each other's rows.

use url::Url;

use super::roles::Roles;
use super::secret_text::SecretText;
use super::{InvalidConfig, bad};

/// A database.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseChoice {
    /// One file, one process.
    Sqlite,
    /// A server that any number of nodes share.
    Postgres {
        /// Where work is done; a transaction pooler may stand there.
        url: SecretText,
        /// Where the few things are done that need a session of their own, when the first is a pooler.
        direct_url: Option<SecretText>,
    },
}

impl DatabaseChoice {
    /// Reads the two options.
    ///
    /// # Errors
    /// When one is not an address of PostgreSQL, or the roles need another database. The address is never quoted.
    pub(super) fn parse(url: Option<SecretText>, direct_url: Option<SecretText>, roles: &Roles) -> Result<Self, InvalidConfig> {
        let Some(url) = url else {
            if direct_url.is_some() {
                return Err(bad("database-direct-url", "means nothing without `database-url`"));
            }
            if !roles.is_all() {
                let why = "can only be `all` on SQLite, where one process does everything; \
                           to split them over processes, give `database-url` a PostgreSQL";
                return Err(bad("roles", why));
            }
            return Ok(Self::Sqlite);
        };
        check("database-url", &url)?;
        if let Some(direct_url) = &direct_url {
            check("database-direct-url", direct_url)?;
        }
        Ok(Self::Postgres { url, direct_url })
    }

    /// In one word, for people and probes.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }
}

fn check(option: &'static str, text: &SecretText) -> Result<(), InvalidConfig> {
    let is_address = Url::parse(text.reveal()).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    if is_address { Ok(()) } else { Err(bad(option, "must be a URL that begins with postgres:// and names a database")) }
}
