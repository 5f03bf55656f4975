//! A small file of lines that only grows, and that says so when it was changed.
//!
//! ```text
//! <32 hexadecimal digits>:<payload>\n
//! ```
//!
//! The digits are the first half of the SHA-256 of the digits before them and the payload:
//! every line stands on all before it, so that a line that is changed, moved or gone from
//! the middle shows. The first payload names the format. One line is written at a time and
//! is on the disk before anyone is told, so that only the last one can be torn by a cut of
//! power; a torn line was never told, and is taken away when the file is opened.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::hex;

/// Longest file that is read, whatever the lines in it.
const MAX_LEDGER_BYTES: u64 = 256 << 20;
/// Longest line, with its checksum: the callers' payloads are far below.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Hexadecimal digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 32;

/// Why a ledger cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("another process uses {}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Others can open it.
    #[error("others can open {}: its mode is {mode:04o}, only 0600 is taken", path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was written.
    #[error("{} was changed or damaged at line {line}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The first line that is wrong, from 1.
        line: usize,
    },
    /// A file of another kind, or of a newer weft.
    #[error("{} is not a ledger of this kind", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
    },
    /// A write failed before: what is on the disk is not known until it is opened again.
    #[error("an earlier write to {} failed; it must be opened again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// An open ledger; nobody else can open it until this is dropped.
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    kind: &'static str,
    chain: Chain,
    broken: bool,
    /// Beside the file and not the file itself, which is replaced when it is rewritten.
    _lock: File,
}

