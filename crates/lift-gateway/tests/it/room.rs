//! In: clients that read little or end no message. Out: whether what is held for them is counted, and bounded.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use lift_gateway::{PostError, Rules};
use tokio::net::TcpSocket;
use tokio::time::{Instant, interval, timeout};

use crate::client::Client;
use crate::script::{Received, Sent};
use crate::serving::{DEADLINE, Served, echo, serve};

const KIB: usize = 1024;

impl Served {
    async fn connection_id(&self, client: &mut Client) -> String {
        // The error frame of a message that no route takes names the connection.
        client.send(crate::serving::text("who")).await.unwrap();
        let Received::Text(frame) = client.received().await.unwrap() else {
            panic!("no error frame")
        };
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        frame["connectionId"].as_str().unwrap().to_owned()
    }

    /// Posts until the queue is full and stays so.
    async fn fill(&self, id: &str, bytes: usize) {
        let payload = Bytes::from(vec![b'x'; bytes]);
        let mut full = 0;
        while full < 200 {
            match self.gateway.connections().post(id, payload.clone()) {
                Ok(()) => full = 0,
                Err(error) => {
                    assert_eq!(error, PostError::Full);
                    full += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many bytes are counted.
    async fn queued(&self, bytes: RangeInclusive<usize>) {
        let queued = async {
            while !bytes.contains(&self.gateway.connections().queued_bytes()) {
                tokio::task::yield_now().await;
            }
        };
        let waited = timeout(DEADLINE, queued).await;
        let counted = self.gateway.connections().queued_bytes();
        waited.unwrap_or_else(|_| panic!("{counted} bytes are counted, not {bytes:?}"));
    }
}

#[tokio::test]
async fn what_the_transport_has_not_taken_is_counted() {
    let mut rules = Rules::default();
    // One message waits at a time.
    rules.limits.queued_bytes_max = 1;
    let served = serve(rules, echo()).await;
    let mut client = served.open().await;
    let id = served.connection_id(&mut client).await;
    served.fill(&id, 64 * KIB).await;
    // One waits, and one is being written.
    served.queued(128 * KIB..=128 * KIB).await;
    drop(client);
    served.queued(0..=0).await;
    served.stop().await;
}

/// Three fragments of a message that does not end.
fn fragments() -> Sent {
    let length = [0x7e, 0x80, 0x00];
    let mut bytes = Vec::new();
    for first in [0x01, 0x00, 0x00] {
        bytes.extend([first, 0x80 | length[0], length[1], length[2], 0, 0, 0, 0]);
        bytes.extend(vec![b'x'; 32 * KIB]);
    }
    Sent::Broken(bytes)
}

#[tokio::test]
async fn a_message_that_does_not_end_is_counted_until_its_client_leaves() {
    let served = serve(Rules::default(), echo()).await;
    let mut client = served.open().await;
    client.send(fragments()).await.unwrap();
    // With the fragments' headers.
    served.queued(96 * KIB..=97 * KIB).await;
    drop(client);
    served.queued(0..=0).await;
    served.stop().await;
}

#[tokio::test]
async fn a_fragment_that_finds_no_room_closes_its_connection() {
    let mut rules = Rules::default();
    rules.limits.process_queued_bytes_max = 64 * KIB;
    let served = serve(rules, echo()).await;
    let mut client = served.open().await;
    client.send(fragments()).await.unwrap();
    let received = timeout(DEADLINE, client.received()).await.unwrap().unwrap();
    let close = Received::Close(Some((1013, "Try again later".to_owned())));
    assert_eq!(received, close);
    drop(client);
    served.queued(0..=0).await;
    served.stop().await;
}

/// A fifth of the time, at five times the speed: 4 KB in a second where the limit is ten seconds.
#[tokio::test]
async fn a_client_that_reads_slowly_and_steadily_stays() {
    let mut rules = Rules::default();
    rules.limits.stalled = Duration::from_secs(2);
    let served = serve(rules, echo()).await;
    let socket = TcpSocket::new_v4().unwrap();
    // What the client's kernel takes on top of what the client reads.
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(served.address).await.unwrap();
    let mut client = Client::connect(Box::new(stream), "localhost", "/", &[])
        .await
        .unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    let id = served.connection_id(&mut client).await;
    served.fill(&id, 16 * KIB).await;
    let (began, mut rhythm) = (Instant::now(), interval(Duration::from_millis(100)));
    while began.elapsed() < Duration::from_secs(5) {
        rhythm.tick().await;
        client.skip(2048).await.unwrap();
        assert_eq!(served.gateway.connections().len(), 1, "it is let go");
    }
    drop(client);
    served.stop().await;
}
