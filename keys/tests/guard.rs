//! A process that promises and is killed in the middle of it.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use weft_keys::{Guard, GuardError, Invitations, InvitationsError, Place, SecretKey, Series};
use zeroize::Zeroizing;

/// Where the child finds its folder; only a child has it.
const FOLDER: &str = "WEFT_TEST_GUARD_FOLDER";
/// More than any child is left the time for.
const MOST: u64 = 20_000;

fn place(seq: u64) -> Place {
    let series = Series {
        mesh_id: [1; 32],
        kind: 3,
        scope: "stable".to_owned(),
    };
    Place {
        series,
        epoch: 0,
        seq,
    }
}

fn id(seq: u64) -> [u8; 32] {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&seq.to_be_bytes());
    id
}

fn invitation(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// Tells the parent that something is on the disk, in one write.
fn tell(number: u64) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\ntold {number}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "the child of every_promise_that_was_told_survives_kill_9"]
fn child_that_promises() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let mut guard = Guard::open(&folder.join("signed")).unwrap();
    let first = guard.count() as u64;
    for seq in first..MOST {
        guard.promise(&place(seq), &id(seq)).unwrap();
        tell(seq);
    }
}

#[test]
#[ignore = "the child of every_use_that_was_told_survives_kill_9"]
fn child_that_marks_invitations() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let mut invitations = Invitations::open(&folder.join("invitations")).unwrap();
    let first = invitations.iter().count() as u64;
    let node = SecretKey::from_seed([1; 32]).public();
    for number in first..MOST {
        let id = invitation(number);
        invitations
            .issue(&id, Zeroizing::new([9; 32]), number, vec![1, 2])
            .unwrap();
        invitations.mark_used(&id, &node).unwrap();
        tell(number);
    }
}

/// Runs a child until it told this much, kills it, and gives all that it told.
fn killed(child: &str, folder: &Path, after: usize) -> Vec<u64> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", child])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("told ").count() < after {
        assert_ne!(out.read_line(&mut text).unwrap(), 0, "it ended: {text}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    out.read_to_string(&mut text).unwrap();
    // the last line may have been cut
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_prefix("told ")?.strip_suffix('\n'))
        .map(|number| number.parse().unwrap())
        .collect()
}

#[test]
fn every_promise_that_was_told_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    for round in 1..=6 {
        told.extend(killed("child_that_promises", folder.path(), round * 7));
        let mut guard = Guard::open(&folder.path().join("signed")).unwrap();
        assert!(guard.count() >= told.len());
        for seq in &told {
            guard.promise(&place(*seq), &id(*seq)).unwrap();
            let other = guard.promise(&place(*seq), &[0; 32]);
            assert!(
                matches!(other, Err(GuardError::AlreadySigned { id: is, .. }) if is == id(*seq)),
                "{seq}: {other:?}"
            );
        }
    }
    assert!(told.len() >= 7 * (1 + 2 + 3 + 4 + 5 + 6), "{}", told.len());
}

#[test]
fn every_use_that_was_told_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let other = SecretKey::from_seed([2; 32]).public();
    let mut told = Vec::new();
    for round in 1..=4 {
        told.extend(killed(
            "child_that_marks_invitations",
            folder.path(),
            round * 7,
        ));
        let mut invitations = Invitations::open(&folder.path().join("invitations")).unwrap();
        for number in &told {
            let known = invitations.get(&invitation(*number)).unwrap();
            assert_eq!((known.expires_s, &known.issue), (*number, &vec![1, 2]));
            let refused = invitations.mark_used(&invitation(*number), &other);
            assert!(
                matches!(refused, Err(InvitationsError::AlreadyUsed { .. })),
                "{number}: {refused:?}"
            );
        }
    }
    assert!(told.len() >= 7 * (1 + 2 + 3 + 4), "{}", told.len());
}
