//! In: what a client sends after its upgrade. Out: a panic where the gateway's frames break RFC 6455, say what was not asked, or where something of the connection stays.

use std::net::SocketAddr;
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use lift_apigw::event::Event;
use lift_apigw::response::Response;
use lift_gateway::listener::{HttpLimits, Visit};
use lift_gateway::{Answer, Function, Gateway, Integration, Invocation, InvokeError, Rules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Some lengths that fit have 16 bits.
const FRAME_MAX: usize = 200;
const MESSAGE_MAX: usize = 500;
/// More than a client sends here: neither side waits for the other to read.
const PIPE_BYTES: usize = 1 << 20;

struct World {
    runtime: Runtime,
    gateway: Gateway,
}

/// A gateway that echoes, on a clock that jumps to the next timer.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let mut rules = Rules::default().two_way("$default").one_way("$disconnect");
    rules.limits.frame_bytes_max = FRAME_MAX;
    rules.limits.message_bytes_max = MESSAGE_MAX;
    rules.limits.queued_messages_max = 8;
    rules.limits.in_flight_max = 4;
    let gateway =
        runtime.block_on(async { Gateway::new(rules, Integration::new(tower::service_fn(echo))) });
    World { runtime, gateway }
});

async fn echo(invocation: Invocation) -> std::result::Result<Answer, InvokeError> {
    let event = invocation.event.json();
    let event = Event::parse(&event).expect("the gateway's events can be read");
    let body = match &event {
        Event::Message(message) => message.body.clone(),
        Event::Connect(_) | Event::Disconnect(_) => "".into(),
    };
    assert_eq!(
        matches!(event, Event::Disconnect(_)),
        invocation.function == Function::Disconnect
    );
    let answer = serde_json::to_vec(&Response::ok().with_body(body));
    Ok(answer.expect("text has a JSON form").into())
}

/// Bytes as they are: the gateway keeps to the protocol, whatever the client does.
pub(super) fn raw(bytes: &[u8]) {
    read(&talk(bytes));
}

/// Well-masked frames of any kind: the gateway answers as RFC 6455 §5 and §7.4 say.
pub(super) fn masked(script: &[u8]) -> Result<()> {
    let mut script = Unstructured::new(script);
    let (mut bytes, mut client) = (Vec::new(), Client::default());
    while !script.is_empty() {
        let (head, len): (u8, u8) = (script.arbitrary()?, script.arbitrary()?);
        let mask: [u8; 4] = script.arbitrary()?;
        let payload = script.bytes(usize::from(len).min(script.len()))?;
        bytes.push(head);
        match payload.len() {
            len @ ..126 => bytes.push(0x80 | len as u8),
            len => bytes.extend([0x80 | 126, 0, len as u8]),
        }
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        client.sends(head, payload);
    }
    let heard = read(&talk(&bytes));
    let mut expected = client.messages;
    for text in heard.texts {
        let found = expected.iter().position(|sent| *sent == text);
        expected.swap_remove(found.unwrap_or_else(|| panic!("{text:?} was never sent")));
    }
    match (client.end, heard.close) {
        // The close frame is echoed, or the client's end was seen first.
        (None, None) | (Some(End::Closed), _) => {}
        (Some(End::Broken), Some(1002 | 1003 | 1007 | 1009)) => {}
        (end, close) => panic!("the client's side ended with {end:?}, the gateway said {close:?}"),
    }
    Ok(())
}

/// What RFC 6455 and the limits say of a client's frames.
#[derive(Default)]
struct Client {
    messages: Vec<Vec<u8>>,
    partial: Option<(u8, Vec<u8>)>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Broken,
}

impl Client {
    fn sends(&mut self, head: u8, payload: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let (fin, opcode) = (head & 0x80 != 0, head & 0x0f);
        let control = opcode >= 8;
        let starts = matches!(opcode, 1 | 2);
        let broken = head & 0x70 != 0
            || !matches!(opcode, 0..=2 | 8..=10)
            || control && (!fin || payload.len() > 125)
            || starts && self.partial.is_some()
            || opcode == 0 && self.partial.is_none()
            || payload.len() > FRAME_MAX;
        if broken || opcode == 8 && !is_close(payload) {
            self.end = Some(End::Broken);
        } else if opcode == 8 {
            self.end = Some(End::Closed);
        } else if !control {
            let (kind, mut message) = self.partial.take().unwrap_or((opcode, Vec::new()));
            message.extend_from_slice(payload);
            let bad_text = std::str::from_utf8(&message).err();
            let bad_text = bad_text.is_some_and(|error| fin || error.error_len().is_some());
            if message.len() > MESSAGE_MAX || kind == 1 && bad_text || kind == 2 && fin {
                self.end = Some(End::Broken);
            } else if fin {
                self.messages.push(message);
            } else {
                self.partial = Some((kind, message));
            }
        }
    }
}

/// Whether a close frame's payload is one (RFC 6455 §5.5.1, §7.4).
fn is_close(payload: &[u8]) -> bool {
    match payload {
        [] => true,
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            known && std::str::from_utf8(reason).is_ok()
        }
        [_] => false,
    }
}

/// Sends the bytes after an upgrade, then ends; gives all that the gateway sent.
fn talk(bytes: &[u8]) -> Vec<u8> {
    let World { runtime, gateway } = &*WORLD;
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
        let visit = Visit::alone(HttpLimits::default(), CancellationToken::new()).await;
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let serving = visit.http(server, |request| gateway.handle(request, peer));
        let talking = async {
            client.write_all(UPGRADE).await.expect("the pipe has room");
            // The gateway may be gone before everything is sent.
            _ = client.write_all(bytes).await;
            let mut heard = Vec::new();
            // A client that ends before the answer need not get one.
            while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
                let read = client.read_buf(&mut heard).await;
                assert!(matches!(read, Ok(1..)), "ended without an answer");
            }
            _ = client.shutdown().await;
            let read = client.read_to_end(&mut heard).await;
            read.expect("a pipe does not fail");
            heard
        };
        let (heard, ()) = tokio::join!(talking, serving);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let connections = gateway.connections();
        assert!(connections.is_empty(), "the connection is still listed");
        assert_eq!(connections.queued_bytes(), 0, "bytes are still counted");
        heard
    })
}

#[derive(Default)]
struct Heard {
    texts: Vec<Vec<u8>>,
    close: Option<u16>,
}

/// Reads the gateway's side: unmasked, whole, bounded frames, and nothing after a close.
fn read(bytes: &[u8]) -> Heard {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a response's head");
    assert!(bytes.starts_with(b"HTTP/1.1 101 "), "not upgraded");
    let (mut rest, mut heard) = (&bytes[end + 4..], Heard::default());
    while let [head, len, after @ ..] = rest {
        assert_eq!(heard.close, None, "a frame after the close frame");
        let (len, after) = match (len, after) {
            (0..=125, _) => (usize::from(*len), after),
            (126, [high, low, after @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), after)
            }
            (len, _) => panic!("masked, too long, or cut off: {len}"),
        };
        let (payload, after) = after.split_at_checked(len).expect("a whole frame");
        match head {
            0x81 => heard.texts.push(payload.to_vec()),
            0x88 => {
                heard.close = Some(
                    payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code)),
                )
            }
            0x8a => assert!(payload.len() <= 125, "a pong of {} bytes", payload.len()),
            head => panic!("a frame that starts with {head:#x}"),
        }
        rest = after;
    }
    assert!(rest.is_empty(), "half a frame at the end");
    heard
}
