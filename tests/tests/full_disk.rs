//! A node on a full disk, over real processes: it waits and goes on.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use weft_tests::{PATIENCE, Site, active, skip, weft};

/// A namespace with a small disk in it and a node that fetches onto that disk.
struct SmallDisk(Child);

impl SmallDisk {
    /// Its process, once the disk is mounted; none where that is not allowed.
    fn start(disk: &Path, join: &[&str]) -> Option<Self> {
        fs::create_dir(disk).unwrap();
        // `read` waits for a line: then there is room again; a second ends it
        let script = "mount -t tmpfs -o size=1000k tmpfs \"$DISK\" || exit 77
            \"$WEFT\" --dir \"$DISK/n\" mesh join \"$@\" >/dev/null || exit 1
            \"$WEFT\" --dir \"$DISK/n\" up >/dev/null 2>\"$DISK.log\" & node=$!
            read line && mount -o remount,size=64m \"$DISK\"
            read line; kill -9 $node; wait $node";
        let child = Command::new("unshare")
            .args(["-Urm", "sh", "-c", script, "sh"])
            .args(join)
            .env("WEFT", weft())
            .env("DISK", disk)
            .env("WEFT_LOG", "info")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut disk_of = Self(child);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if disk_of.0.try_wait().unwrap().is_some() {
                return None;
            }
            if disk_of.home(disk).join("api.json").exists() {
                return Some(disk_of);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the node on the small disk did not start");
    }

    /// The node's folder as seen from outside of the namespace.
    fn home(&self, disk: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.0.id()));
        root.join(disk.strip_prefix("/").unwrap()).join("n")
    }

    fn line(&mut self) {
        let _ = writeln!(self.0.stdin.as_mut().unwrap());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.line();
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_with_a_full_disk_waits_and_goes_on_when_there_is_room() {
    let site = Site::new();
    site.init("a");
    let _node = site.up("a", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    let disk = site.path("disk");
    let invitation = site.invite("a", &[]);
    let join = [
        &*invitation,
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let Some(mut small) = SmallDisk::start(&disk, &join) else {
        return skip(
            "a_node_with_a_full_disk_waits_and_goes_on_when_there_is_room",
            "no mount namespace",
        );
    };
    let home = small.home(&disk).to_str().unwrap().to_owned();
    // it lives, tells why it waits, and the others are unharmed
    let status = site.wait(&home, "the status says why", |status| {
        let reason = status["channels"][0]["reason"].as_str().unwrap_or_default();
        reason.contains("no space left")
    });
    assert_eq!(active(&status), "", "{status}");
    still_answers(&site, "a", "1.0.0");
    small.line();
    let status = site.wait_active(&home, "1.0.0");
    let fetch = &status["channels"][0]["fetch"];
    assert_eq!(fetch["bytes_held"], fetch["bytes_total"], "{fetch}");
    still_answers(&site, &home, "1.0.0");
}

/// The node still answers from the version it had.
fn still_answers(site: &Site, home: &str, version: &str) {
    let status = site.status(home).unwrap();
    assert_eq!(active(&status), version, "{status}");
    let answer = site.weft(home, &["run", "incident", "FAN-7 vib 9mm/s>4"]);
    assert!(answer.expect(0).stdout.contains("component="));
}
