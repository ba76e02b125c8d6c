//! Sockets of this machine talk through the proxy; what each side sees is compared with the conditions.

use std::{
    future::Future,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lift_bench::{
    proxy::{Conditions, Proxy},
    scenario::{Share, Span},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// What takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(30);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));

async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let result = timeout(DEADLINE, awaited).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// A server that treats each connection alike, and the proxy before it.
struct Far {
    proxy: Proxy,
    _served: JoinSet<()>,
}

impl Far {
    async fn start<S: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        Self::seeded(1, serve).await
    }

    async fn seeded<S: Future<Output = ()> + Send + 'static>(
        seed: u64,
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let proxy = Proxy::start(HERE, listener.local_addr().unwrap(), seed).unwrap();
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream));
            }
        });
        Self {
            proxy,
            _served: served,
        }
    }

    async fn connect(&self) -> TcpStream {
        let connected = TcpStream::connect(self.proxy.address());
        let stream = soon("connect", connected).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

async fn echo(mut stream: TcpStream) {
    let (mut from, mut to) = stream.split();
    // It ends as the test wants it to.
    _ = tokio::io::copy(&mut from, &mut to).await;
    _ = to.shutdown().await;
}

/// Bytes whose order can be seen.
fn counted(count: usize) -> Vec<u8> {
    let words = (0..u32::MAX).flat_map(u32::to_be_bytes);
    words.take(count).collect()
}

async fn ask(stream: &mut TcpStream, question: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    soon("an answer", stream.read_exact(&mut answer)).await?;
    Ok(answer)
}

fn latency(from_ms: u64, to_ms: u64) -> Conditions {
    let [from, to] = [from_ms, to_ms].map(Duration::from_millis);
    Conditions {
        latency: Span { from, to },
        ..Conditions::clear()
    }
}

fn rate(bytes_per_second: u32) -> Conditions {
    Conditions {
        bytes_per_second: NonZeroU32::new(bytes_per_second),
        ..Conditions::clear()
    }
}

fn reset_after(bytes: u64) -> Conditions {
    Conditions {
        reset_after: Some(bytes),
        ..Conditions::clear()
    }
}

#[tokio::test]
async fn latency_is_added_each_way() {
    let far = Far::start(echo).await;
    let mut there_already = far.connect().await;
    ask(&mut there_already, b"hello").await.unwrap();
    far.proxy.set(latency(80, 80));
    for mut stream in [there_already, far.connect().await] {
        let began = Instant::now();
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(160), "{took:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test]
async fn bytes_keep_their_order_whatever_each_waits() {
    let far = Far::start(echo).await;
    far.proxy.set(latency(0, 30));
    let (mut from, mut to) = far.connect().await.into_split();
    let sent = counted(40_000);
    let mut sending = JoinSet::new();
    let pieces = sent.clone();
    sending.spawn(async move {
        for piece in pieces.chunks(100) {
            to.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        to.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon("all", from.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent, "{} of {}", received.len(), sent.len());
}

#[tokio::test]
async fn latency_is_no_limit_of_what_passes() {
    const COUNT: usize = 4 * 1024 * 1024;
    let far = Far::start(async |mut stream: TcpStream| {
        stream.write_all(&counted(COUNT)).await.unwrap();
    })
    .await;
    far.proxy.set(latency(200, 200));
    let began = Instant::now();
    let mut stream = far.connect().await;
    let mut received = Vec::new();
    soon("all", stream.read_to_end(&mut received))
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(received == counted(COUNT));
    assert!(took >= Duration::from_millis(200), "{took:?}");
    // One read of 16 KiB every 200 ms would take 51 s.
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn each_way_passes_so_many_bytes_a_second() {
    const COUNT: usize = 60_000;
    let far = Far::start(echo).await;
    far.proxy.set(rate(100_000));
    let began = Instant::now();
    let mut stream = far.connect().await;
    let answer = ask(&mut stream, &counted(COUNT)).await.unwrap();
    let took = began.elapsed();
    assert!(answer == counted(COUNT));
    assert!(took >= Duration::from_millis(600), "{took:?}");
    // Both ways at a time, not one after the other, on a machine that has other work.
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_narrow_way_slows_down_who_writes() {
    let written = Arc::new(AtomicUsize::new(0));
    let far = Far::start({
        let written = Arc::clone(&written);
        move |stream| write_forever(stream, Arc::clone(&written))
    })
    .await;
    far.proxy.set(rate(10_000));
    let mut stream = far.connect().await;
    let mut received = vec![0; 5_000];
    soon("bytes", stream.read_exact(&mut received))
        .await
        .unwrap();
    let written = written.load(Ordering::SeqCst);
    assert!(written < BUFFERS_MAX, "{written} bytes are on their way");
}

#[tokio::test]
async fn slices_arrive_one_by_one() {
    const COUNT: usize = 100;
    let far = Far::start(async |mut stream: TcpStream| {
        stream.write_all(&counted(COUNT)).await.unwrap();
    })
    .await;
    // 5 ms for each byte. Without slices four would be written at a time.
    far.proxy.set(Conditions {
        slice: NonZeroU32::new(1),
        ..rate(200)
    });
    let mut stream = far.connect().await;
    let (mut reads, mut received) = (0, Vec::new());
    while received.len() < COUNT {
        let read = soon("a byte", stream.read_buf(&mut received)).await;
        assert_ne!(read.unwrap(), 0);
        reads += 1;
    }
    assert_eq!(received, counted(COUNT));
    // A reader that had to wait for its processor finds two at a time.
    assert!(reads > COUNT / 2, "{reads} reads");
}

#[tokio::test]
async fn slices_are_whole_also_where_nothing_slows_them() {
    let far = Far::start(async |mut stream: TcpStream| {
        stream.write_all(&counted(9_000)).await.unwrap();
    })
    .await;
    far.proxy.set(Conditions {
        slice: NonZeroU32::new(3),
        ..Conditions::clear()
    });
    let mut stream = far.connect().await;
    let mut received = Vec::new();
    soon("all", stream.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received == counted(9_000));
}

#[tokio::test]
async fn a_client_is_reset_after_just_so_many_bytes() {
    for bytes in [1, 1_000, 300_000] {
        let (told, mut server_saw) = tokio::sync::mpsc::channel(1);
        let far = Far::start(move |mut stream: TcpStream| {
            let told = told.clone();
            async move {
                let error = loop {
                    if let Err(error) = stream.write_all(&[7; 4_096]).await {
                        break error;
                    }
                };
                told.send(error.kind()).await.unwrap();
            }
        })
        .await;
        far.proxy.set(reset_after(bytes));
        let mut stream = far.connect().await;
        let mut received = Vec::new();
        let ended = soon("the end", stream.read_to_end(&mut received)).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(received.len() as u64, bytes);
        let server_saw = soon("the server's end", server_saw.recv()).await;
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&server_saw.unwrap()));
    }
}

#[tokio::test]
async fn a_reset_takes_nothing_away_from_a_client_with_little_room() {
    const BYTES: usize = 20_000;
    let far = Far::start(async |mut stream: TcpStream| {
        _ = stream.write_all(&counted(3 * BYTES)).await;
        _ = stream.read_u8().await;
    })
    .await;
    far.proxy.set(reset_after(BYTES as u64));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    let mut stream = socket.connect(far.proxy.address()).await.unwrap();
    let mut received = Vec::new();
    let ended = soon("the end", stream.read_to_end(&mut received)).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(received == counted(BYTES), "{} bytes", received.len());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_feels_a_stall_soon_though_much_passed_before() {
    const BEFORE: usize = 16 * 1024 * 1024;
    let (told, mut server_wrote) = tokio::sync::mpsc::channel(1);
    let far = Far::start(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            // A server that leaves little to its kernel, as the local gateway does.
            let socket = socket2::SockRef::from(&stream);
            socket.set_tcp_notsent_lowat(16 * 1024).unwrap();
            stream.write_all(&vec![7; BEFORE]).await.unwrap();
            // The client says that it has all, and that the stall has begun.
            stream.read_u8().await.unwrap();
            let mut written = 0;
            let blocked = Duration::from_secs(1);
            while let Ok(count) = timeout(blocked, stream.write(&[7; 4_096])).await {
                written += count.unwrap();
            }
            told.send(written).await.unwrap();
        }
    })
    .await;
    let mut stream = far.connect().await;
    let mut before = vec![0; BEFORE];
    soon("all", stream.read_exact(&mut before)).await.unwrap();
    let until = Instant::now() + Duration::from_secs(3_600);
    far.proxy.stall(Share::ALL, until.into());
    stream.write_all(b"!").await.unwrap();
    let written = soon("the server blocks", server_wrote.recv()).await;
    let written = written.unwrap();
    assert!(written < 256 * 1024, "{written} bytes");
}

/// What a stalled connection may hold: the server's kernel, ours, the line.
const BUFFERS_MAX: usize = 8 * 1024 * 1024;

async fn write_forever(mut stream: TcpStream, written: Arc<AtomicUsize>) {
    let bytes = vec![7; 64 * 1024];
    while let Ok(count) = stream.write(&bytes).await {
        written.fetch_add(count, Ordering::SeqCst);
    }
}

async fn read_forever(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_connection_blocks_its_server_and_no_other() {
    const CONNECTIONS: usize = 8;
    let written: Vec<_> = (0..CONNECTIONS).map(|_| Arc::default()).collect();
    let far = Far::start({
        let mut next = written.clone().into_iter();
        let next = std::sync::Mutex::new(move || next.next().unwrap());
        move |stream| write_forever(stream, next.lock().unwrap()())
    })
    .await;
    let until = Instant::now() + Duration::from_secs(3_600);
    far.proxy.stall(Share::percent(50.0), until.into());
    let mut readers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        readers.spawn(read_forever(far.connect().await));
    }
    let beyond = |limit| {
        let counts = written
            .iter()
            .map(|count: &Arc<AtomicUsize>| count.load(Ordering::SeqCst));
        counts.filter(|count| *count > limit).count()
    };
    soon("half of them go on", async {
        while beyond(2 * BUFFERS_MAX) < CONNECTIONS / 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(beyond(BUFFERS_MAX), CONNECTIONS / 2);
}

#[tokio::test]
async fn a_stall_ends_and_what_waited_comes() {
    let far = Far::start(echo).await;
    let mut stream = far.connect().await;
    ask(&mut stream, b"before").await.unwrap();
    let began = Instant::now();
    let lasts = Duration::from_millis(300);
    far.proxy.stall(Share::ALL, (began + lasts).into());
    assert_eq!(ask(&mut stream, b"during").await.unwrap(), b"during");
    let took = began.elapsed();
    assert!(took >= lasts, "{took:?}");
    assert!(took < lasts + Duration::from_secs(5), "{took:?}");
}

/// Which of the connections a share affects: those that are reset.
async fn affected(seed: u64, percent: f64) -> Vec<usize> {
    let far = Far::seeded(seed, echo).await;
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(far.connect().await);
    }
    far.proxy.set(Conditions {
        share: Share::percent(percent),
        ..reset_after(0)
    });
    let mut affected = Vec::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        if ask(&mut stream, b"hello").await.is_err() {
            affected.push(number);
        }
    }
    affected
}

#[tokio::test]
async fn a_seed_and_a_share_choose_the_same_connections_each_time() {
    let of_seed = affected(1, 25.0).await;
    assert_eq!(affected(1, 25.0).await, of_seed);
    assert_ne!(affected(2, 25.0).await, of_seed);
    assert!((9..=11).contains(&of_seed.len()), "{of_seed:?}");
    assert_eq!(affected(1, 100.0).await.len(), 40);
    assert_eq!(affected(1, 0.0).await.len(), 0);
}

#[tokio::test]
async fn what_waits_comes_when_all_is_clear_again() {
    let far = Far::start(echo).await;
    far.proxy.set(Conditions {
        latency: latency(3_600_000, 3_600_000).latency,
        ..rate(1)
    });
    let mut stream = far.connect().await;
    let began = Instant::now();
    let (clear, answer) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            far.proxy.set(Conditions::clear());
        },
        ask(&mut stream, &[7; 5_000]),
    );
    assert_eq!((clear, answer.unwrap()), ((), vec![7; 5_000]));
    assert!(began.elapsed() < DEADLINE);
}

#[tokio::test]
async fn a_side_that_closes_can_still_be_answered() {
    let far = Far::start(async |mut stream: TcpStream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        stream.write_all(&question).await.unwrap();
    })
    .await;
    far.proxy.set(latency(20, 20));
    let mut stream = far.connect().await;
    stream.write_all(b"all of it").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon("the answer", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, b"all of it");
}

#[tokio::test]
async fn a_server_that_resets_does_so_after_what_it_said() {
    let far = Far::start(async |mut stream: TcpStream| {
        stream.write_all(b"last words").await.unwrap();
        // What it was sent is unread, so that the kernel closes with RST.
        assert_eq!(stream.peek(&mut [0; 5]).await.unwrap(), 5);
    })
    .await;
    far.proxy.set(latency(20, 20));
    let mut stream = far.connect().await;
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    let ended = soon("the end", stream.read_to_end(&mut answer)).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(answer, b"last words");
}

#[tokio::test]
async fn clients_of_a_server_that_is_not_there_are_reset() {
    let nobody = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = Proxy::start(HERE, address, 1).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let ended = soon("the end", stream.read_u8()).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_server_sees_the_address_that_a_client_chose() {
    let far = Far::start(async |mut stream: TcpStream| {
        let peer = stream.peer_addr().unwrap().ip().to_string();
        stream.write_all(peer.as_bytes()).await.unwrap();
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 99], 0))).unwrap();
    let mut stream = socket.connect(far.proxy.address()).await.unwrap();
    let mut seen = String::new();
    soon("the address", stream.read_to_string(&mut seen))
        .await
        .unwrap();
    assert_eq!(seen, "127.0.0.99");
}

#[tokio::test]
async fn stopping_ends_the_connections() {
    let far = Far::start(echo).await;
    let mut stream = far.connect().await;
    ask(&mut stream, b"hello").await.unwrap();
    let address = far.proxy.address();
    soon("the stop", far.proxy.stop()).await;
    assert!(matches!(
        soon("the end", stream.read(&mut [0])).await,
        Ok(0) | Err(_)
    ));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_thousand_connections_are_served_at_a_time() {
    raise_descriptors();
    let far = Far::start(echo).await;
    far.proxy.set(latency(0, 50));
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(far.connect().await);
    }
    let mut asked = JoinSet::new();
    for mut stream in streams {
        asked.spawn(async move { ask(&mut stream, &counted(2_000)).await.unwrap() });
    }
    while let Some(answer) = soon("answers", asked.join_next()).await {
        assert_eq!(answer.unwrap(), counted(2_000));
    }
}

fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}
