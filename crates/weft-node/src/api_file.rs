//! `api.json`: how a client on this machine finds the running node and proves
//! that it may read the owner's folder.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What a running node leaves in its folder.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiFile {
    /// Where the HTTP API listens.
    pub address: SocketAddr,
    /// Bearer token of the admin routes.
    pub token: String,
    /// The node's process.
    pub pid: u32,
}

// By hand, so that the token never reaches a log.
impl std::fmt::Debug for ApiFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiFile")
            .field("address", &self.address)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl ApiFile {
    /// The file's place in a node's folder.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join("api.json")
    }

    /// A file for this process with a fresh token.
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Ok(Self {
            address,
            token: crate::hex::encode(&random),
            pid: std::process::id(),
        })
    }

    /// Writes it, readable by the owner only, whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("api.json.new");
        let _ = fs::remove_file(&temporary);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        serde_json::to_writer_pretty(&file, self)?;
        fs::rename(&temporary, Self::path(directory))
    }

    /// Reads it, if there is one.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<Self>> {
        match fs::read(Self::path(directory)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the process that wrote it still runs. A process id may have been
    /// reused since; a client learns that when the address refuses it.
    pub fn is_alive(&self) -> bool {
        let Some(pid) = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        else {
            return false;
        };
        // Not permitted to signal it also means that it exists.
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    }

    /// Removes it, if it is this process's own.
    pub(crate) fn remove(&self, directory: &Path) {
        if let Ok(Some(found)) = Self::read(directory)
            && found == *self
            && let Err(error) = fs::remove_file(Self::path(directory))
        {
            tracing::warn!(%error, "api.json could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_reads_it_and_only_its_writer_removes_it() {
        let folder = tempfile::tempdir().unwrap();
        let own = ApiFile::new("127.0.0.1:4680".parse().unwrap()).unwrap();
        own.write(folder.path()).unwrap();
        let mode = fs::metadata(ApiFile::path(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(ApiFile::read(folder.path()).unwrap().unwrap(), own);
        assert!(own.is_alive());
        assert!(!format!("{own:?}").contains(&own.token));

        let other = ApiFile::new(own.address).unwrap();
        assert_ne!(other.token, own.token);
        other.remove(folder.path());
        assert!(ApiFile::read(folder.path()).unwrap().is_some());
        own.remove(folder.path());
        assert!(ApiFile::read(folder.path()).unwrap().is_none());
    }

    #[test]
    fn a_process_that_ended_is_noticed() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut file = ApiFile::new("127.0.0.1:1".parse().unwrap()).unwrap();
        file.pid = child.id();
        child.wait().unwrap();
        assert!(!file.is_alive());
    }
}
