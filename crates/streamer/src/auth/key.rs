//! PEM text, a JWK or a secret comes in; a key that knows which algorithms it is good for goes out.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, EncodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash},
};

use super::algorithm::{Algorithm, provider};

/// A key that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text holds no PEM block, or several: which of them would count is anybody's guess.
    #[error("it holds {0} PEM blocks, not one")]
    Blocks(usize),
    /// The PEM block is of another kind.
    #[error("its PEM block is `{0}`, not `PUBLIC KEY` or `PRIVATE KEY` (PKCS#8)")]
    Label(String),
    /// The key is of another type or curve, or malformed.
    #[error("it is not an RSA, P-256, P-384 or Ed25519 key")]
    Type,
    /// The RSA modulus is too short to be safe, or too long to be checked.
    #[error("its RSA modulus has {0} bits, not 2048 to 8192")]
    RsaBits(usize),
    /// A secret is shorter than the hash of its MAC (RFC 7518 §3.2).
    #[error("it has {0} bytes, a secret needs at least 32")]
    SecretBytes(usize),
    /// Keys of this algorithm are not made here.
    #[error("no key pair can be made for {0}; choose ES256, ES384, EdDSA or RS256")]
    NotMade(Algorithm),
    /// The crypto library failed.
    #[error("the key pair could not be made")]
    Crypto(#[source] Unspecified),
}

/// How a key is named, and what the name is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kid {
    /// By its source: only tokens with this `kid`, or none, are checked with it.
    Declared(String),
    /// By its own thumbprint: whoever signs with a bare key file may name it otherwise.
    Derived(String),
    /// Not at all.
    None,
}

/// A key that verifies.
#[derive(Clone)]
pub(super) struct VerifyKey {
    pub(super) kid: Kid,
    /// From the key's type and its source, never from a token.
    pub(super) algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl VerifyKey {
    /// A secret shared with whoever makes the tokens.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < 32 {
            return Err(KeyError::SecretBytes(secret.len()));
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self {
            kid: Kid::None,
            algorithms: vec![Algorithm::HS256],
            key,
        })
    }

    /// A public key of a type that is supported, named by its RFC 7638 thumbprint.
    pub(super) fn from_public(key: DecodingKey) -> Result<Self, KeyError> {
        provider();
        let jwk = Jwk::from_decoding_key(&key, None).map_err(|_malformed| KeyError::Type)?;
        let algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let modulus = URL_SAFE_NO_PAD
                    .decode(&rsa.n)
                    .map_err(|_malformed| KeyError::Type)?;
                let bits = 8 * modulus.iter().skip_while(|byte| **byte == 0).count();
                if !(2048..=8192).contains(&bits) {
                    return Err(KeyError::RsaBits(bits));
                }
                Algorithm::RSA.to_vec()
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let point = key
                    .try_get_as_bytes()
                    .map_err(|_malformed| KeyError::Type)?;
                let (parsed, algorithm) = match ec.curve {
                    EllipticCurve::P256 => (
                        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
                        Algorithm::ES256,
                    ),
                    EllipticCurve::P384 => (
                        ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
                        Algorithm::ES384,
                    ),
                    _ => return Err(KeyError::Type),
                };
                parsed.map_err(|_not_on_the_curve| KeyError::Type)?;
                vec![algorithm]
            }
            AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
            _ => return Err(KeyError::Type),
        };
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_malformed| KeyError::Type)?;
        Ok(Self {
            kid: Kid::Derived(kid),
            algorithms,
            key,
        })
    }

    /// Whether a token with this `kid` may have been signed with the key: a `kid` is a hint (RFC
    /// 7515 §4.1.4).
    pub(super) fn may_match(&self, kid: Option<&str>) -> bool {
        match (&self.kid, kid) {
            (Kid::Declared(name), Some(kid)) => name == kid,
            (Kid::Declared(_) | Kid::Derived(_) | Kid::None, _) => true,
        }
    }

    /// Whether `kid` is this key's name.
    pub(super) fn is_named(&self, kid: &str) -> bool {
        match &self.kid {
            Kid::Declared(name) | Kid::Derived(name) => name == kid,
            Kid::None => false,
        }
    }

    /// Whether the signature is this key's over `message`.
    pub(super) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> bool {
        self.algorithms.contains(&algorithm)
            && (provider().verifier_factory)(&algorithm.jwt(), &self.key)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// A private key with its public half.
#[derive(Debug, Clone)]
pub(super) struct SigningKey {
    pub(super) algorithm: Algorithm,
    /// The public key's RFC 7638 thumbprint.
    pub(super) kid: String,
    pub(super) key: EncodingKey,
    pub(super) public: VerifyKey,
}

impl SigningKey {
    fn from_private(key: EncodingKey) -> Result<Self, KeyError> {
        let utils = &provider().key_utils;
        let der = key.as_bytes();
        let public = match key.family() {
            AlgorithmFamily::Ed => {
                (utils.ed_pub_components_from_private_key)(der, &EllipticCurve::Ed25519)
                    .map(|x| DecodingKey::from_ed_der(&x))
            }
            AlgorithmFamily::Ec => {
                (utils.ec_pub_components_from_private_key)(der, Algorithm::ES256.jwt())
                    .or_else(|_another_curve| {
                        (utils.ec_pub_components_from_private_key)(der, Algorithm::ES384.jwt())
                    })
                    // An uncompressed point: SEC 1 §2.3.3.
                    .map(|(_, x, y)| DecodingKey::from_ec_der(&[&[4], &*x, &*y].concat()))
            }
            AlgorithmFamily::Rsa => (utils.rsa_pub_components_from_private_key)(der)
                .map(|(n, e)| DecodingKey::from_rsa_raw_components(&n, &e)),
            AlgorithmFamily::Hmac => return Err(KeyError::Type),
        };
        let public = VerifyKey::from_public(public.map_err(|_malformed| KeyError::Type)?)?;
        let (Some(&algorithm), Kid::Derived(kid)) = (public.algorithms.first(), &public.kid) else {
            return Err(KeyError::Type);
        };
        Ok(Self {
            algorithm,
            kid: kid.clone(),
            key,
            public,
        })
    }
}

/// What a PEM file holds.
#[derive(Debug, Clone)]
pub(super) enum PemKey {
    /// A key pair: it signs and verifies.
    Private(SigningKey),
    /// A public key: it verifies only.
    Public(VerifyKey),
}

impl PemKey {
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(text).map_err(|_malformed| KeyError::Blocks(0))?;
        let [block] = blocks.as_slice() else {
            return Err(KeyError::Blocks(blocks.len()));
        };
        let text = pem::encode(block);
        let text = text.as_bytes();
        match block.tag() {
            "PRIVATE KEY" => EncodingKey::from_ed_pem(text)
                .or_else(|_another_type| EncodingKey::from_ec_pem(text))
                .or_else(|_another_type| EncodingKey::from_rsa_pem(text))
                .map_err(|_malformed| KeyError::Type)
                .and_then(SigningKey::from_private)
                .map(Self::Private),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => DecodingKey::from_ed_pem(text)
                .or_else(|_another_type| DecodingKey::from_ec_pem(text))
                .or_else(|_another_type| DecodingKey::from_rsa_pem(text))
                .map_err(|_malformed| KeyError::Type)
                .and_then(VerifyKey::from_public)
                .map(Self::Public),
            other => Err(KeyError::Label(other.chars().take(64).collect())),
        }
    }

    pub(super) fn into_public(self) -> VerifyKey {
        match self {
            Self::Private(pair) => pair.public,
            Self::Public(key) => key,
        }
    }
}

