//! A power cut after every step of the log, with every kind of loss.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use weft_core::{ChunkRef, Disk as Operation, Outcome};
use weft_record::Hash;
use weft_store::{Store, SyncPoint};

use super::{
    scenario::{self, Promise},
    twin::{Disk, Loss, Shared, Step, Twin, TwinMeta, TwinVfs},
};

pub const FOLDER: &str = "/store";
/// Seeded choices a prefix, besides the four fixed losses.
const SEEDS: u64 = 6;

fn open(twin: &Shared) -> Result<Store, weft_store::OpenError> {
    let meta = twin.clone();
    Store::open_with(
        Path::new(FOLDER),
        Arc::new(TwinVfs(twin.clone())),
        move |folder| Ok(Box::new(TwinMeta::open(&meta, folder))),
    )
}

/// The scenario's log.
pub fn record(links: bool, ignored: Option<SyncPoint>) -> Vec<Step> {
    let twin = Twin::shared(Disk::default());
    twin.with(|twin| (twin.links, twin.ignored) = (links, ignored));
    scenario::run(&|| open(&twin).unwrap(), &|promise| twin.promise(promise));
    twin.with(|twin| std::mem::take(&mut twin.log))
}

/// What holds after a prefix of the log.
#[derive(Default)]
struct Held {
    chunks: BTreeSet<(Hash, u32)>,
    complete: BTreeSet<Hash>,
    blobs: BTreeSet<Hash>,
    records: Vec<Vec<u8>>,
    settings: Vec<(String, Vec<u8>)>,
    activated: bool,
    active: Option<weft_record::RecordId>,
}

impl Held {
    fn add(&mut self, promise: &Promise) {
        match promise.clone() {
            Promise::Chunk(file, index) => drop(self.chunks.insert((file, index))),
            Promise::Complete(file) => drop(self.complete.insert(file)),
            Promise::Forget(file) => {
                self.chunks.retain(|chunk| chunk.0 != file);
                self.complete.remove(&file);
            }
            Promise::Blob(blob) => drop(self.blobs.insert(blob)),
            Promise::Record(record) => self.records.push(record),
            Promise::Setting(name, value) => self.settings.push((name, value)),
            Promise::Switching => self.active = None,
            Promise::Active(release) => (self.activated, self.active) = (true, Some(release)),
        }
    }

