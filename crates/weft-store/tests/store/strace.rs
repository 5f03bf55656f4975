//! The real file system does what the twin's log says, in the same order.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use weft_store::Store;

use super::{
    power::{self, record},
    scenario,
    twin::Step,
};

const FOLDER: &str = "WEFT_TEST_STRACED_STORE";
const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,\
    unlinkat,rmdir,mkdir,mkdirat,pwrite64,ftruncate";

#[test]
fn the_real_disk_sees_the_same_order_as_the_twin() {
    // what is traced is this test, started again
    if let Some(folder) = env::var_os(FOLDER) {
        return scenario::run(&|| Store::open(Path::new(&folder)).unwrap(), &|_| {});
    }
    if Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!(
            "SKIPPED strace::the_real_disk_sees_the_same_order_as_the_twin: strace is not installed"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (above, trace) = (
        folder.path().canonicalize().unwrap(),
        folder.path().join("trace"),
    );
    // under `above` the paths are those of the twin, and both logs are compared as they are
    let store = above.join(power::FOLDER.trim_start_matches('/'));
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "0", "-o"])
        .arg(&trace)
        .args(["-e", CALLS])
        .arg(env::current_exe().unwrap())
        .args([
            "strace::the_real_disk_sees_the_same_order_as_the_twin",
            "--exact",
        ])
        .env(FOLDER, &store)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && text.contains("ptrace") {
        println!(
            "SKIPPED strace::the_real_disk_sees_the_same_order_as_the_twin: {}",
            text.trim()
        );
        return;
    }
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stdout)
    );

    let real = calls(&fs::read_to_string(&trace).unwrap(), &above);
    let expected = record(true, None)
        .iter()
        .filter_map(expected)
        .collect::<Vec<_>>();
    // sled syncs its log now and then by itself: of several in a row one counts
    let mut real = real.into_iter().peekable();
    for (number, call) in expected.iter().enumerate() {
        if call == FLUSH {
            assert_eq!(
                real.next().as_deref(),
                Some(FLUSH),
                "call {number} of the twin"
            );
            continue;
        }
        while real.peek().is_some_and(|next| next == FLUSH) {
            real.next();
        }
        assert_eq!(
            real.next().as_ref(),
            Some(call),
            "call {number} of the twin"
        );
    }
    while real.peek().is_some_and(|next| next == FLUSH) {
        real.next();
    }
    assert_eq!(real.next(), None, "the real store does more than the twin");
    println!("{} calls in the same order", expected.len());
}

/// A sync of the metadata that the drive itself has confirmed.
const FLUSH: &str = "flush";

/// The calls that concern the store, as `name path`, without those inside sled.
fn calls(trace: &str, above: &Path) -> Vec<String> {
    let above = above.to_str().unwrap();
    let meta = "/store/meta/";
    let mut unfinished: std::collections::HashMap<&str, String> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (process, line) = line.split_once(' ').unwrap();
        let line = line.trim_start();
        // a call that another thread interrupted comes in two lines
        let line = if let Some(start) = line.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, start.to_owned());
            continue;
        } else if line.starts_with("<... ") {
            let Some(start) = unfinished.remove(process) else {
                continue;
            };
            start + line.split_once("resumed>").unwrap().1
        } else {
            line.to_owned()
        };
        let Some((name, rest)) = line.split_once('(') else {
            continue;
        };
        let failed = line.contains(" = -1 ");
        if failed || !rest.contains(above) {
            continue;
        }
        let paths = rest
            .split(above)
            .skip(1)
            .map(|rest| rest.split(['"', '>']).next().unwrap());
        let paths = paths.collect::<Vec<_>>();
        if paths[0].starts_with(meta) {
            if name == "fdatasync" && paths[0] == "/store/meta/db" {
                calls.push(FLUSH.to_owned());
            }
            continue;
        }
        if paths[0] == "/store/lock" {
            continue;
        }
        let name = match name {
            "mkdir" | "mkdirat" => "folder",
            "pwrite64" => "write",
            "ftruncate" => "length",
            "rename" | "renameat" | "renameat2" => "rename",
            "link" | "linkat" => "link",
            "unlink" | "unlinkat" | "rmdir" => "remove",
            "fsync" => "sync-folder",
            "fdatasync" => "sync-file",
            other => panic!("{other} of {paths:?}"),
        };
        let root = |path: &&str| {
            if path.is_empty() {
                "/".to_owned()
            } else {
                (*path).to_owned()
            }
        };
        calls.push(format!(
            "{name} {}",
            paths.iter().map(root).collect::<Vec<_>>().join(" ")
        ));
    }
    calls
}

/// The same, of the twin's log. Writes and lengths name an inode there.
fn expected(step: &Step) -> Option<String> {
    let text = match step {
        // sled makes its folder's files by itself, and a create is no call of its own here
        Step::Create { .. } | Step::Apply { .. } | Step::Promise(_) => return None,
        Step::Folder { path, .. } => format!("folder {}", path.display()),
        Step::Write { path, .. } => format!("write {}", path.display()),
        Step::Length { path, .. } => format!("length {}", path.display()),
        Step::Rename { from, to } => format!("rename {} {}", from.display(), to.display()),
        Step::Link { original, link } => format!("link {} {}", original.display(), link.display()),
        Step::Remove { path } => format!("remove {}", path.display()),
        Step::SyncFile { path, .. } => format!("sync-file {}", path.display()),
        Step::SyncFolder { path, .. } => format!("sync-folder {}", path.display()),
        Step::Flush { .. } => FLUSH.to_owned(),
    };
    Some(text)
}
