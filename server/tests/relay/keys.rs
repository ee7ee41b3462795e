//! Keys of tokens from files: which are taken, what each is good for, and that they follow the files.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use crate::support::{Device, Relay};
use crsqlite_relay::auth::{Auth, BadKeys, Keys, Refusal, Rules, Source};
use crsqlite_relay::{Error, config::Cli};
use ed25519_dalek::pkcs8::KeypairBytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand_core::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

/// Keys that nobody else has: made anew for each run.
static KEYS: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| std::fs::write(directory.path().join(name), pem).unwrap();
    let rsa = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    write("rsa.pem", &rsa.to_pkcs8_pem(LineEnding::LF).unwrap());
    write("rsa.pub.pem", &rsa.to_public_key().to_public_key_pem(LineEnding::LF).unwrap());
    let weak = RsaPrivateKey::new(&mut OsRng, 1024).unwrap();
    write("weak.pub.pem", &weak.to_public_key().to_public_key_pem(LineEnding::LF).unwrap());
    let ec = p256::SecretKey::random(&mut OsRng);
    write("ec.pem", &ec.to_pkcs8_pem(LineEnding::LF).unwrap());
    write("ec.pub.pem", &ec.public_key().to_public_key_pem(LineEnding::LF).unwrap());
    let ed = ed25519_dalek::SigningKey::generate(&mut OsRng);
    // The form without the public half, which OpenSSL writes and all read.
    let secret = KeypairBytes { secret_key: ed.to_bytes(), public_key: None };
    write("ed.pem", &secret.to_pkcs8_pem(LineEnding::LF).unwrap());
    write("ed.pub.pem", &ed.verifying_key().to_public_key_pem(LineEnding::LF).unwrap());
    directory
});

fn file(name: &str) -> PathBuf {
    KEYS.path().join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn signer(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(&pem("ec.pem")),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem("ed.pem")),
        _ => EncodingKey::from_rsa_pem(&pem("rsa.pem")),
    }
    .unwrap()
}

fn token(algorithm: Algorithm, kid: Option<&str>, exp: i64) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &json!({ "sub": "alice", "exp": exp }), &signer(algorithm)).unwrap()
}

fn jwk(algorithm: Algorithm, kid: &str, usage: &str) -> Value {
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&signer(algorithm), algorithm).unwrap()).unwrap();
    jwk["kid"] = kid.into();
    jwk["use"] = usage.into();
    jwk
}

fn auth(source: Source) -> Auth {
    Auth::open(source, Rules::default()).unwrap()
}

fn with_jwks(directory: &Path, keys: &[Value]) -> Auth {
    let path = directory.join("jwks.json");
    std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    auth(Source { jwks: Some(path), ..Source::default() })
}

fn accepts(auth: &Auth, token: &str) -> bool {
    match auth.verify(Some(token), NOW) {
        Ok(identity) => identity.sub == "alice",
        Err(refusal) => {
            assert_eq!(refusal, Refusal::Invalid);
            false
        }
    }
}

#[test]
fn each_public_key_in_pem_verifies_its_own_algorithm_only() {
    let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS512];
    for (name, algorithm) in [
        ("rsa.pub.pem", Algorithm::RS256),
        ("ec.pub.pem", Algorithm::ES256),
        ("ed.pub.pem", Algorithm::EdDSA),
    ] {
        let auth = auth(Source { pem: vec![file(name)], ..Source::default() });
        for other in all {
            assert_eq!(accepts(&auth, &token(other, None, NOW + 60)), other == algorithm, "{name} {other:?}");
        }
        let expired = token(algorithm, None, NOW);
        assert_eq!(auth.verify(Some(&expired), NOW), Err(Refusal::Expired));
        // A PEM has no name, so it is for tokens of any.
        assert!(accepts(&auth, &token(algorithm, Some("any"), NOW + 60)));
    }
}

