//! In: an S3 that answers some requests by closing their connection. Out: which are sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lift_aws::s3::Bucket;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::moto::{self, BUCKET};

const DEADLINE: Duration = Duration::from_secs(20);

const LOST: &str = "";
const DONE: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Sun, 29 Nov 2026 08:00:00 GMT\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
const TAKEN: &str =
    "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// An S3 that reads a request of each connection, answers it by the script and closes the connection.
struct Scripted {
    bucket: Bucket,
    came: Arc<AtomicUsize>,
    serving: JoinSet<()>,
    socket: Option<TcpSocket>,
    script: Vec<&'static str>,
}

impl Scripted {
    /// Refuses connections until it listens.
    fn new(script: &[&'static str]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        Self {
            bucket: Bucket::new(&moto::aws("us-east-1"), BUCKET, Some(&endpoint)).unwrap(),
            came: Arc::default(),
            serving: JoinSet::new(),
            socket: Some(socket),
            script: script.to_vec(),
        }
    }

    fn listen(&mut self) {
        let listener = self.socket.take().unwrap().listen(8).unwrap();
        let (script, came) = (self.script.clone(), Arc::clone(&self.came));
        self.serving.spawn(async move {
            for answer in script {
                let (mut socket, _) = listener.accept().await.unwrap();
                whole_request(&mut socket).await;
                came.fetch_add(1, Ordering::Relaxed);
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }

    async fn create(&self) -> Result<(), Error> {
        let (at, store) = (Path::from("a.csv"), self.bucket.store());
        let put = store.put_opts(&at, "x".into(), PutMode::Create.into());
        timeout(DEADLINE, put).await.unwrap().map(drop)
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

async fn whole_request(socket: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_not_taken_for_anothers() {
    let mut s3 = Scripted::new(&[LOST, TAKEN]);
    s3.listen();
    let created = s3.create().await;
    assert!(matches!(created, Err(Error::Generic { .. })), "{created:?}");
    assert_eq!(s3.came(), 1);
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_made_again() {
    let mut s3 = Scripted::new(&[LOST, DONE]);
    s3.listen();
    let at = Path::from("a.csv");
    let store = s3.bucket.store();
    let got = timeout(DEADLINE, store.get(&at)).await.unwrap().unwrap();
    assert_eq!(got.bytes().await.unwrap(), "x");
    assert_eq!(s3.came(), 2);
}

#[tokio::test]
async fn a_create_that_finds_no_connection_is_sent_once_there_is_one() {
    let mut s3 = Scripted::new(&[DONE]);
    let bucket = s3.bucket.clone();
    let at = Path::from("a.csv");
    let store = bucket.store();
    let mut creating = std::pin::pin!(store.put_opts(&at, "x".into(), PutMode::Create.into()));
    let refused = timeout(Duration::from_millis(300), &mut creating).await;
    assert!(refused.is_err(), "given up at once: {refused:?}");
    s3.listen();
    timeout(DEADLINE, creating).await.unwrap().unwrap();
    assert_eq!(s3.came(), 1);
}
