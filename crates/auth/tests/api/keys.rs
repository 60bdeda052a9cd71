use careeros_auth::keys::{LEAD, PICK_UP, RELOAD, SIGNS};
use careeros_shared::identity::Claims;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::json;

use crate::{Auth, replica, serve, start};

async fn jwks(auth: &Auth) -> JwkSet {
    serde_json::from_value(auth.service.get("", "/.well-known/jwks.json").await.expect(200).json).unwrap()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

fn kids(jwks: &JwkSet) -> Vec<String> {
    jwks.keys.iter().map(|key| key.common.key_id.clone().unwrap()).collect()
}

#[tokio::test]
async fn anybody_can_verify_a_token_with_the_published_keys() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let answer = auth.service.get("", "/.well-known/jwks.json").await.expect(200);
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    assert!(!answer.text.contains("\"d\""), "a private part: {}", answer.text);
    let jwks = jwks(&auth).await;
    let key = DecodingKey::from_jwk(jwks.find(&kid(&ada.token)).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["careeros"]);
    validation.set_issuer(&["careeros-auth"]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(&ada.token, &key, &validation).unwrap().claims;
    assert_eq!((claims.sub.to_string(), claims.tid.to_string()), (ada.id, ada.tenant_id));
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.iat, auth.clock.now().timestamp());
}

#[tokio::test]
async fn an_invalid_token_is_an_answer_and_no_error() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let valid = auth.validate(&ada.token).await;
    assert_eq!(
        valid,
        json!({"valid": true, "user_id": ada.id, "tenant_id": ada.tenant_id, "roles": ["STUDENT", "ADMIN"]})
    );
    let nothing = json!({"valid": false, "user_id": "", "tenant_id": "", "roles": []});
    let (rest, signature) = ada.token.rsplit_once('.').unwrap();
    let (header, payload) = rest.split_once('.').unwrap();
    // {"alg":"none","kid":…} is refused, and so is a token signed by somebody else.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let changed = format!("{header}.{payload}.{}", signature.chars().rev().collect::<String>());
    let strangers = careeros_shared::testing::TestUser::student().token;
    for token in ["", "x", "a.b.c", &unsigned, &changed, &strangers, &ada.refresh] {
        assert_eq!(auth.validate(token).await, nothing, "{token}");
    }
    assert_eq!(auth.service.post("", "/auth/validate-token", json!({})).await.expect(400).fields(), ["accessToken"]);
    auth.clock.advance(TimeDelta::minutes(15));
    assert_eq!(auth.validate(&ada.token).await, nothing);
    let answer = auth.service.get(&ada.token, "/auth/me").await.expect(401);
    assert_eq!(answer.json["code"], "token_expired");
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_its_tokens_have_expired() {
    let auth = start().await;
    let first = kid(&auth.register("a@example.com").await.token);
    assert_eq!(kids(&jwks(&auth).await), [first.as_str()]);

    auth.clock.advance(SIGNS - LEAD);
    let last_of_first = auth.login("a@example.com").await;
    assert_eq!(kid(&last_of_first.token), first);
    let published = kids(&jwks(&auth).await);
    assert_eq!((published.len(), &published[0]), (2, &first));

    auth.clock.advance(LEAD - TimeDelta::minutes(1));
    let last_of_first = auth.login("a@example.com").await;
    assert_eq!(kid(&last_of_first.token), first);
    auth.clock.advance(TimeDelta::minutes(1));
    let of_second = auth.login("a@example.com").await;
    assert_eq!(kid(&of_second.token), published[1]);
    assert_eq!(auth.validate(&last_of_first.token).await["valid"], true);

    auth.clock.advance(TimeDelta::minutes(20));
    assert_eq!(kids(&jwks(&auth).await), [published[1].clone()]);
}

