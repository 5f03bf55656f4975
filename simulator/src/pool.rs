//! What many disks hold alike is held once.

use std::sync::Arc;

use weft_core::SlotPlan;
use weft_record::{ChunkMap, Hash};

use crate::fast::{Table, prefix};

/// Records remembered for sharing; then it is begun anew. What all nodes hold is found
/// again at once, and what only one holds does not pile up.
const RECORDS: usize = 1_024;
/// Slots remembered for sharing: those of the releases that roll out now.
const PLANS: usize = 32;

/// The shared things of one world.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    records: Table<u64, Arc<[u8]>>,
    plans: Vec<Arc<SlotPlan>>,
    files: Vec<(Hash, Arc<ChunkMap>)>,
    by_file: Table<u64, u32>,
}

impl Pool {
    /// The record, as others hold it.
    pub(crate) fn record(&mut self, bytes: &[u8]) -> Arc<[u8]> {
        let place = prefix(&Hash::of(bytes).0);
        if let Some(known) = self.records.get(&place)
            && **known == *bytes
        {
            return Arc::clone(known);
        }
        if self.records.len() >= RECORDS {
            self.records.clear();
        }
        let record: Arc<[u8]> = bytes.into();
        self.records.insert(place, Arc::clone(&record));
        record
    }

    /// The slot, as others hold it.
    pub(crate) fn plan(&mut self, plan: SlotPlan) -> Arc<SlotPlan> {
        if let Some(known) = self.plans.iter().find(|known| ***known == plan) {
            return Arc::clone(known);
        }
        if self.plans.len() >= PLANS {
            self.plans.remove(0);
        }
        let plan = Arc::new(plan);
        self.plans.push(Arc::clone(&plan));
        plan
    }

    /// The file's number, and its map as others hold it. The first map of a file counts.
    pub(crate) fn file(&mut self, file: Hash, map: &Arc<ChunkMap>) -> (u32, Arc<ChunkMap>) {
        if let Some(number) = self.number_of(&file) {
            let known = &self.files[number as usize].1;
            let same = Arc::ptr_eq(known, map) || **known == **map;
            return (number, Arc::clone(if same { known } else { map }));
        }
        let number = self.files.len() as u32;
        self.by_file.insert(prefix(&file.0), number);
        self.files.push((file, Arc::clone(map)));
        (number, Arc::clone(map))
    }

    pub(crate) fn number_of(&self, file: &Hash) -> Option<u32> {
        let number = *self.by_file.get(&prefix(&file.0))?;
        (self.files[number as usize].0 == *file).then_some(number)
    }

    /// A file by its number.
    pub(crate) fn numbered(&self, number: u32) -> Option<&(Hash, Arc<ChunkMap>)> {
        self.files.get(number as usize)
    }
}
