//! What each operation does and refuses.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use bytes::Bytes;
use weft_core::{ChunkRef, ChunkSource, Disk, FailureKind, Outcome, SlotPlan, Slots};
use weft_record::{ChunkEntry, ChunkMap, Hash};
use weft_store::{OpenError, Room, Store, SyncPoint};

use super::{
    scenario::{Model, channel, plan, staged, switched, synced, written},
    twin::{self, Shared, Twin, TwinMeta, TwinVfs},
};

fn on_twin() -> (Store, Shared) {
    let twin = Twin::shared(twin::Disk::default());
    (reopen(&twin), twin)
}

fn reopen(twin: &Shared) -> Store {
    let meta = twin.clone();
    let vfs = Arc::new(TwinVfs(twin.clone()));
    Store::open_with(Path::new("/store"), vfs, move |folder| {
        Ok(Box::new(TwinMeta::open(&meta, folder)))
    })
    .unwrap()
}

fn complete(store: &Store, model: &Model) {
    model.open(store);
    for index in 0..model.map.len() {
        written(model.write(store, index));
    }
    synced(store.execute(Disk::CompleteFile(model.file)));
}

/// Each becomes active, one after the other.
fn activate(store: &Store, plans: &[SlotPlan]) {
    for plan in plans {
        staged(store.execute(Disk::Stage(plan.clone())));
        switched(store.execute(Disk::Activate(channel())));
    }
}

fn slots(store: &Store) -> Slots {
    let all = store.restore().unwrap().slots;
    all.into_iter()
        .find(|(name, _)| *name == channel())
        .map(|(_, slots)| slots)
        .unwrap_or_default()
}

fn refused(outcome: Outcome<Bytes>, part: &str) {
    failed(outcome, FailureKind::Disk, part);
}

fn failed(outcome: Outcome<Bytes>, kind: FailureKind, part: &str) {
    match outcome {
        Outcome::Failed(failure) => {
            assert!(failure.text.contains(part), "{failure:?}");
            assert_eq!(failure.kind, kind);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_real_store_keeps_everything_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/b/store");
    let model = Model::new(&[1, 2, 3, 4], 5000);
    let plan = plan(1, &[("sub/model.gguf", &model)]);
    let store = Store::open(&folder).unwrap();
    complete(&store, &model);
    staged(store.execute(Disk::Stage(plan.clone())));
    switched(store.execute(Disk::Activate(channel())));
    let records = vec![b"one".to_vec(), vec![2; 60_000], b"three".to_vec()];
    for _ in 0..2 {
        assert!(matches!(
            store.execute(Disk::SaveRecords(records.clone())),
            Outcome::Saved
        ));
    }
    let usage = store.usage().unwrap();
    assert_eq!(
        (usage.files, usage.held_bytes),
        (1, model.bytes.len() as u64)
    );
    drop(store);

    let store = Store::open(&folder).unwrap();
    let restored = store.restore().unwrap();
    assert_eq!(restored.records, records, "in order, and each once");
    assert_eq!(restored.files.len(), 1);
    assert!(restored.files[0].complete);
    assert_eq!(restored.files[0].map, model.map);
    assert_eq!(slots(&store).active, Some(plan.clone()));
    assert_eq!(
        fs::read(store.slot_dir(&plan).join("sub/model.gguf")).unwrap(),
        model.bytes
    );
    let chunk = store.execute(Disk::ReadChunk(model.chunk_ref(2)));
    assert!(matches!(chunk, Outcome::Chunk(Some(bytes)) if bytes == model.chunk(2)));
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    match Store::open(folder.path()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{:?}", other.map(drop)),
    }
    drop(store);
    Store::open(folder.path()).map(drop).unwrap();
}

#[test]
fn formats_and_folders_that_are_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    fs::write(folder.path().join("format"), "weft-store 2\n").unwrap();
    let error = Store::open(folder.path()).map(drop).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("format 2"), "{error}");
    fs::write(folder.path().join("format"), "hello").unwrap();
    let error = Store::open(folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");

    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("letter.txt"), "dear").unwrap();
    let error = Store::open(home.path()).map(drop).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
}

