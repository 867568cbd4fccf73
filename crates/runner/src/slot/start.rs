//! The message that starts an attempt, made from its order.

use std::path::Path;

use keywright_domain::{AttemptOrder, Secret, Stage, Viewport};

use crate::ending::MAX_RESULT_BYTES;
use crate::protocol::{ProxySpec, RunContext, Size, Start, ToRunner, TraceSpec};

/// `start`, with the trace's path when one is wanted.
pub(super) fn start_message<'a>(
    order: &'a AttemptOrder,
    attempt_id: &'a str,
    trace: Option<&'a Path>,
    ignore_https_errors: bool,
) -> ToRunner<'a> {
    let Viewport { width, height } = order.viewport;
    let function = order.entry.path();
    let proxy = order.proxy.as_ref().map(|proxy| {
        let (username, password) = proxy.credentials().unzip();
        ProxySpec { server: proxy.server(), username, password: password.map(Secret::into_inner) }
    });
    ToRunner::Start(Box::new(Start {
        attempt_id,
        function: function.clone(),
        parameters: order.parameters.as_ref().map(Secret::reveal),
        timeout_ms: u64::from(order.timeout.get()) * 1_000,
        session: order.state.as_ref().map(Secret::reveal),
        capture_session: match order.stage {
            Stage::Create => true,
            Stage::Check | Stage::PostCheck | Stage::Api => false,
        },
        viewport: Size { width, height },
        timezone: order.timezone.as_deref(),
        locale: order.locale.as_deref(),
        ignore_https_errors,
        proxy,
        trace: trace.map(|path| TraceSpec { path, screenshots: true, snapshots: true, sources: true }),
        context: RunContext {
            run_id: order.attempt.run.as_str(),
            auth_session_id: order.session.as_ref().map(|session| session.id.as_str()),
            attempt_number: order.attempt.number.get(),
            api_name: function,
            workspace_id: order.workspace.as_str(),
            project_name: order.project_name.as_str(),
        },
        auth_parameters: order.auth_parameters.as_ref().map(Secret::reveal),
        max_result_bytes: MAX_RESULT_BYTES,
    }))
}
