//! The launcher's PostgreSQL and broker, run for real in temporary directories.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod command;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod support;
