//! A file system and a metadata store in memory that write down every change and
//! every sync in one ordered log. From any prefix of the log they can make the
//! disk that a power cut at that moment may leave.
//!
//! The model: file bytes and lengths are durable after `sync` of the file, names
//! after `sync_folder` of the folder they are in, metadata after `flush`. What is
//! not durable may be kept, dropped or, for bytes, torn; each change by itself, in
//! no order. The metadata lies in `meta/db`: if that name is lost, so is all of it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use weft_store::{Batch, DirEntry, Lock, LockError, Meta, MetaError, SyncPoint, Vfs, VfsFile};

/// One change or sync, with whatever is needed to do it again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create {
        path: PathBuf,
        inode: usize,
    },
    Folder {
        path: PathBuf,
        inode: usize,
    },
    Write {
        inode: usize,
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Length {
        inode: usize,
        path: PathBuf,
        length: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        original: PathBuf,
        link: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    SyncFile {
        inode: usize,
        path: PathBuf,
        point: SyncPoint,
    },
    SyncFolder {
        path: PathBuf,
        point: SyncPoint,
    },
    Apply {
        batch: Batch,
    },
    Flush {
        point: SyncPoint,
    },
    /// The scenario was promised something.
    Promise(super::scenario::Promise),
}

/// What a crash does with what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing is lost: the process was killed.
    Nothing,
    /// Everything is lost.
    All,
    /// Names are kept, bytes and metadata are lost.
    Bytes,
    /// Names are lost, bytes are kept.
    Names,
    /// Each change by itself, by a seeded choice; writes may be torn.
    Some(u64),
}

#[derive(Clone, Debug, Default)]
struct FileNode {
    live: Vec<u8>,
    written: Vec<(u64, u64)>,
    durable: Vec<u8>,
    durable_written: Vec<(u64, u64)>,
    pending: Vec<Step>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Remove(String),
    /// A move inside the file system: out of one folder, into this one, at once.
    MoveIn {
        name: String,
        inode: usize,
        from: usize,
        old_name: String,
    },
}

#[derive(Clone, Debug, Default)]
struct FolderNode {
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Folder(FolderNode),
}

