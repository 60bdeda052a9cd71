//! Routes that describe themselves: registering a handler registers its operation in the API reference (OpenAPI 3.1).
//!
//! What a machine can know comes from the handler's signature: parameters, body, token, answer and the problems that all
//! of these bring ([`describe`]). The words and examples come with it ([`Doc`]). So a route cannot exist without its
//! operation, and an operation cannot name another type than its handler reads or writes.

use std::{any::type_name, collections::BTreeMap, fmt};

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};
use careeros_shared::extract::camel_case;
use serde_json::{Map, Value, json};

pub mod describe;
mod doc;
pub mod problems;
pub mod samples;
pub(crate) mod schemas;

pub use doc::Doc;

use describe::{Describe, Parts};

/// A router with the operations that it answers.
#[derive(Default)]
pub struct Api {
    router: Router,
    /// Path, method in lower case, Operation Object.
    operations: Vec<(String, &'static str, Value)>,
    schemas: BTreeMap<String, Value>,
    tags: Vec<Value>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.operations.iter().map(|(path, method, _)| (method, path));
        f.debug_list().entries(operations).finish()
    }
}

impl Api {
    /// Everything in `self`, then everything in `other`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.schemas.extend(other.schemas);
        self.tags.extend(other.tags);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The same routes below `prefix`.
    #[must_use]
    pub fn nest(mut self, prefix: &str) -> Self {
        for (path, ..) in &mut self.operations {
            path.insert_str(0, prefix);
        }
        Self { router: Router::new().nest(prefix, self.router), ..self }
    }

    /// The same routes, their router changed by `change`.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Router) -> Router) -> Self {
        Self { router: change(self.router), ..self }
    }

    /// The router alone.
    pub fn into_router(self) -> Router {
        self.router
    }

    /// The Paths Object.
    pub fn paths(&self) -> Value {
        let mut paths = Map::new();
        for (path, method, operation) in &self.operations {
            let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
            item[*method] = operation.clone();
        }
        Value::Object(paths)
    }

    /// What `paths` refers to, by name.
    pub fn schemas(&self) -> &BTreeMap<String, Value> {
        &self.schemas
    }

    /// The areas, in the order in which they were added.
    pub fn tags(&self) -> &[Value] {
        &self.tags
    }
}

/// The routes of one area while they are added.
pub struct Area<S> {
    router: Router<S>,
    state: S,
    tag: &'static str,
    api: Api,
}

impl<S: fmt::Debug> fmt::Debug for Area<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area").field("tag", &self.tag).field("api", &self.api).finish_non_exhaustive()
    }
}

macro_rules! methods {
    ($($name:ident $filter:ident $doc:literal;)+) => {$(
        #[doc = $doc]
        #[must_use]
        pub fn $name<H, T>(self, path: &str, handler: H, doc: Doc) -> Self
        where
            H: Handler<T, S> + Describe<T>,
            T: 'static,
        {
            self.on(MethodFilter::$filter, stringify!($name), path, handler, &doc)
        }
    )+};
}

impl<S: Clone + Send + Sync + 'static> Area<S> {
    /// An area called `tag`, about `about`, whose handlers share `state`.
    pub fn new(tag: &'static str, about: &str, state: S) -> Self {
        let api = Api { tags: vec![json!({"name": tag, "description": about})], ..Api::default() };
        Self { router: Router::new(), state, tag, api }
    }

    methods! {
        get GET "Answers GET at `path`.";
        post POST "Answers POST at `path`.";
        put PUT "Answers PUT at `path`.";
        patch PATCH "Answers PATCH at `path`.";
        delete DELETE "Answers DELETE at `path`.";
    }

    fn on<H, T>(mut self, filter: MethodFilter, method: &'static str, path: &str, handler: H, doc: &Doc) -> Self
    where
        H: Handler<T, S> + Describe<T>,
        T: 'static,
    {
        let mut parts = Parts::new(path);
        H::describe(&mut parts);
        let handler_name = type_name::<H>().rsplit("::").next().unwrap_or_default();
        let path_shown = camel_case(path);
        let operation = doc.operation(self.tag, &camel_case(handler_name), &path_shown, &parts);
        self.api.operations.push((path_shown, method, operation));
        self.api.schemas.extend(parts.schemas);
        self.api.schemas.extend(doc.schemas());
        Self { router: self.router.route(path, on(filter, handler)), ..self }
    }

    /// The area's routes.
    pub fn build(self) -> Api {
        Api { router: self.router.with_state(self.state), ..self.api }
    }
}
