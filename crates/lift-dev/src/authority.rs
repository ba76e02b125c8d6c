//! In: the host that functions and clients connect to. Out: a certificate for it, and files that make clients trust it.
//!
//! Code that talks to `@connections` puts `https://` before the event's `domainName`, so that the
//! gateway needs a certificate, and functions a CA that they trust.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// Where distributions keep the roots that they trust.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A certificate authority that lives as long as the process, and what it signed.
#[derive(Clone)]
pub struct Authority {
    acceptor: TlsAcceptor,
    /// The authority's certificate alone, PEM.
    pub certificate: PathBuf,
    /// The same after the roots that the machine trusts, for variables that replace these.
    pub bundle: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority and a certificate for `host`, `localhost` and the loopback addresses.
    ///
    /// `directory` gets `ca.pem` and `ca-bundle.pem`; the keys stay in memory.
    ///
    /// # Errors
    /// The files cannot be written, or there is no randomness.
    pub fn make(directory: &Path, host: &str) -> io::Result<Self> {
        let (root, config) = sign(host).map_err(io::Error::other)?;
        let certificate = directory.join("ca.pem");
        let bundle = directory.join("ca-bundle.pem");
        fs::write(&certificate, &root)?;
        fs::write(&bundle, format!("{}\n{root}", system_roots()))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
            bundle,
        })
    }

    /// Takes TLS connections.
    #[must_use]
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Environment variables that make a function's TLS clients trust the gateway.
    ///
    /// OpenSSL, Go and Rust (`SSL_CERT_FILE`), boto3 and the AWS CLI (`AWS_CA_BUNDLE`), Python's
    /// requests (`REQUESTS_CA_BUNDLE`), and Node, whose variable adds to its own roots.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let bundle = self.bundle.display().to_string();
        [
            ("SSL_CERT_FILE", bundle.clone()),
            ("AWS_CA_BUNDLE", bundle.clone()),
            ("REQUESTS_CA_BUNDLE", bundle),
            (
                "NODE_EXTRA_CA_CERTS",
                self.certificate.display().to_string(),
            ),
        ]
    }
}

fn sign(host: &str) -> Result<(String, ServerConfig), Box<dyn std::error::Error + Send + Sync>> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let name = "lift dev, for this machine alone";
    root.distinguished_name.push(DnType::CommonName, name);
    let root_key = KeyPair::generate()?;
    let root_certificate = root.self_signed(&root_key)?;
    let issuer = Issuer::new(root, root_key);

    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    if !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let leaf_key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&leaf_key, &issuer)?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((root_certificate.pem(), config))
}

/// The roots that programs of this machine trust; none where no bundle is found.
fn system_roots() -> String {
    let chosen = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let system = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    let mut found = chosen.into_iter().chain(system).map(fs::read_to_string);
    found.find_map(Result::ok).unwrap_or_default()
}
