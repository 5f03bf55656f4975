//! The seam between the store and the file system.

use std::{any::Any, io, path::Path};

/// Names every place in the code that makes something durable. The twin can
/// switch one off, to show that the tests notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncPoint {
    /// The folder that holds the store's folder.
    Parent,
    /// The store's own folder.
    Root,
    /// The folder of the metadata.
    MetaFolder,
    /// The bytes of `format`.
    FormatData,
    /// `files/` or `blobs/`, after a shard folder was made in it.
    Shard,
    /// Chunks of a file.
    FileData,
    /// The shard folder, after a file was made in it.
    FileEntry,
    /// Metadata: which chunks of a file are durable.
    FileFlush,
    /// The bytes of a blob.
    BlobData,
    /// The shard folder, after a blob was moved into it.
    BlobEntry,
    /// The folders above a slot's folder.
    SlotParent,
    /// The folders inside a slot.
    SlotFolder,
    /// The bytes of a file that was copied into a slot because links do not work there.
    SlotCopy,
    /// Metadata: the slots of a channel.
    SlotFlush,
    /// Metadata: admitted records.
    RecordFlush,
    /// Metadata: a setting of the node.
    SettingFlush,
    /// Metadata: files that are about to be deleted are no longer counted on.
    GarbageFlush,
}

impl SyncPoint {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Parent,
        Self::Root,
        Self::MetaFolder,
        Self::FormatData,
        Self::Shard,
        Self::FileData,
        Self::FileEntry,
        Self::FileFlush,
        Self::BlobData,
        Self::BlobEntry,
        Self::SlotParent,
        Self::SlotFolder,
        Self::SlotCopy,
        Self::SlotFlush,
        Self::RecordFlush,
        Self::SettingFlush,
        Self::GarbageFlush,
    ];
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Keeps other processes out of a store as long as it lives.
pub struct Lock(#[allow(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl Lock {
    /// Holds whatever must be held.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it; their process id, if they left it.
    Held(Option<u32>),
    /// The disk refused.
    Io(io::Error),
}

/// A file system. Paths are absolute or relative to the working folder, as given
/// to `Store::open`; every method but the `sync` ones may leave its effect in memory.
pub trait Vfs: Send + Sync {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;
    /// Opens for reading and writing; makes it if it is missing, keeps what is in it.
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;
    /// Makes a folder; its parent exists. Fails with `AlreadyExists`.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Moves a file, over another one if that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name. Fails with `AlreadyExists`.
    fn link(&self, original: &Path, link: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path, point: SyncPoint) -> io::Result<()>;
    /// What is in a folder, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Keeps other processes out.
    fn lock(&self, path: &Path) -> Result<Lock, LockError>;
    /// The time that files are marked with, in seconds since 1970. It may be wrong, and stand
    /// or step back.
    fn now_s(&self) -> u64;
    /// Bytes that may still be written under this folder.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file.
pub trait VfsFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends with a hole.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Length now.
    fn length(&self) -> io::Result<u64>;
    /// Where the next byte at or after `offset` lies that was ever written; the
    /// file's length if there is none.
    fn next_data(&self, offset: u64) -> io::Result<u64>;
    /// Makes its bytes and its length durable.
    fn sync(&self, point: SyncPoint) -> io::Result<()>;
}

/// Fills the buffer or fails with `UnexpectedEof`.
pub(crate) fn read_exact_at(file: &dyn VfsFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
