//! Readiness: each dependency is asked, and a failing one is named.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// How long a dependency may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The dependencies that a service needs to serve.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

/// The answer of `/health/ready`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready` or `unavailable`.
    pub status: &'static str,
    /// Each dependency with `ok` or what is wrong and what to do.
    pub dependencies: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Adds the dependency `name`, checked by `check`.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Asks all dependencies at once; `Err` holds the report where one fails.
    ///
    /// # Errors
    /// Where a dependency fails or does not answer within two seconds.
    pub async fn check(&self) -> Result<Report, Report> {
        let asked = self.checks.iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(PATIENCE, check()).await;
            (*name, answer.unwrap_or_else(|_| Err("did not answer within 2 s".to_owned())))
        });
        let answers = futures::future::join_all(asked).await;
        let failed = answers.iter().any(|(_, answer)| answer.is_err());
        let dependencies =
            answers.into_iter().map(|(name, answer)| (name, answer.err().unwrap_or_else(|| "ok".to_owned()))).collect();
        if failed {
            Err(Report { status: "unavailable", dependencies })
        } else {
            Ok(Report { status: "ready", dependencies })
        }
    }
}

pub(crate) async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.check().await {
        Ok(report) => Json(report).into_response(),
        Err(report) => (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_dependency_is_named() {
        let readiness = Readiness::default()
            .with("database", || async { Ok(()) })
            .with("broker", || async { Err("connection refused".to_owned()) });
        let report = readiness.check().await.unwrap_err();
        assert_eq!(report.dependencies["broker"], "connection refused");
        assert_eq!(report.dependencies["database"], "ok");
    }
}
