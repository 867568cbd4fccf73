//! An attempt's order, made from the rows of its run, its deployment and its session.
//!
//! Pure. Refuses to guess: where something that the order needs is missing, there is no order and the attempt fails as our
//! own fault before user code could start.

use keywright_domain::{
    AttemptId, AttemptNumber, AttemptOrder, BrowserChoice, DeploymentId, Entry, ProxySetting, ProxyUrl, RunKind, Secret,
    SessionKind, Settings, Stage,
};
use keywright_store::{Deployment, RunRecord, SessionSecrets};
use serde_json::Value;
use thiserror::Error;

use crate::login::login_input;
use crate::masked::masked_texts;

/// What an operator decided for everything that does not decide for itself.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// Behind `intuned://auto`.
    pub(crate) proxy: Option<ProxyUrl>,
    /// The browser of projects that name none.
    pub(crate) browser: BrowserChoice,
}

/// What cannot be put into an order.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OrderError {
    /// The deployment row is gone or was never built.
    #[error("the deployment of this run is not ready")]
    Deployment,
    /// A run of an API without the API's name.
    #[error("the run names no API")]
    Api,
    /// A stage that belongs to a session, of a run without one.
    #[error("the run has no AuthSession")]
    Session,
    /// Nothing to log in with.
    #[error("there are no parameters to log in with")]
    Input,
    /// No browser state to check or to work with.
    #[error("the AuthSession has no state")]
    State,
    /// Going out without the proxy that was asked for would show the wrong address to the site.
    #[error("the project asks for the operator's default proxy, and the server has none")]
    DefaultProxy,
}

/// What the order of an attempt is made from.
#[derive(Debug)]
pub(crate) struct Material<'a> {
    pub(crate) run: &'a RunRecord,
    pub(crate) deployment: Option<&'a Deployment>,
    pub(crate) secrets: Option<&'a SessionSecrets>,
    pub(crate) defaults: &'a Defaults,
}

impl Material<'_> {
    /// The order of attempt `number`.
    pub(crate) fn order(&self, stage: Stage, number: AttemptNumber) -> Result<AttemptOrder, OrderError> {
        let run = self.run;
        let deployment = self.deployment.ok_or(OrderError::Deployment)?;
        let (built, settings) = deployment.built.as_ref().zip(deployment.settings()).ok_or(OrderError::Deployment)?;
        let proxy = self.proxy(&settings)?;
        Ok(AttemptOrder {
            attempt: AttemptId { run: run.id.clone(), number },
            stage,
            workspace: run.workspace.clone(),
            project: run.project.clone(),
            project_name: run.project_name.clone(),
            deployment: deployment.id.clone(),
            language: built.language,
            session: run.session.clone(),
            entry: self.entry(stage)?,
            parameters: self.parameters(stage)?,
            state: self.state(stage)?,
            auth_parameters: self.auth_parameters(stage),
            masked: self.masked(proxy.as_ref()),
            browser: settings.browser.unwrap_or(self.defaults.browser),
            isolation: settings.isolation,
            viewport: settings.viewport,
            timezone: settings.timezone,
            locale: settings.locale,
            proxy,
            is_trace_wanted: if stage.is_login() { run.is_session_trace_wanted } else { run.is_trace_wanted },
            timeout: if stage.is_login() { run.session_timeout } else { run.timeout },
        })
    }

    fn entry(&self, stage: Stage) -> Result<Entry, OrderError> {
        Ok(match stage {
            Stage::Check | Stage::PostCheck => Entry::Check,
            Stage::Create => Entry::Create,
            Stage::Api => Entry::Api(self.run.api.clone().ok_or(OrderError::Api)?),
        })
    }

    fn parameters(&self, stage: Stage) -> Result<Option<Secret<Value>>, OrderError> {
        Ok(match stage {
            Stage::Check | Stage::PostCheck => None,
            Stage::Create => {
                let secrets = self.secrets.ok_or(OrderError::Session)?;
                Some(login_input(self.run, secrets).ok_or(OrderError::Input)?.clone())
            }
            Stage::Api => self.run.parameters.clone(),
        })
    }

    fn state(&self, stage: Stage) -> Result<Option<Secret<Value>>, OrderError> {
        let of_session = || self.secrets.ok_or(OrderError::Session)?.state.as_ref().ok_or(OrderError::State);
        Ok(match stage {
            // A login starts from nothing, so that what it leaves is all its own.
            Stage::Create => None,
            Stage::Check => Some(of_session()?.clone()),
            Stage::PostCheck => Some(self.run.candidate.as_ref().ok_or(OrderError::State)?.clone()),
            Stage::Api if self.run.plan.needs_session => Some(of_session()?.clone()),
            Stage::Api => None,
        })
    }

    /// What user code is told its session was made from: the new input while a login with it is under way. A RUNTIME input is
    /// told to `create` alone.
    fn auth_parameters(&self, stage: Stage) -> Option<Secret<Value>> {
        let secrets = self.secrets?;
        match (secrets.kind, stage) {
            (SessionKind::Runtime, Stage::Check | Stage::Create | Stage::PostCheck | Stage::Api) => None,
            (SessionKind::Credentials, Stage::Create | Stage::PostCheck) => login_input(self.run, secrets).cloned(),
            (SessionKind::Credentials, Stage::Check | Stage::Api) => secrets.parameters.clone(),
        }
    }

    /// A session's own proxy wins for everything done with it. A create or update is done with the session that it makes, so
    /// there the proxy it brings is the session's own; a create that names none drops the old one, an update keeps it.
    fn proxy(&self, settings: &Settings) -> Result<Option<ProxyUrl>, OrderError> {
        let of_session = self.secrets.and_then(|secrets| secrets.proxy.as_ref());
        let of_run = self.run.proxy.as_ref();
        let chosen = match self.run.plan.kind {
            RunKind::Create => of_run,
            RunKind::Update => of_run.or(of_session),
            RunKind::Api | RunKind::Validate => of_session.or(of_run),
        };
        match (chosen, &settings.proxy) {
            (Some(proxy), _) | (None, Some(ProxySetting::Url(proxy))) => Ok(Some(proxy.clone())),
            (None, Some(ProxySetting::Auto)) => self.defaults.proxy.clone().map(Some).ok_or(OrderError::DefaultProxy),
            (None, None) => Ok(None),
        }
    }

    fn masked(&self, proxy: Option<&ProxyUrl>) -> Secret<Vec<String>> {
        let stored = self.secrets.and_then(|secrets| secrets.parameters.as_ref());
        let state = self.secrets.and_then(|secrets| secrets.state.as_ref());
        let credentials: Vec<&Value> = self.run.session_input.iter().chain(stored).map(Secret::reveal).collect();
        let states: Vec<&Value> = self.run.candidate.iter().chain(state).map(Secret::reveal).collect();
        masked_texts(&credentials, proxy, &states)
    }
}

/// The deployment that a run is bound to.
pub(crate) fn deployment_of(run: &RunRecord) -> Result<&DeploymentId, OrderError> {
    run.deployment.as_ref().ok_or(OrderError::Deployment)
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
