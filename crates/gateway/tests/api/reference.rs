//! The reference says what the gateway does: of every route, completely, as the committed copy has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use axum::http::{Request, header};
use careeros_gateway::{
    http,
    reference::{self, DOCUMENT_PATH, PAGE_PATH},
    throttle::Throttle,
};
use careeros_shared::{env::Env, testing};
use serde_json::{Value, json};

use self::compat::{breaking_changes, resolve};
use crate::support::{self, AWAY};

mod compat;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// Asks for the committed copy to be written: `write`, or `accept-breaking` where it breaks clients too.
const VARIABLE: &str = "OPENAPI";

fn document() -> Value {
    let config = support::read(&[]);
    reference::document(&http::api(&support::nobody(), Throttle::new(&config, testing::clock()).unwrap()))
}

/// Path, method, operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |path, item| METHODS.iter().map(move |method| (path, *method, item));
    let all = paths.iter().flat_map(|(path, item)| of(path.as_str(), item));
    all.filter_map(|(path, method, item): (_, _, &Value)| Some((path, method, item.get(method)?))).collect()
}

#[tokio::test]
async fn the_committed_copy_is_current_and_what_clients_use_is_still_there() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let document = document();
    let current = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    let wish = Env::from_process().get(VARIABLE).unwrap_or_default().to_owned();
    let committed = fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
    let breaking = breaking_changes(&serde_json::from_str(&committed).unwrap(), &document);
    assert!(
        breaking.is_empty() || wish == "accept-breaking",
        "this breaks clients; if it has to be, ./scripts/openapi.sh --accept-breaking:\n{}",
        breaking.join("\n")
    );
    if wish.is_empty() {
        assert!(committed == current, "docs/openapi.json is not current: ./scripts/openapi.sh writes it");
    } else {
        fs::write(&file, current).unwrap();
    }
}

/// The methods and paths in the debug text of a router: axum has no other list of them.
fn routes(router: &axum::Router) -> BTreeSet<(String, String)> {
    let text = format!("{router:?}");
    let (routes, paths) = text.split_once("node: Node { paths: {").unwrap();
    let paths = paths.split_once("} }").unwrap().0;
    let paths: BTreeMap<&str, &str> = paths
        .split("RouteId(")
        .filter_map(|entry| {
            let (id, path) = entry.split_once("): ")?;
            Some((id, path.split('"').nth(1)?))
        })
        .collect();
    let routes = routes.split("RouteId(").skip(1).flat_map(|entry| {
        let path = paths.get(entry.split_once(')').unwrap().0).copied().unwrap_or("");
        let answers =
            |method: &&&str| !entry.contains(&format!(" {method}: None")) && entry.contains(&format!(" {method}: "));
        METHODS.iter().filter(answers).map(move |method| ((*method).to_owned(), spelling(path)))
    });
    // Nesting leaves routes of its own for what is not found below the prefix.
    routes.filter(|(_, path)| !path.is_empty() && !path.contains("{*")).collect()
}

/// A path's parameters as the document spells them; their names are compared without regard to that.
fn spelling(path: &str) -> String {
    path.replace('_', "").to_lowercase()
}

