//! What an encrypted key file is opened with.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Longest passphrase: far above what people type or password managers make.
const MAX_PASSPHRASE_BYTES: usize = 1024;

/// A passphrase: wiped from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// Why a text or a file is no passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It protects nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// Not typed by anyone.
    #[error("the passphrase is longer than {MAX_PASSPHRASE_BYTES} bytes")]
    TooLong,
    /// Others can read the file that it is in.
    #[error("others can read the passphrase in {}: its mode is {mode:04o}", path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read.
    #[error("cannot read the passphrase in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Passphrase {
    /// Takes what somebody typed, without the end of the line.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        match text.len() {
            0 => Err(PassphraseError::Empty),
            length if length > MAX_PASSPHRASE_BYTES => Err(PassphraseError::TooLong),
            _ => Ok(Self(text)),
        }
    }

    /// Reads the first line of a file, or of a pipe; a file that others can read is refused.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let failed = |source| PassphraseError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        check_mode(path, &file)?;
        // sized once: growing would leave copies behind; two more for the end of the line
        let limit = MAX_PASSPHRASE_BYTES + 2;
        let mut text = Zeroizing::new(String::with_capacity(limit + 1));
        file.take(limit as u64 + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let line = text.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        Self::new(Zeroizing::new(line.to_owned()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(…)")
    }
}

/// A pipe has no mode that means anything: who can read it was decided when it was made.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), PassphraseError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| PassphraseError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(PassphraseError::LooseMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), PassphraseError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_gives_its_first_line_and_only_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let write = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        for text in ["two words", "two words\n", "two words\r\nmore\n"] {
            write(text);
            let taken = Passphrase::from_file(&path).unwrap();
            assert_eq!(taken.as_bytes(), b"two words", "{text:?}");
        }
        write("\nsecond line");
        let empty = Passphrase::from_file(&path);
        assert!(matches!(empty, Err(PassphraseError::Empty)), "{empty:?}");
        write(&"x".repeat(MAX_PASSPHRASE_BYTES + 1));
        let long = Passphrase::from_file(&path);
        assert!(matches!(long, Err(PassphraseError::TooLong)), "{long:?}");
        write("secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let loose = Passphrase::from_file(&path);
        assert!(
            matches!(loose, Err(PassphraseError::LooseMode { mode: 0o640, .. })),
            "{loose:?}"
        );
    }

    #[test]
    fn is_never_printed() {
        let passphrase = Passphrase::new(Zeroizing::new("hunter2".to_owned())).unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
    }
}
