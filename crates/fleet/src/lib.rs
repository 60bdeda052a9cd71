//! CareerOS local launcher: nine services, PostgreSQL and a broker with one command. Nothing that runs
//! in production depends on it.
//!
//! - [`data`]: the data directory, its lock and its passwords
//! - [`postgres`]: a private PostgreSQL server from the machine's programs
//! - [`databases`]: the eight databases and their roles
//! - [`broker`]: the embedded Kafka-compatible broker
//! - [`deps`]: both of them around one command, for tests
//! - [`net`]: ports, and who has them
//! - [`signals`]: being asked to stop
//! - [`ui`]: what the terminal shows

pub mod broker;
pub mod data;
pub mod databases;
pub mod deps;
pub mod net;
pub mod postgres;
pub mod signals;
pub mod ui;
