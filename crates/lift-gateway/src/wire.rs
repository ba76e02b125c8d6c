//! In: bytes from a client. Out: the messages in them, by RFC 6455; and frames for it as bytes. No I/O.

use crate::session::Violation;
use crate::session::codec::Text;

/// A frame's longest header, in bytes (RFC 6455 §5.2).
pub(crate) const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What frames begin with: the final bit and an opcode (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum First {
    Text = 0x81,
    Binary = 0x82,
    Close = 0x88,
    Pong = 0x8a,
}

/// A message from a client.
#[derive(Debug)]
pub(crate) enum Heard {
    Text(Text),
    Binary,
    Ping(Vec<u8>),
    Pong,
    /// With the code and reason that it named.
    Close(Option<(u16, String)>),
}

/// Reads one connection's frames.
#[derive(Debug)]
pub(crate) struct Reader {
    frame_bytes_max: usize,
    message_bytes_max: usize,
    /// The message whose last frame has not come.
    begun: Option<Begun>,
}

#[derive(Debug)]
enum Begun {
    Text {
        payload: Vec<u8>,
        /// Bytes at its start that are known to be UTF-8.
        checked: usize,
    },
    /// Nobody reads what is binary.
    Binary { bytes: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

struct Header {
    is_final: bool,
    opcode: Opcode,
    mask: [u8; 4],
    payload_bytes: usize,
    bytes: usize,
}

impl Reader {
    pub(crate) fn new(frame_bytes_max: usize, message_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            message_bytes_max,
            begun: None,
        }
    }

    /// Reads the first frame, if all of it is there: how many bytes it has, and the message that it
    /// ends.
    ///
    /// # Errors
    /// The frame breaks a rule; sizes are judged by its header, before its payload is there.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(usize, Option<Heard>)>, Violation> {
        let Some(header) = self.header(bytes)? else {
            return Ok(None);
        };
        let end = header.bytes + header.payload_bytes;
        let Some(payload) = bytes.get(header.bytes..end) else {
            return Ok(None);
        };
        let heard = match header.opcode {
            Opcode::Continuation | Opcode::Text | Opcode::Binary => self.part(&header, payload)?,
            Opcode::Close => Some(Heard::Close(close(&unmasked(payload, header.mask))?)),
            Opcode::Ping => Some(Heard::Ping(unmasked(payload, header.mask))),
            Opcode::Pong => Some(Heard::Pong),
        };
        Ok(Some((end, heard)))
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = opcode(*first)?;
        let is_final = first & 0x80 != 0;
        let is_masked = second & 0x80 != 0;
        let short = usize::from(second & 0x7f);
        // No extension is negotiated that would give the reserved bits a meaning.
        if !is_masked || first & 0x70 != 0 {
            return Err(Violation::Protocol);
        }
        let may_be = match (opcode, &self.begun) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                is_final && short <= CONTROL_BYTES_MAX
            }
            (Opcode::Continuation, begun) => begun.is_some(),
            (Opcode::Text | Opcode::Binary, begun) => begun.is_none(),
        };
        if !may_be {
            return Err(Violation::Protocol);
        }
        let length = match short {
            126 => rest
                .split_first_chunk()
                .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest)),
            127 => rest.split_first_chunk().map(|(length, rest)| {
                let length = u64::from_be_bytes(*length);
                (usize::try_from(length).unwrap_or(usize::MAX), rest)
            }),
            short => Some((short, rest)),
        };
        let Some((payload_bytes, rest)) = length else {
            return Ok(None);
        };
        if payload_bytes > self.frame_bytes_max {
            return Err(Violation::FrameTooBig);
        }
        let before = match (opcode, &self.begun) {
            (Opcode::Continuation, Some(begun)) => begun.bytes(),
            _ => 0,
        };
        if before.saturating_add(payload_bytes) > self.message_bytes_max {
            return Err(Violation::MessageTooBig);
        }
        let Some((mask, payload)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Header {
            is_final,
            opcode,
            mask: *mask,
            payload_bytes,
            bytes: bytes.len() - payload.len(),
        }))
    }

    fn part(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Heard>, Violation> {
        let mut begun = self.begun.take().unwrap_or_else(|| match header.opcode {
            Opcode::Binary => Begun::Binary { bytes: 0 },
            _ => Begun::Text {
                payload: Vec::with_capacity(payload.len()),
                checked: 0,
            },
        });
        begun.add(payload, header.mask);
        if !header.is_final {
            begun.check()?;
            self.begun = Some(begun);
            return Ok(None);
        }
        let Begun::Text { payload, .. } = begun else {
            return Ok(Some(Heard::Binary));
        };
        let text = String::from_utf8(payload).map_err(|_binary| Violation::InvalidUtf8)?;
        Ok(Some(Heard::Text(text.into())))
    }
}

