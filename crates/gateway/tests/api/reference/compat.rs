//! Which changes of the API break clients: a comparison of two OpenAPI documents.
//!
//! Requests may only become freer and answers only stricter: what a client sends today has to be accepted tomorrow, and
//! what it reads today has to be there. Words beside that, such as descriptions and examples, may change.

use std::collections::BTreeSet;

use serde_json::Value;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Which way a schema's values travel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The client writes them.
    Request,
    /// The client reads them.
    Answer,
}

/// What in `new` breaks clients of `old`, a line each.
pub(crate) fn breaking_changes(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, found: Vec::new(), open: Vec::new() };
    for (path, item) in members(&old["paths"]) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                let place = format!("{} {path}", method.to_uppercase());
                match new["paths"][path].get(method) {
                    Some(now) => comparison.operation(&place, operation, now),
                    None => comparison.found.push(format!("{place}: is gone")),
                }
            }
        }
    }
    comparison.found
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    found: Vec<String>,
    /// The references that are being compared, so that a schema that holds itself ends.
    open: Vec<(&'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn breaks(&mut self, is_breaking: bool, change: impl FnOnce() -> String) {
        if is_breaking {
            self.found.push(change());
        }
    }

    fn operation(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        self.security(place, old, new);
        self.parameters(place, old, new);
        let body = |document: &'a Value, operation: &'a Value| resolve(document, &operation["requestBody"]);
        let (before, after) = (body(self.old, old), body(self.new, new));
        self.breaks(before.is_null() && after["required"] == true, || format!("{place}: needs a body now"));
        for (media, content) in members(&before["content"]) {
            match after["content"].get(media) {
                Some(now) => {
                    self.schema(&format!("{place}: body"), &content["schema"], &now["schema"], Way::Request);
                }
                None => self.found.push(format!("{place}: takes no {media} any more")),
            }
        }
        for (status, response) in members(&old["responses"]) {
            let now = resolve(self.new, &new["responses"][status]);
            let place = format!("{place}: {status}");
            // A failure that cannot happen any more hurts nobody.
            self.breaks(now.is_null() && status.starts_with('2'), || format!("{place}: is gone"));
            if now.is_null() {
                continue;
            }
            for (media, content) in members(&resolve(self.old, response)["content"]) {
                match now["content"].get(media) {
                    Some(now) => self.schema(&place, &content["schema"], &now["schema"], Way::Answer),
                    None => self.found.push(format!("{place}: is no {media} any more")),
                }
            }
        }
        let successes = |operation: &'a Value| {
            members(&operation["responses"])
                .filter(|(s, _)| s.starts_with('2'))
                .map(|(s, _)| s)
                .collect::<BTreeSet<_>>()
        };
        for status in successes(new).difference(&successes(old)) {
            self.found.push(format!("{place}: {status}: is a new success"));
        }
    }

    /// What sufficed to be let in has to suffice.
    fn security(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        let ways = |operation: &'a Value| operation["security"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (before, after) = (ways(old), ways(new));
        let is_open = |ways: &[Value]| ways.is_empty() || ways.iter().any(|way| members(way).next().is_none());
        let holds = if is_open(before) {
            is_open(after)
        } else {
            is_open(after) || before.iter().all(|way| after.contains(way))
        };
        self.breaks(!holds, || format!("{place}: needs another authentication"));
    }

    fn parameters(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        let (before, after) = (parameters(self.old, old), parameters(self.new, new));
        let same = |one: &Value, other: &Value| one["name"] == other["name"] && one["in"] == other["in"];
        for parameter in &before {
            let place = format!("{place}: {} {}", text(&parameter["in"]), text(&parameter["name"]));
            match after.iter().find(|now| same(parameter, now)) {
                Some(now) => {
                    self.breaks(parameter["required"] != true && now["required"] == true, || {
                        format!("{place}: is required now")
                    });
                    self.schema(&place, &parameter["schema"], &now["schema"], Way::Request);
                }
                None => self.found.push(format!("{place}: is gone")),
            }
        }
        for parameter in after.iter().filter(|now| now["required"] == true) {
            let is_new = !before.iter().any(|old| same(old, parameter));
            self.breaks(is_new, || format!("{place}: {} is required now", text(&parameter["name"])));
        }
    }

    fn schema(&mut self, place: &str, old: &'a Value, new: &'a Value, way: Way) {
        let references = (text(&old["$ref"]), text(&new["$ref"]));
        let is_named = !references.0.is_empty() && !references.1.is_empty();
        if is_named && self.open.contains(&references) {
            return;
        }
        let depth = self.open.len();
        if is_named {
            self.open.push(references);
        }
        let (before, after) = (resolve(self.old, old), resolve(self.new, new));
        self.types(place, before, after, way);
        self.words(place, before, after, way);
        self.bounds(place, before, after, way);
        self.fields(place, before, after, way);
        if !before["items"].is_null() {
            self.schema(&format!("{place}[]"), &before["items"], &after["items"], way);
        }
        self.choices(place, before, after, way);
        self.open.truncate(depth);
    }

    /// `oneOf`: a request's choices have to stay, an answer's may not grow. They are compared in their order.
    fn choices(&mut self, place: &str, before: &'a Value, after: &'a Value, way: Way) {
        let choices = |schema: &'a Value| schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (before, after) = (choices(before), choices(after));
        let is_breaking = match way {
            Way::Request => after.len() < before.len() && !after.is_empty(),
            Way::Answer => after.len() > before.len(),
        };
        self.breaks(is_breaking, || format!("{place}: has {} choices, not {}", after.len(), before.len()));
        for (old, new) in before.iter().zip(after) {
            self.schema(place, old, new, way);
        }
    }

    fn types(&mut self, place: &str, before: &'a Value, after: &'a Value, way: Way) {
        let (before, after) = (types(before), types(after));
        let (was, is) = match way {
            Way::Request => (&before, &after),
            Way::Answer => (&after, &before),
        };
        // No type is any type.
        let holds = is.is_empty() || (!was.is_empty() && was.iter().all(|each| accepts(is, each)));
        self.breaks(!holds, || format!("{place}: is of type {after:?}, not {before:?}"));
    }

    fn words(&mut self, place: &str, before: &'a Value, after: &'a Value, way: Way) {
        let set =
            |schema: &'a Value| schema["enum"].as_array().map(|words| words.iter().map(Value::to_string).collect());
        let (before, after): (Option<BTreeSet<_>>, Option<BTreeSet<_>>) = (set(before), set(after));
        let (was, is) = match way {
            Way::Request => (before, after),
            Way::Answer => (after, before),
        };
        let holds = match (&was, &is) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(was), Some(is)) => was.is_subset(is),
        };
        let side = if way == Way::Request { "does not take every word that it took" } else { "has new words" };
        self.breaks(!holds, || format!("{place}: {side}"));
    }

    fn bounds(&mut self, place: &str, before: &'a Value, after: &'a Value, way: Way) {
        let (was, is) = match way {
            Way::Request => (before, after),
            Way::Answer => (after, before),
        };
        for (name, is_upper) in [
            ("maximum", true),
            ("maxLength", true),
            ("maxItems", true),
            ("minimum", false),
            ("minLength", false),
            ("minItems", false),
        ] {
            let Some(bound) = is[name].as_f64() else { continue };
            let holds = was[name].as_f64().is_some_and(|was| if is_upper { was <= bound } else { was >= bound });
            self.breaks(!holds, || format!("{place}: {name} is {}, not {}", after[name], before[name]));
        }
        for name in ["pattern", "format", "const"] {
            let holds = is[name].is_null() || was[name] == is[name];
            self.breaks(!holds, || format!("{place}: {name} is {}, not {}", after[name], before[name]));
        }
    }

    fn fields(&mut self, place: &str, before: &'a Value, after: &'a Value, way: Way) {
        for (name, field) in members(&before["properties"]) {
            let place = format!("{place}.{name}");
            if let Some(now) = after["properties"].get(name) {
                self.schema(&place, field, now, way);
            } else {
                // A request may still hold it where unknown fields are let pass.
                let is_breaking = way == Way::Answer || after["additionalProperties"] == false;
                self.breaks(is_breaking, || format!("{place}: is gone"));
            }
        }
        let (was, is) = (required(before), required(after));
        let changed: Vec<_> = match way {
            Way::Request => is.difference(&was).collect(),
            Way::Answer => was.difference(&is).collect(),
        };
        let change = if way == Way::Request { "is required now" } else { "may be missing now" };
        self.found.extend(changed.into_iter().map(|name| format!("{place}.{name}: {change}")));
        let is_closed = |schema: &Value| schema["additionalProperties"] == false;
        self.breaks(way == Way::Request && is_closed(after) && !is_closed(before), || {
            format!("{place}: refuses unknown fields now")
        });
    }
}

