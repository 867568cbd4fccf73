//! The one answer that is never sent.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Blobs, FileLinks, MasterKey, StoreError, SystemClock, SystemEntropy, Vault};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::finish;
use crate::{AppState, Vitals};

#[derive(Debug)]
struct Well;

impl Vitals for Well {
    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }

    fn database(&self) -> &'static str {
        "sqlite"
    }

    fn report(&self) -> Map<String, Value> {
        Map::new()
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test is the server's only owner and waits for it")]
async fn a_commit_of_which_nobody_knows_is_answered_by_a_cut_connection() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(MasterKey::from_bytes([3; 32]), Arc::new(SystemEntropy));
    let path = folder.path().join("keywright.db");
    let app = App::new(AppState {
        store: Arc::new(SqliteStore::open(&path, vault.clone(), Arc::new(SystemClock)).await.unwrap()),
        blobs: Blobs::in_memory(vault),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        links: FileLinks::new("http://127.0.0.1:1".to_owned(), [5; 32]),
        default_proxy: None,
        vitals: Arc::new(Well),
    });
    let unknown = || async { ApiError::from(StoreError::Unknown("the connection was cut in COMMIT".into())) };
    let refused = || async { ApiError::from(StoreError::Unavailable("full".into())) };
    let router = Router::new()
        .route("/unknown", get(unknown))
        .route("/refused", get(refused))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), finish::finish));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, router, shutdown.clone()));

    for (path, beginning) in [("/refused", "HTTP/1.1 503"), ("/unknown", "")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let close = if path == "/refused" { "connection: close\r\n" } else { "" };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n{close}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        // The end of the stream comes by itself: the server closes.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(beginning) && answer.is_empty() == beginning.is_empty(), "{path}: {answer}");
    }
    shutdown.cancel();
    served.await.unwrap();
}
