use careeros_shared::{
    error::Kind,
    testing::{self, TestUser, verifier},
};
use chrono::TimeDelta;

#[tokio::test]
async fn a_token_is_believed_until_it_expires() {
    let (verifier, ada) = (verifier(), TestUser::student());
    let user = verifier.verify(&ada.token, testing::start()).await.unwrap();
    assert_eq!((user.id, user.tenant_id), (ada.id, ada.tenant_id));
    let late = testing::start() + TimeDelta::minutes(15);
    assert_eq!(verifier.verify(&ada.token, late).await.unwrap_err().code(), "token_expired");
}

#[tokio::test]
async fn a_withdrawn_key_ends_tokens_that_were_verified_before() {
    let (verifier, ada) = (verifier(), TestUser::student());
    verifier.verify(&ada.token, testing::start()).await.unwrap();
    verifier.set_keys(&testing::jwks()).unwrap();
    verifier.verify(&ada.token, testing::start()).await.unwrap();
    verifier.set_keys(r#"{"keys":[]}"#).unwrap();
    let error = verifier.verify(&ada.token, testing::start()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_was_changed_is_not_believed() {
    let (verifier, ada, bob) = (verifier(), TestUser::student(), TestUser::student());
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(&ada.token), parts(&bob.token));
    for forged in [
        format!("{}.{}.{}", ours[0], theirs[1], ours[2]),
        format!("{}.{}.", ours[0], ours[1]),
        // {"alg":"none","kid":"test"}
        format!("eyJhbGciOiJub25lIiwia2lkIjoidGVzdCJ9.{}.", ours[1]),
        "…".to_owned(),
    ] {
        assert_eq!(verifier.verify(&forged, testing::start()).await.unwrap_err().kind(), Kind::Unauthenticated);
    }
}
