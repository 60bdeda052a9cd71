use careeros_shared::testing::TestUser;
use serde_json::json;

use crate::{serve, start};

#[tokio::test]
async fn the_registry_lists_the_flows_with_their_schemas() {
    let ada = TestUser::student();
    let harness = start(&[&ada]).await;
    let list = harness.service.get(&ada.token, "/ai/flows").await.expect(200).json;
    let items = list["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|item| item["flow_name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["interview_simulation", "productivity_advisor", "resume_analysis", "roadmap_generator", "skill_gap_analysis"]
    );
    assert_eq!(items[4]["input_schema"]["type"], "object");
    assert_eq!(items[4]["output_schema"]["required"], json!(["current_skills", "missing_skills", "priority_order"]));
}

#[tokio::test]
async fn unknown_flows_and_versions_are_not_found() {
    let ada = TestUser::student();
    let harness = start(&[&ada]).await;
    harness.execute(&ada, "palm_reading", json!({})).await.expect(404);
    harness.execute(&ada, "chat_mentor", json!({})).await.expect(404);
    for (version, status) in [("v1", 200), ("", 200), ("v2", 404)] {
        let body = json!({"flowName": "productivity_advisor", "flowVersion": version, "input": {}});
        harness.service.post(&ada.token, "/ai/flows/execute", body).await.expect(status);
    }
}

#[tokio::test]
async fn the_newest_active_version_answers_and_a_broken_row_disturbs_nobody() {
    let ada = TestUser::student();
    let mut harness = start(&[&ada]).await;
    harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    for (version, schema, active) in
        [("v9", "{}", true), ("v10", "{}", true), ("v11", "{}", false), ("v12", "{\"type\": 7}", true)]
    {
        sqlx::query(
            "insert into ai_flows (id, flow_name, flow_version, prompt_version, input_schema_json, output_schema_json, is_active, created_at)
             values (gen_random_uuid(), 'productivity_advisor', $1, 'v1', '{}', $2::jsonb, $3, now())",
        )
        .bind(version)
        .bind(schema)
        .bind(active)
        .execute(&harness.db.admin)
        .await
        .unwrap();
    }
    // Another process reads the table anew.
    harness.service = serve(&harness.db, &harness.clock, &[&ada], Vec::new(), harness.billing.transport());
    let answer = harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    assert_eq!(answer.json["flow_version"], "v10");
}

#[tokio::test]
async fn what_an_operator_has_set_survives_a_restart() {
    let ada = TestUser::student();
    let mut harness = start(&[&ada]).await;
    harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    sqlx::query(
        "update ai_flows set is_active = flow_name <> 'resume_analysis', fallback_policy_json = '{\"engine\": false}',
                             input_schema_json = '{\"type\": \"array\"}'",
    )
    .execute(&harness.db.admin)
    .await
    .unwrap();
    harness.service = serve(&harness.db, &harness.clock, &[&ada], Vec::new(), harness.billing.transport());
    harness.execute(&ada, "resume_analysis", json!({})).await.expect(404);
    // The schema is the program's again, the policy is the operator's still.
    let answer = harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    assert_eq!(answer.json["status"], "FAILED");
}