    /// Opens the store on a disk and holds it against the promises.
    fn check(&self, disk: Disk) -> Result<Disk, String> {
        let twin = Twin::shared(disk);
        let store = open(&twin).map_err(|error| format!("it does not open: {error}"))?;
        let restored = store
            .restore()
            .map_err(|error| format!("it does not restore: {error}"))?;

        let slots = restored
            .slots
            .into_iter()
            .find(|(name, _)| *name == scenario::channel());
        let slots = slots.map(|(_, slots)| slots).unwrap_or_default();
        if self.activated && slots.active.is_none() {
            return Err("no slot is active".to_owned());
        }
        let active = slots.active.as_ref().map(|plan| plan.release);
        if self.active.is_some() && self.active != active {
            return Err(format!("{active:?} is active, not {:?}", self.active));
        }
        for plan in [&slots.active, &slots.previous, &slots.staged]
            .into_iter()
            .flatten()
        {
            for (path, file) in &plan.files {
                let path = store.slot_dir(plan).join(path);
                let digest = twin.with(|twin| twin.disk.read(&path).map(Hash::of));
                if digest != Some(*file) {
                    return Err(format!("{} is {digest:?}, not {file}", path.display()));
                }
            }
        }
        // what metadata claims, before anything is hashed again
        for known in &restored.files {
            for (index, chunk) in known.map.chunks.iter().enumerate() {
                let place = ChunkRef {
                    file: known.file,
                    index: index as u32,
                };
                match store.execute(Operation::ReadChunk(place)) {
                    Outcome::Chunk(Some(bytes)) if Hash::of(&bytes) == chunk.hash => {}
                    Outcome::Chunk(None) if !known.complete => {}
                    other => return Err(format!("{place:?} is claimed, and is {other:?}")),
                }
            }
        }
        for file in &self.complete {
            if !restored
                .files
                .iter()
                .any(|known| known.file == *file && known.complete)
            {
                return Err(format!("{file} is not complete any more"));
            }
        }
        for &(file, index) in &self.chunks {
            if !matches!(
                store.execute(Operation::ReadChunk(ChunkRef { file, index })),
                Outcome::Chunk(Some(_))
            ) {
                return Err(format!("chunk {index} of {file} is not known any more"));
            }
        }
        for model in scenario::models() {
            let found = model.open(&store);
            for (file, index) in self.chunks.iter().filter(|(file, _)| *file == model.file) {
                let digest = model.map.chunks[*index as usize].hash;
                if !found
                    .iter()
                    .any(|chunk| chunk.index == *index && chunk.digest == digest)
                {
                    return Err(format!("chunk {index} of {file} is lost"));
                }
            }
        }
        for record in &self.records {
            if !restored.records.contains(record) {
                return Err(format!("a record of {} bytes is lost", record.len()));
            }
        }
        for blob in &self.blobs {
            match store.execute(Operation::ReadBlob(*blob)) {
                Outcome::Blob(Some(bytes)) if Hash::of(&bytes) == *blob => {}
                other => return Err(format!("blob {blob} is {other:?}")),
            }
        }
        for (name, value) in &self.settings {
            if store.setting(name).ok().flatten().as_ref() != Some(value) {
                return Err(format!("setting {name} is lost"));
            }
        }
        store
            .set_setting("alive", b"yes")
            .map_err(|error| format!("it does not go on: {error}"))?;
        drop(store);
        Ok(twin.with(|twin| twin.disk.clone()))
    }
}

/// Replays every prefix; the first violation, and how many states were looked at.
fn replay(log: &[Step]) -> Result<usize, String> {
    let (mut disk, mut held, mut states) = (Disk::default(), Held::default(), 0);
    for (number, step) in log.iter().enumerate() {
        if let Step::Promise(promise) = step {
            held.add(promise);
        }
        disk.apply(step);
        let seeded = (0..SEEDS).map(|seed| Loss::Some(number as u64 * SEEDS + seed));
        for loss in [Loss::Nothing, Loss::All, Loss::Bytes, Loss::Names]
            .into_iter()
            .chain(seeded)
        {
            let place = |error| {
                let step: String = format!("{step:?}").chars().take(100).collect();
                format!("after step {number} ({step}), losing {loss:?}: {error}")
            };
            let recovered = held.check(disk.crash(loss)).map_err(place)?;
            // and the power goes again at once
            held.check(recovered.crash(Loss::All))
                .map_err(|error| place(format!("again: {error}")))?;
            states += 2;
        }
    }
    Ok(states)
}

#[test]
fn every_prefix_leaves_a_store_that_keeps_its_promises() {
    for links in [true, false] {
        let log = record(links, None);
        let promises = log
            .iter()
            .filter(|step| matches!(step, Step::Promise(_)))
            .count();
        assert!(
            log.len() > 120 && promises > 15,
            "{} steps, {promises} promises",
            log.len()
        );
        let states = replay(&log).unwrap_or_else(|error| panic!("links {links}: {error}"));
        println!("links {links}: {} steps, {states} states", log.len());
    }
}

#[test]
fn every_sync_is_needed() {
    for point in SyncPoint::ALL {
        // the copy is only made where links do not work
        let violated = [true, false].into_iter().find_map(|links| {
            let with = record(links, None);
            let used = with.iter().any(|step| {
                matches!(step, Step::SyncFile { point: other, .. } | Step::SyncFolder { point: other, .. }
                    | Step::Flush { point: other } if *other == point)
            });
            used.then(|| replay(&record(links, Some(point))).err()).flatten()
        });
        let violated = violated.unwrap_or_else(|| panic!("without {point:?} nothing is lost"));
        println!("without {point:?}: {violated}");
    }
}
