//! Tokens: JWTs signed with HS256. Decides whether a token names a user now, and until when; never logs one.
//! Asked by `socket` at every connection, and by the dev login and `crsqlite-relay token`, which make tokens.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::clock::now_seconds;
use crate::error::Error;

/// The cookie that carries the token.
pub const COOKIE: &str = "auth_token";
/// How far a token's `nbf` may lie ahead of our clock.
const CLOCK_SKEW_SECONDS: f64 = 60.0;
const LONGEST_SUB: usize = 255;

/// The token among the cookies of a request, given the values of its `Cookie` headers.
pub fn token<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let cookies = headers.into_iter().flat_map(|header| header.split(';'));
    let mut cookies = cookies.filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Signs and verifies tokens. One algorithm: what a token says about its own is checked against it.
#[derive(Clone)]
pub struct Auth {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub sub: String,
    /// Seconds since 1970.
    pub expires: i64,
}

/// Why a connection is closed with 4001.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    Invalid,
    Expired,
}

impl Refusal {
    /// The close frame's reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Missing => "token missing",
            Refusal::Invalid => "token invalid",
            Refusal::Expired => "token expired",
        }
    }
}

#[derive(Serialize)]
struct ClaimsOut<'a> {
    sub: &'a str,
    iat: i64,
    exp: i64,
}

/// Times may have a fraction (RFC 7519, NumericDate).
#[derive(Deserialize)]
struct ClaimsIn {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

impl Auth {
    /// # Errors
    /// When the secret is empty.
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.is_empty() {
            return Err(Error::EmptySecret);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here, against the caller's clock; whom a token was made for is for its issuer.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Ok(Auth {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
            validation,
        })
    }

    /// Who a token names. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it names nobody.
    pub fn verify(&self, token: Option<&str>, now: i64) -> Result<Identity, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or(Refusal::Missing)?;
        let claims = jsonwebtoken::decode::<ClaimsIn>(token, &self.verify, &self.validation)
            .map_err(|_| Refusal::Invalid)?
            .claims;
        #[allow(clippy::cast_precision_loss)] // exact for the next 285 million years
        let seconds = now as f64;
        let early = claims.nbf.is_some_and(|nbf| nbf > seconds + CLOCK_SKEW_SECONDS);
        if early || claims.sub.is_empty() || claims.sub.len() > LONGEST_SUB {
            return Err(Refusal::Invalid);
        }
        if claims.exp <= seconds {
            return Err(Refusal::Expired);
        }
        #[allow(clippy::cast_possible_truncation)] // `as` saturates, and the far future is far enough
        let expires = claims.exp.ceil() as i64;
        Ok(Identity { sub: claims.sub, expires })
    }

    /// Makes a token. `now` is in seconds since 1970, `lifetime` in seconds.
    ///
    /// # Errors
    /// When the signature cannot be made.
    pub fn token(&self, sub: &str, now: i64, lifetime: i64) -> Result<String, Error> {
        let claims = ClaimsOut { sub, iat: now, exp: now.saturating_add(lifetime) };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)?)
    }
}

impl Auth {
    /// A token that is valid from now on, for `lifetime` seconds.
    ///
    /// # Errors
    /// When the signature cannot be made.
    pub fn token_from_now(&self, sub: &str, lifetime: i64) -> Result<String, Error> {
        self.token(sub, now_seconds(), lifetime)
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(HS256)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn auth() -> Auth {
        Auth::new(b"a secret of at least thirty-two bytes").unwrap()
    }

    fn signed(header: &Header, claims: &serde_json::Value) -> String {
        let key = EncodingKey::from_secret(b"a secret of at least thirty-two bytes");
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let token = auth().token("alice", NOW, 60).unwrap();
        let alice = Identity { sub: "alice".into(), expires: NOW + 60 };
        assert_eq!(auth().verify(Some(&token), NOW), Ok(alice));
        assert_eq!(auth().verify(Some(&token), NOW + 60), Err(Refusal::Expired));
        assert_eq!(auth().verify(None, NOW), Err(Refusal::Missing));
        assert_eq!(auth().verify(Some(""), NOW), Err(Refusal::Missing));
    }

    #[test]
    fn only_hs256_under_our_secret_is_taken() {
        let claims = serde_json::json!({ "sub": "alice", "exp": NOW + 60 });
        let token = signed(&Header::new(Algorithm::HS256), &claims);
        assert!(auth().verify(Some(&token), NOW).is_ok());
        let other = Auth::new(b"another secret").unwrap().token("alice", NOW, 60).unwrap();
        // {"alg":"none"} with no signature, and with the one of a good token.
        let body = token.split('.').nth(1).unwrap();
        let signature = token.split('.').nth(2).unwrap();
        let none = format!("eyJhbGciOiJub25lIn0.{body}.");
        let signed_none = format!("eyJhbGciOiJub25lIn0.{body}.{signature}");
        let longer = signed(&Header::new(Algorithm::HS512), &claims);
        let cut = token.strip_suffix(signature).unwrap().to_owned();
        for bad in [other, none, signed_none, longer, cut, "a.b.c".into(), "garbage".into()] {
            assert_eq!(auth().verify(Some(&bad), NOW), Err(Refusal::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_token_without_user_or_end_or_before_its_time_is_invalid() {
        for claims in [
            serde_json::json!({ "exp": NOW + 60 }),
            serde_json::json!({ "sub": "alice" }),
            serde_json::json!({ "sub": "", "exp": NOW + 60 }),
            serde_json::json!({ "sub": "a".repeat(256), "exp": NOW + 60 }),
            serde_json::json!({ "sub": 7, "exp": NOW + 60 }),
            serde_json::json!({ "sub": "alice", "exp": NOW + 600, "nbf": NOW + 300 }),
        ] {
            let token = signed(&Header::default(), &claims);
            assert_eq!(auth().verify(Some(&token), NOW), Err(Refusal::Invalid), "{claims}");
        }
    }

    #[test]
    fn times_may_have_a_fraction_and_an_audience_is_no_hindrance() {
        let claims = serde_json::json!({ "sub": "alice", "exp": 1_700_000_000.5, "aud": "app", "nbf": NOW });
        let token = signed(&Header::default(), &claims);
        assert_eq!(auth().verify(Some(&token), NOW).unwrap().expires, NOW + 1);
    }
}
