//! How far consumer groups are behind the ends of their topics.

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, bail};
use careeros_shared::projection::Projection;
use serde::Serialize;

use crate::{
    broker::{Broker, Partition},
    output::{Table, or_dash, thousands},
};

/// The contract's groups.
pub const GROUPS: [Projection; 4] = [
    careeros_edu_tracker::events::PROJECTION,
    careeros_analytics::events::PROJECTION,
    careeros_billing::usage::PROJECTION,
    careeros_roadmap::ai_updates::PROJECTION,
];

/// A group's position in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the group goes on at; none where it has committed none yet.
    pub committed: Option<i64>,
    /// The offset that the next record gets.
    pub end: i64,
    /// Records that the group has not worked off.
    pub lag: i64,
}

/// What is asked for and its sums.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By group, topic and partition.
    pub partitions: Vec<Row>,
    /// Each group's lag over all partitions.
    pub totals: BTreeMap<String, i64>,
}

/// The lag of `groups`, or of the contract's where there are none; `behind` leaves out the partitions that have none.
///
/// # Errors
/// Where the broker does not answer, and where a group is unknown.
pub async fn report(broker: &Broker, groups: &[String], behind: bool) -> Result<Report> {
    let groups = match groups {
        [] => GROUPS.map(|projection| projection.group.to_owned()).to_vec(),
        named => named.to_vec(),
    };
    let names: Vec<_> = broker.topics().await?.into_keys().collect();
    let known = |group: &str| GROUPS.into_iter().find(|known| known.group == group);
    // Of the contract's groups it is known what they read; of any other, what it has committed.
    let read: Vec<_> = names
        .into_iter()
        .filter(|name| {
            groups.iter().any(|group| known(group).is_none_or(|known| known.topics.contains(&name.as_str())))
        })
        .collect();
    let partitions = broker.partitions(&read).await?;
    let mut report = Report { partitions: Vec::new(), totals: BTreeMap::new() };
    for group in groups {
        let committed = broker.committed(&group, &partitions).await?;
        let topics = known(&group).map(|known| known.topics);
        let mut rows = Vec::new();
        for (partition, committed) in partitions.iter().zip(committed) {
            if topics.map_or(committed.is_some(), |topics| topics.contains(&partition.topic.as_str())) {
                rows.push(row(&group, partition, committed));
            }
        }
        if rows.is_empty() && topics.is_none() {
            bail!("the group {group} has committed nothing; the contract's groups are {}", names_of_groups());
        }
        report.totals.insert(group, rows.iter().map(|row| row.lag).sum());
        report.partitions.extend(rows.into_iter().filter(|row| row.lag > 0 || !behind));
    }
    Ok(report)
}

fn names_of_groups() -> String {
    GROUPS.map(|projection| projection.group).join(", ")
}

fn row(group: &str, partition: &Partition, committed: Option<i64>) -> Row {
    // Groups begin at the first record that there is.
    let next = committed.unwrap_or(partition.low).max(partition.low);
    Row {
        group: group.to_owned(),
        topic: partition.topic.clone(),
        partition: partition.number,
        committed,
        end: partition.high,
        lag: (partition.high - next).max(0),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.partitions.is_empty() {
            let mut table = Table::new(&["group", "topic", "partition", "committed", "end", "lag"]);
            for row in &self.partitions {
                table.row([
                    row.group.clone(),
                    row.topic.clone(),
                    row.partition.to_string(),
                    or_dash(row.committed.map(thousands)),
                    thousands(row.end),
                    thousands(row.lag),
                ]);
            }
            writeln!(f, "{table}")?;
        }
        let mut totals = Table::new(&["group", "lag"]);
        for (group, lag) in &self.totals {
            totals.row([group.clone(), thousands(*lag)]);
        }
        totals.row(["total".to_owned(), thousands(self.totals.values().sum::<i64>())]);
        write!(f, "{totals}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_has_committed_nothing_is_behind_by_all_that_is_there() {
        let partition = Partition { topic: "t".to_owned(), number: 0, low: 10, high: 25 };
        for (committed, lag) in [(None, 15), (Some(12), 13), (Some(25), 0), (Some(3), 15), (Some(40), 0)] {
            assert_eq!(row("g", &partition, committed).lag, lag, "{committed:?}");
        }
    }
}
