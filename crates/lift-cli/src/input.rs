//! stdin comes in, lines or keys go out, until it ends.

use std::io::{self, BufRead, Read};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use streamer_client::protocol::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;

/// Pieces of input that wait to be taken.
const WAITING_MAX: usize = 64;
/// Most bytes read from a terminal at once.
const KEYS_MAX: usize = 4096;

/// A piece of stdin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One line, without its end.
    Line(String),
    /// What was typed.
    Keys(Vec<u8>),
    /// Line `number` cannot be sent.
    Bad { number: u64, why: String },
}

/// Reads lines; the channel closes when stdin ends.
pub(crate) fn lines() -> mpsc::Receiver<Piece> {
    let (pieces, taken) = mpsc::channel(WAITING_MAX);
    read_on_thread(move || {
        let mut stdin = io::stdin().lock();
        for number in 1.. {
            let piece = match read_line(&mut stdin) {
                Ok(None) => return,
                Ok(Some(Ok(line))) => Piece::Line(line),
                Ok(Some(Err(why))) => Piece::Bad { number, why },
                Err(error) => {
                    let why = format!("stdin cannot be read: {error}");
                    let _ = pieces.blocking_send(Piece::Bad { number, why });
                    return;
                }
            };
            if pieces.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    taken
}

/// Reads keys from a terminal; the channel closes when it does.
pub(crate) fn keys() -> mpsc::Receiver<Piece> {
    let (pieces, taken) = mpsc::channel(WAITING_MAX);
    read_on_thread(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; KEYS_MAX];
        loop {
            let read = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let keys = buffer.iter().copied().take(read).collect();
            if pieces.blocking_send(Piece::Keys(keys)).is_err() {
                return;
            }
        }
    });
    taken
}

/// A read of stdin cannot be stopped, so nothing may wait for its thread: the process ends over it.
fn read_on_thread(read: impl FnOnce() + Send + 'static) {
    drop(std::thread::spawn(read));
}

/// One line that fits a message, or why it does not; the rest of one that is too long is skipped.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    let room = u64::try_from(MESSAGE_BYTES_MAX + 2).unwrap_or(u64::MAX);
    if from.take(room).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let ended = line.pop_if(|byte| *byte == b'\n').is_some();
    let carriage = ended && line.pop_if(|byte| *byte == b'\r').is_some();
    if line.len() > MESSAGE_BYTES_MAX {
        if !ended && !carriage {
            from.skip_until(b'\n')?;
        }
        return Ok(Some(Err(format!(
            "it is longer than a message, {MESSAGE_BYTES_MAX} bytes"
        ))));
    }
    Ok(Some(String::from_utf8(line).map_err(|error| {
        format!("it is not UTF-8: {}", error.utf8_error())
    })))
}

/// A terminal that passes keys on as they are typed, unseen; as it was again when dropped.
#[derive(Debug)]
pub(crate) struct Unbuffered(Termios);

impl Unbuffered {
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        // ISIG stays: Ctrl-C is still a signal.
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        Ok(Self(before))
    }
}

impl Drop for Unbuffered {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_if_it_fits_one() {
        let most = "x".repeat(MESSAGE_BYTES_MAX);
        let text = format!("a\r\n\n{most}\n{most}y\r\n{most}yyyy\nlast");
        let mut from = text.as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut from).unwrap() {
            lines.push(line.map_or_else(|why| why, |line| format!("{} bytes", line.len())));
        }
        let long = "it is longer than a message, 131072 bytes";
        assert_eq!(
            lines,
            ["1 bytes", "0 bytes", "131072 bytes", long, long, "4 bytes"]
        );
        let not_text = read_line(&mut &b"a\xffb\n"[..]).unwrap().unwrap();
        assert!(not_text.unwrap_err().contains("not UTF-8"));
    }
}