impl Ledger {
    /// Opens or makes a ledger and hands over each of its lines; `take` says whether it
    /// makes sense.
    pub(crate) fn open(
        path: &Path,
        kind: &'static str,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io {
            path: path.to_owned(),
            source,
        };
        let lock = lock(path)?;
        let mut file = private_file(path, false)?;
        let bytes = read_all(&mut file).map_err(io)?;
        let mut chain = Chain::default();
        let mut sound = 0;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let last = sound + line.len() == bytes.len();
            let line = if last { chain.untorn(line) } else { Some(line) };
            let Some(line) = line else {
                break;
            };
            let Some(payload) = chain.follow(line) else {
                return Err(LedgerError::Corrupt {
                    path: path.to_owned(),
                    line: number + 1,
                });
            };
            if number == 0 && payload != kind {
                return Err(LedgerError::OtherKind {
                    path: path.to_owned(),
                });
            }
            if number > 0 && !take(payload) {
                return Err(LedgerError::Corrupt {
                    path: path.to_owned(),
                    line: number + 1,
                });
            }
            sound += line.len();
        }
        let mut ledger = Self {
            path: path.to_owned(),
            file,
            kind,
            chain,
            broken: false,
            _lock: lock,
        };
        ledger.mend(&bytes, sound)?;
        Ok(ledger)
    }

    /// Adds a line; it is on the disk when this returns.
    pub(crate) fn append(&mut self, payload: &str) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken {
                path: self.path.clone(),
            });
        }
        let (chain, line) = self.chain.line(payload);
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        // a failed sync may have dropped what was written: nothing after it can be trusted
        self.broken = written.is_err();
        written.map_err(|source| self.io(source))?;
        self.chain = chain;
        Ok(())
    }

    /// Puts other lines in the place of all; either these or those are there at any moment.
    pub(crate) fn rewrite<'a>(
        &mut self,
        payloads: impl Iterator<Item = Zeroizing<String>> + 'a,
    ) -> Result<(), LedgerError> {
        let next = with_suffix(&self.path, ".new");
        let mut file = private_file(&next, true)?;
        let (mut chain, first) = Chain::default().line(self.kind);
        let mut text = first;
        let mut written = Ok(());
        for payload in payloads {
            let (after, line) = chain.line(&payload);
            chain = after;
            text.push_str(&line);
            if text.len() > 1 << 16 {
                written = written.and_then(|()| file.write_all(text.as_bytes()));
                text.clear();
            }
        }
        let replaced = written
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&next, &self.path));
        if let Err(source) = replaced {
            // the old lines still stand
            let _ = fs::remove_file(&next);
            return Err(self.io(source));
        }
        // from here on the new lines are the file
        self.file = file;
        self.chain = chain;
        let synced = crate::files::sync_parent(&self.path);
        self.broken = synced.is_err();
        synced.map_err(|source| self.io(source))
    }

    /// Takes a torn line away, and makes sure that what was read is on the disk: whoever
    /// wrote it may have been killed before.
    fn mend(&mut self, bytes: &[u8], sound: usize) -> Result<(), LedgerError> {
        self.try_mend(bytes, sound)
            .map_err(|source| self.io(source))
    }

    fn try_mend(&mut self, bytes: &[u8], sound: usize) -> io::Result<()> {
        self.file.set_len(sound as u64)?;
        self.file.seek(SeekFrom::Start(sound as u64))?;
        if sound == 0 {
            let (chain, line) = self.chain.line(self.kind);
            self.file.write_all(line.as_bytes())?;
            self.chain = chain;
        } else if bytes[sound - 1] != b'\n' {
            // the end of the line is all that was torn off
            self.file.write_all(b"\n")?;
        }
        self.file.sync_all()?;
        crate::files::sync_parent(&self.path)
    }

    fn io(&self, source: io::Error) -> LedgerError {
        LedgerError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// The checksum of the line before.
#[derive(Clone, Copy, Default)]
struct Chain([u8; CHECKSUM_DIGITS / 2]);

impl Chain {
    fn after(self, payload: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(self.0)
            .chain_update(payload.as_bytes())
            .finalize();
        let mut first = [0; CHECKSUM_DIGITS / 2];
        first.copy_from_slice(&hash[..CHECKSUM_DIGITS / 2]);
        Self(first)
    }

    /// The next line, and where the chain is after it.
    fn line(self, payload: &str) -> (Self, Zeroizing<String>) {
        let after = self.after(payload);
        let text = format!("{}:{payload}\n", hex::text(&after.0));
        (after, Zeroizing::new(text))
    }

    /// Reads the next line and moves over it; a line that only lacks its end counts.
    fn follow<'a>(&mut self, line: &'a [u8]) -> Option<&'a str> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = str::from_utf8(line).ok()?;
        let (checksum, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
        let payload = rest.strip_prefix(':')?;
        let after = self.after(payload);
        if hex::read(checksum)? != after.0 {
            return None;
        }
        *self = after;
        Some(payload)
    }

    /// What of the last line is to be read, or nothing if a cut of power left a piece of
    /// it: without its end, or with zeros where the file system had made room and written
    /// nothing. No payload holds a zero. A whole line with anything else behind it is not
    /// torn but changed, and stays as it is.
    fn untorn(self, line: &[u8]) -> Option<&[u8]> {
        let is_whole = |line: &[u8]| self.clone().follow(line).is_some();
        let torn = !line.ends_with(b"\n") || line.contains(&0);
        if !torn || is_whole(line) || line.len() > MAX_LINE_BYTES {
            return Some(line);
        }
        let whole = (0..line.len()).find(|end| is_whole(&line[..*end]));
        match whole {
            None => None,
            // all that was not written is the end of the line
            Some(end) if line[end..] == [0] => Some(&line[..end]),
            Some(_) => Some(line),
        }
    }
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let file = private_file(&with_suffix(path, ".lock"), false)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Busy {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(LedgerError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Opens a file that is this user's alone; a new one has mode 0600.
fn private_file(path: &Path, truncate: bool) -> Result<File, LedgerError> {
    let io = |source| LedgerError::Io {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(io)?;
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(io)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(LedgerError::LooseMode {
                path: path.to_owned(),
                mode,
            });
        }
    }
    Ok(file)
}

fn read_all(file: &mut File) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len();
    let too_long = || io::Error::other(format!("it is longer than {MAX_LEDGER_BYTES} bytes"));
    if length > MAX_LEDGER_BYTES {
        return Err(too_long());
    }
    // sized once: growing would leave copies of secrets behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(length + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > length {
        return Err(io::Error::other("it grew while it was read"));
    }
    Ok(bytes)
}

