//! What lies on the disk and what of it may go, for people: by release, with why it stays.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weft_core::{Command, Disk, Input, Kept, Node, Outcome, Output, Stored, Wish};
use weft_record::{Hash, Name, RecordId};
use weft_store::{Store, StoreError};

use crate::{
    bundle::Opened,
    clock::Clock,
    home::Home,
    pins::{self, PinError, Pins},
    report::{
        CollectReport, CollectRequest, PinReport, PinRequest, PinsReport, SCHEMA, StockReport,
    },
    run::RunError,
};

/// Why nothing, or not all, was collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The folder cannot be used, or its node runs.
    #[error(transparent)]
    Node(Box<RunError>),
    /// The disk cannot be looked at.
    #[error("the disk cannot be looked at: {0}")]
    Look(#[from] StoreError),
    /// The disk refused; what it left is found the next time.
    #[error("not all of it could be deleted: {0}")]
    Disk(String),
}

/// What is wished and what that would do.
pub(crate) fn look(
    node: &Node<Bytes>,
    store: &Store,
    request: &CollectRequest,
    now_s: u64,
) -> Result<(Wish, CollectReport), CollectError> {
    let free_bytes = store.usage()?.free_bytes;
    let wish = Wish {
        bytes: request
            .keep_free_bytes
            .map(|keep| keep.saturating_sub(free_bytes)),
        unused_since_s: request
            .unused_for_s
            .map(|unused_for_s| now_s.saturating_sub(unused_for_s)),
    };
    let held_bytes = store.held_bytes();
    let (mut goes, mut stays) = (Vec::new(), Vec::new());
    let names = Names::of(node);
    for stored in node.stock(&wish) {
        let rows = if stored.goes { &mut goes } else { &mut stays };
        let bytes = held_bytes.get(&stored.file).copied().unwrap_or_default();
        add(node, rows, names.of_file(&stored), &stored, bytes);
    }
    // what is needed first
    stays.sort_by_key(|row: &StockReport| row.kept.is_empty());
    let report = CollectReport {
        schema: SCHEMA,
        dry_run: request.dry_run,
        files: goes.iter().map(|row| row.files.len() as u64).sum(),
        bytes: goes.iter().map(|row| row.bytes).sum(),
        stays_bytes: stays.iter().map(|row| row.bytes).sum(),
        goes,
        stays,
        free_bytes,
    };
    Ok((wish, report))
}

/// What was done, as the store told it.
pub(crate) fn done(
    mut report: CollectReport,
    outcome: &Outcome<Bytes>,
    store: &Store,
) -> Result<CollectReport, CollectError> {
    match outcome {
        Outcome::Collected { files, bytes } => (report.files, report.bytes) = (*files, *bytes),
        Outcome::Failed(failure) => return Err(CollectError::Disk(failure.text.clone())),
        _ => {
            return Err(CollectError::Disk(
                "the store answered something else".to_owned(),
            ));
        }
    }
    report.free_bytes = store.usage()?.free_bytes;
    Ok(report)
}

/// The same while no node runs.
pub(crate) fn collect_from_store(
    home: &Home,
    request: &CollectRequest,
) -> Result<CollectReport, CollectError> {
    let opened = Opened::of(home).map_err(|error| CollectError::Node(Box::new(error)))?;
    let Opened {
        store, mut node, ..
    } = opened;
    let clock = Clock::start();
    let (wish, report) = look(&node, &store, request, clock.wall_at_zero_s())?;
    if request.dry_run {
        return Ok(report);
    }
    // what the node would do else stays undone
    while node.poll().is_some() {}
    node.handle(clock.now_us(), Input::Command(Command::Collect(wish)));
    while let Some(output) = node.poll() {
        if let Output::Disk(_, collect @ Disk::Collect { .. }) = output {
            let outcome = store.execute(collect);
            return done(report, &outcome, &store);
        }
    }
    Ok(report)
}

