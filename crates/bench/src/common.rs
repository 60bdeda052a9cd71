//! What every subject takes from the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::fleet::Options;

/// Where the report goes, and where the fleet comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Write the report here as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Show the change against the report in this file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// The directory of the binaries; this program's own otherwise.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    profile: Option<PathBuf>,
    /// Where the data goes, for as long as this runs; the system's temporary directory otherwise.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(crate) data: Option<PathBuf>,
}

impl Common {
    /// How a fleet is run that is asked for nothing else.
    pub(crate) fn options(&self) -> Result<Options> {
        let binaries = match &self.profile {
            Some(directory) => directory.clone(),
            None => std::env::current_exe()?.parent().context("this program is nowhere")?.to_owned(),
        };
        Ok(Options { binaries, data: self.data.clone(), statements: false, variables: Vec::new() })
    }
}
