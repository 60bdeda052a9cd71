//! What a consumer group keeps, as far as rebuilding it from the events has to know. Each consuming service declares its
//! own beside the group; `careeros-ops rebuild` reads it.

/// The tables of a consumer group that follow from its topics alone.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    /// The group, e.g. `analytics-global-v1`.
    pub group: &'static str,
    /// What it reads.
    pub topics: &'static [&'static str],
    /// Tables that a rebuild replaces. A table comes after those that it references.
    pub tables: &'static [&'static str],
    /// Tables that the handler appends to and a job empties: a rebuild adds to them.
    pub queues: &'static [&'static str],
    /// Tables that the handler only reads: a rebuild reads the live ones. All others that it writes are of no consequence
    /// to the rebuild and are thrown away.
    pub reads: &'static [&'static str],
    /// Statements that end the rebuild, in the transaction that puts the new rows in place.
    pub afterwards: &'static [&'static str],
}