#[tokio::test]
async fn an_operator_rotates_without_breaking_a_token() {
    let auth = start().await;
    let old = auth.register("ada@example.com").await;
    let (new, signs_from) = auth.app.issuer.keys.rotate(auth.clock.now(), false).await.unwrap();
    assert_eq!(signs_from, auth.clock.now() + PICK_UP);
    assert_eq!(kids(&jwks(&auth).await), [kid(&old.token), new.clone()]);
    assert_eq!(kid(&auth.login("ada@example.com").await.token), kid(&old.token));
    auth.clock.advance(PICK_UP);
    assert_eq!(kid(&auth.login("ada@example.com").await.token), new);
    assert_eq!(auth.validate(&old.token).await["valid"], true);
    auth.clock.advance(TimeDelta::minutes(21));
    assert_eq!(kids(&jwks(&auth).await), [new]);
}

#[tokio::test]
async fn withdrawing_ends_every_access_token_and_no_session() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let (new, _) = auth.app.issuer.keys.rotate(auth.clock.now(), true).await.unwrap();
    assert_eq!(kids(&jwks(&auth).await), [new.as_str()]);
    assert_eq!(auth.validate(&ada.token).await["valid"], false);
    auth.service.get(&ada.token, "/auth/me").await.expect(401);
    let answer = auth.refresh(&ada.refresh).await.expect(200).json;
    assert_eq!(kid(answer["accessToken"].as_str().unwrap()), new);
}

#[tokio::test]
async fn replicas_share_their_keys() {
    let auth = start().await;
    let others: Vec<_> = (0..4).map(|_| replica(&auth.db, "a-secret-for-tests-only")).collect();
    let now = auth.clock.now();
    let signers = others.iter().map(|app| {
        let keys = app.issuer.keys.clone();
        tokio::spawn(async move { keys.signer(now).await.map(|_| ()) })
    });
    for signer in signers.collect::<Vec<_>>() {
        signer.await.unwrap().unwrap();
    }
    assert_eq!(auth.count("signing_keys").await, 1);

    // Another replica learns of a rotation, before the key signs, by reading again.
    let ada = auth.register("ada@example.com").await;
    let (new, signs_from) = auth.app.issuer.keys.rotate(now, false).await.unwrap();
    let neighbour = serve(&others[0], &auth.clock);
    auth.clock.advance(RELOAD);
    assert!(auth.clock.now() < signs_from);
    let published = neighbour.get("", "/.well-known/jwks.json").await.expect(200).text;
    assert!(published.contains(&new));
    auth.clock.advance(PICK_UP);
    let token = auth.login("ada@example.com").await.token;
    assert_eq!(kid(&token), new);
    neighbour.get(&token, "/auth/me").await.expect(200);
    neighbour.get(&ada.token, "/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_changed_secret_ends_no_session() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let app = replica(&auth.db, "another-secret-for-tests");
    let service = serve(&app, &auth.clock);
    let login = json!({"email": "ada@example.com", "password": crate::PASSWORD});
    let token = service.post("", "/auth/login", login).await.expect(200).json["tokens"]["accessToken"].clone();
    assert_ne!(kid(token.as_str().unwrap()), kid(&ada.token));
    service.get(&ada.token, "/auth/me").await.expect(200);
    service.post("", "/auth/refresh", json!({"refreshToken": ada.refresh})).await.expect(200);
    let sealed: Vec<u8> =
        sqlx::query_scalar("select private_key from signing_keys limit 1").fetch_one(&auth.db.admin).await.unwrap();
    // Nonce, PKCS #8 and tag: what is stored does not hold the key's plain form.
    assert_eq!(sealed.len(), 12 + 48 + 16);
    assert!(!sealed.windows(5).any(|window| window == [0x06, 0x03, 0x2b, 0x65, 0x70]));
}

#[tokio::test]
async fn known_keys_outlast_a_database_that_is_away() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    auth.db.close();
    auth.clock.advance(RELOAD * 2);
    assert_eq!(kids(&jwks(&auth).await), [kid(&ada.token)]);
    auth.try_login("ada@example.com", crate::PASSWORD).await.expect(503);
}

#[tokio::test]
async fn sweeping_keeps_the_keys_that_verify() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    auth.app.issuer.keys.rotate(auth.clock.now(), true).await.unwrap();
    auth.clock.advance(LEAD * 2);
    auth.app.issuer.keys.sweep(auth.clock.now()).await.unwrap();
    assert_eq!(auth.count("signing_keys").await, 1);
    auth.login("ada@example.com").await;
}
