//! The user that PostgreSQL runs as. PostgreSQL refuses root, so under root it runs as `postgres` or
//! `nobody`, and its cluster lies where that user can reach it.

use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

/// Where the clusters of checkouts lie that the account cannot reach, such as those under /root.
const REACHABLE: &str = "/var/tmp";

/// An unprivileged user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to change to, or none when this process is not root.
    ///
    /// # Errors
    /// When this process is root and the machine has neither `postgres` nor `nobody`.
    pub(super) fn required() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let Some(account) = ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)) else {
            bail!("PostgreSQL refuses to run as root and this machine has no user postgres or nobody: create one");
        };
        Ok(Some(account))
    }

    /// The directory for the cluster of `data`: inside it where this account can reach it, otherwise
    /// one of the same owner elsewhere, with a note left in `data`.
    pub(super) fn cluster(&self, data: &Path) -> Result<PathBuf> {
        if self.reaches(data)? {
            return Ok(data.join("postgres"));
        }
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        let elsewhere = Path::new(REACHABLE).join(format!("careeros-{}", hex::encode(&digest[..6])));
        own_directory(&elsewhere)?;
        let note = format!("PostgreSQL cannot reach this directory; its data is in {}\n", elsewhere.display());
        fs::write(data.join("postgres.location"), note)?;
        Ok(elsewhere.join("postgres"))
    }

    /// Gives a file or an empty directory to this account.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).with_context(|| format!("cannot chown {}", path.display()))
    }

    /// Makes a program run as this account, without any of root's groups.
    pub(super) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    fn reaches(&self, directory: &Path) -> Result<bool> {
        for ancestor in directory.ancestors() {
            if !self.may_enter(&ancestor.metadata()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_enter(&self, directory: &Metadata) -> bool {
        let execute = if directory.uid() == self.uid {
            0o100
        } else if directory.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        directory.mode() & execute != 0
    }
}

/// Creates a directory in a place where everybody may write, and refuses one that somebody else made.
fn own_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let found = path.symlink_metadata()?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        bail!("{} belongs to another user: remove it or choose another directory with --data", path.display());
    }
    fs::set_permissions(path, Permissions::from_mode(0o711))?;
    Ok(())
}

/// The account called `name` in the text of passwd(5).
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        found.then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nmypostgres:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }

    #[test]
    fn private_directory_of_another_user_is_out_of_reach() {
        let stranger = Account { uid: 12_345, gid: 12_345 };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.reaches(dir.path()).unwrap());
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.reaches(dir.path()).unwrap());
    }
}