#[test]
fn a_public_key_is_no_secret_that_signs() {
    let claims = json!({ "sub": "alice", "exp": NOW + 60 });
    for name in ["rsa.pub.pem", "ec.pub.pem", "ed.pub.pem"] {
        let auth = auth(Source { pem: vec![file(name)], ..Source::default() });
        let text = pem(name);
        let trimmed = text.trim_ascii_end();
        for secret in [&text[..], trimmed] {
            let key = EncodingKey::from_secret(secret);
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forged = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap();
                assert!(!accepts(&auth, &forged), "{name} {algorithm:?}");
            }
        }
        assert!(auth.token("alice", None, NOW, 60).is_err(), "nothing is there to sign with");
    }
}

#[test]
fn a_secret_and_public_keys_may_stand_side_by_side() {
    let secret = Some(b"a secret of at least thirty-two bytes".to_vec());
    let auth = auth(Source { secret, pem: vec![file("rsa.pub.pem"), file("ec.pub.pem")], jwks: None });
    for token in [
        token(Algorithm::RS256, None, NOW + 60),
        token(Algorithm::ES256, None, NOW + 60),
        auth.token("alice", None, NOW, 60).unwrap(),
    ] {
        assert!(accepts(&auth, &token));
    }
}

#[test]
fn the_name_of_a_key_chooses_among_those_of_a_jwks() {
    let directory = tempfile::tempdir().unwrap();
    let keys = [
        jwk(Algorithm::RS256, "rsa-1", "sig"),
        jwk(Algorithm::ES256, "ec-1", "sig"),
        jwk(Algorithm::EdDSA, "ed-1", "enc"),
        json!({ "kty": "oct", "kid": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "unknown", "x": "AA", "y": "AA" }),
        json!("no key at all"),
    ];
    let auth = with_jwks(directory.path(), &keys);
    let is_for = |algorithm, kid| accepts(&auth, &token(algorithm, kid, NOW + 60));
    assert!(is_for(Algorithm::RS256, Some("rsa-1")) && is_for(Algorithm::ES256, Some("ec-1")));
    assert!(is_for(Algorithm::ES256, None), "a token that names no key may be of any");
    for kid in ["ec-1", "rsa-2", "", "../../etc/passwd", "rsa-1\0", "' OR 1=1 --", "/dev/null"] {
        assert!(!is_for(Algorithm::RS256, Some(kid)), "{kid}");
    }
    assert!(!is_for(Algorithm::EdDSA, Some("ed-1")), "a key for encryption verifies nothing");
    // The secret of the document itself, and an empty one.
    let claims = json!({ "sub": "alice", "exp": NOW + 60 });
    for (kid, secret) in [("oct", &b"secret"[..]), ("rsa-1", b""), ("../../dev/null", b"")] {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
        assert!(!accepts(&auth, &forged), "{kid}");
    }
}

#[test]
fn a_key_that_a_token_brings_along_is_not_looked_at() {
    let auth = auth(Source { pem: vec![file("rsa.pub.pem")], ..Source::default() });
    let own = Jwk::from_encoding_key(&signer(Algorithm::ES256), Algorithm::ES256).unwrap();
    let header = Header {
        jwk: Some(own),
        jku: Some("https://evil.example/jwks.json".into()),
        x5u: Some("https://evil.example/cert".into()),
        ..Header::new(Algorithm::ES256)
    };
    let claims = json!({ "sub": "alice", "exp": NOW + 60 });
    let forged = jsonwebtoken::encode(&header, &claims, &signer(Algorithm::ES256)).unwrap();
    assert!(!accepts(&auth, &forged));
}

#[test]
fn what_is_no_set_of_strong_public_keys_is_refused_with_its_reason() {
    for (bytes, reason) in [
        (pem("weak.pub.pem"), BadKeys::Pem),
        (pem("rsa.pem"), BadKeys::Private),
        (pem("ec.pem"), BadKeys::Private),
        (b"".to_vec(), BadKeys::Pem),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec(), BadKeys::Pem),
    ] {
        assert_eq!(Keys::from_pem(&bytes).unwrap_err(), reason);
    }
    let mut private = jwk(Algorithm::ES256, "x", "sig");
    private["d"] = "AAAA".into();
    let mut no_point = jwk(Algorithm::ES256, "x", "sig");
    no_point["x"] = no_point["y"].clone();
    let mut other = jwk(Algorithm::ES256, "x", "sig");
    other["alg"] = "HS256".into();
    for (keys, reason) in [
        (json!([private]), BadKeys::Private),
        (json!([no_point]), BadKeys::Empty),
        (json!([other]), BadKeys::Empty),
        (json!([]), BadKeys::Empty),
        (json!({}), BadKeys::Jwks),
    ] {
        let text = json!({ "keys": keys }).to_string();
        assert_eq!(Keys::from_jwks(text.as_bytes()).unwrap_err(), reason, "{text}");
    }
    assert_eq!(Keys::from_jwks(b"{").unwrap_err(), BadKeys::Jwks);
}