/// A new key pair.
#[derive(Clone)]
pub struct Generated {
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The public key's RFC 7638 thumbprint, in SHA-256.
    pub kid: String,
    /// PKCS#8 in PEM: a secret.
    pub private_pem: String,
    /// `SubjectPublicKeyInfo` in PEM.
    pub public_pem: String,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generated")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Makes a key pair: ES256, ES384, EdDSA, or RS256 of 2048 bits.
///
/// # Errors
/// An algorithm that no key is made for; a failure of the crypto library.
pub fn generate(algorithm: Algorithm) -> Result<Generated, KeyError> {
    let (private, public) = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA | Algorithm::RS256 => {
            key_pair(algorithm).map_err(KeyError::Crypto)?
        }
        Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::HS256 => return Err(KeyError::NotMade(algorithm)),
    };
    let encode = |label: &str, der: Vec<u8>| {
        let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new(label, der), lines)
    };
    let private_pem = encode("PRIVATE KEY", private);
    let PemKey::Private(SigningKey { kid, .. }) = PemKey::parse(private_pem.as_bytes())? else {
        return Err(KeyError::Type);
    };
    Ok(Generated {
        algorithm,
        kid,
        private_pem,
        public_pem: encode("PUBLIC KEY", public),
    })
}

/// PKCS#8 and `SubjectPublicKeyInfo`, in DER.
fn key_pair(algorithm: Algorithm) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let random = SystemRandom::new();
    let (private, public): (Vec<u8>, PublicKeyX509Der<'static>) = match algorithm {
        Algorithm::EdDSA => {
            // Version 1, without the public key inside: many readers refuse version 2 (RFC 5958).
            let der = Ed25519KeyPair::generate_pkcs8v1(&random)?;
            let pair = Ed25519KeyPair::from_pkcs8(der.as_ref())?;
            (der.as_ref().to_vec(), pair.public_key().as_der()?)
        }
        Algorithm::ES256 | Algorithm::ES384 => {
            let signing = if algorithm == Algorithm::ES256 {
                &ECDSA_P256_SHA256_FIXED_SIGNING
            } else {
                &ECDSA_P384_SHA384_FIXED_SIGNING
            };
            let der = EcdsaKeyPair::generate_pkcs8(signing, &random)?;
            let pair = EcdsaKeyPair::from_pkcs8(signing, der.as_ref())?;
            (der.as_ref().to_vec(), pair.public_key().as_der()?)
        }
        _ => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
            let der: Pkcs8V1Der<'static> = pair.as_der()?;
            (der.as_ref().to_vec(), pair.public_key().as_der()?)
        }
    };
    Ok((private, public.as_ref().to_vec()))
}
