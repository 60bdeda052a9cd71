//! CareerOS local launcher: nine services, PostgreSQL and a broker with one command. Nothing that runs
//! in production depends on it.
//!
//! - [`up`]: everything in this process
//! - [`services`]: the nine services and where each listens
//! - [`stores`]: what they keep their state in, private or named by the environment
//! - [`settings`]: what a running fleet tells other commands
//! - [`journey`]: the main journey, for the demo and the end-to-end tests
//! - [`data`]: the data directory, its lock and its passwords
//! - [`postgres`]: a private PostgreSQL server from the machine's programs
//! - [`databases`]: the eight databases and their roles
//! - [`broker`]: the embedded Kafka-compatible broker
//! - [`broker_process`]: it, or Apache Kafka, as a process of its own, for tests
//! - [`deps`]: both of them around one command, for tests
//! - [`net`]: ports, and who has them
//! - [`signals`]: being asked to stop
//! - [`ui`]: what the terminal shows

pub mod apache;
pub mod broker;
pub mod broker_process;
pub mod data;
pub mod databases;
pub mod deps;
pub mod journey;
pub mod net;
pub mod postgres;
pub mod services;
pub mod settings;
pub mod signals;
pub mod stores;
pub mod ui;
pub mod up;
