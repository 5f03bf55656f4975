//! A real process that is killed again and again while it fetches and switches.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use weft_core::{Disk, Outcome};
use weft_record::Hash;
use weft_store::Store;

use super::{
    scenario::{Model, channel, plan, staged, switched, synced, written},
    twin::Random,
};

const FOLDER: &str = "WEFT_TEST_STORE";
const KILLS: u64 = 24;
const CHUNK_BYTES: usize = 4000;
/// Many small steps a release, so that no machine is through with all releases
/// before the last kill.
const CHUNKS: u64 = 48;

/// Release `number`: half of its chunks are also in the one before.
fn model(number: u64) -> Model {
    let seeds = (0..CHUNKS).map(|place| {
        if place % 2 == 0 {
            place
        } else {
            number * 100 + place
        }
    });
    Model::new(&seeds.collect::<Vec<_>>(), CHUNK_BYTES)
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "ack {line}").unwrap();
    output.flush().unwrap();
}

/// What the test starts and kills.
fn child(folder: &Path) {
    let store = Store::open(folder).unwrap();
    say("open");
    let slots = store.restore().unwrap().slots;
    let active = slots.first().and_then(|(_, slots)| slots.active.as_ref());
    let first = active.map_or(1, |plan| u64::from(plan.head.0[0]) + 1);
    for number in first..200 {
        let model = model(number);
        let found = model.open(&store).into_iter();
        let good =
            found.filter(|chunk| chunk.digest == model.map.chunks[chunk.index as usize].hash);
        let good = good
            .map(|chunk| chunk.index as usize)
            .collect::<BTreeSet<_>>();
        for index in 0..model.map.len() {
            if !good.contains(&index) {
                written(model.write(&store, index));
            }
            if index % 4 == 3 {
                synced(store.execute(Disk::SyncFile(model.file)));
                say(&format!("synced {number} {index}"));
            }
        }
        synced(store.execute(Disk::CompleteFile(model.file)));
        staged(store.execute(Disk::Stage(plan(number as u8, &[("model.gguf", &model)]))));
        switched(store.execute(Disk::Activate(channel())));
        say(&format!("active {number}"));
        store.collect(&BTreeSet::new()).unwrap();
    }
    // a very fast machine waits here for its kill
    thread::sleep(Duration::from_secs(10));
}

#[test]
fn killed_again_and_again_it_loses_nothing_it_acknowledged() {
    if let Some(folder) = env::var_os(FOLDER) {
        return child(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let folder: PathBuf = folder.path().join("store");
    let mut random = Random(20_261_123);
    let (mut active, mut synced, mut acknowledged) = (0, (0, 0), 0);
    for _ in 0..KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["kill::killed_again_and_again_it_loses_nothing_it_acknowledged"])
            .args(["--exact", "--nocapture"])
            .env(FOLDER, &folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = thread::spawn(move || {
            // libtest writes the test's name before the first line
            let lines = lines.map_while(Result::ok);
            lines
                .filter_map(|line| Some(line.split_once("ack ")?.1.to_owned()))
                .collect::<Vec<_>>()
        });
        thread::sleep(Duration::from_millis(20 + random.next() % 150));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        for line in reader.join().unwrap() {
            acknowledged += 1;
            let words = line.split(' ').collect::<Vec<_>>();
            match words[..] {
                ["active", number] => active = number.parse().unwrap(),
                ["synced", number, index] => {
                    synced = (number.parse().unwrap(), index.parse().unwrap());
                }
                // opened, or a line that was cut with the pipe
                _ => {}
            }
        }
        // what was switched and not yet acknowledged counts from here on
        active = check(&folder, active, synced);
    }
    assert!(
        acknowledged > KILLS && active > 2,
        "{acknowledged} acknowledged, release {active} active"
    );
    println!("{KILLS} kills, {acknowledged} acknowledgements, release {active} active");
}

fn check(folder: &Path, active: u64, synced: (u64, u32)) -> u64 {
    let store = Store::open(folder).unwrap();
    let restored = store.restore().unwrap();
    let slots = restored
        .slots
        .first()
        .map(|(_, slots)| slots.clone())
        .unwrap_or_default();
    let now = slots
        .active
        .as_ref()
        .map_or(0, |plan| u64::from(plan.head.0[0]));
    assert!(
        now == active || now == active + 1,
        "release {now} is active, {active} was acknowledged"
    );
    for plan in [&slots.active, &slots.previous, &slots.staged]
        .into_iter()
        .flatten()
    {
        let bytes = fs::read(store.slot_dir(plan).join("model.gguf")).unwrap();
        assert_eq!(Hash::of(&bytes), plan.files[0].1);
    }
    let (number, last) = synced;
    // an older release may be collected by now
    if number > now.saturating_sub(1) {
        let model = model(number);
        for index in 0..=last {
            match store.execute(Disk::ReadChunk(model.chunk_ref(index as usize))) {
                Outcome::Chunk(Some(bytes)) => assert_eq!(bytes, model.chunk(index as usize)),
                other => panic!("chunk {index} of release {number}: {other:?}"),
            }
        }
    }
    now
}
