//! What a connection says before it is let in: cookies, token, origin and host, and the claims of a token that is
//! signed well. Checks what must hold whatever they are; never opens a socket.
//! Called by this folder's test with damaged requests, and by the fuzzer (`fuzz/`).

#![allow(unreachable_pub)] // the fuzzer makes a library of it

use std::sync::LazyLock;

use crsqlite_relay::auth::{self, Auth, Identity, Refusal};
use crsqlite_relay::origin::may_connect;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::value::RawValue;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW: i64 = 1_700_000_000;
const ALLOWED: &str = "https://app.example/";

static AUTH: LazyLock<Option<Auth>> = LazyLock::new(|| Auth::new(SECRET).ok());

/// The inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let token = AUTH.as_ref().and_then(|auth| auth.token("alice", None, NOW, 60).ok()).unwrap_or_default();
    let requests = [
        format!("theme=dark; auth_token={token}; lang=en\nhttps://app.example\nrelay.example:8787\n{{}}"),
        "auth_token=\nhttp://relay.example\nrelay.example\n{\"sub\":\"alice\",\"exp\":1700000060}".into(),
        "\nnull\n\n{\"sub\":\"alice\",\"exp\":1700000060.5,\"nbf\":1700000000,\"aud\":\"app\"}".into(),
        "x\ny\nz\n{\"sub\":\"b\",\"exp\":1e308}".into(),
    ];
    requests.into_iter().map(String::into_bytes).collect()
}

/// One on each line: the cookies, the origin, the host, and the claims of a token that we have signed.
pub fn request(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (cookies, origin, host, claims) = (next(), next(), next(), next());
    let token = auth::token([cookies]);
    assert!(
        token.is_none_or(|token| cookies.contains(&format!("auth_token={token}")) && !token.contains(';'))
    );
    let Some(auth) = AUTH.as_ref() else { return false };
    let stranger = auth.verify(token, NOW);
    check(&stranger);
    if let (Some(token), Ok(_)) = (token, &stranger) {
        // Whoever changes one letter of what we have signed changes somebody into nobody.
        assert!(auth.verify(Some(&token.replacen('.', "x.", 1)), NOW).is_err());
    }
    let allowed = [ALLOWED.to_owned()];
    let own = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    let named = origin.eq_ignore_ascii_case("https://app.example");
    assert_eq!(may_connect(origin, Some(host), &allowed), own || named, "{origin} at {host}");
    assert_eq!(may_connect(origin, None, &allowed), named, "{origin}");
    let known = signed(claims).map(|token| auth.verify(Some(&token), NOW));
    known.iter().for_each(check);
    stranger.is_ok() || known.is_some_and(|identity| identity.is_ok())
}

fn check(identity: &Result<Identity, Refusal>) {
    if let Ok(Identity { sub, expires, .. }) = identity {
        assert!((1..=255).contains(&sub.len()), "a user without a name");
        assert!(*expires > NOW, "let in after the end");
    }
}

fn signed(claims: &str) -> Option<String> {
    let claims: &RawValue = serde_json::from_str(claims).ok()?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).ok()
}
