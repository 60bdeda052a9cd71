//! What a handler's signature says about its operation: each extractor describes a part of the request, the answer's type
//! the success.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::sse::Sse,
};
use careeros_shared::{
    Result,
    context::Context,
    error::Kind,
    extract::{self, Body, Path, Query, UserContext},
    http::Created,
};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema, openapi::path::ParameterIn};

use super::samples;

/// What is known of an operation from its handler's signature.
#[derive(Debug)]
pub struct Parts {
    path: String,
    /// Parameter Objects.
    pub parameters: Vec<Value>,
    /// The schema of the JSON body.
    pub body: Option<Value>,
    /// Whether the caller has to be a user.
    pub needs_token: bool,
    /// Problems that reading the request can end with.
    pub problems: Vec<Kind>,
    /// The statuses of a success.
    pub successes: Vec<StatusCode>,
    /// Its media type and the schema of its body.
    pub answer: Option<(&'static str, Value)>,
    /// What the schemas refer to.
    pub schemas: BTreeMap<String, Value>,
}

impl Parts {
    /// Nothing is known yet but the path, in axum's spelling.
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            parameters: Vec::new(),
            body: None,
            needs_token: false,
            problems: Vec::new(),
            successes: Vec::new(),
            answer: None,
            schemas: BTreeMap::new(),
        }
    }

    /// A reference to the schema of `T`, which is kept.
    pub fn schema<T: ToSchema>(&mut self) -> Value {
        reference::<T>(&mut self.schemas)
    }

    fn succeeds(&mut self, statuses: &[StatusCode], media: &'static str, schema: Value) {
        self.successes.extend_from_slice(statuses);
        self.answer = Some((media, schema));
    }
}

/// A reference to the schema of `T`, which is put into `schemas` with all that it refers to.
pub(super) fn reference<T: ToSchema>(schemas: &mut BTreeMap<String, Value>) -> Value {
    let mut all = Vec::new();
    T::schemas(&mut all);
    all.push((T::name().into_owned(), T::schema()));
    schemas.extend(all.into_iter().map(|(name, schema)| (name, json!(schema))));
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// An extractor.
pub trait Part {
    /// Adds what it reads and how that can fail.
    fn describe(parts: &mut Parts);
}

impl<S> Part for State<S> {
    fn describe(_: &mut Parts) {}
}

impl Part for Context {
    fn describe(_: &mut Parts) {}
}

impl Part for HeaderMap {
    fn describe(_: &mut Parts) {}
}

impl Part for UserContext {
    fn describe(parts: &mut Parts) {
        parts.needs_token = true;
        parts.problems.extend([Kind::Unauthenticated, Kind::Forbidden]);
        parts.parameters.push(json!({"$ref": "#/components/parameters/TenantId"}));
    }
}

impl Part for Path<String> {
    fn describe(parts: &mut Parts) {
        let names = parts.path.split('{').skip(1).filter_map(|part| part.split('}').next());
        parts.parameters.extend(names.map(|name| samples::path_parameter(&extract::camel_case(name))));
    }
}

impl<T: IntoParams> Part for Query<T> {
    fn describe(parts: &mut Parts) {
        parts.parameters.extend(T::into_params(|| Some(ParameterIn::Query)).into_iter().map(|each| json!(each)));
    }
}

impl<T: ToSchema> Part for extract::Json<T> {
    fn describe(parts: &mut Parts) {
        let schema = parts.schema::<T>();
        parts.body = Some(schema);
        parts.problems.extend([Kind::TooLarge, Kind::UnsupportedMediaType]);
    }
}

impl Part for Body {
    fn describe(parts: &mut Parts) {
        parts.problems.push(Kind::TooLarge);
    }
}

/// What a handler answers where it succeeds.
pub trait Answer {
    /// Adds status, media type and schema.
    fn describe(parts: &mut Parts);
}

impl<T: ToSchema> Answer for Json<T> {
    fn describe(parts: &mut Parts) {
        let schema = parts.schema::<T>();
        parts.succeeds(&[StatusCode::OK], "application/json", schema);
    }
}

impl<T: ToSchema> Answer for Created<T> {
    fn describe(parts: &mut Parts) {
        let schema = parts.schema::<T>();
        parts.succeeds(&[StatusCode::CREATED], "application/json", schema);
    }
}

/// Made, or there before.
impl<T: ToSchema> Answer for (StatusCode, Json<T>) {
    fn describe(parts: &mut Parts) {
        let schema = parts.schema::<T>();
        parts.succeeds(&[StatusCode::CREATED, StatusCode::OK], "application/json", schema);
    }
}

impl<S> Answer for Sse<S> {
    fn describe(parts: &mut Parts) {
        // OpenAPI 3.1 has no word for streams: some tools hold the whole text to the schema, others each event.
        let schema = json!({
            "type": ["string", "object"],
            "description": "Events, each with its kind and JSON as data.",
            "required": ["event", "data"],
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
        });
        parts.succeeds(&[StatusCode::OK], "text/event-stream", schema);
    }
}

/// A text of another media type than JSON, or one that is JSON already.
pub trait Document {
    /// Its media type.
    const MEDIA_TYPE: &'static str;

    /// Its schema.
    fn schema() -> Value;
}

impl<T: Document> Answer for T {
    fn describe(parts: &mut Parts) {
        parts.succeeds(&[StatusCode::OK], T::MEDIA_TYPE, T::schema());
    }
}

/// A handler. `T` is what axum calls it: a marker, then the types of its arguments.
pub trait Describe<T> {
    /// Adds what its signature says.
    fn describe(parts: &mut Parts);
}

macro_rules! describe {
    ($($part:ident)*) => {
        impl<F, Fut, R, M, $($part),*> Describe<(M, $($part,)*)> for F
        where
            F: Fn($($part),*) -> Fut,
            Fut: Future<Output = Result<R>>,
            R: Answer,
            $($part: Part,)*
        {
            fn describe(parts: &mut Parts) {
                $($part::describe(parts);)*
                R::describe(parts);
            }
        }
    };
}

describe!(A);
describe!(A B);
describe!(A B C);
describe!(A B C D);
describe!(A B C D E);
