//! Projects, as requests meet them.

pub(crate) mod list;

use keywright_store::{ActiveDeployment, Project};

use crate::http::error::ApiError;

/// The deployment that new work of the project uses.
pub(crate) fn active(project: &Project) -> Result<&ActiveDeployment, ApiError> {
    project.active.as_ref().ok_or_else(|| {
        ApiError::bad_request("the project has no deployment that is ready; see what its deployments say about their problems")
    })
}