/// The disk: inode 0 is `/`.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    meta: BTreeMap<Vec<u8>, Vec<u8>>,
    durable_meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pending_meta: Vec<Batch>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Folder(FolderNode::default())],
            meta: BTreeMap::new(),
            durable_meta: BTreeMap::new(),
            pending_meta: Vec::new(),
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut inode = 0;
        for part in path.iter().skip(1) {
            let Node::Folder(folder) = &self.nodes[inode] else {
                return Err(missing());
            };
            inode = *folder
                .live
                .get(part.to_str().unwrap())
                .ok_or_else(missing)?;
        }
        Ok(inode)
    }

    fn split(&self, path: &Path) -> io::Result<(usize, String)> {
        let folder = self.find(path.parent().unwrap())?;
        Ok((
            folder,
            path.file_name().unwrap().to_str().unwrap().to_owned(),
        ))
    }

    fn folder(&mut self, inode: usize) -> &mut FolderNode {
        match &mut self.nodes[inode] {
            Node::Folder(folder) => folder,
            Node::File(_) => panic!("inode {inode} is a file"),
        }
    }

    fn file(&mut self, inode: usize) -> &mut FileNode {
        match &mut self.nodes[inode] {
            Node::File(file) => file,
            Node::Folder(_) => panic!("inode {inode} is a folder"),
        }
    }

    fn set(&mut self, path: &Path, inode: usize) {
        let (folder, name) = self.split(path).unwrap();
        let folder = self.folder(folder);
        folder.live.insert(name.clone(), inode);
        folder.pending.push(NameChange::Set(name, inode));
    }

    /// Does a step of the log. It was possible when it was logged, so it is now.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create { path, inode } => {
                assert_eq!(*inode, self.nodes.len());
                self.nodes.push(Node::File(FileNode::default()));
                self.set(path, *inode);
            }
            Step::Folder { path, inode } => {
                assert_eq!(*inode, self.nodes.len());
                self.nodes.push(Node::Folder(FolderNode::default()));
                self.set(path, *inode);
            }
            Step::Write { inode, .. } | Step::Length { inode, .. } => {
                let file = self.file(*inode);
                change(&mut file.live, &mut file.written, step);
                file.pending.push(step.clone());
            }
            Step::Rename { from, to } => {
                let inode = self.find(from).unwrap();
                let (from, old_name) = self.split(from).unwrap();
                let (to, name) = self.split(to).unwrap();
                self.folder(from).live.remove(&old_name);
                self.folder(to).live.insert(name.clone(), inode);
                self.folder(to).pending.push(NameChange::MoveIn {
                    name,
                    inode,
                    from,
                    old_name,
                });
            }
            Step::Link { original, link } => {
                let inode = self.find(original).unwrap();
                self.set(link, inode);
            }
            Step::Remove { path } => {
                let (folder, name) = self.split(path).unwrap();
                let folder = self.folder(folder);
                folder.live.remove(&name);
                folder.pending.push(NameChange::Remove(name));
            }
            Step::SyncFile { inode, .. } => {
                let file = self.file(*inode);
                for step in std::mem::take(&mut file.pending) {
                    change(&mut file.durable, &mut file.durable_written, &step);
                }
            }
            Step::SyncFolder { path, .. } => {
                let inode = self.find(path).unwrap();
                for change in std::mem::take(&mut self.folder(inode).pending) {
                    self.make_durable(inode, change);
                }
            }
            Step::Apply { batch } => {
                put(&mut self.meta, batch);
                self.pending_meta.push(batch.clone());
            }
            Step::Flush { .. } => {
                self.durable_meta.clone_from(&self.meta);
                self.pending_meta.clear();
            }
            Step::Promise(_) => {}
        }
    }

    fn make_durable(&mut self, inode: usize, change: NameChange) {
        match change {
            NameChange::Set(name, target) => drop(self.folder(inode).durable.insert(name, target)),
            NameChange::Remove(name) => drop(self.folder(inode).durable.remove(&name)),
            NameChange::MoveIn {
                name,
                inode: target,
                from,
                old_name,
            } => {
                self.folder(inode).durable.insert(name, target);
                self.folder(from).durable.remove(&old_name);
            }
        }
    }

    /// The disk that is there when the power comes back.
    pub fn crash(&self, loss: Loss) -> Self {
        let mut after = self.clone();
        let mut random = Random(match loss {
            Loss::Some(seed) => seed,
            _ => 1,
        });
        let mut keep = |kept: bool| match loss {
            Loss::Some(_) => random.next().is_multiple_of(2),
            Loss::Nothing => true,
            Loss::All => false,
            Loss::Bytes | Loss::Names => kept,
        };
        let (names, bytes) = (loss == Loss::Bytes, loss == Loss::Names);
        for inode in 0..after.nodes.len() {
            match after.nodes[inode].clone() {
                Node::Folder(folder) => {
                    for change in folder.pending {
                        if keep(names) {
                            after.make_durable(inode, change);
                        }
                    }
                }
                Node::File(file) => {
                    let (mut content, mut written) = (file.durable, file.durable_written);
                    for step in file.pending {
                        if keep(bytes) {
                            change(&mut content, &mut written, &step);
                        } else if let Step::Write {
                            inode,
                            path,
                            offset,
                            bytes,
                        } = &step
                            && matches!(loss, Loss::Some(_))
                        {
                            // torn: the first half came through
                            let half = bytes[..bytes.len() / 2].to_vec();
                            let (inode, path, offset) = (*inode, path.clone(), *offset);
                            let torn = Step::Write {
                                inode,
                                path,
                                offset,
                                bytes: half,
                            };
                            change(&mut content, &mut written, &torn);
                        }
                    }
                    let file = after.file(inode);
                    (file.durable, file.durable_written) = (content, written);
                }
            }
        }
        // batches go to the log in order: what comes back is a prefix
        for batch in std::mem::take(&mut after.pending_meta) {
            if !keep(false) {
                break;
            }
            put(&mut after.durable_meta, &batch);
        }
        for node in &mut after.nodes {
            match node {
                Node::Folder(folder) => {
                    folder.live.clone_from(&folder.durable);
                    folder.pending.clear();
                }
                Node::File(file) => {
                    file.live.clone_from(&file.durable);
                    file.written.clone_from(&file.durable_written);
                    file.pending.clear();
                }
            }
        }
        after.meta.clone_from(&after.durable_meta);
        after
    }

    /// The bytes of a file, for checkers.
    pub fn read(&self, path: &Path) -> Option<&[u8]> {
        match &self.nodes[self.find(path).ok()?] {
            Node::File(file) => Some(&file.live),
            Node::Folder(_) => None,
        }
    }
}

