//! What a process does: serve the API, keep the house in order, execute attempts, or all of it.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::Deserialize;

use super::{InvalidConfig, bad};

/// A role as it is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoleName {
    /// All three
    All,
    /// Answers requests
    Api,
    /// Rescues what lost workers held, ends what waits for ever, throws away what is not kept any longer
    Scheduler,
    /// Executes attempts and builds deployments
    Worker,
}

/// The roles of one process; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<RoleName>);

impl Roles {
    /// The roles that were named; all of them when none was.
    ///
    /// # Errors
    /// When a list was given and is empty.
    pub(super) fn parse(named: Option<Vec<RoleName>>) -> Result<Self, InvalidConfig> {
        let named = named.unwrap_or_else(|| vec![RoleName::All]);
        if named.is_empty() {
            return Err(bad("roles", "names no role; say `all`, or some of api, scheduler and worker"));
        }
        let every = [RoleName::Api, RoleName::Scheduler, RoleName::Worker];
        let expand = |name: RoleName| if name == RoleName::All { every.to_vec() } else { vec![name] };
        Ok(Self(named.into_iter().flat_map(expand).collect()))
    }

    /// Whether it answers requests.
    pub(crate) fn is_api(&self) -> bool {
        self.0.contains(&RoleName::Api)
    }

    /// Whether it sweeps.
    pub(crate) fn is_scheduler(&self) -> bool {
        self.0.contains(&RoleName::Scheduler)
    }

    /// Whether it executes attempts.
    pub(crate) fn is_worker(&self) -> bool {
        self.0.contains(&RoleName::Worker)
    }

    /// Whether it does everything.
    pub(crate) fn is_all(&self) -> bool {
        self.is_api() && self.is_scheduler() && self.is_worker()
    }

    /// Their names, for people and for the first line.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let name = |role: &RoleName| match role {
            RoleName::All => "all",
            RoleName::Api => "api",
            RoleName::Scheduler => "scheduler",
            RoleName::Worker => "worker",
        };
        self.0.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_the_three_together() {
        let all = Roles::parse(None).unwrap();
        assert!(all.is_all());
        assert_eq!(all.names(), ["api", "scheduler", "worker"]);
        let three = vec![RoleName::Worker, RoleName::Scheduler, RoleName::Api, RoleName::Api];
        assert_eq!(Roles::parse(Some(three)).unwrap(), all);
        let two = Roles::parse(Some(vec![RoleName::Scheduler, RoleName::Api])).unwrap();
        assert!(!two.is_all() && !two.is_worker() && two.is_api() && two.is_scheduler());
        assert!(Roles::parse(Some(Vec::new())).is_err());
    }
}
