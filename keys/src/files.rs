//! Key files: PKCS#8 and SPKI PEM, as OpenSSL reads and writes them, and OpenSSH's.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use ed25519_dalek::VerifyingKey;
use pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use zeroize::Zeroizing;

use crate::{
    KeyError, OpensshError, Passphrase, PublicKey, SecretKey, openssh,
    secret_file::{self, Locked, Stored},
};

/// Longest key file that is read: an Ed25519 PEM is below 500 bytes, comments included
/// in PEM files of other tools stay far below this.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be opened or read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the key file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a file already: a key is never overwritten.
    #[error("{} exists already; a key file is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the secret key.
    #[error("others can read the secret key in {}: its mode is {mode:04o}, run: chmod 600 {}", path.display(), path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not an Ed25519 secret key.
    #[error("{} holds no Ed25519 secret key in PKCS#8 PEM or OpenSSH's format: {reason}", path.display())]
    NotASecretKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is encrypted, and no passphrase was given.
    #[error("the secret key in {} is encrypted, and there is no passphrase", path.display())]
    NeedsPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open the key.
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// Not an Ed25519 public key.
    #[error("{} holds no Ed25519 public key in SPKI PEM or OpenSSH's format: {reason}", path.display())]
    NotAPublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A public key that must not be used.
    #[error("the public key in {} is refused: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// A key file that was read and may still be encrypted.
pub struct SecretFile {
    path: PathBuf,
    stored: Stored,
}

impl SecretFile {
    /// Reads PKCS#8, encrypted PKCS#8 or an OpenSSH key; refuses a file that anyone but
    /// its owner can open.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = read_text(path, true)?;
        let path = path.to_owned();
        match Stored::parse(&text) {
            Ok(stored) => Ok(Self { path, stored }),
            Err(reason) => Err(KeyFileError::NotASecretKey { path, reason }),
        }
    }

    /// Whether a passphrase is needed, so that nobody is asked for one in vain.
    pub fn is_encrypted(&self) -> bool {
        self.stored.is_locked()
    }

    /// The key; an encrypted one needs its passphrase, another one takes no notice of it.
    pub fn open(&self, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
        let path = || self.path.clone();
        match (&self.stored, passphrase) {
            (Stored::Open(key), _) => Ok(key.clone()),
            (_, None) => Err(KeyFileError::NeedsPassphrase { path: path() }),
            (stored, Some(passphrase)) => stored.open(passphrase).map_err(|locked| match locked {
                Locked::WrongPassphrase => KeyFileError::WrongPassphrase { path: path() },
                Locked::NotAKey(reason) => KeyFileError::NotASecretKey {
                    path: path(),
                    reason,
                },
            }),
        }
    }
}

/// Reads a secret key that is not encrypted.
pub fn load_secret(path: &Path) -> Result<SecretKey, KeyFileError> {
    SecretFile::read(path)?.open(None)
}

/// Writes a secret key to a new file of mode 0600, durable when this returns.
pub fn save_secret(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    write_secret(path, key, None)
}

/// Writes a secret key that only its passphrase opens: PKCS#8 by PBES2 with scrypt and
/// AES-256-CBC, which OpenSSL reads too.
pub fn save_encrypted(
    path: &Path,
    key: &SecretKey,
    passphrase: &Passphrase,
) -> Result<(), KeyFileError> {
    write_secret(path, key, Some(passphrase))
}

fn write_secret(
    path: &Path,
    key: &SecretKey,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyFileError> {
    let pem = secret_file::to_pem(key, passphrase).map_err(|reason| KeyFileError::Write {
        path: path.to_owned(),
        source: io::Error::other(reason),
    })?;
    write_new(path, pem.as_bytes(), 0o600)
}

/// Reads a public key: SPKI PEM, or OpenSSH's one line.
pub fn load_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    let text = read_text(path, false)?;
    let no_key = |reason| KeyFileError::NotAPublicKey {
        path: path.to_owned(),
        reason,
    };
    let refused = |source| KeyFileError::Refused {
        path: path.to_owned(),
        source,
    };
    if text.starts_with("ssh-") {
        return openssh::parse_public(&text).map_err(|error| match error {
            OpensshError::Key(source) => refused(source),
            error => no_key(error.to_string()),
        });
    }
    let key =
        VerifyingKey::from_public_key_pem(&text).map_err(|error| no_key(error.to_string()))?;
    PublicKey::from_bytes(key.as_bytes()).map_err(refused)
}

/// A public key as SPKI PEM.
pub fn public_pem(key: &PublicKey) -> Result<String, KeyError> {
    let point = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| KeyError::NotAPoint)?;
    point
        .to_public_key_pem(LineEnding::LF)
        .map_err(|_| KeyError::NotAPoint)
}

