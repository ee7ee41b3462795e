//! Tokens: JWTs. Decides whether a token names a user now, and until when; never logs one.
//! Asked by `door` for every connection and request, and by the dev login and `crsqlite-relay token`, which make tokens.

mod keys;
mod source;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;

pub use self::keys::{BadKeys, Keys};
use self::source::Contents;
pub use self::source::Source;
use crate::clock::now_seconds;
use crate::error::Error;
use crate::user::is_namespace;

/// The cookie that carries the token.
pub const COOKIE: &str = "auth_token";
/// How far a token's `nbf` may lie ahead of our clock.
const CLOCK_SKEW_SECONDS: f64 = 60.0;
const LONGEST_NAME: usize = 255;

/// The token among the cookies of a request, given the values of its `Cookie` headers.
pub fn token<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let cookies = headers.into_iter().flat_map(|header| header.split(';'));
    let mut cookies = cookies.filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// What a token has to say besides its user and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// One of these is the `iss`; none: nobody looks.
    pub issuers: Vec<String>,
    /// One of these is in the `aud`; none: nobody looks.
    pub audiences: Vec<String>,
    /// The claim that names the application.
    pub namespace_claim: Option<String>,
}

/// Verifies tokens, with keys that may change while it does; signs them where there is a secret.
pub struct Auth {
    source: Source,
    rules: Rules,
    sign: Option<EncodingKey>,
    keys: RwLock<Arc<Keys>>,
    /// What was read last, whether or not it could be used.
    seen: Mutex<Contents>,
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub sub: String,
    /// The application that the token is for, where tokens name one.
    pub namespace: Option<String>,
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

impl Auth {
    /// With a secret alone.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        Auth::open(Source { secret: Some(secret.to_vec()), ..Source::default() }, Rules::default())
    }

    /// With all keys of a source.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be used.
    pub fn open(source: Source, rules: Rules) -> Result<Self, Error> {
        if source.secret.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::EmptySecret);
        }
        if source.secret.is_none() && !source.has_files() {
            return Err(Error::NoSecret);
        }
        let contents = source.read()?;
        let keys = source.keys(&contents)?;
        let sign = source.secret.as_deref().map(EncodingKey::from_secret);
        Ok(Auth { source, rules, sign, keys: RwLock::new(Arc::new(keys)), seen: Mutex::new(contents) })
    }

    /// Whether keys may change at all.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.source.has_files()
    }

    /// Looks into the files of keys. True if they hold others than before, which count from now on.
    ///
    /// # Errors
    /// When they cannot be used: the keys stay as they were. A content is complained about once.
    pub fn reload(&self) -> Result<bool, Error> {
        let contents = self.source.read()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == contents {
            return Ok(false);
        }
        let keys = self.source.keys(&contents);
        *seen = contents;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys?);
        Ok(true)
    }

    /// Who a token names. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it names nobody.
    pub fn verify(&self, token: Option<&str>, now: i64) -> Result<Identity, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or(Refusal::Missing)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let claims = keys.open(token).ok_or(Refusal::Invalid)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // Times may have a fraction (RFC 7519, NumericDate).
        let time =
            |name: &str| claims.get(name).map(|time| time.as_f64().ok_or(Refusal::Invalid)).transpose();
        let (sub, exp) = (text("sub").ok_or(Refusal::Invalid)?, time("exp")?.ok_or(Refusal::Invalid)?);
        #[allow(clippy::cast_precision_loss)] // exact for the next 285 million years
        let seconds = now as f64;
        let early = time("nbf")?.is_some_and(|nbf| nbf > seconds + CLOCK_SKEW_SECONDS);
        let issued = one_of(&self.rules.issuers, claims.get("iss"));
        let meant = one_of(&self.rules.audiences, claims.get("aud"));
        if early || !issued || !meant || !is_name(sub) {
            return Err(Refusal::Invalid);
        }
        // A token that names no application must not choose one by its path.
        let namespace = match &self.rules.namespace_claim {
            Some(claim) => Some(text(claim).filter(|name| is_name(name)).ok_or(Refusal::Invalid)?.to_owned()),
            None => None,
        };
        if exp <= seconds {
            return Err(Refusal::Expired);
        }
        #[allow(clippy::cast_possible_truncation)] // `as` saturates, and the far future is far enough
        let expires = exp.ceil() as i64;
        Ok(Identity { sub: sub.to_owned(), namespace, expires })
    }

    /// Makes a token. `now` is in seconds since 1970, `lifetime` in seconds.
    ///
    /// # Errors
    /// When there is no secret, or the signature cannot be made.
    pub fn token(
        &self,
        sub: &str,
        namespace: Option<&str>,
        now: i64,
        lifetime: i64,
    ) -> Result<String, Error> {
        let sign = self.sign.as_ref().ok_or(Error::NoSecret)?;
        let mut claims = serde_json::json!({ "sub": sub, "iat": now, "exp": now.saturating_add(lifetime) });
        let mut state = |name: &str, value: Option<&str>| {
            if let (Some(claims), Some(value)) = (claims.as_object_mut(), value) {
                claims.insert(name.to_owned(), value.into());
            }
        };
        state("iss", self.rules.issuers.first().map(String::as_str));
        state("aud", self.rules.audiences.first().map(String::as_str));
        if let Some(claim) = &self.rules.namespace_claim {
            state(claim, namespace);
        }
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, sign)?)
    }

    /// A token that is valid from now on, for `lifetime` seconds.
    ///
    /// # Errors
    /// When there is no secret, or the signature cannot be made.
    pub fn token_from_now(&self, sub: &str, lifetime: i64) -> Result<String, Error> {
        self.token(sub, None, now_seconds(), lifetime)
    }

    /// The same for a user of an application, where tokens name one.
    ///
    /// # Errors
    /// Also when nobody would be let in with it.
    pub fn token_within(&self, namespace: Option<&str>, sub: &str, lifetime: i64) -> Result<String, Error> {
        if !is_name(sub) {
            return Err(Error::NoToken("a user has 1 to 255 bytes"));
        }
        if namespace.is_some_and(str::is_empty) || !is_namespace(namespace.unwrap_or_default()) {
            return Err(Error::NoToken("an application has 1 to 64 letters, digits, `.`, `_` and `-`"));
        }
        if self.rules.namespace_claim.is_some() != namespace.is_some() {
            return Err(Error::NoToken("an application is named where tokens name one, and only there"));
        }
        self.token(sub, namespace, now_seconds(), lifetime)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME
}

