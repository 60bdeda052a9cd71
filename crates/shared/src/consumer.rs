//! The consumer runner: batches, an inbox, bounded retries, a dead-letter topic.
//!
//! A batch is applied in one transaction together with its `event_id`s in the inbox; then the offsets are committed. A
//! batch that fails is halved until the record that fails is found, and a record that keeps failing goes to `<topic>.dlq`,
//! so that poison never blocks its partition. While the database is away nothing is skipped: the batch waits.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use futures::FutureExt;
use rdkafka::{
    ClientContext, Message, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
    message::{Headers, OwnedMessage},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    correlation::TRACEPARENT,
    db::{Db, Tx},
    dead_letter::DeadLetters,
    error::{Error, Kind, Result},
    events::Envelope,
    kafka::Kafka,
    metrics,
    relay::pause,
    trace::{Role, Tracer},
};

/// Records applied in one transaction at the most.
const BATCH: usize = 1000;
/// Bytes of values in a batch, above which it takes no further record.
const BATCH_BYTES: usize = 4 << 20;
/// How long a batch waits to fill after its first record.
const LINGER: Duration = Duration::from_millis(10);
/// The shortest time from one batch that is not full to the next: a transaction costs much the same for one event as for
/// fifty.
const SPACING: Duration = Duration::from_millis(50);
/// The longest.
const SPACING_MAX: Duration = Duration::from_millis(250);
/// The time from one batch to the next in times of what it took. Where batches take long, so under load, fewer and larger
/// ones follow, in which the rows that several events change are written once.
const SPACING_TIMES: u32 = 4;
/// The pauses before each further try of the records that fail; then they are dead.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];
/// How long the last commit of offsets may take; without it some records are read again and dropped by the inbox.
const LAST_COMMIT: Duration = Duration::from_secs(3);

/// Applies events to a service's tables.
pub trait Handler: Send + Sync + 'static {
    /// Applies `events`, none of which this consumer group has applied before, as part of `tx`.
    ///
    /// The result has to be a function of the set of events, ordered by `occurred_at`: different topics have no mutual
    /// order.
    ///
    /// # Errors
    /// Transient ones are retried for as long as it takes; all others lead to the dead-letter topic in the end.
    fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> impl Future<Output = Result<()>> + Send;
}

/// A consumer group of a service.
#[derive(Debug)]
pub struct Consumer<H> {
    /// The group, e.g. `analytics-global-v1`.
    pub group: &'static str,
    /// What it reads.
    pub topics: &'static [&'static str],
    /// What it does.
    pub handler: H,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Events that were applied.
    pub new: usize,
    /// Events that the group had applied before, or that were in the batch twice.
    pub duplicates: usize,
}

/// Applies those of `events` that `group` has not applied before, and remembers them, in one transaction.
///
/// # Errors
/// Those of the handler, and 503 where the database is away; nothing is applied then.
pub async fn apply<H: Handler>(db: &Db, group: &str, handler: &H, events: &[Envelope]) -> Result<Applied> {
    if events.is_empty() {
        return Ok(Applied { new: 0, duplicates: 0 });
    }
    let mut tx = db.begin_system().await?;
    // In the order of their ids, so that two consumers in a rebalance cannot wait for each other.
    let mut ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let fresh: Vec<Uuid> = sqlx::query_scalar(
        "insert into inbox (consumer_group, event_id) select $1, unnest($2::uuid[])
         on conflict on constraint inbox_pkey do nothing returning event_id",
    )
    .bind(group)
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    let applied = Applied { new: fresh.len(), duplicates: events.len() - fresh.len() };
    if applied.duplicates == 0 {
        handler.apply(&mut tx, events).await?;
    } else if applied.new > 0 {
        let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
        let new: Vec<Envelope> = events.iter().filter(|event| fresh.remove(&event.event_id)).cloned().collect();
        handler.apply(&mut tx, &new).await?;
    }
    tx.commit().await?;
    Ok(applied)
}

/// What librdkafka tells a member of a group.
struct Member {
    service: &'static str,
    group: &'static str,
    /// Whether its partitions were taken from it, all of which go back at a rebalance.
    revoked: AtomicBool,
}

impl ClientContext for Member {
    /// Reports how far behind the group is.
    fn stats(&self, statistics: Statistics) {
        for (topic, state) in &statistics.topics {
            // One of -1 stands for all partitions that are not known.
            for partition in state.partitions.values().filter(|p| p.partition >= 0 && p.fetch_state == "active") {
                // Nothing has been committed yet where the lag is not known: then all that is there waits.
                let lag = match partition.consumer_lag {
                    lag if lag >= 0 => lag,
                    _ if partition.hi_offset < 0 => continue,
                    _ => partition.hi_offset - partition.lo_offset.max(0),
                };
                metrics::consumer_lag(self.service, self.group, topic, partition.partition, lag);
            }
        }
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            self.revoked.store(true, Ordering::Relaxed);
        }
    }
}

