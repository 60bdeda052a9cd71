//! Readiness: each dependency is asked, and a failing one is named.

use std::{collections::BTreeMap, net::Ipv4Addr, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

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
    /// `ready`, `serving`, `unavailable`, or `stopping` where the process has been asked to end.
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
        self.check_without(&[]).await
    }

    /// The same without the dependencies that `excluded` names.
    async fn check_without(&self, excluded: &[String]) -> Result<Report, Report> {
        let wanted = self.checks.iter().filter(|(name, _)| excluded.iter().all(|other| other != name));
        let asked = wanted.map(|(name, check)| async move {
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

/// Whether requests should be sent here, for a balancer: until the process is asked to end. What it depends on has no say:
/// all its siblings depend on the same, and to turn requests away is worse than to answer those that can be answered.
pub(crate) async fn serving(State(stopping): State<CancellationToken>) -> Response {
    let (code, status) = if stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "serving")
    };
    (code, Json(Report { status, dependencies: BTreeMap::new() })).into_response()
}

/// A process that is about to end is not ready, whatever it depends on: requests shall go elsewhere. Its gRPC health says
/// nothing of that, because its clients are told by GOAWAY, and whoever reports it as a dependency has lost nothing.
///
/// `?exclude=broker` leaves dependencies out that the asker can do without, as at the health checks of Kubernetes' own API
/// server; it may be given several times.
pub(crate) async fn ready(
    State((readiness, stopping)): State<(Readiness, CancellationToken)>,
    RawQuery(query): RawQuery,
) -> Response {
    if stopping.is_cancelled() {
        let report = Report { status: "stopping", dependencies: BTreeMap::new() };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response();
    }
    let query = query.unwrap_or_default();
    let excluded: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "exclude")
        .map(|(_, dependency)| dependency.into_owned())
        .collect();
    match readiness.check_without(&excluded).await {
        Ok(report) => Json(report).into_response(),
        Err(report) => (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response(),
    }
}

/// Asks the service on `port` of this machine whether it is ready; for a container that has no other client.
///
/// # Errors
/// What it says where it is not, or that nobody answers.
pub(crate) async fn ask(port: u16) -> anyhow::Result<()> {
    let answered = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"GET /health/ready HTTP/1.0\r\nhost: localhost\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(2 * PATIENCE, answered).await;
    let answer = answer.context("no answer in time")?.with_context(|| format!("nobody answers on port {port}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ready = head.split(' ').nth(1) == Some("200");
    anyhow::ensure!(ready, "the service is not ready: {body}");
    Ok(())
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

    #[tokio::test]
    async fn a_probe_leaves_out_what_it_names() {
        let readiness = Readiness::default()
            .with("database", || async { Ok(()) })
            .with("broker", || async { Err("connection refused".to_owned()) })
            .with("signing-keys", || async { Err("none yet".to_owned()) });
        let stopping = CancellationToken::new();
        for (query, code) in [
            (None, StatusCode::SERVICE_UNAVAILABLE),
            (Some("exclude=broker"), StatusCode::SERVICE_UNAVAILABLE),
            (Some("exclude=broker&exclude=signing%2Dkeys"), StatusCode::OK),
            (Some("include=broker&%"), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let asked = RawQuery(query.map(str::to_owned));
            let answer = ready(State((readiness.clone(), stopping.clone())), asked).await;
            assert_eq!(answer.status(), code, "{query:?}");
        }
        stopping.cancel();
        let answer = ready(State((readiness, stopping)), RawQuery(Some("exclude=broker".to_owned()))).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "nothing excuses a process that ends");
    }
}
