//! The launcher's PostgreSQL and brokers, run for real in temporary directories.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod broker_process;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod command;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod support;
