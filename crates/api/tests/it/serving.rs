//! The accept loop, over real sockets and by hand, because no client would send what is sent here.

use std::time::Duration;

use keywright_api::serve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{KEY, World};

struct Listening {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "the test is the server's only owner and waits for it")]
async fn listen(world: &World) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, world.router.clone(), shutdown.clone()));
    Listening { address, shutdown, served }
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything; what it said until then is what counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn requests_are_served_and_a_connection_is_kept() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let answer = listening
        .talk(b"GET /health/live HTTP/1.1\r\nhost: h\r\n\r\nGET /health/ready HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_body_in_chunks_is_read_and_ends_the_connection() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let head = format!(
        "POST /api/v1/workspace/{}/keys HTTP/1.1\r\nhost: h\r\nx-api-key: {KEY}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        world.workspace
    );
    let answer = listening.talk(format!("{head}c\r\n{{\"name\":\"x\"}}\r\n0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn what_two_readers_could_read_differently_is_a_400_and_the_end_of_the_connection() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let hidden = "GET /health HTTP/1.1\r\nhost: h\r\n\r\n";
    for request in [
        format!("POST /health HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /health HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /health HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n{hidden}"),
        format!("POST /health HTTP/1.1\r\nhost: h\r\ncontent-length : 5\r\n\r\n{hidden}"),
        format!("GET /health HTTP/1.1\nhost: h\n\n{hidden}"),
        format!("GET /health HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n{hidden}"),
        format!("GET  /health HTTP/1.1\r\nhost: h\r\n\r\n{hidden}"),
        format!("nonsense\r\n\r\n{hidden}"),
    ] {
        let answer = listening.talk(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{request:?} -> {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?} -> {answer}");
    }
}

#[tokio::test]
async fn a_request_line_with_a_host_is_a_400() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let answer = listening.talk(b"GET http://evil.example/health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{answer}");
}

#[tokio::test]
async fn a_key_of_ten_megabytes_is_refused_before_it_is_read() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let mut request = b"GET /health HTTP/1.1\r\nhost: h\r\nx-api-key: ".to_vec();
    request.extend(std::iter::repeat_n(b'k', 10 * 1024 * 1024));
    let mut stream = listening.connect().await;
    let mut answer = vec![0; 12];
    let (mut reader, mut writer) = stream.split();
    let (_, read) = tokio::join!(writer.write_all(&request), reader.read_exact(&mut answer));
    // Either the refusal is read, or the connection was reset under the flood; it is never served.
    if read.is_ok() {
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 431");
    }
    assert!(listening.talk(b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_does_not_come_is_waited_for_only_so_long() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let mut slow = listening.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nx: ").await.unwrap();
    let mut idle = listening.connect().await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // The wait itself is skipped: time stands still for everything but what waits for it.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    let _ = idle.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn shutdown_lets_a_request_end_and_closes_idle_connections() {
    let world = World::new().await;
    let listening = listen(&world).await;
    let mut idle = listening.connect().await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut busy = listening.connect().await;
    let head = format!(
        "POST /api/v1/workspace/{}/keys HTTP/1.1\r\nhost: h\r\nx-api-key: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: 12\r\nexpect: 100-continue\r\n\r\n",
        world.workspace
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    // The interim answer says that the request is under way.
    let mut interim = [0; 25];
    busy.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    listening.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    busy.write_all(b"{\"name\":\"x\"}").await.unwrap();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    listening.served.await.unwrap();
    assert!(TcpStream::connect(listening.address).await.is_err());
}