/// The path of a file beside another.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A folder in memory where there is one: these cuts are made by hand, and thousands of
    /// syncs to a disk would only take minutes.
    pub(crate) fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
    }

    /// Puts the file into every state in which a cut of power can leave it while its last
    /// line is written, for each of its lines; `check` is told how many lines are whole.
    pub(crate) fn every_cut(path: &Path, mut check: impl FnMut(usize)) {
        let whole = fs::read(path).unwrap();
        let mut start = 0;
        let mut cuts = 0;
        for (lines, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let end = start + line.len();
            for cut in start..end {
                let written = &whole[..cut];
                let room = vec![0; end - cut];
                let hole = vec![0; cut - start];
                for state in [
                    written.to_vec(),
                    // room was made, and only the first part was written
                    [written, &room].concat(),
                    // or only the last
                    [&whole[..start], &hole, &whole[cut..end]].concat(),
                ] {
                    fs::write(path, &state).unwrap();
                    check(lines + usize::from(state == whole[..end]));
                    cuts += 1;
                }
            }
            start = end;
        }
        assert!(cuts > 3 * 400, "{cuts}");
    }

    /// Changes every bit of the file once; `opens` says whether it was taken, and has made
    /// sure then that nothing is lost.
    pub(crate) fn every_flip(path: &Path, mut opens: impl FnMut() -> bool) {
        let whole = fs::read(path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                fs::write(path, &changed).unwrap();
                assert!(!opens(), "bit {bit} of byte {at}");
            }
        }
    }

    fn lines(path: &Path) -> Result<Vec<String>, LedgerError> {
        let mut lines = Vec::new();
        let take = |line: &str| {
            lines.push(line.to_owned());
            line != "nonsense"
        };
        Ledger::open(path, "test-1", take).map(drop)?;
        Ok(lines)
    }

    fn filled(path: &Path) -> Ledger {
        let mut ledger = Ledger::open(path, "test-1", |_| true).unwrap();
        for line in ["one", "two", "three"] {
            ledger.append(line).unwrap();
        }
        ledger
    }

    #[test]
    fn lines_come_back_in_order_and_others_keep_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = filled(&path);
        let second = lines(&path);
        assert!(
            matches!(second, Err(LedgerError::Busy { .. })),
            "{second:?}"
        );
        drop(ledger);
        assert_eq!(lines(&path).unwrap(), ["one", "two", "three"]);
        let other = Ledger::open(&path, "other-1", |_| true).err().unwrap();
        assert!(matches!(other, LedgerError::OtherKind { .. }), "{other}");
    }

    #[test]
    fn lines_that_were_moved_taken_out_or_put_in_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        drop(filled(&path));
        let text = fs::read_to_string(&path).unwrap();
        let [first, one, two, three] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        for changed in [
            vec![first, two, one, three],
            vec![first, one, three],
            vec![one, two, three],
            vec![first, one, one, two, three],
            vec![first, one, "", two, three],
            vec!["", first, one, two, three],
        ] {
            fs::write(&path, changed.join("\n") + "\n").unwrap();
            let refused = lines(&path);
            assert!(
                matches!(refused, Err(LedgerError::Corrupt { .. })),
                "{changed:?}: {refused:?}"
            );
        }
        // a line that stands where it should and means nothing
        fs::remove_file(&path).unwrap();
        filled(&path).append("nonsense").unwrap();
        let refused = lines(&path);
        assert!(
            matches!(refused, Err(LedgerError::Corrupt { line: 5, .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn rewritten_lines_replace_all_and_more_can_follow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = filled(&path);
        let long = "x".repeat(8000);
        let kept = (0..30).map(|_| Zeroizing::new(long.clone()));
        ledger.rewrite(kept).unwrap();
        ledger.append("last").unwrap();
        drop(ledger);
        let read = lines(&path).unwrap();
        assert_eq!(
            (read.len(), read[0] == long, &*read[30]),
            (31, true, "last")
        );
        assert!(!with_suffix(&path, ".new").exists());
        // one that was begun and not finished is nothing
        fs::write(with_suffix(&path, ".new"), "half").unwrap();
        assert_eq!(lines(&path).unwrap().len(), 31);
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_others_can_open_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        drop(filled(&path));
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        let refused = lines(&path);
        assert!(
            matches!(refused, Err(LedgerError::LooseMode { mode: 0o620, .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn after_a_failed_write_nothing_is_written_until_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = filled(&path);
        ledger.file = File::open(&path).unwrap();
        let failed = ledger.append("four");
        assert!(matches!(failed, Err(LedgerError::Io { .. })), "{failed:?}");
        let broken = ledger.append("four");
        assert!(
            matches!(broken, Err(LedgerError::Broken { .. })),
            "{broken:?}"
        );
        drop(ledger);
        assert_eq!(lines(&path).unwrap(), ["one", "two", "three"]);
    }
}
