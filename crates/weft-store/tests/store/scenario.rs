//! Two releases over the life of a store, and what it promises on the way.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use weft_core::{ChunkRef, ChunkSource, Disk, FoundChunk, Outcome, SlotPlan};
use weft_record::{ChunkEntry, ChunkMap, Hash, Name, RecordId, TimeFloor};
use weft_store::Store;

/// What a caller may count on from here on, also after a power cut.
#[derive(Clone, Debug, PartialEq)]
pub enum Promise {
    /// It is held and the store knows it.
    Chunk(Hash, u32),
    Complete(Hash),
    /// A file was given up: nothing about it holds any longer.
    Forget(Hash),
    Blob(Hash),
    Record(Vec<u8>),
    Setting(String, Vec<u8>),
    /// A switch begins: the active slot is the old or the new one.
    Switching,
    /// The active release.
    Active(RecordId),
}

/// A file made of chunks of seeded bytes.
#[derive(Clone)]
pub struct Model {
    pub file: Hash,
    pub bytes: Vec<u8>,
    pub map: Arc<ChunkMap>,
}

impl Model {
    /// Each seed gives one chunk; equal seeds give equal chunks.
    pub fn new(seeds: &[u64], chunk_bytes: usize) -> Self {
        let (mut bytes, mut chunks) = (Vec::new(), Vec::new());
        for (place, &seed) in seeds.iter().enumerate() {
            // a little uneven, as tensors are
            let length = chunk_bytes + place % 3;
            let mut random = super::twin::Random(seed);
            let chunk = (0..length).map(|_| random.next() as u8).collect::<Vec<_>>();
            chunks.push(ChunkEntry {
                length: length as u32,
                hash: Hash::of(&chunk),
            });
            bytes.extend(chunk);
        }
        Self {
            file: Hash::of(&bytes),
            bytes,
            map: Arc::new(ChunkMap { chunks }),
        }
    }

    pub fn chunk(&self, index: usize) -> Bytes {
        let start = self.map.offsets().nth(index).unwrap() as usize;
        Bytes::copy_from_slice(&self.bytes[start..start + self.map.chunks[index].length as usize])
    }

    pub fn chunk_ref(&self, index: usize) -> ChunkRef {
        ChunkRef {
            file: self.file,
            index: index as u32,
        }
    }

    pub fn open(&self, store: &Store) -> Vec<FoundChunk> {
        let disk = Disk::OpenFile {
            file: self.file,
            length: self.bytes.len() as u64,
            map: self.map.clone(),
        };
        match store.execute(disk) {
            Outcome::Opened(found) => found,
            other => panic!("opening a file: {other:?}"),
        }
    }

    pub fn write(&self, store: &Store, index: usize) -> Outcome<Bytes> {
        store.execute(Disk::WriteChunk {
            chunk: self.chunk_ref(index),
            payload: self.chunk(index),
        })
    }
}

pub fn channel() -> Name {
    "main".parse().unwrap()
}

pub fn plan(number: u8, files: &[(&str, &Model)]) -> SlotPlan {
    SlotPlan {
        channel: channel(),
        head: RecordId([number; 32]),
        epoch: 0,
        release: RecordId([100 + number; 32]),
        variant: 0,
        files: files
            .iter()
            .map(|(path, model)| ((*path).to_owned(), model.file))
            .collect(),
    }
}

/// Models of the scenario: the second shares its chunk 1 with the first.
pub fn models() -> [Model; 5] {
    [
        Model::new(&[1, 2, 3], 64),
        Model::new(&[4, 2, 5], 64),
        Model::new(&[9], 40),
        Model::new(&[11, 12], 64),
        Model::new(&[13], 40),
    ]
}

pub fn written(outcome: Outcome<Bytes>) {
    assert!(matches!(outcome, Outcome::Written), "{outcome:?}");
}

pub fn synced(outcome: Outcome<Bytes>) {
    assert!(matches!(outcome, Outcome::Synced), "{outcome:?}");
}

pub fn staged(outcome: Outcome<Bytes>) {
    assert!(matches!(outcome, Outcome::Staged), "{outcome:?}");
}

pub fn switched(outcome: Outcome<Bytes>) {
    assert!(matches!(outcome, Outcome::Switched), "{outcome:?}");
}

