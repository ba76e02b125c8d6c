//! How many descriptors a server may have comes in; how many of them clients get goes out.

/// Connections that a server takes where descriptors are plenty.
pub const CONNECTIONS_MAX: u64 = 100_000;
/// Clients before their upgrade that a server takes where descriptors are plenty.
pub const UNUPGRADED_MAX: u64 = 2_048;
/// Descriptors for the store, objects and fetches of keys, where there are plenty.
const FOR_FILES_MAX: u64 = 1_024;

/// Descriptors for a server to be told that it has enough: all clients that it takes, and its files.
pub const ENOUGH: u64 = CONNECTIONS_MAX + UNUPGRADED_MAX + FOR_FILES_MAX;

/// What clients get of a server's descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForClients {
    /// For connections.
    pub connections: u64,
    /// For clients before their upgrade.
    pub unupgraded: u64,
}

/// Divides them so that even clients without number leave the store its files. Pure.
///
/// ```
/// use streamer::descriptors::for_clients;
///
/// assert_eq!(for_clients(65_536).connections, 65_536 - 1_024 - 2_048);
/// ```
#[must_use]
pub fn for_clients(descriptors: u64) -> ForClients {
    let sockets = descriptors - (descriptors / 4).min(FOR_FILES_MAX);
    let unupgraded = (sockets / 4).min(UNUPGRADED_MAX);
    ForClients {
        connections: (sockets - unupgraded).min(CONNECTIONS_MAX),
        unupgraded,
    }
}