#[test]
fn a_file_that_is_missing_or_bad_at_the_start_stops_the_relay() {
    let missing = Source { jwks: Some("/nowhere/jwks.json".into()), ..Source::default() };
    assert!(matches!(Auth::open(missing, Rules::default()), Err(Error::KeyFile { .. })));
    let bad = Source { pem: vec![file("weak.pub.pem")], ..Source::default() };
    assert!(matches!(Auth::open(bad, Rules::default()), Err(Error::BadKeys { .. })));
    assert!(matches!(Auth::open(Source::default(), Rules::default()), Err(Error::NoSecret)));
}

#[test]
fn keys_follow_their_file_and_stay_when_it_is_bad_or_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let auth = with_jwks(directory.path(), &[jwk(Algorithm::RS256, "one", "sig")]);
    let (one, two) =
        (token(Algorithm::RS256, Some("one"), NOW + 60), token(Algorithm::ES256, Some("two"), NOW + 60));
    assert!(accepts(&auth, &one) && !accepts(&auth, &two));
    assert!(!auth.reload().unwrap(), "nothing has changed");

    std::fs::write(&path, "{\"keys\": [").unwrap();
    assert!(matches!(auth.reload(), Err(Error::BadKeys { .. })));
    assert!(!auth.reload().unwrap(), "it was told once");
    assert!(accepts(&auth, &one));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(auth.reload(), Err(Error::KeyFile { .. })));
    assert!(accepts(&auth, &one));

    std::fs::write(&path, json!({ "keys": [jwk(Algorithm::ES256, "two", "sig")] }).to_string()).unwrap();
    assert!(auth.reload().unwrap());
    assert!(!accepts(&auth, &one) && accepts(&auth, &two));
}

#[tokio::test]
async fn a_running_relay_takes_up_new_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::copy(file("rsa.pub.pem"), &path).unwrap();
    let arguments = ["--jwt-public-key", path.to_str().unwrap(), "--jwt-reload", "20ms"];
    let relay = Relay::start(directory.path(), &arguments).await;
    let far = 4_000_000_000;
    let cookie = |algorithm| format!("auth_token={}", token(algorithm, None, far));
    let (rsa, ec) = (cookie(Algorithm::RS256), cookie(Algorithm::ES256));
    Device::connect(relay.address, &[("Cookie", &rsa)], 1).await.expect_nothing().await;
    assert_eq!(Device::connect(relay.address, &[("Cookie", &ec)], 1).await.closed().await.0, 4001);
    std::fs::copy(file("ec.pub.pem"), &path).unwrap();
    for _ in 0..200 {
        let mut device = Device::connect(relay.address, &[("Cookie", &ec)], 1).await;
        device.send("sync_request", json!({ "sinceVersion": 0, "cursors": {} })).await;
        if device.answered().await {
            assert_eq!(Device::connect(relay.address, &[("Cookie", &rsa)], 1).await.closed().await.0, 4001);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the new key was never taken up");
}

#[test]
fn public_keys_alone_are_enough_to_start() {
    use clap::Parser as _;
    let arguments = ["crsqlite-relay", "--jwks", "keys.json", "--jwt-issuer", "a,b", "--jwt-audience", "c"];
    let tokens = Cli::parse_from(arguments).config.tokens;
    assert_eq!(
        tokens.claims.rules(),
        Rules { issuers: vec!["a".into(), "b".into()], audiences: vec!["c".into()], ..Rules::default() }
    );
}