impl Begun {
    fn bytes(&self) -> usize {
        match self {
            Self::Text { payload, .. } => payload.len(),
            Self::Binary { bytes } => *bytes,
        }
    }

    fn add(&mut self, part: &[u8], mask: [u8; 4]) {
        match self {
            Self::Text { payload, .. } => append(part, mask, payload),
            Self::Binary { bytes } => *bytes += part.len(),
        }
    }

    /// Whether a text can still become UTF-8; what can not is refused before its end comes
    /// (RFC 6455 §8.1).
    fn check(&mut self) -> Result<(), Violation> {
        let Self::Text { payload, checked } = self else {
            return Ok(());
        };
        let unchecked = payload.get(*checked..).unwrap_or_default();
        *checked += match std::str::from_utf8(unchecked) {
            Ok(text) => text.len(),
            // A character may be cut in two by its frames.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Violation::InvalidUtf8),
        };
        Ok(())
    }
}

fn opcode(first: u8) -> Result<Opcode, Violation> {
    Ok(match first & 0x0f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(Violation::Protocol),
    })
}

/// The code and reason of a close frame (RFC 6455 §5.5.1, §7.4).
fn close(payload: &[u8]) -> Result<Option<(u16, String)>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::Protocol),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    let reason = std::str::from_utf8(reason).map_err(|_binary| Violation::InvalidUtf8)?;
    Ok(Some(match code {
        1000..=1003 | 1007..=1013 | 3000..=4999 => (code, reason.to_owned()),
        _ => (1002, "Protocol violation".to_owned()),
    }))
}

fn unmasked(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len());
    append(payload, mask, &mut plain);
    plain
}

/// Appends a payload without its mask (RFC 6455 §5.3).
fn append(payload: &[u8], mask: [u8; 4], to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(payload);
    let [a, b, c, d] = mask;
    let wide = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    let (chunks, rest) = to
        .get_mut(start..)
        .unwrap_or_default()
        .as_chunks_mut::<16>();
    for chunk in chunks {
        xor(chunk, wide);
    }
    xor(rest, wide);
}

