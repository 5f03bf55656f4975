//! Which invitations were given out, and which node used each: written down before
//! anything follows from it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use weft_keys::PublicKey;
use weft_record::{Invalid, Invitation};

use crate::hex;

/// Invitations kept; each takes well below a kilobyte.
const INVITATIONS: usize = 65_536;

/// The list of a folder.
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    issued: BTreeMap<[u8; 16], Issued>,
}

/// One invitation.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) invitation: Invitation,
    pub(crate) used: Option<Used>,
}

/// Who used an invitation, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) node: PublicKey,
    pub(crate) at_s: u64,
}

/// Why an invitation was not given out, or the list not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The list.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line that cannot be read and is not the last one.
    #[error("line {line} of {} cannot be read", .path.display())]
    Damaged {
        /// The list.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// Too many were given out.
    #[error("{INVITATIONS} invitations were given out, more are not kept")]
    Full,
    /// The invitation would not be understood.
    #[error(transparent)]
    Invalid(Invalid),
    /// The machine refused random bytes.
    #[error("no invitation can be made: {0}")]
    Machine(String),
}

impl Ledger {
    /// Reads the list of this folder, or begins one.
    pub(crate) fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join("invitations");
        let failed = |source| LedgerError::Io {
            path: path.clone(),
            source,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut issued = BTreeMap::new();
        // what follows the last line's end was being written when the power went
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (index, line) in text[..whole].lines().enumerate() {
            read_line(&mut issued, line).ok_or_else(|| LedgerError::Damaged {
                path: path.clone(),
                line: index + 1,
            })?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let folder = File::open(directory).and_then(|folder| folder.sync_all());
        folder.map_err(failed)?;
        Ok(Self { path, file, issued })
    }

    /// Writes an invitation down.
    pub(crate) fn issue(&mut self, invitation: &Invitation) -> Result<(), LedgerError> {
        if self.issued.len() >= INVITATIONS {
            return Err(LedgerError::Full);
        }
        self.append(&format!("issued {invitation}\n"))?;
        let issued = Issued {
            invitation: invitation.clone(),
            used: None,
        };
        self.issued.insert(invitation.id, issued);
        Ok(())
    }

    /// What was given out under this id.
    pub(crate) fn find(&self, id: &[u8; 16]) -> Option<&Issued> {
        self.issued.get(id)
    }

    /// Writes down who used it; durable when this returns.
    pub(crate) fn mark_used(&mut self, id: &[u8; 16], used: Used) -> Result<(), LedgerError> {
        let (id_text, node) = (hex::encode(id), used.node);
        self.append(&format!("used {id_text} {node} {}\n", used.at_s))?;
        if let Some(issued) = self.issued.get_mut(id) {
            issued.used = Some(used);
        }
        Ok(())
    }

    fn append(&mut self, line: &str) -> Result<(), LedgerError> {
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            // half a line must not stand before the next one
            if let Ok(length) = before {
                let _ = self.file.set_len(length);
            }
            LedgerError::Io {
                path: self.path.clone(),
                source,
            }
        })
    }
}

fn read_line(issued: &mut BTreeMap<[u8; 16], Issued>, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    match (words.next()?, words.next()?) {
        ("issued", text) => {
            let invitation: Invitation = text.parse().ok()?;
            let id = invitation.id;
            let used = None;
            issued.insert(id, Issued { invitation, used });
        }
        ("used", id) => {
            let id: [u8; 16] = hex::decode(id)?.try_into().ok()?;
            let node = words.next()?.parse().ok()?;
            let at_s = words.next()?.parse().ok()?;
            issued.get_mut(&id)?.used = Some(Used { node, at_s });
        }
        _ => return None,
    }
    words.next().is_none().then_some(())
}