fn change(content: &mut Vec<u8>, written: &mut Vec<(u64, u64)>, step: &Step) {
    match step {
        Step::Write { offset, bytes, .. } => {
            let end = *offset as usize + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*offset as usize..end].copy_from_slice(bytes);
            written.push((*offset, end as u64));
        }
        Step::Length { length, .. } => {
            content.resize(*length as usize, 0);
            written.retain_mut(|range| {
                range.1 = range.1.min(*length);
                range.0 < range.1
            });
        }
        _ => panic!("no change of a file: {step:?}"),
    }
}

fn put(meta: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: &Batch) {
    for (key, value) in &batch.changes {
        match value {
            Some(value) => drop(meta.insert(key.clone(), value.clone())),
            None => drop(meta.remove(key)),
        }
    }
}

/// SplitMix64: all that a seeded choice needs.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The live disk, its log, and the switches of a test.
pub struct Twin {
    pub disk: Disk,
    pub log: Vec<Step>,
    /// This sync does nothing, as if it were not in the code.
    pub ignored: Option<SyncPoint>,
    /// Whether hard links work.
    pub links: bool,
    /// What `free_bytes` says.
    pub free_bytes: u64,
    /// The next such sync of a file fails and, as Linux does, forgets what it could not write.
    pub fail_sync: Option<SyncPoint>,
    /// Writes fail with this error number.
    pub fail_writes: Option<i32>,
}

impl Twin {
    pub fn shared(disk: Disk) -> Shared {
        Shared(Arc::new(Mutex::new(Self {
            disk,
            log: Vec::new(),
            ignored: None,
            links: true,
            free_bytes: u64::MAX,
            fail_sync: None,
            fail_writes: None,
        })))
    }

    fn run(&mut self, step: Step) {
        self.disk.apply(&step);
        self.log.push(step);
    }

    fn sync(&mut self, point: SyncPoint, step: Step) {
        if self.ignored != Some(point) {
            self.run(step);
        }
    }
}

#[derive(Clone)]
pub struct Shared(pub Arc<Mutex<Twin>>);

impl Shared {
    pub fn with<T>(&self, action: impl FnOnce(&mut Twin) -> T) -> T {
        action(&mut self.0.lock().unwrap())
    }

    pub fn promise(&self, promise: super::scenario::Promise) {
        self.with(|twin| twin.log.push(Step::Promise(promise)));
    }
}

pub struct TwinVfs(pub Shared);