/// Whether a claim, a text or a list of them, states one of the expected, if any are.
fn one_of(expected: &[String], claim: Option<&Value>) -> bool {
    let is_expected =
        |value: &Value| value.as_str().is_some_and(|text| expected.iter().any(|one| one == text));
    expected.is_empty()
        || match claim {
            Some(Value::Array(values)) => values.iter().any(is_expected),
            Some(value) => is_expected(value),
            None => false,
        }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("rules", &self.rules).finish_non_exhaustive()
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
        let token = auth().token("alice", None, NOW, 60).unwrap();
        let alice = Identity { sub: "alice".into(), namespace: None, expires: NOW + 60 };
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
        let other = Auth::new(b"another secret").unwrap().token("alice", None, NOW, 60).unwrap();
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

    fn under(rules: Rules) -> Auth {
        let secret = Some(b"a secret of at least thirty-two bytes".to_vec());
        Auth::open(Source { secret, ..Source::default() }, rules).unwrap()
    }

    fn accepts(auth: &Auth, more: &serde_json::Value) -> bool {
        let mut claims = serde_json::json!({ "sub": "alice", "exp": NOW + 60 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        auth.verify(Some(&signed(&Header::default(), &claims)), NOW).is_ok()
    }

    #[test]
    fn issuer_and_audience_are_required_where_they_are_configured() {
        let auth = under(Rules { issuers: vec!["us".into(), "them".into()], ..Rules::default() });
        for (claims, expected) in [
            (serde_json::json!({ "iss": "us" }), true),
            (serde_json::json!({ "iss": "them" }), true),
            (serde_json::json!({ "iss": "u" }), false),
            (serde_json::json!({ "iss": null }), false),
            (serde_json::json!({}), false),
        ] {
            assert_eq!(accepts(&auth, &claims), expected, "{claims}");
        }
        let auth = under(Rules { audiences: vec!["sync".into()], ..Rules::default() });
        for (claims, expected) in [
            (serde_json::json!({ "aud": "sync" }), true),
            (serde_json::json!({ "aud": ["mail", "sync"] }), true),
            (serde_json::json!({ "aud": ["mail"] }), false),
            (serde_json::json!({ "aud": [["sync"]] }), false),
            (serde_json::json!({}), false),
        ] {
            assert_eq!(accepts(&auth, &claims), expected, "{claims}");
        }
    }

    #[test]
    fn where_tokens_name_the_application_each_has_to() {
        let auth = under(Rules { namespace_claim: Some("app".into()), ..Rules::default() });
        for bad in [serde_json::json!({}), serde_json::json!({ "app": "" }), serde_json::json!({ "app": 7 })]
        {
            assert!(!accepts(&auth, &bad), "{bad}");
        }
        let token = auth.token("alice", Some("notes"), NOW, 60).unwrap();
        assert_eq!(auth.verify(Some(&token), NOW).unwrap().namespace.as_deref(), Some("notes"));
    }

    #[test]
    fn extensions_that_have_to_be_understood_are_not() {
        let claims = serde_json::json!({ "sub": "alice", "exp": NOW + 60 });
        let header = Header { crit: Some(vec!["b64".into()]), ..Header::default() };
        assert_eq!(auth().verify(Some(&signed(&header, &claims)), NOW), Err(Refusal::Invalid));
    }
}
