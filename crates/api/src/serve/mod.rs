//! The accept loop: HTTP/1.1 over TCP with a limit on everything a stranger can make us hold.
//!
//! Refused are slow heads, large heads, ambiguous heads ([`head`]) and more connections than [`MAX_CONNECTIONS`], which wait
//! in the kernel. A request of which nobody knows whether it was carried out gets no answer, and its connection ends: any
//! status would claim to know. When shutdown is asked for, nothing new is accepted, idle connections end at once, and the loop returns
//! when the last answer has left; the caller decides how long to wait for that. If the process dies, connections break and
//! nothing else does.

mod head;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::head::HeadGuard;
use crate::http::finish::NoAnswer;
use crate::http::peer::Peer;

/// Connections at once, each of which costs a file and a task.
const MAX_CONNECTIONS: usize = 1_024;

/// How long a head may take to arrive, the wait for the next one on an idle connection included.
const MAX_HEAD_TIME: Duration = Duration::from_secs(30);

/// Largest head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Most headers in one head.
const MAX_HEADERS: usize = 100;

/// Pause after a failed accept. It fails when files run out, and asking again at once would not bring any.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets requests that are under way end.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = hold(stream, Peer::new(address.ip()), router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One connection, until it or the server ends.
async fn hold(stream: TcpStream, peer: Peer, router: Router, shutdown: CancellationToken) {
    // Answers are small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(HeadGuard::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// What became of a request is not known.
#[derive(Debug, Error)]
#[error("a request has no answer, because nobody knows whether it was carried out")]
struct OutcomeUnknown;

async fn answer(router: Router, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, OutcomeUnknown> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    // A router is infallible; the pattern says so to the compiler.
    let Ok(response) = router.oneshot(request).await;
    if response.extensions().get::<NoAnswer>().is_some() { Err(OutcomeUnknown) } else { Ok(response) }
}
