//! AI core.

pub mod engine;