fn xor(bytes: &mut [u8], mask: [u8; 16]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Appends one frame of a server's, which has no mask.
pub(crate) fn write(first: First, payload: &[u8], to: &mut Vec<u8>) {
    to.push(first as u8);
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => to.push(short),
        (_, Ok(middle)) => {
            to.push(126);
            to.extend(middle.to_be_bytes());
        }
        _ => {
            to.push(127);
            to.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    to.extend_from_slice(payload);
}

/// Appends a close frame; without a code, one that names none.
pub(crate) fn write_close(frame: Option<(u16, &str)>, to: &mut Vec<u8>) {
    let mut payload = Vec::new();
    if let Some((code, reason)) = frame {
        payload.extend(code.to_be_bytes());
        // A reason that does not fit a control frame is left out: cut, it may end within a character.
        if reason.len() <= CONTROL_BYTES_MAX - 2 {
            payload.extend(reason.as_bytes());
        }
    }
    write(First::Close, &payload, to);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0xa1, 0x02, 0xff, 0x30];

    /// A client's frame: what it begins with, and its payload under the mask.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(First::Text, payload, &mut bytes);
        let head = bytes.len() - payload.len();
        bytes.truncate(head);
        bytes[0] = first;
        bytes[1] |= 0x80;
        bytes.extend(MASK);
        append(payload, MASK, &mut bytes);
        bytes
    }

    /// What comes of these bytes, read in pieces that end after the first `at`, and whole after that.
    fn heard(bytes: &[u8], at: usize) -> Vec<String> {
        let mut reader = Reader::new(70_000, 100_000);
        let (mut all, mut used) = (Vec::new(), 0);
        for end in [at, bytes.len()] {
            while used < end {
                match reader.read(&bytes[used..end]) {
                    Ok(None) => break,
                    Ok(Some((taken, heard))) => {
                        used += taken;
                        all.extend(heard.map(|heard| match heard {
                            Heard::Text(text) if text.len() > 200 => text.len().to_string(),
                            Heard::Text(text) => text.to_string(),
                            other => format!("{other:?}"),
                        }));
                    }
                    Err(violation) => {
                        all.push(format!("{violation:?}"));
                        return all;
                    }
                }
            }
        }
        all
    }

    #[track_caller]
    fn check(frames: &[(u8, &[u8])], expected: &[&str]) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, payload)| frame(*first, payload))
            .collect();
        let step = (bytes.len() / 60).max(1);
        for at in (0..=bytes.len()).step_by(step) {
            assert_eq!(heard(&bytes, at), expected, "cut at {at}");
        }
    }

    #[test]
    fn messages_are_read_however_their_bytes_arrive() {
        check(&[(0x81, b"hello"), (0x81, b"")], &["hello", ""]);
        let long = vec![b'x'; 126];
        check(&[(0x81, &long)], &[std::str::from_utf8(&long).unwrap()]);
        check(&[(0x81, &[b'x'; 65_536])], &["65536"]);
        check(&[(0x01, b"he"), (0x00, b"l"), (0x80, b"lo")], &["hello"]);
        // A character may be cut in two by its frames, and control frames lie between them.
        let [a, b] = [&[0xc3][..], &[0xbc]];
        check(&[(0x01, a), (0x89, b"p"), (0x80, b)], &["Ping([112])", "ü"]);
        check(
            &[(0x02, b"\xff"), (0x80, b""), (0x8a, b"")],
            &["Binary", "Pong"],
        );
        check(&[(0x88, b"")], &["Close(None)"]);
        check(
            &[(0x88, b"\x0f\xa0bye")],
            &[r#"Close(Some((4000, "bye")))"#],
        );
        // 1005 is no code to send (RFC 6455 §7.4.1).
        let wrong = r#"Close(Some((1002, "Protocol violation")))"#;
        check(&[(0x88, b"\x03\xed")], &[wrong]);
    }

    #[test]
    fn what_the_rfc_or_a_limit_forbids_is_a_violation() {
        for first in [0xc1, 0xa1, 0x91, 0x83, 0x8b, 0x80, 0x09, 0x08] {
            check(&[(first, b"x")], &["Protocol"]);
        }
        check(&[(0x01, b"x"), (0x81, b"y")], &["Protocol"]);
        for long in [126, 1_000, 70_001] {
            check(&[(0x89, &vec![0; long])], &["Protocol"]);
        }
        check(&[(0xc1, &[b'x'; 70_001])], &["Protocol"]);
        check(&[(0x88, b"\x03")], &["Protocol"]);
        check(&[(0x88, b"\x03\xe8\xff")], &["InvalidUtf8"]);
        check(&[(0x81, b"\xff")], &["InvalidUtf8"]);
        check(&[(0x01, b"\xff"), (0x80, b"")], &["InvalidUtf8"]);
        check(&[(0x01, b"\xc3"), (0x00, b"x")], &["InvalidUtf8"]);
        check(
            &[(0x81, b"ok"), (0x81, &[b'x'; 70_001])],
            &["ok", "FrameTooBig"],
        );
        check(
            &[(0x01, &[b'x'; 60_000]), (0x80, &[b'x'; 40_001])],
            &["MessageTooBig"],
        );
        assert_eq!(
            heard(&[0x81, 0x01, b'x'], 2),
            ["Protocol"],
            "without a mask"
        );
        check(
            &[(0x02, &[0; 60_000]), (0x80, &[0; 40_001])],
            &["MessageTooBig"],
        );
        let endless = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(heard(&endless, 3), ["FrameTooBig"], "a length of 2^64-1");
    }
}
