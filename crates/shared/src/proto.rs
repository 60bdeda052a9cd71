//! The messages, clients and servers generated from `proto/`.

#![expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code follows the generator's style"
)]

pub mod words;

/// Every proto file's descriptor, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

mod generated {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub use generated::careeros::{
    aicore::v1 as aicore, analytics::v1 as analytics, auth::v1 as auth, billing::v1 as billing, common::v1 as common,
    edutracker::v1 as edutracker, lms::v1 as lms, roadmap::v1 as roadmap, userprofile::v1 as userprofile,
};
