//! Finding the PostgreSQL server programs that the machine has installed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The oldest major version that the migrations run on.
const OLDEST_MAJOR: u32 = 15;

/// Folders that hold one folder per installed version, and where in each the programs are.
const VERSIONED: [(&str, &str, &str); 3] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];
const PLAIN: [&str; 2] = ["/opt/homebrew/bin", "/usr/local/bin"];

/// One installed PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    directory: PathBuf,
    /// Its major version, e.g. 17.
    pub(super) major: u32,
}

impl Binaries {
    /// Finds the programs for a cluster of version `cluster_major`, or for a new one.
    ///
    /// # Errors
    /// When none is installed, all are too old, or none fits the cluster at `cluster`.
    pub(super) fn find(cluster: &Path, cluster_major: Option<u32>) -> Result<Self> {
        choose(Self::installed(), cluster, cluster_major)
    }

    /// The path of `initdb`, `postgres` or another of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Every usable installation: those on PATH first, then the newest first.
    fn installed() -> Vec<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut elsewhere: Vec<_> =
            versioned().chain(PLAIN.map(PathBuf::from)).filter_map(|directory| Self::at(&directory)).collect();
        elsewhere.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        env::split_paths(&path).filter_map(|directory| Self::at(&directory)).chain(elsewhere).collect()
    }

    fn at(directory: &Path) -> Option<Self> {
        // On some systems PATH has initdb as a link into the folder that also has postgres.
        let initdb = directory.join("initdb").canonicalize().ok()?;
        let directory = initdb.parent()?.to_owned();
        let version = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&version.stdout))?;
        Some(Self { directory, major })
    }
}

fn versioned() -> impl Iterator<Item = PathBuf> {
    VERSIONED.into_iter().flat_map(|(root, prefix, bin)| {
        let starts = move |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(prefix));
        let entries = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
        entries.filter(move |entry| starts(&entry.file_name())).map(move |entry| entry.path().join(bin))
    })
}

fn choose(installed: Vec<Binaries>, cluster: &Path, cluster_major: Option<u32>) -> Result<Binaries> {
    let newest = installed.iter().map(|binaries| binaries.major).max();
    let fits = |major: u32| cluster_major.map_or(major >= OLDEST_MAJOR, |cluster| major == cluster);
    if let Some(binaries) = installed.into_iter().find(|binaries| fits(binaries.major)) {
        return Ok(binaries);
    }
    match (newest, cluster_major) {
        (None, _) => bail!("PostgreSQL's server is not installed: run scripts/setup.sh"),
        (Some(newest), None) => {
            bail!("PostgreSQL {newest} is too old: install {OLDEST_MAJOR} or newer (scripts/setup.sh)")
        }
        (Some(newest), Some(cluster_major)) => bail!(
            "the data in {} is of PostgreSQL {cluster_major} and this machine has {newest}: \
             install PostgreSQL {cluster_major}, or remove that directory to start afresh",
            cluster.display()
        ),
    }
}

/// The major version in the answer to `postgres --version`, e.g. 17 in `postgres (PostgreSQL) 17.2`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|major| Binaries { directory: PathBuf::from(format!("/{major}")), major: *major }).collect()
    }

    fn chosen(majors: &[u32], cluster: Option<u32>) -> Result<u32, String> {
        choose(installed(majors), Path::new("/data"), cluster)
            .map(|binaries| binaries.major)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn versions_of_every_packager_are_read() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 17.2"), Some(17));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn new_cluster_takes_the_first_that_is_new_enough() {
        assert_eq!(chosen(&[13, 17, 15], None), Ok(17));
    }

    #[test]
    fn existing_cluster_takes_its_own_version() {
        assert_eq!(chosen(&[17, 15], Some(15)), Ok(15));
    }

    #[test]
    fn cluster_of_a_version_not_installed_is_refused_with_a_way_out() {
        let error = chosen(&[17], Some(15)).unwrap_err();
        assert!(error.contains("/data is of PostgreSQL 15") && error.contains("install PostgreSQL 15"), "{error}");
    }

    #[test]
    fn too_old_and_absent_servers_are_told_apart() {
        assert!(chosen(&[13], None).unwrap_err().contains("13 is too old"));
        assert!(chosen(&[], None).unwrap_err().contains("not installed"));
    }
}
