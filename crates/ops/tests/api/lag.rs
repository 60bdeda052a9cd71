//! Consumer lag.

use careeros_ops::lag;
use careeros_shared::events::{AiFlowExecuted, Event, SkillGapAnalyzed};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};

use crate::Bench;

/// Commits `offset` for a partition, as a member of `group` would.
async fn commit(bench: &Bench, group: &'static str, topic: &'static str, partition: i32, offset: i64) {
    let brokers = bench.brokers.clone();
    let commit = move || {
        let mut config = ClientConfig::new();
        let consumer: BaseConsumer = config.set("bootstrap.servers", brokers).set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
    };
    tokio::task::spawn_blocking(commit).await.unwrap();
}

#[tokio::test]
async fn the_lag_is_what_lies_between_the_commit_and_the_end() {
    let bench = Bench::start().await;
    // One key, and so one partition.
    for _ in 0..7 {
        bench.send(AiFlowExecuted::TOPIC, "somebody", "{}").await;
    }
    let partitions = bench.ops.partitions(&[AiFlowExecuted::TOPIC]).await.unwrap();
    let full = partitions.iter().find(|partition| partition.high == 7).unwrap().number;
    commit(&bench, "billing-usage-v1", AiFlowExecuted::TOPIC, full, 3).await;

    let report = lag::report(&bench.ops, &[], false).await.unwrap();
    assert_eq!(report.partitions.len(), 3 * (6 + 27 + 1 + 2));
    assert_eq!((report.totals["billing-usage-v1"], report.totals["analytics-global-v1"]), (4, 7));
    assert_eq!((report.totals["roadmap-ai-updates-v1"], report.totals["edutracker-lms-progress-v1"]), (0, 0));

    let behind = lag::report(&bench.ops, &[], true).await.unwrap().partitions;
    let rows: Vec<_> = behind.iter().map(|row| (row.group.as_str(), row.committed, row.end, row.lag)).collect();
    assert_eq!(rows, [("analytics-global-v1", None, 7, 7), ("billing-usage-v1", Some(3), 7, 4)]);
    assert!(behind.iter().all(|row| (row.topic.as_str(), row.partition) == (AiFlowExecuted::TOPIC, full)));
}

#[tokio::test]
async fn any_group_can_be_asked_about_once_it_has_committed_something() {
    let bench = Bench::start().await;
    let error = lag::report(&bench.ops, &["reports".to_owned()], false).await.unwrap_err().to_string();
    assert!(error.contains("reports") && error.contains("analytics-global-v1"), "{error}");
    commit(&bench, "reports", SkillGapAnalyzed::TOPIC, 1, 0).await;
    let report = lag::report(&bench.ops, &["reports".to_owned()], false).await.unwrap();
    assert_eq!((report.partitions.len(), report.totals["reports"]), (1, 0));
}