#[tokio::test]
async fn every_route_has_its_operation_and_every_operation_its_route() {
    let config = support::read(&[]);
    let router = http::router(
        &support::nobody(),
        Throttle::new(&config, testing::clock()).unwrap(),
        careeros_gateway::config::Origins::Any,
    );
    let served = routes(&router);
    let (parts_of_page, served): (BTreeSet<_>, BTreeSet<_>) =
        served.into_iter().partition(|(_, path)| path.starts_with("/docs/"));
    assert_eq!(parts_of_page.len(), 4, "{parts_of_page:?}");

    let document = document();
    let documented = operations(&document).into_iter().map(|(path, method, _)| (method.to_owned(), spelling(path)));
    // What every service has is added to the gateway's own routes at its edge.
    let of_the_edge = ["/health", "/health/live", "/health/serving", "/health/ready", "/metrics", "/v1/health"];
    let (edge, documented): (BTreeSet<_>, BTreeSet<_>) =
        documented.partition(|(_, path)| of_the_edge.contains(&path.as_str()));
    assert_eq!(edge.len(), of_the_edge.len());
    assert_eq!(documented, served);
    assert!(served.len() > 40, "the router's debug text was not understood: {served:?}");

    let gateway = support::bare(router);
    for (_, path) in edge {
        let answer = gateway.get("", &path).await;
        assert!(![404, 405].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn every_operation_says_what_a_client_needs() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    let mut lacking = Vec::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{} {path}", method.to_uppercase());
        let mut need = |holds: bool, what: &str| {
            if !holds {
                lacking.push(format!("{place}: {what}"));
            }
        };
        for name in ["summary", "description"] {
            need(operation[name].as_str().is_some_and(|text| !text.is_empty()), name);
        }
        need(operation["tags"].as_array().is_some_and(|of| of.iter().all(|tag| tags.contains(&tag))), "known tags");
        need(ids.insert(operation["operationId"].as_str().unwrap_or_default()), "an operationId of its own");
        check_security(path, operation, &mut need);
        check_parameters(&document, path, operation, &mut need);
        if let Some(body) = operation.get("requestBody") {
            let content = &body["content"]["application/json"];
            need(content["schema"].is_object() && content["example"].is_object(), "a body with schema and example");
        }
        check_responses(&document, operation, &mut need);
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

fn check_security(path: &str, operation: &Value, need: &mut impl FnMut(bool, &str)) {
    let security = operation["security"].as_array();
    need(security.is_some(), "who may call it");
    let needs_token = security.is_some_and(|ways| ways.contains(&json!({"bearer": []})));
    need(!needs_token || operation["responses"]["401"].is_object(), "401 beside a token");
    let is_public = !needs_token;
    let is_known_as_public =
        ["/v1/auth/", "/v1/billing/webhooks", "/v1/lms/certificates/", "/v1/health", "/v1/openapi"]
            .iter()
            .any(|start| path.starts_with(start));
    need(!is_public || is_known_as_public || !path.starts_with("/v1/"), "a token, as it is not known to be public");
}

fn check_parameters(document: &Value, path: &str, operation: &Value, need: &mut impl FnMut(bool, &str)) {
    let parameters: Vec<_> =
        operation["parameters"].as_array().into_iter().flatten().map(|each| resolve(document, each)).collect();
    for parameter in &parameters {
        let name = parameter["name"].as_str().unwrap_or_default();
        need(parameter["schema"].is_object(), &format!("a schema of {name}"));
        need(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), &format!("words about {name}"));
        need(parameter["in"] != "path" || parameter["example"].is_string(), &format!("an example of {name}"));
    }
    let in_path: BTreeSet<_> =
        parameters.iter().filter(|each| each["in"] == "path").filter_map(|each| each["name"].as_str()).collect();
    let named: BTreeSet<_> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
    need(in_path == named, "the parameters of its path");
}

fn check_responses(document: &Value, operation: &Value, need: &mut impl FnMut(bool, &str)) {
    let responses = operation["responses"].as_object().unwrap();
    need(responses.keys().any(|status| status.starts_with('2')), "a success");
    let is_of_an_area = operation["tags"] != json!(["Operations"]);
    let mut expected = vec!["431", "500", "504"];
    if is_of_an_area {
        expected.extend(["400", "503"]);
        let is_limited = operation["tags"] != json!(["Keys"]);
        expected.extend(is_limited.then_some("429"));
    }
    if operation.get("requestBody").is_some() {
        expected.push("413");
    }
    for status in expected {
        need(responses.contains_key(status), &format!("a response {status}"));
    }
    for (status, response) in responses {
        let response = resolve(document, response);
        need(response["description"].as_str().is_some_and(|text| !text.is_empty()), &format!("words about {status}"));
        for (media, content) in response["content"].as_object().into_iter().flatten() {
            need(content["schema"].is_object(), &format!("a schema of {status}"));
            let has_examples = content["examples"].as_object().is_some_and(|examples| !examples.is_empty());
            need(!content["example"].is_null() || has_examples, &format!("an example of {status}"));
            let is_problem =
                media == "application/problem+json" && content["schema"]["$ref"] == "#/components/schemas/Problem";
            // Readiness answers 503 with its own report.
            need(!status.starts_with(['4', '5']) || is_problem || !is_of_an_area, &format!("a problem for {status}"));
        }
    }
}

/// `schema` with what it may refer to, as a schema that stands alone.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let alone = json!({"allOf": [schema], "components": {"schemas": document["components"]["schemas"]}});
    jsonschema::options().should_validate_formats(true).build(&alone).unwrap()
}

#[tokio::test]
async fn every_example_fits_its_schema() {
    let document = document();
    let mut wrong = Vec::new();
    for (path, method, operation) in operations(&document) {
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
        let answers = operation["responses"].as_object().unwrap().values();
        let answers = answers.filter_map(|response| resolve(&document, response)["content"].as_object()).flatten();
        for (_, content) in bodies.chain(answers) {
            let validator = validator(&document, &content["schema"]);
            let several = content["examples"].as_object().into_iter().flatten();
            let several = several.map(|(_, example)| &resolve(&document, example)["value"]);
            for example in several.chain(content.get("example")) {
                let errors =
                    validator.iter_errors(example).map(|error| format!("{method} {path}: {error} in {example}"));
                wrong.extend(errors);
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolve(&document, parameter);
            if let Some(example) = parameter.get("example") {
                let errors = validator(&document, &parameter["schema"]);
                wrong.extend(errors.iter_errors(example).map(|error| format!("{method} {path}: {error}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every reference in `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = document();
    // utoipa's types are those of the specification.
    serde_json::from_value::<utoipa::openapi::OpenApi>(document.clone()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let dangling: Vec<_> = found.iter().filter(|to| document.pointer(to.trim_start_matches('#')).is_none()).collect();
    assert!(dangling.is_empty(), "{dangling:?}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "nothing refers to {name}");
    }
    assert!(!document.to_string().contains(AWAY));
}

#[tokio::test]
async fn document_and_page_need_nothing_from_elsewhere() {
    let config = support::read(&[]);
    let router = http::router(
        &support::nobody(),
        Throttle::new(&config, testing::clock()).unwrap(),
        careeros_gateway::config::Origins::Any,
    );
    let gateway = support::bare(router);
    let answer = gateway.get("", DOCUMENT_PATH).await.expect(200);
    assert_eq!(answer.json["openapi"], "3.1.0");
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    let again = Request::get(DOCUMENT_PATH).header(header::IF_NONE_MATCH, &answer.headers[header::ETAG]);
    let again = gateway.send(again.body(axum::body::Body::empty()).unwrap()).await.expect(304);
    assert_eq!((again.text.as_str(), &again.headers[header::ETAG]), ("", &answer.headers[header::ETAG]));

    let page = gateway.get("", PAGE_PATH).await.expect(200);
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(!page.text.contains("//"), "the page loads from elsewhere: {}", page.text);
    let parts: Vec<_> = page.text.split(['"']).filter(|part| part.starts_with("/docs/")).collect();
    assert_eq!(parts.len(), 4);
    for part in parts {
        let answer = gateway.get("", part).await.expect(200);
        let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
        let expected =
            if Path::new(part).extension().is_some_and(|kind| kind == "js") { "text/javascript" } else { "text/css" };
        assert!(kind.starts_with(expected), "{part} is {kind}");
    }
}
