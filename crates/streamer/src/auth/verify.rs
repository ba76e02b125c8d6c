//! A token and the time come in; [`Claims`] or a [`Rejection`] go out.

use std::sync::Arc;

use http::Uri;

use super::{
    algorithm::Algorithm,
    claims::{Claims, Rules, Tenants, is_name},
    fetch::Fetcher,
    key::{KeyError, PemKey, VerifyKey},
    rejection::{Rejection, shown},
    source::{KeySource, LoadError, Origin, Source, Want},
    token::Token,
};

/// What tokens are verified with and against.
#[derive(Debug, Clone, Default)]
pub struct VerifierConfig {
    /// Where keys come from; at least one source.
    pub keys: Vec<KeySource>,
    /// The algorithms allowed; empty allows every one that the sources are good for.
    pub algorithms: Vec<Algorithm>,
    /// The `iss` that every token must have.
    pub issuer: Option<String>,
    /// The `aud` that every token must name.
    pub audience: Option<String>,
    /// The tenants that a token may speak for.
    pub tenants: Tenants,
    /// Refuses tokens without `permissions`, which otherwise allow every action.
    pub require_permissions: bool,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No source of keys is configured.
    #[error("no keys for tokens are configured")]
    NoKeys,
    /// The secret for HS256 cannot be used.
    #[error("the secret for HS256 cannot be used")]
    Secret(#[source] KeyError),
    /// HS256 is allowed without a secret, or a secret configured that no allowed algorithm uses.
    #[error("HS256 and a secret go together: one is configured without the other")]
    SecretAndAlgorithm,
    /// The URL of a JWK set is not one that can be fetched.
    #[error("`{0}` is not an `http` or `https` URL")]
    Url(String),
    /// A tenant's name could not stand in a token.
    #[error("`{0}` is not a tenant's name: 1 to 128 of [A-Za-z0-9._:@|+=-]")]
    Tenant(String),
    /// The TLS client could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// Keys could not be read.
    #[error("keys for tokens cannot be read")]
    Load(#[source] LoadError),
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    fixed: Arc<[VerifyKey]>,
    sources: Vec<Source>,
    algorithms: Vec<Algorithm>,
    rules: Rules,
}

impl Verifier {
    /// Makes a verifier, reading every key file once so that a mistake shows at the start.
    ///
    /// A URL is first fetched by the first token: a server starts without its identity provider.
    ///
    /// # Errors
    /// A configuration that contradicts itself; a key file that cannot be read or used.
    pub fn new(config: VerifierConfig) -> Result<Self, ConfigError> {
        if config.keys.is_empty() {
            return Err(ConfigError::NoKeys);
        }
        let (mut fixed, mut sources) = (Vec::new(), Vec::new());
        let secret = |source: &KeySource| matches!(source, KeySource::Secret(_));
        let secret = config.keys.iter().any(secret);
        for source in config.keys {
            let origin = match source {
                KeySource::Secret(secret) => {
                    fixed.push(VerifyKey::from_secret(&secret.0).map_err(ConfigError::Secret)?);
                    continue;
                }
                KeySource::PemText(text) => {
                    let key = PemKey::parse(text.as_bytes());
                    let key = key.map_err(|error| ConfigError::Load(LoadError::PemText(error)))?;
                    fixed.push(key.into_public());
                    continue;
                }
                KeySource::Directory(path) => Origin::Directory(path),
                KeySource::Pem(path) => Origin::Pem(path),
                KeySource::JwksFile(path) => Origin::JwksFile(path),
                KeySource::JwksUrl(url) => {
                    let fetcher = Fetcher::new().map_err(ConfigError::Tls)?;
                    Origin::Url(fetchable(url)?, Box::new(fetcher))
                }
            };
            origin.read_now().map_err(ConfigError::Load)?;
            sources.push(Source::new(origin));
        }
        check_tenants(&config.tenants)?;
        let mut algorithms = config.algorithms;
        if algorithms.is_empty() {
            algorithms.extend(Algorithm::PUBLIC_KEY);
            algorithms.extend(secret.then_some(Algorithm::HS256));
        }
        if algorithms.contains(&Algorithm::HS256) != secret {
            return Err(ConfigError::SecretAndAlgorithm);
        }
        let rules = Rules {
            issuer: config.issuer,
            audience: config.audience,
            tenants: config.tenants,
            require_permissions: config.require_permissions,
        };
        Ok(Self {
            fixed: fixed.into(),
            sources,
            algorithms,
            rules,
        })
    }

    /// Verifies a token at a time, in milliseconds since the epoch.
    ///
    /// Waits for at most two readings of each source of keys, 5 s each. May be dropped half-way.
    ///
    /// # Errors
    /// Unauthorized for a token that is malformed, not signed by a key in force, expired, not valid
    /// yet or incomplete; Forbidden for a good one of a tenant that is not allowed here.
    pub async fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, Rejection> {
        let token = Token::parse(token)?;
        let named = token.algorithm.parse().ok();
        let algorithm = named
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| {
                let named = shown(&token.algorithm);
                Rejection::unauthorized(format!("algorithm {named} is not allowed"))
            })?;
        let keys = self.keys(Want::Current, now_ms).await;
        if !signed_by_one(&keys, &token, algorithm) {
            // A token that names no key, or one that is here, has nothing to gain from a new
            // reading.
            let unknown = token.kid.as_deref().is_some_and(|kid| {
                !keys
                    .iter()
                    .flat_map(|set| set.iter())
                    .any(|key| key.is_named(kid))
            });
            let keys = if unknown {
                self.keys(Want::Another, now_ms).await
            } else {
                Vec::new()
            };
            if !signed_by_one(&keys, &token, algorithm) {
                return Err(not_signed(&token, unknown));
            }
        }
        self.rules.check(&token.claims, now_ms)
    }

    async fn keys(&self, want: Want, now_ms: u64) -> Vec<Arc<[VerifyKey]>> {
        let mut keys = vec![Arc::clone(&self.fixed)];
        for source in &self.sources {
            keys.push(source.keys(want, now_ms).await);
        }
        keys
    }
}

fn signed_by_one(keys: &[Arc<[VerifyKey]>], token: &Token<'_>, algorithm: Algorithm) -> bool {
    let message = token.message.as_bytes();
    keys.iter()
        .flat_map(|set| set.iter())
        .filter(|key| key.may_match(token.kid.as_deref()))
        .any(|key| key.verifies(algorithm, message, &token.signature))
}

fn not_signed(token: &Token<'_>, unknown: bool) -> Rejection {
    let name = match &token.kid {
        None => "no `kid`".to_owned(),
        Some(kid) if unknown => format!("unknown `kid` {}", shown(kid)),
        Some(kid) => format!("`kid` {}", shown(kid)),
    };
    Rejection::unauthorized(format!("no key in force made the signature ({name})"))
}

fn fetchable(url: String) -> Result<Uri, ConfigError> {
    match url.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
            Ok(uri)
        }
        Ok(_) | Err(_) => Err(ConfigError::Url(url)),
    }
}

fn check_tenants(tenants: &Tenants) -> Result<(), ConfigError> {
    let bad = match tenants {
        Tenants::Any => None,
        Tenants::Only(some) => some.iter().find(|tenant| !is_name(tenant)),
        Tenants::Single(only) => Some(only).filter(|tenant| !is_name(tenant)),
    };
    bad.map_or(Ok(()), |tenant| Err(ConfigError::Tenant(tenant.clone())))
}
