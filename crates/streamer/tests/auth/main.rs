//! Everything a client may present at the handshake comes in; who it is, or how it is refused, is
//! checked.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;
mod presenting;
mod attacks;
mod rules;
mod interoperation;
mod jwks_sets;
mod jwks_url;
mod local_keys;
mod any_input;