/// An integer is a number.
fn accepts(types: &BTreeSet<&str>, each: &str) -> bool {
    types.contains(each) || (each == "integer" && types.contains("number"))
}

fn types(schema: &Value) -> BTreeSet<&str> {
    match &schema["type"] {
        Value::String(one) => BTreeSet::from([one.as_str()]),
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

fn required(schema: &Value) -> BTreeSet<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    operation["parameters"].as_array().into_iter().flatten().map(|each| resolve(document, each)).collect()
}

/// What `value` refers to, or `value` itself.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).map_or(value, |found| resolve(document, found)),
        None => value,
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "paths": {"/courses": {"post": {
                "security": [{"bearer": []}],
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "maxLength": 200}}],
                "requestBody": {"required": true, "content": {"application/json": {"schema": {
                    "type": "object", "required": ["title"], "additionalProperties": false,
                    "properties": {
                        "title": {"type": "string", "minLength": 1, "maxLength": 255},
                        "price": {"type": ["number", "null"], "minimum": 0},
                        "visibility": {"$ref": "#/components/schemas/Visibility"},
                    },
                }}}},
                "responses": {
                    "201": {"description": "", "content": {"application/json": {"schema": {
                        "type": "object", "required": ["id", "modules"],
                        "properties": {
                            "id": {"type": "string", "format": "uuid"},
                            "modules": {"type": "array", "items": {"$ref": "#/components/schemas/Module"}},
                            "visibility": {"$ref": "#/components/schemas/Visibility"},
                        },
                    }}}},
                    "409": {"description": ""},
                },
            }}},
            "components": {"schemas": {
                "Visibility": {"type": "string", "enum": ["PUBLIC", "TENANT"]},
                "Module": {"type": "object", "properties": {
                    "lessons": {"type": "integer"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Module"}},
                }},
            }},
        })
    }

    /// The breaking changes of putting `value` at `pointer`, or of removing what is there.
    fn changes(pointer: &str, value: Option<Value>) -> Vec<String> {
        let old = document();
        let mut new = old.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let name = &name.replace("~1", "/");
        let parent = new.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")).as_object_mut().unwrap();
        match value {
            Some(value) => drop(parent.insert(name.clone(), value)),
            None => drop(parent.remove(name).unwrap()),
        }
        breaking_changes(&old, &new)
    }

    const OPERATION: &str = "/paths/~1courses/post";
    const BODY: &str = "/paths/~1courses/post/requestBody/content/application~1json/schema";
    const ANSWER: &str = "/paths/~1courses/post/responses/201/content/application~1json/schema";

    #[test]
    fn nothing_breaks_where_nothing_changes() {
        assert_eq!(breaking_changes(&document(), &document()), [""; 0]);
    }

    #[test]
    fn what_is_gone_breaks() {
        assert_eq!(changes("/paths/~1courses", None), ["POST /courses: is gone"]);
        assert_eq!(changes(OPERATION, None), ["POST /courses: is gone"]);
        assert_eq!(changes(&format!("{ANSWER}/properties/id"), None), ["POST /courses: 201.id: is gone"]);
        assert_eq!(changes(&format!("{BODY}/properties/price"), None), ["POST /courses: body.price: is gone"]);
        let parameters = format!("{OPERATION}/parameters");
        assert_eq!(changes(&parameters, None), ["POST /courses: query q: is gone"]);
        let success = format!("{OPERATION}/responses/201");
        assert_eq!(changes(&success, None), ["POST /courses: 201: is gone"]);
    }

    #[test]
    fn a_request_may_only_become_freer() {
        let required = |names: Value| changes(&format!("{BODY}/required"), Some(names));
        assert_eq!(required(json!(["title", "price"])), ["POST /courses: body.price: is required now"]);
        assert_eq!(required(json!([])), [""; 0]);
        let title = |name: &str, value: Value| changes(&format!("{BODY}/properties/title/{name}"), Some(value)).len();
        assert_eq!([title("maxLength", json!(100)), title("maxLength", json!(300))], [1, 0]);
        assert_eq!([title("minLength", json!(2)), title("minLength", json!(0))], [1, 0]);
        assert_eq!([title("pattern", json!("^A")), title("type", json!("integer"))], [1, 1]);
        let price = |types: Value| changes(&format!("{BODY}/properties/price/type"), Some(types)).len();
        assert_eq!([price(json!("number")), price(json!(["number", "null", "string"]))], [1, 0]);
        assert_eq!(changes(&format!("{BODY}/additionalProperties"), Some(json!(true))), [""; 0]);
        let query = format!("{OPERATION}/parameters");
        let added = json!([{"name": "q", "in": "query"}, {"name": "k", "in": "query", "required": true}]);
        assert_eq!(changes(&query, Some(added)), ["POST /courses: k is required now"]);
    }

    #[test]
    fn an_answer_may_only_become_stricter() {
        let required = |names: Value| changes(&format!("{ANSWER}/required"), Some(names));
        assert_eq!(required(json!(["id"])), ["POST /courses: 201.modules: may be missing now"]);
        assert_eq!(required(json!(["id", "modules", "visibility"])), [""; 0]);
        let id = |types: Value| changes(&format!("{ANSWER}/properties/id/type"), Some(types)).len();
        assert_eq!([id(json!(["string", "null"])), id(json!("integer"))], [1, 1]);
        assert_eq!(changes(&format!("{ANSWER}/properties/id/format"), None).len(), 1);
        assert_eq!(changes(&format!("{ANSWER}/properties/added"), Some(json!({"type": "string"}))), [""; 0]);
        let inside = "/components/schemas/Module/properties/lessons/type";
        assert_eq!(changes(inside, Some(json!("number"))).len(), 1);
    }

    #[test]
    fn a_set_of_words_may_neither_shrink_in_requests_nor_grow_in_answers() {
        let words = |words: Value| changes("/components/schemas/Visibility/enum", Some(words));
        assert_eq!(words(json!(["PUBLIC"])), ["POST /courses: body.visibility: does not take every word that it took"]);
        assert_eq!(words(json!(["PUBLIC", "TENANT", "LINK"])), ["POST /courses: 201.visibility: has new words"]);
    }

    #[test]
    fn a_lock_where_none_was_breaks() {
        let security = |ways: Value| changes(&format!("{OPERATION}/security"), Some(ways)).len();
        assert_eq!([security(json!([])), security(json!([{"bearer": []}, {"key": []}]))], [0, 0]);
        assert_eq!(security(json!([{"key": []}])), 1);
    }

    #[test]
    fn new_operations_optional_fields_and_failures_break_nobody() {
        let get = json!({"responses": {"200": {"description": ""}}});
        assert_eq!(changes("/paths/~1courses/get", Some(get)), [""; 0]);
        assert_eq!(changes(&format!("{BODY}/properties/added"), Some(json!({"type": "string"}))), [""; 0]);
        assert_eq!(changes(&format!("{OPERATION}/responses/410"), Some(json!({"description": ""}))), [""; 0]);
        assert_eq!(changes(&format!("{OPERATION}/responses/409"), None), [""; 0]);
        assert_eq!(changes(&format!("{OPERATION}/summary"), Some(json!("Make"))), [""; 0]);
    }
}