#[test]
fn the_store_says_what_it_found_and_never_that_it_is_right() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1, 2, 3], 64);
    model.open(&store);
    written(model.write(&store, 0));
    written(model.write(&store, 1));
    synced(store.execute(Disk::SyncFile(model.file)));
    drop(store);
    // a bit rots in chunk 1
    twin.with(|twin| {
        let write = twin.log.iter().rev().find_map(|step| match step {
            twin::Step::Write { inode, bytes, .. } if *bytes == model.chunk(1) => Some(*inode),
            _ => None,
        });
        let (inode, path) = (write.unwrap(), "/".into());
        twin.disk.apply(&twin::Step::Write {
            inode,
            path,
            offset: 70,
            bytes: vec![0xaa, 0x55],
        });
    });
    let store = reopen(&twin);
    let found = model.open(&store);
    assert_eq!(
        found.iter().map(|chunk| chunk.index).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(found[0].digest, model.map.chunks[0].hash);
    assert_ne!(found[1].digest, model.map.chunks[1].hash);
    assert!(matches!(
        store.execute(Disk::ReadChunk(model.chunk_ref(1))),
        Outcome::Chunk(None)
    ));
    written(model.write(&store, 1));
    written(model.write(&store, 2));
    synced(store.execute(Disk::CompleteFile(model.file)));
    assert!(
        matches!(store.execute(Disk::HashFile(model.file)), Outcome::Digest(hash) if hash == model.file)
    );
}

#[test]
fn chunks_come_from_other_files_and_from_this_one() {
    let (store, _twin) = on_twin();
    complete(&store, &Model::new(&[1, 2, 3], 63));
    // chunk lengths depend on the place, so only equal places share chunks
    let other = Model::new(&[1, 9, 3, 1], 63);
    let found = other.open(&store);
    let places = found
        .iter()
        .map(|chunk| (chunk.index, chunk.source))
        .collect::<Vec<_>>();
    assert_eq!(
        places,
        [
            (0, ChunkSource::Reused),
            (2, ChunkSource::Reused),
            (3, ChunkSource::Reused)
        ]
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let (store, _twin) = on_twin();
    let model = Model::new(&[1, 2], 64);
    let chunk = model.chunk_ref(0);
    refused(
        store.execute(Disk::WriteChunk {
            chunk,
            payload: model.chunk(0),
        }),
        "not open",
    );
    refused(store.execute(Disk::SyncFile(model.file)), "not open");
    refused(store.execute(Disk::HashFile(model.file)), "not open");
    let map = model.map.clone();
    refused(
        store.execute(Disk::OpenFile {
            file: model.file,
            length: 1,
            map,
        }),
        "chunk map",
    );
    model.open(&store);
    refused(
        store.execute(Disk::WriteChunk {
            chunk,
            payload: Bytes::from_static(b"short"),
        }),
        "5 bytes",
    );
    let chunk = ChunkRef {
        file: model.file,
        index: 2,
    };
    refused(
        store.execute(Disk::WriteChunk {
            chunk,
            payload: model.chunk(0),
        }),
        "chunk 2",
    );
    assert!(matches!(
        store.execute(Disk::ReadChunk(chunk)),
        Outcome::Chunk(None)
    ));
    assert!(matches!(
        store.execute(Disk::ReadBlob(Hash([1; 32]))),
        Outcome::Blob(None)
    ));
    written(model.write(&store, 0));
    refused(
        store.execute(Disk::CompleteFile(model.file)),
        "lacks chunks",
    );
    refused(
        store.execute(Disk::Stage(plan(1, &[("a", &model)]))),
        "not complete",
    );
    written(model.write(&store, 1));
    synced(store.execute(Disk::CompleteFile(model.file)));
    for path in ["../a", "/a", "", "a/../../b"] {
        refused(
            store.execute(Disk::Stage(plan(1, &[(path, &model)]))),
            "no path inside",
        );
    }
    refused(
        store.execute(Disk::Activate(channel())),
        "nothing is staged",
    );
    refused(store.execute(Disk::GoBack(channel())), "nothing is active");
}

#[test]
fn what_loses_its_ground_leaves_and_is_not_remembered_as_failed() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1], 64);
    complete(&store, &model);
    let plans: Vec<SlotPlan> = (1..=3)
        .map(|number| plan(number, &[("m", &model)]))
        .collect();
    activate(&store, &plans);
    let withdraw = |both| Disk::Withdraw {
        channel: channel(),
        both,
        failed: false,
    };
    switched(store.execute(withdraw(false)));
    let expected = Slots {
        active: Some(plans[1].clone()),
        ..Slots::default()
    };
    assert_eq!(slots(&store), expected);
    staged(store.execute(Disk::Stage(plans[2].clone())));
    switched(store.execute(Disk::Activate(channel())));
    switched(store.execute(withdraw(true)));
    assert_eq!(slots(&store), Slots::default());
    drop(store);
    assert_eq!(slots(&reopen(&twin)), Slots::default());
}