/// Pins a release, or no longer, while no node runs.
pub(crate) fn pin_in_store(home: &Home, request: &PinRequest) -> Result<PinsReport, PinError> {
    let opened = Opened::of(home).map_err(|error| PinError::Node(Box::new(error)))?;
    let Opened {
        store,
        mut node,
        mut pins,
    } = opened;
    pins.apply(&node, request)?;
    pins.keep(&store)?;
    let now_us = Clock::start().now_us();
    node.handle(now_us, Input::Command(Command::Pin(pins.all())));
    Ok(pins_report(&node, &pins, &request.release))
}

/// What is pinned, while no node runs.
pub(crate) fn pins_in_store(home: &Home) -> Result<Vec<PinReport>, RunError> {
    let Opened { node, pins, .. } = Opened::of(home)?;
    Ok(pins.report(&node))
}

/// What is pinned now, and how many files of a release that are here that keeps.
pub(crate) fn pins_report(node: &Node<Bytes>, pins: &Pins, release: &RecordId) -> PinsReport {
    let nothing = Wish {
        bytes: Some(0),
        unused_since_s: None,
    };
    let pinned = Kept::Pinned { release: *release };
    let stock = node.stock(&nothing);
    let files = stock.iter().filter(|stored| stored.kept.contains(&pinned));
    PinsReport {
        schema: SCHEMA,
        files: files.count() as u64,
        pins: pins.report(node),
    }
}

fn add(
    node: &Node<Bytes>,
    rows: &mut Vec<StockReport>,
    release: Option<RecordId>,
    stored: &Stored,
    bytes: u64,
) {
    let named = release.and_then(|release| pins::named(node, &release));
    let kept: Vec<Kept> = stored.kept.iter().cloned().collect();
    let same = |row: &&mut StockReport| row.release == named && row.kept == kept;
    // files of no known release stand alone
    if let Some(row) = rows.iter_mut().find(same).filter(|_| named.is_some()) {
        row.files.push(stored.file);
        row.bytes += bytes;
        row.used_s = row.used_s.max(stored.used_s);
        return;
    }
    rows.push(StockReport {
        release: named,
        files: vec![stored.file],
        bytes,
        used_s: stored.used_s,
        kept,
    });
}

/// Which releases files are of.
struct Names {
    /// By file: releases that name it, with the version's counter.
    named: BTreeMap<Hash, BTreeSet<(u64, RecordId)>>,
    active: BTreeMap<Name, RecordId>,
    previous: BTreeMap<Name, RecordId>,
    target: BTreeMap<Name, RecordId>,
}

impl Names {
    fn of(node: &Node<Bytes>) -> Self {
        let mut named: BTreeMap<Hash, BTreeSet<(u64, RecordId)>> = BTreeMap::new();
        for release in node.trust().releases() {
            let files = release.files().map(|file| file.blake3);
            for file in files.chain(release.deltas.iter().map(|delta| delta.blake3)) {
                let entry = (release.counter, release.id());
                named.entry(file).or_default().insert(entry);
            }
        }
        let channels = node.status().channels;
        let of = |release: fn(&weft_core::ChannelStatus) -> Option<RecordId>| {
            let named = channels
                .iter()
                .filter_map(|channel| Some((channel.channel.clone(), release(channel)?)));
            named.collect()
        };
        Self {
            named,
            active: of(|channel| channel.active),
            previous: of(|channel| channel.previous),
            target: of(|channel| channel.target),
        }
    }

    /// The release for which a file stays, or else the newest that has it.
    fn of_file(&self, stored: &Stored) -> Option<RecordId> {
        let of_kept = |kept: &Kept| match kept {
            Kept::Active { channel } => self.active.get(channel).copied(),
            Kept::Previous { channel } => self.previous.get(channel).copied(),
            Kept::InFlight { channel } => self.target.get(channel.as_ref()?).copied(),
            Kept::Pinned { release } => Some(*release),
            Kept::Unfollowed => None,
        };
        let newest = || self.named.get(&stored.file)?.last().map(|(_, id)| *id);
        stored.kept.iter().find_map(of_kept).or_else(newest)
    }
}
