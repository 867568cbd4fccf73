//! PostgreSQL for the tests: Debian's package, started as a user without privileges in a temporary folder, reached through a
//! socket in that folder, and gone again afterwards with all that was its.
//!
//! It does not wait for the disk: no test here cuts the power, and what it has answered survives a crash of the server alone.
//!
//! A [`Server`] of one's own ends with whoever started it. The server that most tests share ([`shared`]) outlives the test
//! that happened to be first, because each test may be a process of its own: it is kept by a process that does nothing else
//! ([`keep`]), which watches a lock that every user of the server holds, and ends the server once nobody has held it for a
//! while. Locks go with their processes, however those end; and the server is killed by the kernel should its keeper be.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// Where Debian keeps its versions.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Who runs the server when the tests run as root, whom PostgreSQL refuses.
const UNPRIVILEGED: &str = "nobody";

/// How long a server may take to start on a busy machine.
const MAX_START: Duration = Duration::from_secs(60);

/// How often the keeper looks for users, and how often it must find none in a row before it ends the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const MAX_IDLE_LOOKS: u32 = 8;

/// Tells the keeper its folder.
const KEEPER_VARIABLE: &str = "KEYWRIGHT_TEST_POSTGRES";

/// A server in a folder of its own.
pub(crate) struct Server {
    folder: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// Makes and starts a server. It ends with the thread that calls this.
    pub(crate) fn start() -> Self {
        Self::start_in(new_folder())
    }

    fn start_in(folder: PathBuf) -> Self {
        let mut initdb = unprivileged(&binary("initdb"), None);
        initdb.arg("--pgdata").arg(folder.join("data")).current_dir(&folder);
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Self { folder, process: None };
        server.resume();
        server
    }

