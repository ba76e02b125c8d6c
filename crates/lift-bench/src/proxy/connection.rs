//! A client's connection and what is wrong with the network come in; the same connection to a server goes out.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    conditions::{Conditions, Place, Settings},
    line::{Line, READ_BYTES_MAX, Step},
};

/// What the kernel holds of what was not read, twice as much with its bookkeeping. Without it Linux lets this grow to
/// megabytes, and a peer would not notice for long that nothing is read.
pub(super) const RECEIVE_BYTES: u32 = 32 * 1024;
/// What the kernel holds of what it could not send, besides what is under way.
const UNSENT_BYTES: u32 = 16 * 1024;
/// A server that takes longer to accept is as good as none.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Before a reset, the kernel has this long to send what was written; a client that does not read loses it.
const SENT_WITHIN: Duration = Duration::from_secs(5);
const SENT_PAUSE: Duration = Duration::from_millis(1);

/// Why both sides of a connection are reset.
enum Broken {
    /// The conditions ask for it, or the other side did so: it comes after all that was written.
    Reset(Towards),
    /// A side is gone.
    Gone(io::Error),
}

/// Carries bytes until both sides have ended, or one has failed.
pub(super) async fn carry(
    client: TcpStream,
    to: SocketAddr,
    place: Place,
    settings: watch::Receiver<Settings>,
    dice: [ChaCha8Rng; 2],
) {
    let server = match connect(&client, to).await {
        Ok(server) => server,
        Err(error) => {
            tracing::debug!(%error, %to, "the proxy cannot reach the server");
            reset(&client);
            return;
        }
    };
    prepare(&client);
    prepare(&server);
    let [up, down] = dice;
    let mut up = Way::new(Towards::Server, &client, &server, place, &settings, up);
    let mut down = Way::new(Towards::Client, &server, &client, place, &settings, down);
    let Err(broken) = tokio::try_join!(up.run(), down.run()) else {
        return;
    };
    match broken {
        Broken::Reset(Towards::Client) => sent(&client).await,
        Broken::Reset(Towards::Server) => sent(&server).await,
        Broken::Gone(error) => tracing::trace!(%error, "a side of a connection is gone"),
    }
    reset(&client);
    reset(&server);
}

async fn connect(client: &TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    if let (IpAddr::V4(from), IpAddr::V4(at)) = (client.peer_addr()?.ip(), to.ip())
        && from.is_loopback()
        && at.is_loopback()
        && from != Ipv4Addr::LOCALHOST
    {
        // The server sees the address that the client chose, and one address's ports are no limit.
        socket.bind(SocketAddr::from((from, 0)))?;
    }
    timeout(CONNECT_WITHIN, socket.connect(to)).await?
}

fn prepare(stream: &TcpStream) {
    // A slice must not wait for the acknowledgment of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    set_unsent(stream, UNSENT_BYTES);
}

/// Closes it with RST when it is dropped.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "no SO_LINGER");
    }
}

#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "the option is Linux's")
)]
fn set_unsent(stream: &TcpStream, bytes: u32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes) {
        tracing::debug!(%error, "no TCP_NOTSENT_LOWAT");
    }
}

/// Waits until all that was written is under way: closing with RST throws away what is not.
async fn sent(stream: &TcpStream) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    // With it a socket is writable only when nothing waits to be sent.
    set_unsent(stream, 1);
    let at_once = Timespec::default();
    let deadline = Instant::now() + SENT_WITHIN;
    while Instant::now() < deadline {
        let mut asked = [PollFd::new(stream, PollFlags::OUT)];
        match poll(&mut asked, Some(&at_once)) {
            Ok(0) => sleep(SENT_PAUSE).await,
            Ok(_) | Err(_) => return,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Server,
    Client,
}

/// One way of one connection.
struct Way<'a> {
    towards: Towards,
    from: &'a TcpStream,
    to: &'a TcpStream,
    place: Place,
    settings: watch::Receiver<Settings>,
    stalled_until: Option<Instant>,
    slices: Slices,
    dice: ChaCha8Rng,
    line: Line,
}

/// Whether others have their turn after each write, so that a reader may see it by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slices {
    Whole,
    Apart,
}

impl<'a> Way<'a> {
    fn new(
        towards: Towards,
        from: &'a TcpStream,
        to: &'a TcpStream,
        place: Place,
        settings: &watch::Receiver<Settings>,
        dice: ChaCha8Rng,
    ) -> Self {
        let mut way = Self {
            towards,
            from,
            to,
            place,
            settings: settings.clone(),
            stalled_until: None,
            slices: Slices::Whole,
            dice,
            line: Line::new(Conditions::clear(), Instant::now()),
        };
        way.adapt();
        way
    }

    /// Carries bytes until there are no more.
    async fn run(&mut self) -> Result<(), Broken> {
        while self.turn().await?.is_some() {}
        Ok(())
    }

    /// Does what can be done now, and else waits; nothing is left after the end.
    async fn turn(&mut self) -> Result<Option<()>, Broken> {
        if self.settings.has_changed().unwrap_or(false) {
            self.adapt();
        }
        let plan = self.line.plan(Instant::now(), self.stalled_until);
        let writes = match plan.step {
            Step::Wait => false,
            Step::Reset => return Err(Broken::Reset(self.towards)),
            Step::End => {
                let to = socket2::SockRef::from(self.to);
                to.shutdown(std::net::Shutdown::Write)
                    .map_err(Broken::Gone)?;
                return Ok(None);
            }
            Step::Write(count) if self.write(count)? => {
                if self.slices == Slices::Apart {
                    yield_now().await;
                }
                return Ok(Some(()));
            }
            Step::Write(_) => true,
        };
        let wake = plan.wake;
        tokio::select! {
            changed = self.settings.changed() => {
                if changed.is_err() {
                    // The proxy is gone.
                    return Ok(None);
                }
                self.adapt();
            }
            ready = self.from.readable(), if plan.read > 0 => {
                ready.map_err(Broken::Gone)?;
                self.read(plan.read);
            }
            ready = self.to.writable(), if writes => ready.map_err(Broken::Gone)?,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        Ok(Some(()))
    }

    /// Takes over what holds for this connection now.
    fn adapt(&mut self) {
        let settings = self.settings.borrow_and_update();
        let mut conditions = settings.conditions_at(self.place);
        match self.towards {
            Towards::Client => self.stalled_until = settings.stalled_until(self.place),
            Towards::Server => conditions.reset_after = None,
        }
        self.slices = match conditions.slice {
            Some(_) => Slices::Apart,
            None => Slices::Whole,
        };
        self.line.change(conditions, Instant::now());
    }

    fn read(&mut self, count_max: usize) {
        let mut buffer = [0; READ_BYTES_MAX];
        let buffer = buffer.get_mut(..count_max).unwrap_or_default();
        let read = self.from.try_read(buffer);
        let part = f64::from(self.dice.next_u32()) / f64::from(u32::MAX);
        let now = Instant::now();
        match read {
            Ok(0) => self.line.end(Step::End, now, part),
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                self.line.push(bytes, now, part);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.line.end(Step::Reset, now, part),
        }
    }

    /// Whether anything could be written.
    fn write(&mut self, count: usize) -> Result<bool, Broken> {
        match self.to.try_write(self.line.first(count)) {
            Ok(count) => {
                self.line.leave(count);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(Broken::Gone(error)),
        }
    }
}
