//! The launcher's data directory (`.data` by default): one launcher at a time, and one random secret
//! from which every local password is derived, so that a restart finds its databases again.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::Sha256;

/// SHA-256's block, the longest key that HMAC takes as it is: 32 random bytes in hexadecimal.
const KEY_LENGTH: usize = 64;

/// A data directory held by this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    secrets: Secrets,
    // Held for its lock alone; the system gives it back however this process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be and takes it for this process.
    ///
    /// # Errors
    /// When another launcher uses the directory, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let path = path.canonicalize()?;
        // Others may pass through (PostgreSQL may run as another user) but not look around.
        fs::set_permissions(&path, Permissions::from_mode(0o711))
            .with_context(|| format!("{} belongs to another user", path.display()))?;
        let lock = lock(&path)?;
        let secrets = Secrets::open(&path.join("secret"))?;
        Ok(Self { path, secrets, _lock: lock })
    }

    /// The directory's absolute path, free of symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The passwords that belong to this directory.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

fn lock(data: &Path) -> Result<File> {
    let path = data.join("launcher.lock");
    let mut file = private_file(OpenOptions::new().create(true).truncate(false).read(true).write(true), &path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!(
                "{} is in use by another launcher (process {holder}): stop it or choose another directory with --data",
                data.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn private_file(options: &mut OpenOptions, path: &Path) -> Result<File> {
    options.mode(0o600).open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// The passwords of one data directory, derived from one random key that is kept in it.
pub struct Secrets {
    key: SecretBox<[u8; KEY_LENGTH]>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Reads the key from `path`, or creates it, readable by its owner alone.
    fn open(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = hex::encode(rand::random::<[u8; KEY_LENGTH / 2]>());
                private_file(OpenOptions::new().create_new(true).write(true), path)?.write_all(text.as_bytes())?;
                text
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let Ok(key) = text.as_bytes().try_into() else {
            bail!("{} is damaged: remove its directory to start afresh", path.display());
        };
        Ok(Self { key: SecretBox::new(Box::new(key)) })
    }

    /// The password for `purpose`: 64 hexadecimal digits, the same at every call
    /// (HMAC-SHA-256 of the purpose under the directory's key, RFC 2104).
    pub fn derive(&self, purpose: &str) -> SecretString {
        let mut mac = Hmac::<Sha256>::new(self.key.expose_secret().into());
        mac.update(purpose.as_bytes());
        hex::encode(mac.finalize().into_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(data: &DataDir, purpose: &str) -> String {
        data.secrets().derive(purpose).expose_secret().to_owned()
    }

    #[test]
    fn passwords_outlive_the_process_and_differ_by_purpose_and_directory() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = DataDir::open(one.path()).unwrap();
        let (auth, billing) = (derived(&first, "auth"), derived(&first, "billing"));
        assert_ne!(auth, billing);
        drop(first);
        assert_eq!(derived(&DataDir::open(one.path()).unwrap(), "auth"), auth);
        assert_ne!(derived(&DataDir::open(two.path()).unwrap(), "auth"), auth);
    }

    #[test]
    fn key_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let mode = fs::metadata(data.path().join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn second_launcher_is_refused_and_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _held = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
}