/// Runs it. Every call of `open` after the first comes from a new process.
pub fn run(open: &dyn Fn() -> Store, promise: &dyn Fn(Promise)) {
    let [first, second, tokenizer, under_way, idle] = models();
    let chunks = |model: &Model, indexes: &[u32]| {
        for &index in indexes {
            promise(Promise::Chunk(model.file, index));
        }
    };
    let save = |store: &Store, records: &[Vec<u8>]| {
        assert!(matches!(
            store.execute(Disk::SaveRecords(records.to_vec())),
            Outcome::Saved
        ));
        for record in records {
            promise(Promise::Record(record.clone()));
        }
    };

    let store = open();
    save(&store, &[b"root".to_vec(), vec![7; 5000]]);
    store.set_setting("cap", b"1000").unwrap();
    promise(Promise::Setting("cap".to_owned(), b"1000".to_vec()));
    let blob = Bytes::from_static(b"a policy");
    written(store.execute(Disk::WriteBlob(Hash::of(&blob), blob.clone())));
    promise(Promise::Blob(Hash::of(&blob)));

    // the first release, with a kill in the middle of its fetch
    assert_eq!(first.open(&store), []);
    written(first.write(&store, 0));
    written(first.write(&store, 1));
    synced(store.execute(Disk::SyncFile(first.file)));
    chunks(&first, &[0, 1]);
    assert_eq!(tokenizer.open(&store), []);
    written(tokenizer.write(&store, 0));
    drop(store);
    let store = open();
    // a real disk keeps holes by the page, so bytes of zeros may be found as well
    let found = first.open(&store).into_iter();
    assert_eq!(
        found
            .filter(|chunk| chunk.digest == first.map.chunks[chunk.index as usize].hash)
            .count(),
        2
    );
    let found = tokenizer.open(&store);
    assert_eq!((found.len(), found[0].source), (1, ChunkSource::Resumed));
    synced(store.execute(Disk::SyncFile(tokenizer.file)));
    chunks(&tokenizer, &[0]);
    written(first.write(&store, 2));
    for model in [&first, &tokenizer] {
        let digest = store.execute(Disk::HashFile(model.file));
        assert!(matches!(digest, Outcome::Digest(digest) if digest == model.file));
        synced(store.execute(Disk::CompleteFile(model.file)));
        promise(Promise::Complete(model.file));
    }
    chunks(&first, &[2]);
    let plan_one = plan(
        1,
        &[("model.gguf", &first), ("text/tokenizer.json", &tokenizer)],
    );
    staged(store.execute(Disk::Stage(plan_one.clone())));
    promise(Promise::Switching);
    switched(store.execute(Disk::Activate(channel())));
    promise(Promise::Active(plan_one.release));

    // the second, with a chunk of the first and a kill between staging and activation
    save(&store, &[b"head two".to_vec()]);
    let found = second.open(&store);
    assert_eq!(
        (found.len(), found[0].index, found[0].source),
        (1, 1, ChunkSource::Reused)
    );
    written(second.write(&store, 0));
    synced(store.execute(Disk::SyncFile(second.file)));
    chunks(&second, &[0, 1]);
    written(second.write(&store, 2));
    synced(store.execute(Disk::CompleteFile(second.file)));
    promise(Promise::Complete(second.file));
    chunks(&second, &[2]);
    let plan_two = plan(
        2,
        &[("model.gguf", &second), ("text/tokenizer.json", &tokenizer)],
    );
    staged(store.execute(Disk::Stage(plan_two.clone())));
    drop(store);
    let store = open();
    promise(Promise::Switching);
    switched(store.execute(Disk::Activate(channel())));
    promise(Promise::Active(plan_two.release));

    // it fails, is given up, and comes again
    promise(Promise::Switching);
    switched(store.execute(Disk::GoBack(channel())));
    promise(Promise::Active(plan_one.release));
    promise(Promise::Forget(second.file));
    let collected = store.collect(&BTreeSet::new()).unwrap();
    assert_eq!((collected.slots, collected.files), (1, 1));
    assert_eq!(second.open(&store).len(), 1);
    written(second.write(&store, 0));
    save(&store, &[b"head three".to_vec()]);
    synced(store.execute(Disk::SyncFile(second.file)));
    chunks(&second, &[0, 1]);

    // it becomes active after all, and loses its ground
    written(second.write(&store, 2));
    synced(store.execute(Disk::CompleteFile(second.file)));
    promise(Promise::Complete(second.file));
    staged(store.execute(Disk::Stage(plan_two.clone())));
    promise(Promise::Switching);
    switched(store.execute(Disk::Activate(channel())));
    promise(Promise::Active(plan_two.release));
    save(&store, &[b"root two".to_vec()]);
    let mut clock = TimeFloor::default();
    clock.advance(3600);
    assert!(matches!(
        store.execute(Disk::SaveClock(clock)),
        Outcome::Saved
    ));
    let saved = store.setting("clock").unwrap().unwrap();
    promise(Promise::Setting("clock".to_owned(), saved));
    promise(Promise::Switching);
    switched(store.execute(Disk::Withdraw {
        channel: channel(),
        both: false,
        failed: false,
    }));
    promise(Promise::Active(plan_one.release));

    // room is made while the next one is on its way, after a kill that left a stray
    assert_eq!(under_way.open(&store), []);
    written(under_way.write(&store, 0));
    synced(store.execute(Disk::SyncFile(under_way.file)));
    chunks(&under_way, &[0]);
    assert_eq!(idle.open(&store), []);
    written(idle.write(&store, 0));
    drop(store);
    let store = open();
    promise(Promise::Forget(second.file));
    let keep = BTreeSet::from([under_way.file]);
    let collected = store.collect(&keep).unwrap();
    assert_eq!((collected.slots, collected.files), (1, 2));
    written(under_way.write(&store, 1));
    synced(store.execute(Disk::CompleteFile(under_way.file)));
    chunks(&under_way, &[1]);
    promise(Promise::Complete(under_way.file));
}
