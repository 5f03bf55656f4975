//! A disk that really is full: a small tmpfs in a namespace of its own.

use std::{env, fs, path::Path, process::Command};

use weft_core::{Disk, FailureKind, Outcome};
use weft_store::Store;

use super::scenario::{Model, synced, written};

const FOLDER: &str = "WEFT_TEST_SMALL_DISK";
const DISK_BYTES: usize = 12 << 20;
const CHUNK_BYTES: usize = 256 << 10;

fn is_full(outcome: &Outcome<bytes::Bytes>) -> bool {
    match outcome {
        Outcome::Failed(failure) => {
            assert_eq!(failure.kind, FailureKind::DiskFull, "{failure:?}");
            true
        }
        _ => false,
    }
}

/// What the test runs inside the namespace.
fn on_the_small_disk(folder: &Path) {
    let ballast = folder.join("ballast");
    let open = || Store::open(&folder.join("store")).unwrap();
    let model = Model::new(&(0..60).collect::<Vec<_>>(), CHUNK_BYTES);
    let store = open();
    let record = |number: u32| vec![[number.to_le_bytes().as_slice(), &[7; 3000]].concat()];
    assert!(matches!(
        store.execute(Disk::SaveRecords(record(0))),
        Outcome::Saved
    ));

    // chunks stop while there is still room for metadata
    model.open(&store);
    let full = (0..model.map.len())
        .find(|&index| is_full(&model.write(&store, index)))
        .expect("it never filled");
    assert!(full > 4, "only {full} chunks");
    synced(store.execute(Disk::SyncFile(model.file)));
    assert!(matches!(
        store.execute(Disk::SaveRecords(record(1))),
        Outcome::Saved
    ));

    // somebody else takes the rest
    let mut rest = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut rest, &[1; 4096]).is_ok() {}
    let mut saved = 2;
    while saved < 2000 {
        if is_full(&store.execute(Disk::SaveRecords(record(saved)))) {
            break;
        }
        saved += 1;
    }
    assert!(saved < 2000, "metadata never filled");
    assert!(is_full(&model.write(&store, full)));

    // there is space again, and the same process goes on
    fs::remove_file(&ballast).unwrap();
    drop(rest);
    assert!(matches!(
        store.execute(Disk::SaveRecords(record(saved))),
        Outcome::Saved
    ));
    let Outcome::Chunk(Some(first)) = store.execute(Disk::ReadChunk(model.chunk_ref(0))) else {
        panic!("lost")
    };
    assert_eq!(first, model.chunk(0));
    drop(store);

    let store = open();
    let records = store.restore().unwrap().records;
    for number in 0..=saved {
        assert!(records.contains(&record(number)[0]), "record {number}");
    }
    let found = model.open(&store);
    let good = found
        .iter()
        .filter(|chunk| chunk.digest == model.map.chunks[chunk.index as usize].hash);
    assert_eq!(good.count(), full);

    // with fewer chunks to hold the file would fit: a small one does
    let small = Model::new(&[1000], 1000);
    small.open(&store);
    let outcome = small.write(&store, 0);
    if !is_full(&outcome) {
        written(outcome);
    }
    println!("full after {full} chunks and {saved} records");
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    if let Some(folder) = env::var_os(FOLDER) {
        return on_the_small_disk(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path();
    let mount = format!(
        "mount -t tmpfs -o size={DISK_BYTES} tmpfs '{}'",
        disk.display()
    );
    let inside = |script: &str| {
        Command::new("unshare")
            .args(["-Urnm", "sh", "-c", script])
            .output()
    };
    let refused = match inside(&mount) {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(reason) = refused {
        println!("SKIPPED full_disk::a_full_disk_loses_nothing_and_passes: {reason}");
        return;
    }
    let test = env::current_exe().unwrap();
    let script = format!(
        "{mount} && {FOLDER}='{}' exec '{}' full_disk::a_full_disk_loses_nothing_and_passes --exact --nocapture",
        disk.display(),
        test.display()
    );
    let output = inside(&script).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("full after"), "{text}");
    assert!(
        Path::new(disk).read_dir().unwrap().next().is_none(),
        "the disk was this machine's own"
    );
}
