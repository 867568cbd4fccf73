//! From what a caller wrote to the domain's own types. Each refusal names the member.

use keywright_domain::{Attempts, OutOfRange, ProxySetting, ProxyUrl, Settings, TimeoutSeconds};
use keywright_wire::WholeNumber;

use crate::app::App;
use crate::http::error::ApiError;

/// How often something may be tried; three times when nothing was said.
pub(crate) fn attempts(member: &str, given: Option<WholeNumber>) -> Result<Attempts, ApiError> {
    given.map_or(Ok(Attempts::DEFAULT), |number| Attempts::new(number.get())).map_err(|error| out_of_range(member, &error))
}

/// How long an attempt may take; ten minutes when nothing was said.
pub(crate) fn timeout(member: &str, given: Option<WholeNumber>) -> Result<TimeoutSeconds, ApiError> {
    given
        .map_or(Ok(TimeoutSeconds::DEFAULT), |number| TimeoutSeconds::new(number.get()))
        .map_err(|error| out_of_range(member, &error))
}

/// The same, for the one member that may be over the cap and then means the cap.
pub(crate) fn capped_timeout(member: &str, given: Option<WholeNumber>) -> Result<TimeoutSeconds, ApiError> {
    given
        .map_or(Ok(TimeoutSeconds::DEFAULT), |number| TimeoutSeconds::capped(number.get()))
        .map_err(|error| out_of_range(member, &error))
}

fn out_of_range(member: &str, error: &OutOfRange) -> ApiError {
    ApiError::bad_member(member, error)
}

/// A proxy; `intuned://auto` is the operator's own.
pub(crate) fn proxy(app: &App, member: &str, given: Option<&str>) -> Result<Option<ProxyUrl>, ApiError> {
    match given {
        None => Ok(None),
        Some(ProxyUrl::AUTO) => match &app.parts.default_proxy {
            Some(proxy) => Ok(Some(proxy.clone())),
            None => Err(ApiError::bad_member(member, "is intuned://auto, but this server has no default proxy")),
        },
        Some(text) => ProxyUrl::parse(text).map(Some).map_err(|error| ApiError::bad_member(member, error)),
    }
}

/// Refuses work that would go to the sites directly although its project asks for the operator's proxy and there is none.
pub(crate) fn project_proxy_exists(app: &App, settings: &Settings, asked: Option<&ProxyUrl>) -> Result<(), ApiError> {
    match (&settings.proxy, asked, &app.parts.default_proxy) {
        (Some(ProxySetting::Auto), None, None) => {
            Err(ApiError::bad_request("the project's proxy is intuned://auto, but this server has no default proxy"))
        }
        (Some(ProxySetting::Auto | ProxySetting::Url(_)) | None, _, _) => Ok(()),
    }
}
