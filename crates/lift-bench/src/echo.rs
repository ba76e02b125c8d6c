//! Texts come in and go back out: what a server costs that does nothing, to compare with in the same run.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::{accept_async_with_config, tungstenite::protocol::WebSocketConfig};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Stands in a scenario's `target` for this server.
pub(crate) const NAME: &str = "echo";

/// Longest time for a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long no connection is taken after one could not be.
const PAUSE: Duration = Duration::from_millis(50);
/// Read buffer of one connection; the default is 128 KiB.
const READ_BYTES: usize = 4096;

/// A server that sends every text back, until this is dropped.
#[derive(Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Echo {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(stop.clone().run_until_cancelled_owned(accept(
            listener,
            tasks.clone(),
            stop.clone(),
        )));
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }
}

async fn accept(listener: TcpListener, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tasks.spawn(stop.clone().run_until_cancelled_owned(echo(stream)));
            }
            Err(_no_files) => sleep(PAUSE).await,
        }
    }
}

/// Ends with the connection, whatever ends it.
async fn echo(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0);
    let accepted = timeout(
        HANDSHAKE_WITHIN,
        accept_async_with_config(stream, Some(config)),
    );
    let mut socket = accepted.await.ok()?.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.ok()?;
        }
    }
    Some(())
}
