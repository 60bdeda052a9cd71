//! The consumer groups, and what has to be in their tables once they have applied all events.

use anyhow::{Context as _, Result};
use careeros_shared::projection::Projection;
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::{fleet::Service, generate::Expected, report::Report};

/// A consumer group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) service: Service,
    pub(super) database: &'static str,
    pub(super) projection: Projection,
    counts: &'static [Count],
}

/// What a query has to count.
#[derive(Debug, Clone, Copy)]
struct Count {
    of: &'static str,
    query: &'static str,
    expected: fn(&Expected) -> u64,
}

impl Group {
    /// All of them, the largest first.
    pub(super) const ALL: [Self; 4] = [
        Self {
            service: Service::Analytics,
            database: "analytics",
            projection: careeros_analytics::events::PROJECTION,
            counts: &[
                Count {
                    of: "active users of all days",
                    query: "select count(*) from activity_days",
                    expected: |expected| expected.active.len() as u64,
                },
                Count {
                    of: "the same by KPI",
                    query: "select sum(dau)::bigint from kpi_daily",
                    expected: |expected| expected.active.len() as u64,
                },
                Count {
                    of: "AI runs",
                    query: "select sum(total_runs)::bigint from ai_usage_analytics",
                    expected: |expected| expected.flows,
                },
            ],
        },
        Self {
            service: Service::EduTracker,
            database: "edu_tracker",
            projection: careeros_edu_tracker::events::PROJECTION,
            counts: &[
                Count {
                    of: "learners",
                    query: "select count(*) from learners",
                    expected: |expected| expected.learners.len() as u64,
                },
                Count { of: "deeds", query: "select count(*) from progress_logs", expected: |expected| expected.deeds },
                Count {
                    of: "minutes",
                    query: "select sum(minutes)::bigint from activity_weeks",
                    expected: |expected| expected.minutes,
                },
                Count {
                    of: "evidence",
                    query: "select sum(lessons)::bigint from skill_days",
                    expected: |expected| expected.taught,
                },
            ],
        },
        Self {
            service: Service::Billing,
            database: "billing",
            projection: careeros_billing::usage::PROJECTION,
            counts: &[
                Count {
                    of: "executions",
                    query: "select count(*) from metered_executions",
                    expected: |expected| expected.metered,
                },
                Count {
                    of: "usage",
                    query: "select sum(executions)::bigint from ai_usage",
                    // Once for the user and once for the tenant.
                    expected: |expected| 2 * expected.metered,
                },
            ],
        },
        Self {
            service: Service::Roadmap,
            database: "roadmap",
            projection: careeros_roadmap::ai_updates::PROJECTION,
            counts: &[
                Count {
                    of: "drafts",
                    query: "select count(*) from roadmap_drafts",
                    expected: |expected| expected.drafts,
                },
                Count {
                    of: "skill gaps",
                    query: "select count(*) from skill_gaps",
                    expected: |expected| expected.analysed.len() as u64,
                },
            ],
        },
    ];

    /// Checks the tables of the group.
    pub(super) async fn check(
        &self,
        connection: &mut PgConnection,
        expected: &Expected,
        report: &mut Report,
    ) -> Result<()> {
        for Count { of, query, expected: count } in self.counts {
            let found: Option<i64> = sqlx::query_scalar(*query).fetch_one(&mut *connection).await.context(*query)?;
            report.check(format!("{}: {of}", self.service.name()), &count(expected), &found.unwrap_or_default());
        }
        if self.service == Service::Analytics {
            check_funnel_and_cost(connection, expected, report).await?;
        }
        Ok(())
    }
}

async fn check_funnel_and_cost(connection: &mut PgConnection, expected: &Expected, report: &mut Report) -> Result<()> {
    let found: Vec<(String, i64)> =
        sqlx::query_as("select funnel_step, count(*) from funnel_events group by 1 order by 1")
            .fetch_all(&mut *connection)
            .await?;
    let found: Vec<_> = found.iter().map(|(step, count)| format!("{step} {count}")).collect();
    let made: Vec<_> = expected.funnel.iter().map(|(step, count)| format!("{step} {count}")).collect();
    report.check("analytics: funnel", &made.join(", "), &found.join(", "));
    let cost: Decimal =
        sqlx::query_scalar("select sum(total_cost_usd) from ai_usage_analytics").fetch_one(connection).await?;
    report.check("analytics: cost of AI runs", &expected.flow_cost.normalize(), &cost.normalize());
    Ok(())
}