type Stream = StreamConsumer<Member>;
/// The next offset of each partition that records were taken from.
type Progress = HashMap<(String, i32), i64>;

pub(crate) struct Runner<H> {
    pub(crate) service: &'static str,
    pub(crate) consumer: Consumer<H>,
    pub(crate) db: Db,
    pub(crate) kafka: Kafka,
    pub(crate) tracer: Tracer,
}

impl<H: Handler> Runner<H> {
    /// Consumes until `shutdown`; the batch under way is finished.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.consume(&shutdown).await {
                tracing::warn!(
                    service = self.service,
                    kafka.group = self.consumer.group,
                    error = format!("{error:#}"),
                    "the consumer starts again"
                );
            }
            pause(Duration::from_secs(1), &shutdown).await;
        }
    }

    async fn consume(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let (service, group) = (self.service, self.consumer.group);
        let member = Member { service, group, revoked: AtomicBool::new(false) };
        let stream: Stream = self.kafka.consumer(group).create_with_context(member)?;
        stream.subscribe(self.consumer.topics)?;
        let mut dead_letters = DeadLetters::new(group, self.kafka.clone());
        let mut progress = Progress::new();
        let mut due = Instant::now();
        loop {
            let batch = tokio::select! {
                batch = fill(&stream, due, &mut progress) => batch,
                () = shutdown.cancelled() => break,
            };
            let began = Instant::now();
            if self.process(&batch, &mut dead_letters, shutdown).await.is_none() {
                break;
            }
            due = began + (began.elapsed() * SPACING_TIMES).clamp(SPACING, SPACING_MAX);
            stream.commit(&advance(&mut progress, &batch)?, CommitMode::Async)?;
        }
        close(stream, progress).await
    }

    /// Applies or buries every record of `batch`; `None` where shutdown came first.
    ///
    /// Everything that can be applied is applied before what fails is tried again, all of it together, so that neither one
    /// poison nor a batch full of it takes long.
    async fn process(
        &self,
        batch: &[OwnedMessage],
        dead_letters: &mut DeadLetters,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let (mut messages, mut envelopes, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for message in batch {
            match Envelope::parse(message.payload().unwrap_or_default()) {
                Ok(envelope) => {
                    messages.push(message);
                    envelopes.push(envelope);
                }
                Err(error) => dead.push((message, error)),
            }
        }
        let began = SystemTime::now();
        let mut failing = self.apply_halving(&envelopes, shutdown).await?;
        for wait in RETRIES {
            if failing.is_empty() {
                break;
            }
            pause(wait, shutdown).await;
            let mut still = Vec::new();
            for (index, _) in failing {
                if let Err(error) = self.apply_patiently(&envelopes[index..=index], shutdown).await? {
                    still.push((index, error));
                }
            }
            failing = still;
        }
        self.trace(&messages, &failing, began);
        dead.extend(failing.into_iter().map(|(index, error)| (messages[index], error)));
        for (message, error) in &dead {
            self.bury(message, error, dead_letters, shutdown).await?;
        }
        Some(())
    }

    /// Adds what was done since `began` to the trace of each record.
    fn trace(&self, messages: &[&OwnedMessage], failed: &[(usize, Error)], began: SystemTime) {
        if !self.tracer.is_on() {
            return;
        }
        for (index, message) in messages.iter().enumerate() {
            let sent = message.headers().and_then(|headers| {
                let header = headers.iter().find(|header| header.key == TRACEPARENT.as_str())?;
                std::str::from_utf8(header.value?).ok()
            });
            let name = format!("process {}", message.topic());
            let mut span = self.tracer.start_at(Role::Consumer, name, sent, Some(began));
            span.set("messaging.system", "kafka");
            span.set("messaging.destination.name", message.topic().to_owned());
            span.set("messaging.consumer.group.name", self.consumer.group);
            if let Some((_, error)) = failed.iter().find(|(failed, _)| *failed == index) {
                span.fail(error.code().to_owned());
            }
        }
    }

    /// Applies `events`, a part that fails in halves; which single ones fail, and why.
    async fn apply_halving(&self, events: &[Envelope], shutdown: &CancellationToken) -> Option<Vec<(usize, Error)>> {
        let mut failing = Vec::new();
        let mut parts: Vec<_> = std::iter::once(0..events.len()).collect();
        while let Some(part) = parts.pop() {
            match self.apply_patiently(&events[part.clone()], shutdown).await? {
                Ok(()) => {}
                Err(error) if part.len() == 1 => failing.push((part.start, error)),
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Some(failing)
    }

    /// Applies `events`, for as long as it takes where the failure is transient.
    async fn apply_patiently(&self, events: &[Envelope], shutdown: &CancellationToken) -> Option<Result<()>> {
        let mut wait = Duration::from_millis(50);
        loop {
            let applied = AssertUnwindSafe(self.apply(events)).catch_unwind().await;
            let error = match applied {
                Ok(Ok(())) => return Some(Ok(())),
                Ok(Err(error)) => error,
                Err(_) => Error::internal(anyhow::anyhow!("the handler panicked")),
            };
            // Half a batch may be quick enough where a whole one is not.
            let waits = error.is_transient() && (events.len() == 1 || error.kind() != Kind::Timeout);
            if !waits {
                return Some(Err(error));
            }
            tracing::warn!(service = self.service, kafka.group = self.consumer.group, error = %error,
                "a batch waits until what it needs is back");
            pause(wait, shutdown).await;
            if shutdown.is_cancelled() {
                return None;
            }
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    async fn apply(&self, events: &[Envelope]) -> Result<()> {
        let started = Instant::now();
        let applied = apply(&self.db, self.consumer.group, &self.consumer.handler, events).await?;
        metrics::consumed(self.service, self.consumer.group, applied, started.elapsed());
        Ok(())
    }

    /// Moves a record to its dead-letter topic, for as long as that takes.
    async fn bury(
        &self,
        message: &OwnedMessage,
        error: &Error,
        dead_letters: &mut DeadLetters,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        tracing::error!(service = self.service, kafka.group = self.consumer.group, kafka.topic = message.topic(),
            kafka.partition = message.partition(), kafka.offset = message.offset(), error = %error,
            "a record goes to its dead-letter topic; see it with careeros-ops dlq list");
        while let Err(failure) = dead_letters.bury(message, error).await {
            tracing::warn!(
                service = self.service,
                kafka.group = self.consumer.group,
                kafka.topic = message.topic(),
                error = format!("{failure:#}"),
                "the consumer waits until the dead letter is written"
            );
            pause(Duration::from_secs(1), shutdown).await;
            if shutdown.is_cancelled() {
                return None;
            }
        }
        metrics::dead_letter(self.service, self.consumer.group, message.topic());
        Some(())
    }
}

/// Waits for a record and takes those that follow closely, or up to `due`.
async fn fill(stream: &Stream, due: Instant, progress: &mut Progress) -> Vec<OwnedMessage> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut deadline = None;
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let next = match deadline {
            None => Ok(stream.recv().await),
            Some(deadline) => tokio::time::timeout_at(deadline, stream.recv()).await,
        };
        // Whoever has the partitions now begins after what was committed: with what this batch has of them.
        if was_revoked(stream, progress) {
            batch.clear();
            (bytes, deadline) = (0, None);
        }
        match next {
            Ok(Ok(message)) => {
                bytes += message.payload_len();
                batch.push(message.detach());
                deadline.get_or_insert_with(|| due.max(Instant::now() + LINGER).into());
            }
            Ok(Err(error)) => {
                // librdkafka reconnects by itself; a topic that does not exist yet is found by its metadata refresh.
                tracing::debug!(error = %error, "the consumer waits for the broker");
                if !batch.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(_) if batch.is_empty() => {}
            Err(_) => break,
        }
    }
    batch
}

/// Whether this consumer has lost its partitions since it was asked last. What it has committed for them may then not be
/// committed once more: another may have come further.
fn was_revoked(stream: &Stream, progress: &mut Progress) -> bool {
    let revoked = stream.context().revoked.swap(false, Ordering::Relaxed);
    if revoked {
        progress.clear();
    }
    revoked
}

/// Notes that `batch` is done; the offsets to commit for it.
fn advance(progress: &mut Progress, batch: &[OwnedMessage]) -> anyhow::Result<TopicPartitionList> {
    let mut next: HashMap<(&str, i32), i64> = HashMap::new();
    for message in batch {
        let offset = next.entry((message.topic(), message.partition())).or_default();
        *offset = (*offset).max(message.offset() + 1);
    }
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        progress.insert((topic.to_owned(), partition), offset);
    }
    Ok(list)
}

/// Commits once more what is still this consumer's, and waits for it, since the last commits may be on their way only;
/// then leaves the group.
async fn close(stream: Stream, mut progress: Progress) -> anyhow::Result<()> {
    was_revoked(&stream, &mut progress);
    let leave = move || {
        let mut list = TopicPartitionList::new();
        for owned in stream.assignment()?.elements() {
            if let Some(offset) = progress.get(&(owned.topic().to_owned(), owned.partition())) {
                list.add_partition_offset(owned.topic(), owned.partition(), Offset::Offset(*offset))?;
            }
        }
        if list.count() == 0 { Ok(()) } else { stream.commit(&list, CommitMode::Sync) }
    };
    let left = tokio::time::timeout(LAST_COMMIT, tokio::task::spawn_blocking(leave)).await;
    left.context("no answer in time").and_then(|left| Ok(left??)).context("the last offsets could not be committed")
}
