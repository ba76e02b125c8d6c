//! In: any bytes. Out: what a client's frames, or a connection's history, makes of the gateway; a panic where a rule is broken.

mod frames;
mod session;

/// One run.
pub(crate) fn run(data: &[u8]) {
    match data.split_first() {
        Some((0..=63, raw)) => frames::raw(raw),
        Some((64..=127, script)) => _ = frames::masked(script),
        Some((choice, script)) => _ = session::check(*choice, script),
        None => {}
    }
}
