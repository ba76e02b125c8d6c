//! Text from a request or a token comes in; a name that cannot leave its tenant's folder goes out.

use std::fmt;

/// Longest object name, in UTF-8 bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// Longest segment of an object name, in UTF-8 bytes (file systems stop at 255).
pub const SEGMENT_BYTES_MAX: usize = 200;
/// Most segments of an object name.
pub const SEGMENTS_MAX: usize = 8;
/// Marks that a segment may hold beside letters and digits of any script.
const MARKS: &str = " ._-@+=,():&'!";

/// Why a text is no object name; the text of it is safe to show to its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No text at all.
    #[error("is empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Over [`SEGMENTS_MAX`].
    #[error("has more than {SEGMENTS_MAX} segments")]
    TooDeep,
    /// Starts or ends with `/`, or holds `//`.
    #[error("has an empty segment: it neither starts nor ends with `/` and holds no `//`")]
    EmptySegment,
    /// Over [`SEGMENT_BYTES_MAX`].
    #[error("has a segment longer than {SEGMENT_BYTES_MAX} bytes")]
    SegmentTooLong,
    /// A segment starts with a dot (`.` and `..` included) or a space, or ends with one.
    #[error("has a segment that starts or ends with a dot or a space")]
    Edge,
    /// A control character, a backslash or another mark outside the allowed set.
    #[error("holds a character other than letters, digits, `/` and `{MARKS}`")]
    Character,
    /// The name's end tells no format.
    #[error("does not end in `.csv`, `.ndjson` or `.jsonl`")]
    Extension,
}

/// An object's name relative to its tenant's folder.
///
/// 1–8 segments between `/`, 512 bytes in all. A segment is 1–200 bytes of letters and digits of any
/// script and ` ._-@+=,():&'!`, and neither starts nor ends with a dot or a space.
///
/// ```
/// use streamer::objects::ObjectName;
/// assert!(ObjectName::parse("2026/orders.csv").is_ok());
/// assert!(ObjectName::parse("../orders.csv").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// # Errors
    /// [`NameError`] says which rule of the shape the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if text.split('/').count() > SEGMENTS_MAX {
            return Err(NameError::TooDeep);
        }
        text.split('/').try_for_each(segment)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The names that would have to be folders for this one, the shortest first.
    pub(super) fn above(&self) -> impl Iterator<Item = Self> {
        let ends = self.0.match_indices('/');
        ends.filter_map(|(end, _)| self.0.get(..end).map(|text| Self(text.to_owned())))
    }
}

fn segment(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::EmptySegment);
    }
    if text.len() > SEGMENT_BYTES_MAX {
        return Err(NameError::SegmentTooLong);
    }
    if text.starts_with(['.', ' ']) || text.ends_with(['.', ' ']) {
        return Err(NameError::Edge);
    }
    match text
        .chars()
        .all(|c| c.is_alphanumeric() || MARKS.contains(c))
    {
        true => Ok(()),
        false => Err(NameError::Character),
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tenant whose id can be a folder's name as it stands.
///
/// 1–128 of `[A-Za-z0-9._:@|+=-]`, neither `.` nor `..`: no such text holds a separator, so the folder
/// of a tenant is its id byte for byte. On a file system that folds case two tenants whose ids differ
/// in case alone would share a folder; such a file system is not supported.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// `None` for a text outside the shape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._:@|+=-".contains(&b));
        (shaped && text != "." && text != "..").then(|| Self(text.to_owned()))
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The folder of one request's unfinished work: 1–64 of `[A-Za-z0-9_-]`, as every request id is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkId(String);

impl WorkId {
    /// `None` for a text outside the shape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        shaped.then(|| Self(text.to_owned()))
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
