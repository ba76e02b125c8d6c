//! In: the first port, and how many APIs there are. Out: one listener after another, and the URLs of what is behind them.

use std::io;
use std::net::SocketAddr;

use lift_gateway::listener;
use tokio::net::TcpListener;

use crate::door::INVOKE_PATH;
use crate::plan;
use crate::template::Authorities;

/// Where a plan's APIs listen: on one port after another. The first is there without an API, too.
#[derive(Debug)]
pub struct Ports {
    /// The first port's address.
    pub(crate) first: SocketAddr,
    pub(crate) listeners: Vec<TcpListener>,
}

impl Ports {
    /// Listens on the first port; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken or not allowed.
    pub fn bind(first: SocketAddr) -> io::Result<Self> {
        let listener = listener::bind(first)?;
        Ok(Self {
            first: listener.local_addr()?,
            listeners: vec![listener],
        })
    }

    /// Listens for the other APIs, of so many in all.
    ///
    /// # Errors
    /// One of the ports that follow is taken, or there is none.
    pub fn extend(&mut self, apis: usize) -> io::Result<()> {
        for i in self.listeners.len()..apis {
            let port = u16::try_from(i).ok();
            let port = port.and_then(|i| self.first.port().checked_add(i));
            let port = port.ok_or_else(|| io::Error::other("no ports after 65535"))?;
            let next = SocketAddr::new(self.first.ip(), port);
            let bound = listener::bind(next)
                .map_err(|error| io::Error::new(error.kind(), format!("{next}: {error}")))?;
            self.listeners.push(bound);
        }
        Ok(())
    }

    /// The APIs' addresses as functions see them.
    #[must_use]
    pub fn authorities(&self) -> Authorities {
        Authorities {
            host: named(self.first.ip()),
            first_port: self.first.port(),
        }
    }
}

/// One API that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Endpoint {
    /// The API's logical id.
    pub api: String,
    /// Where clients connect.
    pub url: String,
    /// The same over TLS.
    pub tls_url: String,
    /// What functions put before `/@connections/…`.
    pub management_url: String,
}

impl Endpoint {
    pub(crate) fn new(api: &plan::Api, domain: &str) -> Self {
        let stage = &api.stage;
        Self {
            api: api.logical_id.clone(),
            url: format!("ws://{domain}/{stage}"),
            tls_url: format!("wss://{domain}/{stage}"),
            management_url: format!("https://{domain}/{stage}"),
        }
    }
}

/// Where one function is invoked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct InvokeUrl {
    /// The function's name.
    pub function: String,
    /// What Lambda's `Invoke` is posted to.
    pub invoke_url: String,
}

impl InvokeUrl {
    pub(crate) fn new(function: &str, authority: &str) -> Self {
        Self {
            function: function.to_owned(),
            invoke_url: format!("http://{authority}{INVOKE_PATH}{function}/invocations"),
        }
    }
}

/// How an address is written before its port; what listens everywhere is called by loopback.
pub(crate) fn named(ip: std::net::IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
