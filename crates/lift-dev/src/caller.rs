//! In: the head of a request that runs functions or sets faults, and who sent it. Out: whether a program of this machine did.
//!
//! Any page in the developer's browser can send requests to this machine, some of them without asking
//! first (Fetch standard, "CORS-safelisted method" and "request-header"), and can read the answers once
//! a name of its own leads here (DNS rebinding). Browsers say where a request comes from with `Origin`
//! and `Sec-Fetch-Site` (Fetch Metadata Request Headers), and what was typed with `Host`.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

/// Both ends of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) own: SocketAddr,
}

/// Who may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    #[error("refused: it comes from another machine")]
    Machine,
    #[error("refused: a web page sent it (`Origin` or `Sec-Fetch-Site`)")]
    Page,
    #[error("refused: its `Host` is neither `localhost` nor this port's address")]
    Host,
}

/// # Errors
/// Another machine or a web page sent it, or may have.
pub(crate) fn check(headers: &HeaderMap, ends: Ends) -> Result<(), Foreign> {
    if !is_here(ends.peer.ip(), ends) {
        return Err(Foreign::Machine);
    }
    let site = headers.get("sec-fetch-site");
    let is_own = |site: &[u8]| matches!(site, b"none" | b"same-origin");
    if headers.contains_key(ORIGIN) || site.is_some_and(|site| !is_own(site.as_bytes())) {
        return Err(Foreign::Page);
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    // The port is not compared: a tunnel's is another one, and a page's name never is an address.
    match host.as_ref().map(Authority::host) {
        Some(name) if name.eq_ignore_ascii_case("localhost") => Ok(()),
        Some(name) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse();
            let is_here = address.is_ok_and(|address| is_here(address, ends));
            if is_here { Ok(()) } else { Err(Foreign::Host) }
        }
        None => Err(Foreign::Host),
    }
}

/// A loopback address, or the one that was connected to: nobody else has it.
fn is_here(address: IpAddr, ends: Ends) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address == ends.own.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Ends, Foreign};

    /// The peer, the address that it asked, and what it sent.
    fn check(peer: &str, own: &str, sent: &[(&'static str, &'static str)]) -> Result<(), Foreign> {
        let ends = Ends {
            peer: peer.parse().unwrap(),
            own: own.parse().unwrap(),
        };
        let headers = sent.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        super::check(&HeaderMap::from_iter(headers), ends)
    }

    #[test]
    fn only_who_asks_from_this_machine_may() {
        for (peer, own, host, expected) in [
            ("127.0.0.1:4", "127.0.0.1:3", "127.0.0.1:3", Ok(())),
            ("[::1]:4", "[::1]:3", "[::1]:3", Ok(())),
            (
                "[::ffff:127.0.0.1]:4",
                "[::ffff:127.0.0.1]:3",
                "127.0.0.1:3",
                Ok(()),
            ),
            ("10.0.0.5:4", "10.0.0.5:3", "10.0.0.5:3", Ok(())),
            (
                "10.0.0.6:4",
                "10.0.0.5:3",
                "10.0.0.5:3",
                Err(Foreign::Machine),
            ),
            (
                "10.0.0.6:4",
                "127.0.0.1:3",
                "127.0.0.1:3",
                Err(Foreign::Machine),
            ),
        ] {
            assert_eq!(check(peer, own, &[("host", host)]), expected, "{peer}");
        }
    }

    #[test]
    fn no_page_of_a_browser_may() {
        let host = ("host", "localhost:3");
        for (sent, expected) in [
            (vec![host], Ok(())),
            (vec![host, ("sec-fetch-site", "none")], Ok(())),
            (vec![host, ("sec-fetch-site", "same-origin")], Ok(())),
            (
                vec![host, ("sec-fetch-site", "same-site")],
                Err(Foreign::Page),
            ),
            (
                vec![host, ("sec-fetch-site", "cross-site")],
                Err(Foreign::Page),
            ),
            (
                vec![host, ("origin", "http://localhost:3")],
                Err(Foreign::Page),
            ),
            (vec![host, ("origin", "null")], Err(Foreign::Page)),
            (vec![("host", "LOCALHOST")], Ok(())),
            (vec![("host", "[::1]:4")], Ok(())),
            (vec![("host", "rebound.example:3")], Err(Foreign::Host)),
            (vec![("host", "localhost.example:3")], Err(Foreign::Host)),
            (vec![("host", "10.0.0.5:3")], Err(Foreign::Host)),
            (vec![("host", "")], Err(Foreign::Host)),
            (vec![], Err(Foreign::Host)),
        ] {
            let checked = check("127.0.0.1:4", "127.0.0.1:3", &sent);
            assert_eq!(checked, expected, "{sent:?}");
        }
    }
}
