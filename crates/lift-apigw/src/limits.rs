//! In: nothing. Out: the quotas of WebSocket APIs as numbers.
//!
//! Source: developer guide, "Quotas for configuring and running a WebSocket API"; 1 KB is 1,024
//! bytes there, as the API model's 131,072-byte maximum of a post shows.

use std::time::Duration;

/// Payload of one frame, either direction, in bytes; above it the gateway closes with 1009.
pub const FRAME_BYTES_MAX: usize = 32 * 1024;
/// Payload of one message, either direction, in bytes; above it 1009, or 413 for a post.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Time without a message in either direction until the gateway closes with 1001.
pub const IDLE: Duration = Duration::from_secs(10 * 60);
/// Age at which the gateway closes with 1001.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Longest and default time an integration may take.
pub const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);
/// Shortest timeout that an integration may be given.
pub const INTEGRATION_TIMEOUT_MIN: Duration = Duration::from_millis(50);
/// What an authorizer may return, in bytes.
pub const AUTHORIZER_RESULT_BYTES_MAX: usize = 8 * 1024;
/// The URL with its query string, in characters.
pub const URL_CHARS_MAX: usize = 4096;
/// What a function may return, in bytes: Lambda's 6 MiB and the 100 that its runtime emulator adds.
pub const FUNCTION_RESPONSE_BYTES_MAX: usize = 6 * 1024 * 1024 + 100;
/// Routes of one API.
pub const ROUTES_MAX: usize = 300;
/// New connections a second, over all APIs of an account and region; above it 429.
pub const CONNECTIONS_PER_SECOND: u32 = 500;
/// Requests a second, over all APIs of an account and region, `@connections` calls included.
pub const REQUESTS_PER_SECOND: u32 = 10_000;
/// Requests that may come at once before that rate holds.
pub const REQUESTS_BURST: u32 = 5_000;
