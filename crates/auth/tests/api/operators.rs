use careeros_auth::{
    command::{KeyCommand, Operation, Operator, operate},
    operators,
};
use careeros_shared::env::Env;
use serde_json::json;

use crate::{Auth, start};

/// The environment of a command on the test's own database.
fn env(auth: &Auth) -> Env {
    [("DATABASE_URL", auth.db.url.clone()), ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only".to_owned())]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

#[tokio::test]
async fn a_command_makes_an_operator_of_an_account() {
    let auth = start().await;
    let ada = auth.register("ada@example.com").await;
    let grant = || Operation::Operator(Operator::Grant { email: "Ada@Example.com".into() });
    for _ in 0..2 {
        operate(&env(&auth), &auth.clock, grant()).await.unwrap();
    }
    let outbox = auth.db.outbox().await;
    let [_, (topic, key, event)] = outbox.as_slice() else { panic!("{outbox:?}") };
    assert_eq!((topic.as_str(), key), ("careeros.auth.role-changed.v1", &ada.id));
    let roles = json!(["STUDENT", "ADMIN", "OPERATOR"]);
    assert_eq!(event.payload, json!({"user_id": ada.id, "roles": roles, "changed_by": "operator-command"}));
    assert_eq!(auth.validate(&auth.login("ada@example.com").await.token).await["roles"], roles);

    let told = operate(&env(&auth), &auth.clock, Operation::Operator(Operator::List)).await.unwrap();
    assert_eq!(told, format!("{}  ada@example.com  since 2026-01-06T12:00:00+00:00", ada.id));
}

#[tokio::test]
async fn an_operator_can_be_made_and_unmade() {
    let auth = start().await;
    let now = auth.clock.now();
    let email = "staff@example.com";
    let user_id = operators::create(&auth.db, &auth.app.passwords, now, email, &crate::PASSWORD.into()).await.unwrap();
    assert_eq!(auth.db.event_types().await, ["UserRegistered", "RoleChanged"]);
    let staff = auth.login(email).await;
    assert_eq!(staff.id, user_id.to_string());
    assert_eq!(auth.validate(&staff.token).await["roles"], json!(["STUDENT", "ADMIN", "OPERATOR"]));

    for _ in 0..2 {
        operators::revoke(&auth.db, now, email).await.unwrap();
    }
    assert!(operators::list(&auth.db).await.unwrap().is_empty());
    assert_eq!(auth.validate(&staff.token).await["valid"], false);
    auth.refresh(&staff.refresh).await.expect(401);
    let staff = auth.login(email).await;
    assert_eq!(auth.validate(&staff.token).await["roles"], json!(["STUDENT", "ADMIN"]));
    assert_eq!(
        auth.db.event_types().await,
        ["UserRegistered", "RoleChanged", "UserLoggedIn", "RoleChanged", "UserLoggedIn"]
    );
}

#[tokio::test]
async fn a_command_that_cannot_be_done_says_why() {
    let auth = start().await;
    let now = auth.clock.now();
    let error = operators::grant(&auth.db, now, "nobody@example.com").await.unwrap_err();
    assert_eq!(error.message(), "user not found");
    assert_eq!(operators::grant(&auth.db, now, "nobody").await.unwrap_err().fields()[0].field, "email");
    let create = async |email, password: &str| {
        operators::create(&auth.db, &auth.app.passwords, now, email, &password.into()).await.unwrap_err()
    };
    let error = create("staff", "short").await;
    let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, ["password", "email"]);
    auth.register("ada@example.com").await;
    assert_eq!(create("ada@example.com", crate::PASSWORD).await.code(), "email_taken");
    assert!(operators::list(&auth.db).await.unwrap().is_empty());
    let error = operate(&Env::default(), &auth.clock, Operation::Operator(Operator::List)).await.unwrap_err();
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");
}

#[tokio::test]
async fn a_command_rotates_the_keys() {
    let auth = start().await;
    auth.register("ada@example.com").await;
    let rotate = Operation::Keys(KeyCommand::Rotate { withdraw: false });
    let told = operate(&env(&auth), &auth.clock, rotate).await.unwrap();
    assert!(told.starts_with("key ") && told.ends_with("signs from 2026-01-06T12:00:30+00:00"), "{told}");
    assert_eq!(auth.count("signing_keys").await, 2);
}
