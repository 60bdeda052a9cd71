//! The platform's KPIs as metrics: the sums over all tenants, for the operators' dashboards.

use std::time::Duration;

use careeros_shared::{Result, db::Db};

use crate::SERVICE;

/// How often they are measured.
const INTERVAL: Duration = Duration::from_mins(1);

/// The sums over all tenants of their newest day.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// Users active on the day, in the 7 and in the 30 days that end with it.
    pub active_users: [(&'static str, i64); 3],
    /// What all subscriptions bring a month, in dollars.
    pub mrr_usd: f64,
}

/// Measures them, for as long as it is polled.
pub async fn watch(db: Db) {
    loop {
        match measure(&db).await {
            Ok(platform) => {
                for (window, users) in platform.active_users {
                    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 people")]
                    metrics::gauge!("kpi_active_users", "service" => SERVICE.name, "window" => window)
                        .set(users as f64);
                }
                metrics::gauge!("kpi_mrr_usd", "service" => SERVICE.name).set(platform.mrr_usd);
            }
            Err(error) => tracing::debug!(error = %error, "the platform's KPIs are not measured this time"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Measures them once.
///
/// # Errors
/// 503 where the database is away.
pub async fn measure(db: &Db) -> Result<Platform> {
    let mut tx = db.begin_system().await?;
    let sums = sqlx::query!(
        r#"select coalesce(sum(dau), 0)::bigint as "dau!", coalesce(sum(wau), 0)::bigint as "wau!",
                  coalesce(sum(mau), 0)::bigint as "mau!", coalesce(sum(mrr_usd), 0)::float8 as "mrr_usd!"
           from kpi_now"#
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(Platform { active_users: [("day", sums.dau), ("week", sums.wau), ("month", sums.mau)], mrr_usd: sums.mrr_usd })
}
