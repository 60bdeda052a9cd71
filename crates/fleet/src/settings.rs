//! `<data>/dev.env`: what a running fleet was started with, for the commands of a second terminal and for running a
//! service alone. It holds secrets and is readable by its owner only.

use std::{
    fmt::Display,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use careeros_shared::env::Env;

const FILE: &str = "dev.env";

/// Where the settings of the fleet in `data` are.
pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Writes `settings` for other commands to find.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(data: &Path, settings: &[(impl Display, String)]) -> Result<()> {
    let path = path(data);
    let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    // Made anew, so that its mode is the one given here.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    file.write_all(lines.concat().as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the settings of the fleet in `data`.
///
/// # Errors
/// Where none was started there.
pub fn read(data: &Path) -> Result<Env> {
    let path = path(data);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} is not there: start the fleet by ./scripts/dev.sh first", path.display()))?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn settings_are_found_again_and_private() {
        let data = tempfile::tempdir().unwrap();
        assert!(read(data.path()).unwrap_err().to_string().contains("dev.sh"));
        write(data.path(), &[("A", "b=c".to_owned())]).unwrap();
        write(data.path(), &[("A", "d=e".to_owned())]).unwrap();
        assert_eq!(read(data.path()).unwrap().get("A"), Some("d=e"));
        assert_eq!(fs::metadata(path(data.path())).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
