//! How soon a change shows in analytics: users change their skills through the gateway at an even rate, whatever the answers
//! take. The delay is from the commit of the change to the commit of the transaction that applied its event, both by
//! PostgreSQL's own record of commit times, so on one clock and without anybody who asks meanwhile.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use careeros_shared::events::{Envelope, Event as _, SkillsUpdated};
use rdkafka::Message as _;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    fleet::{Fleet, Service},
    pace::{self, Sent},
    people::{self, User},
    report::Report,
    times::Times,
    topics::{Ends, Topics},
};

const USERS: usize = 20;
const POLL: Duration = Duration::from_millis(250);
/// How long the last events may take to show.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user and a skill, which name one change.
type Change = (Uuid, String);

/// Writes and measures.
pub(super) async fn measure(fleet: &Fleet, per_second: u32, seconds: u32, report: &mut Report) -> Result<()> {
    let users = people::make(fleet, USERS).await?;
    let topics = fleet.topics()?;
    let before = topics.ends([SkillsUpdated::TOPIC]).await?;
    let changes = usize::try_from(u64::from(per_second) * u64::from(seconds))?;
    let written = write(fleet, &users, per_second, changes).await?;
    let committed = committed(fleet, &users).await?;
    let events = events(&topics, before, changes).await?;
    let visible = visible(fleet, &events).await?;
    let shown = events.iter().filter_map(|(change, event)| Some((committed.get(change)?, visible.get(event)?)));
    let delays: Vec<_> = shown.map(|(committed, visible)| (visible - committed) * 1e3).collect();
    report.check("delay: changes that failed", &"", &written.failures);
    report.check("delay: changes stored", &changes, &committed.len());
    report.check("delay: changes with an event", &changes, &events.len());
    report.check("delay: events that show", &changes, &delays.len());
    report.figure("delay: changes", written.rate, "changes/s");
    let answers = Times::of(written.times).context("there was no answer")?;
    answers.figures("delay: answer to a change", report);
    let delays = Times::of(delays).context("nothing shows in analytics")?;
    delays.figures("delay: commit to commit in analytics", report);
    Ok(())
}

/// Makes every change at its time, without waiting for the answers to those before.
async fn write(fleet: &Fleet, users: &[User], per_second: u32, changes: usize) -> Result<Sent> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let request = |number: usize| {
        let user = &users[number % users.len()];
        let url = format!("{}/v1/profiles/{}/skills", fleet.url(Service::Gateway), user.id);
        // Users have skills in common, but nobody changes the same one at the same time.
        let round = number / users.len();
        let skill = format!("skill-{}", (round + number % users.len() * 17) % changes.div_ceil(users.len()));
        let body = json!({"skillKey": skill, "skillName": skill, "proficiency": 50});
        http.post(url).bearer_auth(&user.token).json(&body)
    };
    pace::send(per_second, changes, request, |answer| answer["ok"] == true).await
}

/// When each change of `users` was committed, in seconds since 1970.
async fn committed(fleet: &Fleet, users: &[User]) -> Result<HashMap<Change, f64>> {
    let mut connection = fleet.connect("user_profile").await?;
    let rows: Vec<(Uuid, String, f64)> = sqlx::query_as(
        "select u.user_id, s.key, extract(epoch from pg_xact_commit_timestamp(u.xmin))::float8
         from user_skills u join skills s on s.id = u.skill_id where u.user_id = any($1)",
    )
    .bind(users.iter().map(|user| user.id).collect::<Vec<_>>())
    .fetch_all(&mut connection)
    .await?;
    Ok(rows.into_iter().map(|(user, skill, at)| ((user, skill), at)).collect())
}

/// The event of each change, of the `expected` ones that came onto the topic since `before`.
async fn events(topics: &Topics, before: Ends, expected: usize) -> Result<HashMap<Change, Uuid>> {
    let ends = topics.grown(SkillsUpdated::TOPIC, &before, expected as u64).await?;
    let read = topics.read((before, ends), HashMap::new(), |events, message| {
        let envelope = Envelope::parse(message.payload().unwrap_or_default())?;
        let SkillsUpdated { user_id, skill_key, .. } = envelope.payload()?;
        events.insert((user_id, skill_key), envelope.event_id);
        Ok(())
    });
    read.await
}

/// When each event was applied by a committed transaction, in seconds since 1970.
async fn visible(fleet: &Fleet, events: &HashMap<Change, Uuid>) -> Result<HashMap<Uuid, f64>> {
    let mut connection = fleet.connect("analytics").await?;
    let ids: Vec<Uuid> = events.values().copied().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows: Vec<(Uuid, f64)> = sqlx::query_as(
            "select event_id, extract(epoch from pg_xact_commit_timestamp(xmin))::float8
             from inbox where consumer_group = $1 and event_id = any($2)",
        )
        .bind(careeros_analytics::events::GROUP)
        .bind(&ids)
        .fetch_all(&mut connection)
        .await?;
        if rows.len() == ids.len() || Instant::now() > deadline {
            return Ok(rows.into_iter().collect());
        }
        tokio::time::sleep(POLL).await;
    }
}
