//! The operators' tool for the event backbone: `careeros-ops`.
//!
//! - [`cli`]: the command line
//! - [`settings`]: where broker and databases are
//! - [`broker`]: what is asked of the broker; [`log`] reads topics
//! - [`dlq`]: dead letters: look at them, replay them, discard them
//! - [`lag`]: how far consumer groups are behind
//! - [`outbox`]: events that wait or are parked
//! - [`rebuild`]: makes a projection anew from its topics
//! - [`output`]: tables, JSON, progress

pub mod broker;
pub mod cli;
pub mod dlq;
pub mod lag;
pub mod log;
pub mod outbox;
pub mod output;
pub mod rebuild;
pub mod settings;