    /// Starts it again after it was stopped or killed.
    pub(crate) fn resume(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = unprivileged(&binary("postgres"), Some("QUIT"));
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder).current_dir(&self.folder);
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "max_connections=200",
            "shared_buffers=32MB",
            "min_wal_size=32MB",
            "dynamic_shared_memory_type=mmap",
            "log_line_prefix=%m [%p] %d ",
        ] {
            command.args(["-c", setting]);
        }
        self.process = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + MAX_START;
        // The socket is there before the server takes connections, so it is asked.
        while !answers(&self.folder) {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "PostgreSQL did not start; see {:?}", self.folder.join("log"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it in order, hanging up on everybody.
    pub(crate) fn stop(&mut self) {
        self.end("INT");
    }

    /// Lets it crash: what was not flushed is lost to it.
    pub(crate) fn crash(&mut self) {
        self.end("QUIT");
    }

    fn end(&mut self, signal: &str) {
        let Some(mut process) = self.process.take() else { return };
        let sent = command(Path::new("/bin/kill")).args(["-s", signal, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        process.wait().unwrap();
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty database and returns its name.
    pub(crate) async fn empty_database(&self, name: &str) -> Database {
        let mut connection = connect(&self.folder, "postgres").await;
        execute(&mut connection, &format!("CREATE DATABASE {name}")).await;
        Database { folder: self.folder.clone(), name: name.to_owned(), is_dropped_at_end: false }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("QUIT");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A database of a test, dropped with this.
#[derive(Debug)]
pub(crate) struct Database {
    folder: PathBuf,
    name: String,
    is_dropped_at_end: bool,
}

impl Database {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        url(&self.folder, &self.name)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the server's socket is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection of our own.
    pub(crate) async fn connect(&self) -> PgConnection {
        connect(&self.folder, &self.name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.is_dropped_at_end {
            return;
        }
        let (folder, statement) = (self.folder.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // Nothing asynchronous can be waited for in here, but for another thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = connect(&folder, "postgres").await;
                execute(&mut connection, &statement).await;
            });
        });
        let _ = dropping.join();
    }
}

/// A fresh copy of the database that `make` makes, on the shared server. `make` is called once for each `version`.
pub(crate) async fn copy_of(version: &str, make: impl AsyncFnOnce(&str)) -> Database {
    let folder = shared();
    let template = format!("template_{version}");
    let mut connection = connect(folder, "postgres").await;
    let is_there = async |connection: &mut PgConnection| -> bool {
        let query = "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)";
        sqlx::query_scalar(query).bind(&template).fetch_one(connection).await.unwrap()
    };
    if !is_there(&mut connection).await {
        // One at a time; it is there under its name only once it is whole.
        execute(&mut connection, "SELECT pg_advisory_lock(1)").await;
        if !is_there(&mut connection).await {
            execute(&mut connection, "DROP DATABASE IF EXISTS half_made WITH (FORCE)").await;
            execute(&mut connection, "CREATE DATABASE half_made").await;
            make(&url(folder, "half_made")).await;
            execute(&mut connection, &format!("ALTER DATABASE half_made RENAME TO {template}")).await;
        }
        execute(&mut connection, "SELECT pg_advisory_unlock(1)").await;
    }
    let name = format!("test_{}_{}", std::process::id(), next_number());
    execute(&mut connection, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    connection.close().await.unwrap();
    Database { folder: folder.to_owned(), name, is_dropped_at_end: true }
}

/// An empty database on the shared server.
pub(crate) async fn empty_database() -> Database {
    let folder = shared();
    let name = format!("test_{}_{}", std::process::id(), next_number());
    let mut connection = connect(folder, "postgres").await;
    execute(&mut connection, &format!("CREATE DATABASE {name}")).await;
    Database { folder: folder.to_owned(), name, is_dropped_at_end: true }
}

/// The folder of the server that all tests share, started if there is none. This process counts as its user from now on.
fn shared() -> &'static Path {
    static SHARED: OnceLock<(PathBuf, File)> = OnceLock::new();
    &SHARED
        .get_or_init(|| {
            let control = control();
            let users = open(&control.join("users"));
            users.lock_shared().unwrap();
            // One at a time looks for the server and starts it.
            let starting = open(&control.join("starting"));
            starting.lock().unwrap();
            let place = control.join("place");
            let known = std::fs::read_to_string(&place).ok().map(PathBuf::from);
            let folder = match known {
                Some(folder) if answers(&folder) => folder,
                Some(lost) => {
                    // Its keeper was killed.
                    let _ = std::fs::remove_dir_all(lost);
                    start_keeper(&place)
                }
                None => start_keeper(&place),
            };
            (folder, users)
        })
        .0
}

#[expect(clippy::zombie_processes, reason = "it is to outlive this process, and then has another parent")]
fn start_keeper(place: &Path) -> PathBuf {
    let _ = std::fs::remove_file(place);
    let folder = new_folder();
    let mut keeper = command(&std::env::current_exe().unwrap())
        .args(["--exact", "postgres_server::keep", "--ignored"])
        .env(KEEPER_VARIABLE, &folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Whoever ends this test and its children does not mean the server.
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + MAX_START;
    while !place.exists() {
        let ended = keeper.try_wait().unwrap();
        assert!(ended.is_none() && Instant::now() < deadline, "the keeper of PostgreSQL did not start it in {folder:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    folder
}

/// Keeps the shared server for as long as it has users. A process of its own, not a test.
#[test]
#[ignore = "started by the first test that needs the shared server"]
fn keep() {
    #[expect(clippy::disallowed_methods, reason = "the only way to hand the folder to a test in another process")]
    let folder = PathBuf::from(std::env::var(KEEPER_VARIABLE).unwrap());
    let control = control();
    let mut server = Server::start_in(folder);
    let place = control.join("place");
    let mut file = File::create(control.join("place.new")).unwrap();
    file.write_all(server.folder().as_os_str().as_encoded_bytes()).unwrap();
    std::fs::rename(control.join("place.new"), &place).unwrap();

    let users = open(&control.join("users"));
    let mut idle_looks = 0;
    while server.process.as_mut().unwrap().try_wait().unwrap().is_none() {
        std::thread::sleep(LOOK_INTERVAL);
        if users.try_lock().is_err() {
            idle_looks = 0;
            continue;
        }
        idle_looks += 1;
        if idle_looks == MAX_IDLE_LOOKS {
            // Whoever comes now waits for the lock, and then finds no server.
            break;
        }
        users.unlock().unwrap();
    }
    let _ = std::fs::remove_file(place);
    drop(server);
    drop(users);
}

/// Where the tests of this build find each other.
fn control() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap()
}

/// A folder that the server may use, and only the server and root.
fn new_folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("keywright-postgres-").tempdir().unwrap().keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = unprivileged_ids() {
        chown(&folder, Some(user), Some(group)).unwrap();
    }
    folder
}

/// The ids to run with; nothing when we have no privileges to give up.
fn unprivileged_ids() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let entry = passwd.lines().find_map(|line| line.strip_prefix(UNPRIVILEGED)?.strip_prefix(':')).unwrap();
    let mut numbers = entry.split(':').skip(1).map(|number| number.parse::<u32>().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

/// A command without privileges, which is sent `death_signal` when the thread that starts it ends.
pub(crate) fn unprivileged(program: &Path, death_signal: Option<&str>) -> Command {
    let mut setpriv = command(Path::new("/usr/bin/setpriv"));
    if let Some((user, group)) = unprivileged_ids() {
        setpriv.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    }
    if let Some(signal) = death_signal {
        setpriv.arg(format!("--pdeathsig={signal}"));
    }
    // Options of the program are not setpriv's.
    setpriv.arg("--").arg(program);
    setpriv
}

#[expect(clippy::disallowed_methods, reason = "the tests start the server that they need")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// A program of the newest PostgreSQL that is installed.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).expect("PostgreSQL is installed: apt-get install postgresql");
    let newest = versions.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("PostgreSQL is installed: apt-get install postgresql");
    Path::new(VERSIONS).join(newest.to_string()).join("bin").join(name)
}

fn url(folder: &Path, database: &str) -> String {
    format!("postgres://postgres@localhost/{database}?host={}", folder.display())
}

fn options(folder: &Path, database: &str) -> PgConnectOptions {
    url(folder, database).parse().unwrap()
}

async fn connect(folder: &Path, database: &str) -> PgConnection {
    options(folder, database).connect().await.unwrap()
}

pub(crate) async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

/// Whether a server takes connections in this folder. For whoever is in no runtime.
fn answers(folder: &Path) -> bool {
    let folder = folder.to_owned();
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { options(&folder, "postgres").connect().await.is_ok() })
    });
    asking.join().unwrap()
}

/// Another number every time in this process.
fn next_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
