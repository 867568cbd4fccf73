//! How to reach the server: the addresses, the sizes of the pools, and what every connection asks for at its start.
//!
//! Refuses to show a password. Nothing is asked for that a transaction pooler would not take: no start-up options, and no
//! setting that outlives a transaction.

use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;

use crate::Clock;

/// What the server's own list of connections calls us, unless the address says otherwise.
const APPLICATION_NAME: &str = "keywright";

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The address, `postgres://user:password@host:port/database?sslmode=…`. What it leaves out, the driver takes from the
    /// usual PG* variables.
    pub url: String,
    /// The address past the transaction pooler, when `url` leads to one; migrations and notifications go here. With it, no
    /// statement is prepared by name and everything else that `url` is used for happens inside transactions.
    pub direct_url: Option<String>,
    /// Connections for requests of the API.
    pub api_connections: u32,
    /// Connections for what moves by itself.
    pub engine_connections: u32,
    /// Connections for heartbeats, which nobody else may use up.
    pub heart_connections: u32,
    /// Tells the time instead of the server, for tests with virtual time.
    pub clock: Option<Arc<dyn Clock>>,
}

impl PostgresOptions {
    /// Options with pools of the usual sizes.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), direct_url: None, api_connections: 10, engine_connections: 6, heart_connections: 2, clock: None }
    }

    /// How the driver is to connect for work.
    pub(super) fn pooled(&self) -> Result<PgConnectOptions, sqlx::Error> {
        parse(&self.url)
    }

    /// How the driver is to connect for what needs a session of its own.
    pub(super) fn direct(&self) -> Result<PgConnectOptions, sqlx::Error> {
        parse(self.direct_url.as_deref().unwrap_or(&self.url))
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &shown(&self.url))
            .field("direct_url", &self.direct_url.as_deref().map(shown))
            .field("api_connections", &self.api_connections)
            .field("engine_connections", &self.engine_connections)
            .field("heart_connections", &self.heart_connections)
            .field("clock", &self.clock)
            .finish()
    }
}

/// An address without its password.
pub(super) fn shown(url: &str) -> String {
    match PgConnectOptions::from_str(url) {
        Ok(options) => format!(
            "{}@{}:{}/{}",
            options.get_username(),
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string()),
            options.get_port(),
            options.get_database().unwrap_or_default(),
        ),
        Err(_) => "an address that cannot be read".to_owned(),
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.extra_float_digits(None);
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(APPLICATION_NAME),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let mut options = PostgresOptions::new("postgres://ada:canary-1@db.example.test:6432/shop?sslmode=require");
        options.direct_url = Some("postgres://ada:canary-2@db.example.test/shop".to_owned());
        let shown = format!("{options:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("ada@db.example.test:6432/shop"), "{shown}");
        options.url = "postgres//ada:canary-3@db.example.test".to_owned();
        assert!(!format!("{options:?}").contains("canary"));
    }
}
