//! A server's address comes in; an address at which it is reached over a network as bad as one likes goes out.

mod conditions;
mod connection;
mod line;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::conditions::Conditions;
use self::conditions::{Place, Settings};
use crate::scenario::Share;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// Between two tries to accept where descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A TCP proxy in this process. Its connections end when it is dropped.
///
/// A connection is one task and two descriptors, and holds memory for what waits in it alone. How many there are is
/// bounded by the process's descriptors: the proxy waits for some to be free again.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    settings: watch::Sender<Settings>,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// What the streams of random numbers that follow from a seed are for; connections have the others.
enum Stream {
    Places,
    Stalls,
    Connection(u32, u64),
}

impl Stream {
    fn dice(self, seed: u64) -> ChaCha8Rng {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(match self {
            Self::Places => 0,
            Self::Stalls => 1,
            Self::Connection(number, way) => 2 + 2 * u64::from(number) + way,
        });
        dice
    }
}

impl Proxy {
    /// Listens on a free port. Nothing is wrong at first. What it chooses follows from `seed` and the order in which
    /// connections come.
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(listen: IpAddr, to: SocketAddr, seed: u64) -> io::Result<Self> {
        let socket = match listen {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // What is accepted has it from here.
        socket.set_recv_buffer_size(connection::RECEIVE_BYTES)?;
        socket.bind(SocketAddr::new(listen, 0))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (settings, seen) = watch::channel(Settings::clear(Stream::Stalls.dice(seed)));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let door = Door {
            listener,
            to,
            seed,
            settings: seen,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(door.run()));
        Ok(Self {
            address,
            settings,
            tasks,
            stop: stop.drop_guard(),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what is wrong, at once, for the connections that are there and those to come.
    ///
    /// What waits is timed anew: its latency still counts from when it came.
    pub fn set(&self, conditions: Conditions) {
        self.settings
            .send_modify(|settings| settings.conditions = conditions);
    }

    /// Stops reading from the server for some of the connections, those that come meanwhile among them.
    ///
    /// Each stall chooses for itself; where two meet, the longer one holds.
    pub fn stall(&self, share: Share, until: Instant) {
        self.settings
            .send_modify(|settings| settings.stall(share, until, Instant::now()));
    }

    /// Ends all connections, and waits until they have.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    to: SocketAddr,
    seed: u64,
    settings: watch::Receiver<Settings>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Door {
    async fn run(self) {
        let turn = Stream::Places.dice(self.seed).next_u32();
        let mut number = 0_u32;
        loop {
            let client = self.accept().await;
            let dice = [0, 1].map(|way| Stream::Connection(number, way).dice(self.seed));
            let carried = connection::carry(
                client,
                self.to,
                Place::of(number, turn),
                self.settings.clone(),
                dice,
            );
            // Boxed, since what wraps a future holds room for it twice.
            let carried = Box::pin(carried);
            let stop = self.stop.clone();
            self.tasks.spawn(stop.run_until_cancelled_owned(carried));
            number = number.wrapping_add(1);
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((client, _)) => return client,
                // The client gave up before its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::debug!(%error, "the proxy cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
