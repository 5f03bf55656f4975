//! A node's folder: `node.toml`, `node.key`, `store/`, perhaps the `invitation` that
//! it joins with, and while it runs `api.json`.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use weft_core::Peer;
use weft_keys::SecretKey;
use weft_record::{Invitation, InvitationError};

use crate::{
    api_file::ApiFile,
    settings::{Settings, SettingsError},
};

/// Longest `node.toml` that is read; a real one has a few hundred bytes.
const SETTINGS_BYTES: u64 = 256 * 1024;

/// A node's folder, opened.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    settings: Settings,
    key: SecretKey,
    invitation: Option<Invitation>,
}

impl Home {
    /// Makes the folder of a new node with a fresh key. A folder that already
    /// holds a node is refused.
    pub fn init(
        directory: &Path,
        settings: Settings,
        invitation: Option<Invitation>,
    ) -> Result<Self, HomeError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Io { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(at(directory))?;
        let settings_path = settings_path(directory);
        if settings_path.exists() {
            return Err(HomeError::Exists(directory.to_owned()));
        }
        let key_path = key_path(directory);
        let key = if key_path.exists() {
            read_key(&key_path)?
        } else {
            write_new_key(&key_path)?
        };
        if let Some(invitation) = &invitation {
            let path = invitation_path(directory);
            write_whole(&path, &format!("{invitation}\n")).map_err(at(&path))?;
        }
        // Last, because its presence is what makes the folder a node's.
        write_whole(&settings_path, &settings.to_toml()).map_err(at(&settings_path))?;
        Ok(Self {
            directory: directory.to_owned(),
            settings,
            key,
            invitation,
        })
    }

    /// Opens the folder of a node.
    pub fn open(directory: &Path) -> Result<Self, HomeError> {
        let path = settings_path(directory);
        let text = read_text(&path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                HomeError::Missing(directory.to_owned())
            } else {
                HomeError::Io {
                    path: path.clone(),
                    source,
                }
            }
        })?;
        let settings =
            Settings::parse(&text).map_err(|source| HomeError::Settings { path, source })?;
        Ok(Self {
            directory: directory.to_owned(),
            settings,
            key: read_key(&key_path(directory))?,
            invitation: read_invitation(&invitation_path(directory))?,
        })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What its owner decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same, to be changed by flags for one run.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The node's public key.
    pub fn key(&self) -> Peer {
        self.key.public()
    }

    /// Where records and models lie.
    pub fn store_directory(&self) -> PathBuf {
        self.directory.join("store")
    }

    /// The node that runs in this folder now, if one does.
    pub fn running(&self) -> Option<ApiFile> {
        ApiFile::read(&self.directory)
            .ok()
            .flatten()
            .filter(ApiFile::is_alive)
    }

    /// With what it asks to be enrolled, if it was invited.
    pub fn invitation(&self) -> Option<&Invitation> {
        self.invitation.as_ref()
    }

    /// Where the key lies with which it enrolls others, if it does.
    pub fn enroll_key(&self) -> Option<PathBuf> {
        let path = self.settings.enroll_key.as_ref()?;
        self.settings.registrar.then(|| self.directory.join(path))
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.key
    }
}

/// Why a node's folder could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is no node here.
    #[error("{} holds no node: there is no node.toml in it", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("{} already holds a node", .0.display())]
    Exists(PathBuf),
    /// `node.toml` is wrong.
    #[error("{}: {source}", .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SettingsError,
    },
    /// The invitation cannot be used.
    #[error("{}: {source}", .path.display())]
    Invitation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvitationError,
    },
    /// The key file cannot be used; others may be able to read it.
    #[error(transparent)]
    Key(weft_keys::KeyFileError),
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn settings_path(directory: &Path) -> PathBuf {
    directory.join("node.toml")
}

fn key_path(directory: &Path) -> PathBuf {
    directory.join("node.key")
}

fn invitation_path(directory: &Path) -> PathBuf {
    directory.join("invitation")
}

fn read_invitation(path: &Path) -> Result<Option<Invitation>, HomeError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(HomeError::Io { path, source });
        }
    };
    let parsed = text.parse().map(Some);
    parsed.map_err(|source| HomeError::Invitation {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only its owner can read: a crash leaves either none or all of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn read_text(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let read = fs::File::open(path)?
        .take(SETTINGS_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > SETTINGS_BYTES {
        return Err(io::Error::other(format!(
            "longer than {SETTINGS_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn read_key(path: &Path) -> Result<SecretKey, HomeError> {
    weft_keys::load_secret(path).map_err(HomeError::Key)
}

fn write_new_key(path: &Path) -> Result<SecretKey, HomeError> {
    let key = SecretKey::generate().map_err(|error| HomeError::Io {
        path: path.to_owned(),
        source: io::Error::other(error),
    })?;
    weft_keys::save_secret(path, &key).map_err(HomeError::Key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings() -> Settings {
        Settings::new(
            "ab".repeat(32).parse().unwrap(),
            vec!["stable".parse().unwrap()],
        )
    }

    #[test]
    fn a_new_folder_opens_again_with_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("deep/node");
        let made = Home::init(&directory, settings(), None).unwrap();
        let opened = Home::open(&directory).unwrap();
        assert_eq!(opened.key(), made.key());
        assert_eq!(opened.settings(), made.settings());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&key_path(&directory)), 0o600);
        assert!(opened.running().is_none());
        assert!(matches!(
            Home::init(&directory, settings(), None),
            Err(HomeError::Exists(_))
        ));
    }

    #[test]
    fn a_folder_that_cannot_be_used_says_why() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            Home::open(folder.path()),
            Err(HomeError::Missing(_))
        ));
        Home::init(folder.path(), settings(), None).unwrap();
        let key = key_path(folder.path());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Home::open(folder.path()).unwrap_err();
        assert!(matches!(error, HomeError::Key(_)));
        assert!(error.to_string().contains("node.key"), "{error}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(settings_path(folder.path()), "[nod]\n").unwrap();
        let error = Home::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("node.toml: unknown key `nod`; did you mean `node`?"),
            "{error}"
        );
        let long = "#".repeat(SETTINGS_BYTES as usize + 1);
        fs::write(settings_path(folder.path()), long).unwrap();
        assert!(matches!(
            Home::open(folder.path()),
            Err(HomeError::Io { .. })
        ));
    }
}
