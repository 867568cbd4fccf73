//! PgBouncer in transaction mode, in front of the tests' server: Debian's package, as a user without privileges, in the
//! server's own folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::postgres_server::unprivileged;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// How long it may take to start on a busy machine.
const MAX_START: Duration = Duration::from_secs(30);

/// Connections to the server: fewer than any pool of ours has, so that transactions of one connection meet different ones.
const SERVER_CONNECTIONS: u32 = 3;

/// A pooler. It ends with this, or with the thread that started it.
pub(crate) struct Pooler {
    folder: PathBuf,
    process: Child,
}

impl Pooler {
    /// Starts a pooler for the server whose socket is in this folder.
    pub(crate) fn start(server: &Path) -> Self {
        assert!(Path::new(PROGRAM).exists(), "PgBouncer is installed: apt-get install pgbouncer");
        let folder = server.to_owned();
        let port = std::process::id() % 20_000 + 20_000;
        let configuration = folder.join(format!("pgbouncer-{port}.ini"));
        let text = format!(
            "[databases]\n* = host={server} port=5432 user=postgres\n[pgbouncer]\npool_mode = transaction\n\
             unix_socket_dir = {server}\nlisten_port = {port}\nauth_type = any\ndefault_pool_size = {SERVER_CONNECTIONS}\n\
             max_client_conn = 200\nlog_connections = 0\nlog_disconnections = 0\n",
            server = server.display(),
        );
        std::fs::write(&configuration, text).unwrap();
        let mut command = unprivileged(Path::new(PROGRAM), Some("KILL"));
        command.arg("-q").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.current_dir(&folder).spawn().unwrap();
        let socket = folder.join(format!(".s.PGSQL.{port}"));
        let deadline = Instant::now() + MAX_START;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "PgBouncer did not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { folder: socket, process }
    }

    /// The address of a database through the pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        let (folder, name) = (self.folder.parent().unwrap(), self.folder.extension().unwrap());
        format!("postgres://postgres@localhost:{}/{database}?host={}", name.to_str().unwrap(), folder.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.folder);
    }
}
