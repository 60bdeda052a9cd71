//! Waiting until the fleet has nothing under way.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use careeros_shared::events::TOPICS;

use crate::fleet::Fleet;

/// How long what is under way may take to come to rest.
const DRAINED: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(250);

/// Waits until every outbox is empty and analytics has applied all that is on the topics; how many records that are, and
/// how many events it has applied.
pub(crate) async fn drained(fleet: &Fleet) -> Result<(u64, u64)> {
    let topics = fleet.topics()?;
    let deadline = Instant::now() + DRAINED;
    loop {
        let mut waiting = 0;
        for database in careeros_fleet::databases::NAMES {
            let mut connection = fleet.connect(database).await?;
            waiting += sqlx::query_scalar::<_, i64>("select count(*) from outbox").fetch_one(&mut connection).await?;
        }
        let published = topics.ends(TOPICS).await?.count();
        let mut connection = fleet.connect("analytics").await?;
        let (applied, uncounted): (i64, i64) = sqlx::query_as(
            "select (select count(*) from inbox where consumer_group = $1), (select count(*) from kpi_changes)",
        )
        .bind(careeros_analytics::events::GROUP)
        .fetch_one(&mut connection)
        .await?;
        let applied = applied.unsigned_abs();
        if waiting == 0 && uncounted == 0 && applied >= published {
            return Ok((published, applied));
        }
        if Instant::now() > deadline {
            bail!(
                "{waiting} events wait in outboxes, {applied} of {published} are applied: the fleet does not come to rest"
            );
        }
        tokio::time::sleep(POLL).await;
    }
}
