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

    use super::{Ends, Foreign, check};

    #[test]
    fn programs_of_this_machine_may_and_nobody_else() {
        let here = [
            ("127.0.0.1:40000", "127.0.0.1:3001"),
            ("[::1]:40000", "[::1]:3001"),
        ];
        let lan = ("10.0.0.5:40000", "10.0.0.5:3001");
        let mapped = ("[::ffff:127.0.0.1]:40000", "[::ffff:127.0.0.1]:3001");
        let far = ("10.0.0.6:40000", "10.0.0.5:3001");
        let cases: &[((&str, &str), &[(&str, &str)], Result<(), Foreign>)] = &[
            (here[0], &[("host", "127.0.0.1:3001")], Ok(())),
            (here[0], &[("host", "localhost:3001")], Ok(())),
            (here[0], &[("host", "LOCALHOST")], Ok(())),
            (here[0], &[("host", "[::1]:3001")], Ok(())),
            (here[1], &[("host", "[::1]:3001")], Ok(())),
            (mapped, &[("host", "127.0.0.1:3001")], Ok(())),
            (lan, &[("host", "10.0.0.5:3001")], Ok(())),
            (
                here[0],
                &[("host", "127.0.0.1:3001"), ("sec-fetch-site", "none")],
                Ok(()),
            ),
            (
                here[0],
                &[
                    ("host", "127.0.0.1:3001"),
                    ("sec-fetch-site", "same-origin"),
                ],
                Ok(()),
            ),
            (far, &[("host", "10.0.0.5:3001")], Err(Foreign::Machine)),
            (
                here[0],
                &[
                    ("host", "127.0.0.1:3001"),
                    ("origin", "https://example.com"),
                ],
                Err(Foreign::Page),
            ),
            (
                here[0],
                &[("host", "127.0.0.1:3001"), ("origin", "null")],
                Err(Foreign::Page),
            ),
            (
                here[0],
                &[("host", "127.0.0.1:3001"), ("sec-fetch-site", "cross-site")],
                Err(Foreign::Page),
            ),
            (
                here[0],
                &[("host", "127.0.0.1:3001"), ("sec-fetch-site", "same-site")],
                Err(Foreign::Page),
            ),
            (
                here[0],
                &[("host", "rebound.example:3001")],
                Err(Foreign::Host),
            ),
            (
                here[0],
                &[("host", "localhost.example:3001")],
                Err(Foreign::Host),
            ),
            (here[0], &[("host", "10.0.0.5:3001")], Err(Foreign::Host)),
            (here[0], &[("host", "")], Err(Foreign::Host)),
            (here[0], &[], Err(Foreign::Host)),
        ];
        for ((peer, own), sent, expected) in cases {
            let ends = Ends {
                peer: peer.parse().unwrap(),
                own: own.parse().unwrap(),
            };
            let mut headers = HeaderMap::new();
            for (name, value) in *sent {
                headers.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            assert_eq!(check(&headers, ends), *expected, "{peer} {own} {sent:?}");
        }
    }
}