#[test]
fn what_fails_above_a_slot_without_ground_is_remembered_as_failed() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1], 64);
    complete(&store, &model);
    let plans: Vec<SlotPlan> = (1..=2)
        .map(|number| plan(number, &[("m", &model)]))
        .collect();
    activate(&store, &plans);
    switched(store.execute(Disk::Withdraw {
        channel: channel(),
        both: true,
        failed: true,
    }));
    let expected = Slots {
        failed: vec![plans[1].head],
        ..Slots::default()
    };
    assert_eq!(slots(&store), expected);
    drop(store);
    assert_eq!(slots(&reopen(&twin)), expected);
}

#[test]
fn slots_move_and_failed_heads_stay_known() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1], 64);
    complete(&store, &model);
    let plans: Vec<SlotPlan> = (1..=4)
        .map(|number| plan(number, &[("m", &model)]))
        .collect();
    activate(&store, &plans[..3]);
    assert_eq!(slots(&store).previous.as_ref(), Some(&plans[1]));
    switched(store.execute(Disk::GoBack(channel())));
    staged(store.execute(Disk::Stage(plans[3].clone())));
    switched(store.execute(Disk::DropStaged(channel())));
    let expected = Slots {
        active: Some(plans[1].clone()),
        failed: vec![plans[2].head, plans[3].head],
        ..Slots::default()
    };
    assert_eq!(slots(&store), expected);
    drop(store);
    let store = reopen(&twin);
    assert_eq!(slots(&store), expected);
    let collected = store.collect(&BTreeSet::new()).unwrap();
    assert_eq!(
        (collected.slots, collected.files),
        (3, 0),
        "the file is still in use"
    );
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().slots, 0);
    for _ in 0..2 {
        staged(store.execute(Disk::Stage(plans[2].clone())));
        switched(store.execute(Disk::Activate(channel())));
    }
    assert_eq!(
        slots(&store).active,
        slots(&store).previous,
        "the same release under a new head"
    );
    let under_way = Model::new(&[7, 8], 64);
    under_way.open(&store);
    written(under_way.write(&store, 0));
    let keep = BTreeSet::from([under_way.file]);
    assert_eq!(store.collect(&keep).unwrap().files, 0, "it is on its way");
    let collected = store.collect(&BTreeSet::new()).unwrap();
    assert_eq!((collected.files, collected.bytes), (1, 64));
    assert_eq!(under_way.open(&store), [], "it begins anew");
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let (store, twin) = on_twin();
    let (first, second) = (Model::new(&[1, 2], 64), Model::new(&[3, 4], 64));
    store.set_room(Room {
        quota_bytes: Some(200),
        keep_free_bytes: 0,
    });
    complete(&store, &first);
    let open = |model: &Model| Disk::OpenFile {
        file: model.file,
        length: model.bytes.len() as u64,
        map: model.map.clone(),
    };
    failed(
        store.execute(open(&second)),
        FailureKind::DiskFull,
        "a file of 129 bytes beside 129 that are needed, and the quota is 200",
    );
    assert_eq!(store.usage().unwrap().files, 1);
    // nobody needs the first any more
    let collect = Disk::Collect {
        keep: BTreeSet::from([second.file]),
    };
    let outcome = store.execute(collect);
    assert!(
        matches!(
            outcome,
            Outcome::Collected {
                files: 1,
                bytes: 129
            }
        ),
        "{outcome:?}"
    );
    complete(&store, &second);
    store.set_room(Room {
        quota_bytes: Some(1_000),
        keep_free_bytes: 1 << 30,
    });
    let third = Model::new(&[5], 64);
    third.open(&store);
    twin.with(|twin| twin.free_bytes = (1 << 30) + 63);
    failed(
        third.write(&store, 0),
        FailureKind::DiskFull,
        "64 bytes to write, 1073741887 free, 1073741824 of them kept back",
    );
    twin.with(|twin| twin.free_bytes += 1);
    written(third.write(&store, 0));
}

