//! Operators' state comes in; the bytes of the state object go out, and back.
//!
//! Numbers are LEB128, texts are a length and their bytes. The last 8 bytes are the FNV-1a hash of the rest,
//! so that a damaged object is told from a good one.

/// The bytes are not what [`Encoder`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let hash = fnv(&self.0);
        self.0.extend_from_slice(&hash.to_le_bytes());
        self.0
    }

    /// The bytes without a hash: a key in memory.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[derive(Debug)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn checked(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (body, hash) = bytes.split_last_chunk::<8>().ok_or(Damaged)?;
        (fnv(body) == u64::from_le_bytes(*hash))
            .then_some(Self(body))
            .ok_or(Damaged)
    }

    /// Over bytes that never left this process.
    pub(super) fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    pub(super) fn length(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.number()?)
            .ok()
            .filter(|n| *n <= self.0.len())
            .ok_or(Damaged)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.length()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).ok().ok_or(Damaged)
    }

    pub(super) fn end(self) -> Result<(), Damaged> {
        self.0.is_empty().then_some(()).ok_or(Damaged)
    }
}

/// FNV-1a over 8-byte words and the bytes after them (by words: a state may be 256 MiB).
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        step(hash, u64::from_le_bytes(*word))
    });
    rest.iter()
        .fold(hash, |hash, byte| step(hash, u64::from(*byte)))
}