impl Vfs for TwinVfs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let inode = self.0.with(|twin| twin.disk.find(path))?;
        Ok(Box::new(TwinFile {
            twin: self.0.clone(),
            inode,
            path: path.to_owned(),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        self.0.with(|twin| {
            twin.disk.split(path)?;
            if twin.disk.find(path).is_err() {
                let inode = twin.disk.nodes.len();
                twin.run(Step::Create {
                    path: path.to_owned(),
                    inode,
                });
            }
            io::Result::Ok(())
        })?;
        self.open(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.0.with(|twin| {
            twin.disk.split(path)?;
            if twin.disk.find(path).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = twin.disk.nodes.len();
            twin.run(Step::Folder {
                path: path.to_owned(),
                inode,
            });
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.with(|twin| {
            twin.disk.find(from)?;
            twin.disk.split(to)?;
            twin.run(Step::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
            });
            Ok(())
        })
    }

    fn link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.0.with(|twin| {
            twin.disk.find(original)?;
            twin.disk.split(link)?;
            if twin.disk.find(link).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !twin.links {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            twin.run(Step::Link {
                original: original.to_owned(),
                link: link.to_owned(),
            });
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.with(|twin| {
            twin.disk.find(path)?;
            twin.run(Step::Remove {
                path: path.to_owned(),
            });
            Ok(())
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn sync_folder(&self, path: &Path, point: SyncPoint) -> io::Result<()> {
        self.0.with(|twin| {
            twin.disk.find(path)?;
            twin.sync(
                point,
                Step::SyncFolder {
                    path: path.to_owned(),
                    point,
                },
            );
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.with(|twin| {
            let inode = twin.disk.find(path)?;
            let entries = twin.disk.folder(inode).live.clone();
            let nodes = &twin.disk.nodes;
            let entry = |(name, inode): (String, usize)| DirEntry {
                name,
                is_folder: matches!(nodes[inode], Node::Folder(_)),
            };
            Ok(entries.into_iter().map(entry).collect())
        })
    }

    fn lock(&self, _path: &Path) -> Result<Lock, LockError> {
        Ok(Lock::new(()))
    }

    fn now_s(&self) -> u64 {
        // a clock that stands
        1_000
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.with(|twin| twin.free_bytes))
    }
}

struct TwinFile {
    twin: Shared,
    inode: usize,
    path: PathBuf,
}

impl VfsFile for TwinFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.twin.with(|twin| {
            let live = &twin.disk.file(self.inode).live;
            let start = (offset as usize).min(live.len());
            let count = buffer.len().min(live.len() - start);
            buffer[..count].copy_from_slice(&live[start..start + count]);
            Ok(count)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.twin.with(|twin| {
            if let Some(code) = twin.fail_writes {
                return Err(io::Error::from_raw_os_error(code));
            }
            twin.run(Step::Write {
                inode: self.inode,
                path: self.path.clone(),
                offset,
                bytes: bytes.to_vec(),
            });
            Ok(())
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.twin.with(|twin| {
            twin.run(Step::Length {
                inode: self.inode,
                path: self.path.clone(),
                length,
            });
        });
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self
            .twin
            .with(|twin| twin.disk.file(self.inode).live.len() as u64))
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        self.twin.with(|twin| {
            let file = twin.disk.file(self.inode);
            let ranges = file.written.iter().filter(|range| range.1 > offset);
            Ok(ranges
                .map(|range| range.0.max(offset))
                .min()
                .unwrap_or(file.live.len() as u64))
        })
    }

    fn sync(&self, point: SyncPoint) -> io::Result<()> {
        self.twin.with(|twin| {
            if twin.fail_sync == Some(point) {
                twin.fail_sync = None;
                // the pages are called clean, and will never be written by themselves
                twin.disk.file(self.inode).pending.clear();
                return Err(io::Error::from_raw_os_error(5));
            }
            twin.sync(
                point,
                Step::SyncFile {
                    inode: self.inode,
                    path: self.path.clone(),
                    point,
                },
            );
            Ok(())
        })
    }
}

pub struct TwinMeta(pub Shared);

impl TwinMeta {
    pub fn open(twin: &Shared, folder: &Path) -> Self {
        let database = folder.join("db");
        let vfs = TwinVfs(twin.clone());
        if twin.with(|twin| twin.disk.find(&database)).is_err() {
            // without its file nothing of the metadata came back
            twin.with(|twin| {
                twin.disk.meta.clear();
                twin.disk.durable_meta.clear();
            });
            drop(vfs.create(&database).unwrap());
        }
        Self(twin.clone())
    }
}

impl Meta for TwinMeta {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MetaError> {
        Ok(self.0.with(|twin| twin.disk.meta.get(key).cloned()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MetaError> {
        Ok(self.0.with(|twin| {
            let pairs = twin
                .disk
                .meta
                .iter()
                .filter(|(key, _)| key.starts_with(prefix));
            pairs
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        }))
    }

    fn apply(&self, batch: &Batch) -> Result<(), MetaError> {
        self.0.with(|twin| {
            twin.run(Step::Apply {
                batch: batch.clone(),
            });
        });
        Ok(())
    }

    fn flush(&self, point: SyncPoint) -> Result<(), MetaError> {
        self.0.with(|twin| twin.sync(point, Step::Flush { point }));
        Ok(())
    }
}