#[test]
fn what_was_used_last_is_known_after_a_restart() {
    let (store, twin) = on_twin();
    let models: Vec<Model> = (1..=4).map(|seed| Model::new(&[seed], 64)).collect();
    for model in &models {
        complete(&store, model);
    }
    let plans: Vec<SlotPlan> = [0, 1, 2]
        .map(|place| plan(place as u8, &[("m", &models[place])]))
        .into();
    // the first leaves its slot last of all
    activate(&store, &plans);
    drop(store);
    let store = reopen(&twin);
    let order = |store: &Store| {
        let mut files = store.restore().unwrap().files;
        files.sort_by_key(|file| file.used_s);
        let place = |file: Hash| models.iter().position(|model| model.file == file);
        files
            .into_iter()
            .filter_map(|one| place(one.file))
            .collect()
    };
    let found: Vec<usize> = order(&store);
    assert_eq!(found, [1, 2, 3, 0], "by a clock that stands");
    // what goes takes its mark along
    store.collect(&BTreeSet::new()).unwrap();
    complete(&store, &models[0]);
    drop(store);
    let found: Vec<usize> = order(&reopen(&twin));
    assert_eq!(found, [1, 2, 0]);
}

#[test]
fn what_nobody_knows_goes_with_the_rest() {
    let (store, twin) = on_twin();
    let (lost, kept) = (Model::new(&[1], 64), Model::new(&[2], 64));
    for model in [&lost, &kept] {
        model.open(&store);
        written(model.write(&store, 0));
    }
    // a kill before the first sync: the bytes lie there, and metadata knows neither
    drop(store);
    let store = reopen(&twin);
    assert_eq!(store.usage().unwrap().files, 0);
    let keep = BTreeSet::from([kept.file]);
    assert_eq!(store.collect(&keep).unwrap().files, 1);
    assert_eq!(lost.open(&store), []);
    assert_eq!(kept.open(&store).len(), 1, "it was wanted still");
}

#[test]
fn how_much_room_is_lacking_is_told() {
    let (store, twin) = on_twin();
    let lacking = |outcome: Outcome<Bytes>| match outcome {
        Outcome::Failed(failure) => failure.lacking_bytes,
        other => panic!("{other:?}"),
    };
    let (first, second) = (Model::new(&[1], 64), Model::new(&[2], 64));
    first.open(&store);
    store.set_room(Room {
        quota_bytes: Some(100),
        keep_free_bytes: 0,
    });
    let open = Disk::OpenFile {
        file: second.file,
        length: 64,
        map: second.map.clone(),
    };
    assert_eq!(lacking(store.execute(open)), Some(28));
    twin.with(|twin| twin.free_bytes = weft_store::RESERVE_BYTES + 60);
    assert_eq!(lacking(first.write(&store, 0)), Some(4));
}

#[test]
fn a_failed_sync_is_written_again() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1, 2], 64);
    model.open(&store);
    written(model.write(&store, 0));
    twin.with(|twin| twin.fail_sync = Some(SyncPoint::FileData));
    refused(
        store.execute(Disk::SyncFile(model.file)),
        "cannot sync /store/files/",
    );
    synced(store.execute(Disk::SyncFile(model.file)));
    drop(store);
    twin.with(|twin| twin.disk = twin.disk.crash(twin::Loss::All));
    let found = model.open(&reopen(&twin));
    assert!(
        found
            .iter()
            .any(|chunk| chunk.index == 0 && chunk.digest == model.map.chunks[0].hash)
    );
}

#[test]
fn a_full_disk_or_quota_is_told_apart_and_passes() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1, 2], 64);
    model.open(&store);
    for full in [true, false] {
        twin.with(|twin| {
            twin.free_bytes = if full { 1000 } else { u64::MAX };
            twin.fail_writes = (!full).then_some(122);
        });
        match model.write(&store, 0) {
            Outcome::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::DiskFull);
                assert!(failure.text.contains("/store/files/"), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    twin.with(|twin| twin.fail_writes = Some(5));
    refused(model.write(&store, 0), "os error 5");
    twin.with(|twin| twin.fail_writes = None);
    written(model.write(&store, 0));
    synced(store.execute(Disk::SyncFile(model.file)));
}

#[test]
fn a_file_cut_in_another_way_keeps_its_bytes() {
    let (store, twin) = on_twin();
    let model = Model::new(&[1, 2, 3], 64);
    complete(&store, &model);
    let halves = model.bytes.chunks(100).map(|bytes| ChunkEntry {
        length: bytes.len() as u32,
        hash: Hash::of(bytes),
    });
    let other = Model {
        map: Arc::new(ChunkMap {
            chunks: halves.collect(),
        }),
        ..model.clone()
    };
    assert_eq!(other.open(&store).len(), 2);
    synced(store.execute(Disk::CompleteFile(other.file)));
    drop(store);
    let restored = reopen(&twin).restore().unwrap();
    assert_eq!(
        (restored.files[0].map.len(), restored.files[0].complete),
        (2, true)
    );
}
