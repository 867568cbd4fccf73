//! A wire to the server that can be cut at the one moment that matters: when a COMMIT passes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A COMMIT as the protocol's simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// When the next COMMIT is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of it.
    BeforeTheServer,
    /// The server has done it; nobody hears of that.
    AfterTheServer,
}

/// The wire. It ends with this.
pub(crate) struct Wire {
    port: u16,
    state: Arc<State>,
    _carrying: AbortOnDropHandle<()>,
}

struct State {
    socket: PathBuf,
    armed: Mutex<Option<Cut>>,
    /// Whether new connections are let through.
    is_open: watch::Sender<bool>,
    cuts: watch::Sender<u32>,
}

impl Wire {
    /// A wire to the server whose socket is in this folder.
    pub(crate) async fn to(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            socket: folder.join(".s.PGSQL.5432"),
            armed: Mutex::new(None),
            is_open: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
        });
        let carrying = carry_all(listener, Arc::clone(&state));
        #[expect(clippy::disallowed_methods, reason = "it ends with the wire")]
        let carrying = AbortOnDropHandle::new(tokio::spawn(carrying));
        Self { port, state, _carrying: carrying }
    }

    /// The address of a database through this wire.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Loses the next COMMIT, and lets no new connection through when `is_closed`.
    pub(crate) fn cut_at_commit(&self, cut: Cut, is_closed: bool) {
        self.state.is_open.send_replace(!is_closed);
        *self.state.armed.lock().unwrap() = Some(cut);
    }

    /// Lets connections through again.
    pub(crate) fn open(&self) {
        self.state.is_open.send_replace(true);
    }

    /// Waits until a COMMIT was lost.
    pub(crate) async fn was_cut(&self) {
        self.state.cuts.subscribe().wait_for(|cuts| *cuts > 0).await.unwrap();
    }
}

async fn carry_all(listener: TcpListener, state: Arc<State>) {
    let mut carried = tokio::task::JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        carried.spawn(carry(client, Arc::clone(&state)));
    }
}

/// Carries one connection until either end hangs up, or it is cut.
async fn carry(mut client: TcpStream, state: Arc<State>) {
    if state.is_open.subscribe().wait_for(|is_open| *is_open).await.is_err() {
        return;
    }
    let Ok(mut server) = UnixStream::connect(&state.socket).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &from_client[..length];
                // Whoever commits waits for the answers to everything before, so the message comes alone.
                let cut = if bytes == COMMIT { state.armed.lock().unwrap().take() } else { None };
                if cut != Some(Cut::BeforeTheServer) && server.write_all(bytes).await.is_err() {
                    return;
                }
                if cut == Some(Cut::AfterTheServer) {
                    // The answer comes once it is done.
                    let _ = server.read(&mut from_server).await;
                }
                if cut.is_some() {
                    state.cuts.send_modify(|cuts| *cuts += 1);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
