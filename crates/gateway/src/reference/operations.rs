//! The operations that no area has: health, metrics, and the reference itself.

use serde_json::{Value, json};

use super::{DOCUMENT_PATH, PAGE_PATH};

/// The tag of these operations.
pub(super) const TAG: &str = "Operations";

/// Their Path Items.
pub(super) fn paths() -> [(&'static str, Value); 8] {
    let health = |id, summary| {
        let (schema, example) = health();
        item(id, summary, "The process answers.", &json!({"200": json_answer("It does.", &schema, &example)}))
    };
    [
        ("/v1/health", health("getGatewayHealth", "Is the gateway there")),
        ("/health", health("getHealth", "Is the process there")),
        ("/health/live", health("getLiveness", "Is the process alive")),
        ("/health/serving", serving()),
        ("/health/ready", readiness()),
        ("/metrics", metrics()),
        (DOCUMENT_PATH, document()),
        (PAGE_PATH, page()),
    ]
}

fn health() -> (Value, Value) {
    let schema = json!({
        "type": "object",
        "required": ["status", "service", "timestamp"],
        "properties": {
            "status": {"type": "string", "enum": ["ok"]},
            "service": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
        },
    });
    (schema, json!({"status": "ok", "service": "api-gateway", "timestamp": "2026-11-23T06:46:07.944Z"}))
}

fn serving() -> Value {
    let none = |status: &str| json!({"status": status, "dependencies": {}});
    let answers = json!({
        "200": json_answer("They should.", &report(&["serving"]), &none("serving")),
        "503": json_answer("The process has been asked to end.", &report(&["stopping"]), &none("stopping")),
    });
    let description = "For balancers: what it depends on has no say.";
    item("getServing", "Should requests be sent here", description, &answers)
}

fn readiness() -> Value {
    let ready = json!({"status": "ready", "dependencies": {"auth-service": "ok", "lms-service": "ok"}});
    let away = json!({
        "status": "unavailable",
        "dependencies": {"auth-service": "ok", "lms-service": "did not answer within 2 s"},
    });
    let refused = "One is away, or the process has been asked to end.";
    let answers = json!({
        "200": json_answer("All dependencies answer.", &report(&["ready"]), &ready),
        "503": json_answer(refused, &report(&["unavailable", "stopping"]), &away),
    });
    let mut item = item("getReadiness", "Can the gateway serve", "503 names the dependencies that are away.", &answers);
    let exclude = json!({
        "name": "exclude", "in": "query", "required": false, "example": "lms-service",
        "description": "A dependency that is not asked; may be given several times.",
        "schema": {"type": "string"},
    });
    if let Some(parameters) = item["get"]["parameters"].as_array_mut() {
        parameters.push(exclude);
    }
    item
}

/// The schema of what [`careeros_shared::health::Report`] says.
fn report(statuses: &[&str]) -> Value {
    json!({
        "type": "object",
        "required": ["status", "dependencies"],
        "properties": {
            "status": {"type": "string", "enum": statuses},
            "dependencies": {
                "type": "object",
                "description": "Each dependency with `ok` or what is wrong and what to do.",
                "additionalProperties": {"type": "string"},
            },
        },
    })
}

fn metrics() -> Value {
    let example = "# TYPE throttled_requests_total counter\nthrottled_requests_total{service=\"api-gateway\"} 3\n";
    let answers = json!({"200": answer("The metrics.", "text/plain", &json!({"type": "string"}), &example.into())});
    item("getMetrics", "Read the metrics", "In the text format of Prometheus.", &answers)
}

fn document() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": {"openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"}},
    });
    let example = json!({"openapi": "3.1.0", "info": {"title": "CareerOS API", "version": "0.1.0"}, "paths": {}});
    let mut ok = json_answer("The document.", &schema, &example);
    ok["headers"]["ETag"] = json!({"description": "The document's version.", "schema": {"type": "string"}});
    let answers = json!({"200": ok, "304": {"description": "The one that `If-None-Match` names is current."}});
    let mut item = item("getReference", "Read this document", "OpenAPI 3.1; cacheable by its ETag.", &answers);
    let parameters = [json!({
        "name": "If-None-Match", "in": "header", "required": false, "description": "The `ETag` of an earlier answer.",
        "schema": {"type": "string"},
    })];
    item["get"]["parameters"] = json!(parameters);
    item
}

fn page() -> Value {
    let example = "<!doctype html><title>CareerOS API</title>";
    let answers = json!({
        "200": answer("The page.", "text/html", &json!({"type": "string"}), &example.into()),
        "304": {"description": "The one that `If-None-Match` names is current."},
    });
    item("getReferencePage", "Show this document", "A page that needs nothing from elsewhere.", &answers)
}

fn item(id: &str, summary: &str, description: &str, answers: &Value) -> Value {
    let mut responses = answers.clone();
    for (status, name) in
        [("431", "RequestHeaderFieldsTooLarge"), ("500", "InternalServerError"), ("504", "GatewayTimeout")]
    {
        responses[status] = json!({"$ref": format!("#/components/responses/{name}")});
    }
    json!({
        "get": {
            "tags": [TAG],
            "summary": summary,
            "description": description,
            "operationId": id,
            "parameters": [{"$ref": "#/components/parameters/CorrelationId"}],
            "responses": responses,
            "security": [],
        },
    })
}

fn json_answer(description: &str, schema: &Value, example: &Value) -> Value {
    answer(description, "application/json", schema, example)
}

fn answer(description: &str, media: &str, schema: &Value, example: &Value) -> Value {
    json!({
        "description": description,
        "headers": {"X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}},
        "content": {media: {"schema": schema, "example": example}},
    })
}