/// Writes a public key to a new file that everyone may read.
pub fn save_public(path: &Path, key: &PublicKey) -> Result<(), KeyFileError> {
    let pem = public_pem(key).map_err(|source| KeyFileError::Refused {
        path: path.to_owned(),
        source,
    })?;
    write_new(path, pem.as_bytes(), 0o644)
}

fn read_text(path: &Path, secret: bool) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if secret {
        check_mode(path, &file)?;
    }
    // sized once: growing would leave copies of the secret behind
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE_BYTES as usize + 1));
    file.take(MAX_KEY_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        let longer = format!("it is longer than {MAX_KEY_FILE_BYTES} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, longer)));
    }
    Ok(text)
}

/// Asks the opened file, not the path: nobody can swap it in between.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    if !metadata.is_file() {
        return Err(KeyFileError::Read {
            path: path.to_owned(),
            source: io::Error::other("it is not a file"),
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::LooseMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), KeyFileError> {
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists {
            path: path.to_owned(),
        },
        _ => failed(source),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(source) = written {
        // half a key helps nobody, and would stand in the way of the next try
        let _ = std::fs::remove_file(path);
        return Err(failed(source));
    }
    sync_parent(path).map_err(failed)
}

/// The file's name is durable only when its folder is.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_folder_is_no_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let refused = load_secret(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("not a file"), "{refused}");
    }

    /// RFC 8410, section 10.3, and the public key of the same section.
    const RFC_SECRET: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const RFC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.pem");
        let key = SecretKey::generate().unwrap();
        save_secret(&path, &key).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(load_secret(&path).unwrap().public(), key.public());
    }

    #[test]
    fn writes_the_pem_of_rfc_8410() {
        let folder = tempfile::tempdir().unwrap();
        let (given, written) = (folder.path().join("given"), folder.path().join("written"));
        fs::write(&given, RFC_SECRET).unwrap();
        fs::set_permissions(&given, fs::Permissions::from_mode(0o400)).unwrap();
        let key = load_secret(&given).unwrap();
        save_secret(&written, &key).unwrap();
        assert_eq!(fs::read_to_string(&written).unwrap(), RFC_SECRET);
        let public = folder.path().join("public");
        save_public(&public, &key.public()).unwrap();
        assert_eq!(fs::read_to_string(&public).unwrap(), RFC_PUBLIC);
        assert_eq!(load_public(&public).unwrap(), key.public());
    }

    #[test]
    fn never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.pem");
        let first = SecretKey::generate().unwrap();
        save_secret(&path, &first).unwrap();
        let again = save_secret(&path, &SecretKey::generate().unwrap());
        assert!(
            matches!(again, Err(KeyFileError::Exists { .. })),
            "{again:?}"
        );
        assert_eq!(load_secret(&path).unwrap().public(), first.public());
    }

    #[test]
    fn refuses_a_file_that_others_can_read_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.pem");
        save_secret(&path, &SecretKey::generate().unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = load_secret(&path).unwrap_err();
            assert!(
                matches!(refused, KeyFileError::LooseMode { .. }),
                "{mode:o}: {refused}"
            );
            let text = refused.to_string();
            assert!(text.contains(&format!("{mode:04o}")), "{text}");
            assert!(
                text.contains(&format!("chmod 600 {}", path.display())),
                "{text}"
            );
        }
    }

    #[test]
    fn names_what_is_wrong_with_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let missing = load_secret(&path).unwrap_err();
        assert!(matches!(missing, KeyFileError::Read { .. }), "{missing}");
        fs::write(&path, "hello").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let garbage = load_secret(&path).unwrap_err();
        assert!(
            matches!(garbage, KeyFileError::NotASecretKey { .. }),
            "{garbage}"
        );
        let garbage = load_public(&path).unwrap_err();
        assert!(
            matches!(garbage, KeyFileError::NotAPublicKey { .. }),
            "{garbage}"
        );
        fs::write(&path, vec![b'x'; 5000]).unwrap();
        let long = load_secret(&path).unwrap_err();
        assert!(long.to_string().contains("longer than 4096"), "{long}");
    }

    #[test]
    fn refuses_a_public_key_of_small_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weak");
        let weak = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
            -----END PUBLIC KEY-----\n";
        fs::write(&path, weak).unwrap();
        let refused = load_public(&path).unwrap_err();
        assert!(
            matches!(
                refused,
                KeyFileError::Refused {
                    source: KeyError::SmallOrder,
                    ..
                }
            ),
            "{refused}"
        );
    }
}
