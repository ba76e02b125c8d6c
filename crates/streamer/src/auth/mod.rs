//! From what a client presents at the handshake to who it is: a token and a time come in,
//! [`Claims`] or a [`Rejection`] go out; and the keys and tokens of one machine.
//!
//! Nothing here knows the framework. The clock is always an argument, so that every rule about time
//! is a pure one.

mod algorithm;
mod rejection;
mod extract;
mod token;
mod claims;
mod key;
mod jwks;
mod fetch;
mod source;
mod verify;
mod secret_file;
mod keys;
mod mint;
mod inspect;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::{Claims, Tenants, grants, may_call};
pub use extract::{Handshake, QueryToken, check_origin, presented_token};
pub use inspect::{Inspection, Signature, inspect};
pub use jwks::JwksError;
pub use key::{Generated, KeyError, generate};
pub use keys::{Keys, KeysError};
pub use mint::{MintError, MintRequest, mint};
pub use rejection::{Rejection, RejectionKind};
pub use source::{KeySource, LoadError, Secret};
pub use verify::{ConfigError, Verifier, VerifierConfig};

/// The longest token that is looked at, in bytes; API Gateway passes headers of 10,240 bytes in
/// all.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far ahead of this clock `nbf` and `iat` may be, in milliseconds.
pub const LEEWAY_MS: u64 = 60_000;
/// The most entries that `permissions` may have.
pub const PERMISSIONS_MAX: usize = 64;
/// The most bytes that the entries of `permissions` may have together.
pub const PERMISSIONS_BYTES_MAX: usize = 2 * 1024;
/// The longest `sub` and `tenant_id`, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The most keys taken from one source, which bounds the work that one bad token can cause.
pub const KEYS_MAX: usize = 32;
