//! The keys that tokens are checked with. Decides which algorithm each key is for, when it is loaded: what a token says
//! about its own only chooses among keys, it never changes how one is used. Asked by `auth`; reads no file itself.

use std::fmt;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk, KeyAlgorithm, KeyOperations,
    PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, crypto};
use serde::Deserialize;
use tracing::warn;

/// A shorter RSA modulus can be factored.
const RSA_BYTES: usize = 256;

/// One key and the one algorithm that it is for.
#[derive(Clone)]
struct Key {
    /// A key with a name is for tokens that state it or none; one without a name is for all.
    kid: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(kid: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Option<Key> {
        let mut validation = Validation::new(algorithm);
        // `auth` checks the claims, against the caller's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        // Fails only where the key itself is no point of its curve, or of another kind.
        crypto::verify("AA", b"", &key, algorithm).ok()?;
        Some(Key { kid, key, validation })
    }

    fn is_for(&self, header: &Header) -> bool {
        let named = self.kid.is_none() || header.kid.is_none() || self.kid == header.kid;
        named && self.validation.algorithms.contains(&header.alg)
    }
}

/// Why a file of keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    #[error("it is no public key in PEM (RSA of at least 2048 bits, P-256, P-384 or Ed25519)")]
    Pem,
    #[error("it holds a private key, which the relay must not have")]
    Private,
    #[error("it is no JWKS document")]
    Jwks,
    #[error("it has no key that signs tokens")]
    Empty,
}

/// All keys of a relay.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// A shared secret, for HS256.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        Keys(Key::new(None, Algorithm::HS256, DecodingKey::from_secret(secret)).into_iter().collect())
    }

    /// One public key: RSA is for RS256, P-256 for ES256, P-384 for ES384, Ed25519 for EdDSA.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKeys> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(BadKeys::Private);
        }
        let bytes = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
        let found = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            (bytes(&key) > RSA_BYTES).then_some((Algorithm::RS256, key))
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            Some((ec_algorithm(bytes(&key)), key))
        } else {
            DecodingKey::from_ed_pem(pem).ok().map(|key| (Algorithm::EdDSA, key))
        };
        let key = found.and_then(|(algorithm, key)| Key::new(None, algorithm, key)).ok_or(BadKeys::Pem)?;
        Ok(Keys(vec![key]))
    }

    /// A JWKS document (RFC 7517). Keys for other things than signatures are passed over.
    ///
    /// # Errors
    /// When it is none, or has no key that could be used.
    pub fn from_jwks(json: &[u8]) -> Result<Self, BadKeys> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<serde_json::Value>,
        }
        let Jwks { keys } = serde_json::from_slice(json).map_err(|_| BadKeys::Jwks)?;
        let mut found = Vec::new();
        for value in keys {
            if value.get("d").is_some() {
                return Err(BadKeys::Private);
            }
            let kid = value.get("kid").and_then(|kid| kid.as_str()).map(str::to_owned);
            match serde_json::from_value::<Jwk>(value).ok().and_then(|jwk| key_of(&jwk)) {
                Some(key) => found.push(key),
                None => warn!(kid, "a key of the JWKS is passed over"),
            }
        }
        if found.is_empty() { Err(BadKeys::Empty) } else { Ok(Keys(found)) }
    }

    /// With the keys of another source.
    pub(super) fn and(mut self, others: Keys) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The claims of a token, if one of these keys signed it.
    pub(super) fn open(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // Extensions that a reader must understand, and we know none (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return None;
        }
        let candidates = self.0.iter().filter(|key| key.is_for(&header));
        let mut opened = candidates.filter_map(|key| {
            jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation).ok().map(|data| data.claims)
        });
        opened.next()
    }
}

/// What a token says, by name.
pub(super) type Claims = serde_json::Map<String, serde_json::Value>;

/// By the length of a point: a key of another curve does not pass the trial.
fn ec_algorithm(point: usize) -> Algorithm {
    if point > 65 { Algorithm::ES384 } else { Algorithm::ES256 }
}

fn key_of(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies =
        common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let stated = common.key_algorithm;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            // In base64 four characters are three bytes.
            let strong = rsa.n.trim_end_matches('=').len() * 3 / 4 >= RSA_BYTES;
            rsa_algorithm(stated).filter(|_| strong)?
        }
        AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters { curve, .. }) => match curve {
            EllipticCurve::P256 => only(stated, KeyAlgorithm::ES256, Algorithm::ES256)?,
            EllipticCurve::P384 => only(stated, KeyAlgorithm::ES384, Algorithm::ES384)?,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => only(stated, KeyAlgorithm::EdDSA, Algorithm::EdDSA)?,
        // A secret has no place in a document that is made to be public.
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && verifies)?;
    Key::new(common.key_id.clone(), algorithm, key)
}

fn only(stated: Option<KeyAlgorithm>, expected: KeyAlgorithm, algorithm: Algorithm) -> Option<Algorithm> {
    stated.is_none_or(|stated| stated == expected).then_some(algorithm)
}

fn rsa_algorithm(stated: Option<KeyAlgorithm>) -> Option<Algorithm> {
    match stated {
        None | Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
        Some(KeyAlgorithm::RS384) => Some(Algorithm::RS384),
        Some(KeyAlgorithm::RS512) => Some(Algorithm::RS512),
        Some(KeyAlgorithm::PS256) => Some(Algorithm::PS256),
        Some(KeyAlgorithm::PS384) => Some(Algorithm::PS384),
        Some(KeyAlgorithm::PS512) => Some(Algorithm::PS512),
        Some(_) => None,
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}
