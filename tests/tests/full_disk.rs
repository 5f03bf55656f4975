//! A node on a full disk, over real processes: it waits and goes on.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use weft_tests::{PATIENCE, Site, active, skip, weft};

/// A namespace with a small disk in it and a node that fetches onto that disk.
struct SmallDisk(Child);

impl SmallDisk {
    /// Its process, once the node on the disk answers; none where that is not allowed.
    fn start(disk: &Path, size: &str, flags: &str, join: &[&str]) -> Option<Self> {
        fs::create_dir(disk).unwrap();
        // each line that comes is done in the namespace; the end of them ends it
        let script = "mount -t tmpfs -o size=$SIZE tmpfs \"$DISK\" || exit 77
            \"$WEFT\" --dir \"$DISK/n\" mesh join \"$@\" >/dev/null || exit 1
            up() { \"$WEFT\" --dir \"$DISK/n\" up $FLAGS >/dev/null 2>>\"$DISK.log\" & node=$!; }
            up
            while read line; do eval \"$line\"; done
            kill -9 $node; wait $node";
        let child = Command::new("unshare")
            .args(["-Urm", "sh", "-c", script, "sh"])
            .args(join)
            .env("WEFT", weft())
            .env("DISK", disk)
            .env("SIZE", size)
            .env("FLAGS", flags)
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

    /// Has the shell in the namespace do something.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.0.stdin.as_mut().unwrap(), "{line}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
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
    let Some(mut small) = SmallDisk::start(&disk, "1000k", "", &join) else {
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
    small.say("mount -o remount,size=64m \"$DISK\"");
    let status = site.wait_active(&home, "1.0.0");
    let fetch = &status["channels"][0]["fetch"];
    assert_eq!(fetch["bytes_held"], fetch["bytes_total"], "{fetch}");
    still_answers(&site, &home, "1.0.0");
}

#[test]
fn a_disk_that_fills_at_seventy_percent_costs_no_chunk_a_second_time() {
    const NAME: &str = "a_disk_that_fills_at_seventy_percent_costs_no_chunk_a_second_time";
    let site = Site::new();
    site.init("a");
    let _node = site.up("a", &[]);
    let disk = site.path("disk");
    let invitation = site.invite("a", &[site.address("a")]);
    let join = [
        &*invitation,
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    // slow enough that the disk can be filled in the middle
    let cap = "--lan-fetch-cap 600kB/s";
    let Some(mut small) = SmallDisk::start(&disk, "64m", cap, &join) else {
        return skip(NAME, "no mount namespace");
    };
    let home = small.home(&disk).to_str().unwrap().to_owned();
    site.wait_member(&home);
    site.publish("a", &site.pack_as("1.0.0", "1.0.0", "f32"))
        .expect(0);
    let figure = |status: &Value, name: &str| {
        let fetch = &status["channels"][0]["fetch"];
        fetch[name].as_u64().unwrap_or(0)
    };
    let is_near = |status: &Value| {
        let total = figure(status, "bytes_total");
        total > 0 && figure(status, "bytes_held") * 10 >= total * 7
    };
    site.wait(&home, "seventy percent are here", is_near);
    // somebody else takes the disk, but for what weft leaves alone for itself
    small.say("head -c 90m /dev/zero > \"$DISK/ballast\"; truncate -s -3m \"$DISK/ballast\"");
    let status = site.wait(&home, "the status says why", |status| {
        let reason = status["channels"][0]["reason"].as_str().unwrap_or_default();
        reason.contains("no space left")
    });
    let total = figure(&status, "bytes_total");
    assert!(figure(&status, "bytes_held") * 10 < total * 9, "{status}");
    // longer than what was written stays without a sync
    std::thread::sleep(Duration::from_secs(3));
    let status = site.status(&home).unwrap();
    let (held, came) = (
        figure(&status, "bytes_held"),
        figure(&status, "bytes_fetched"),
    );
    assert_eq!(held, came);

    // a restart on the full disk asks for nothing that is here
    small.say("kill -9 $node; wait $node; up");
    let status = site.wait(&home, "it finds what is here", |status| {
        figure(status, "bytes_held") >= held
    });
    assert_eq!(figure(&status, "bytes_resumed"), held, "{status}");
    small.say("rm \"$DISK/ballast\"");
    let status = site.wait_active(&home, "1.0.0");
    assert_eq!(figure(&status, "bytes_resumed"), held, "{status}");
    assert_eq!(figure(&status, "bytes_fetched"), total - held, "{status}");
    assert_eq!(figure(&status, "bytes_duplicate"), 0, "{status}");
    // nor did it come and was thrown away
    let received = status["traffic"]["lan_bytes_in"].as_u64().unwrap();
    let map_and_frames = 64 * 1024;
    assert!(received <= total - held + map_and_frames, "{status}");
    still_answers(&site, &home, "1.0.0");
}

/// The node still answers from the version it had.
fn still_answers(site: &Site, home: &str, version: &str) {
    let status = site.status(home).unwrap();
    assert_eq!(active(&status), version, "{status}");
    let answer = site.weft(home, &["run", "incident", "FAN-7 vib 9mm/s>4"]);
    assert!(answer.expect(0).stdout.contains("component="));
}
