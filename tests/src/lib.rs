//! End to end: the command `weft` and the processes it starts, from outside.
//!
//! This crate is the harness; the tests are in `tests/`.
// a harness panics where a test would
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub mod streets;

/// Longest wait for anything: a loaded machine of two cores is slow, never that slow.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The binary that was built beside the tests.
pub fn weft() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let release = test.ancestors().nth(2).unwrap();
    let weft = release.join("weft");
    assert!(
        weft.is_file(),
        "{} is missing: build the workspace first",
        weft.display()
    );
    weft
}

/// The demo's model in this version: a Hugging Face directory.
pub fn asset(version: &str) -> PathBuf {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/weft/assets");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&assets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("config.json").is_file())
        .filter(|path| path.to_string_lossy().ends_with(version))
        .collect();
    found
        .pop()
        .unwrap_or_else(|| panic!("no model {version} in {}", assets.display()))
}

/// Where nobody listened a moment ago: a node that comes back must be where it was.
pub fn free_address() -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port())
}

/// Says by name that this machine does not allow a test.
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
}

/// A folder with some nodes' homes.
pub struct Site {
    dir: tempfile::TempDir,
    /// Each home is in the network namespace of its name.
    in_namespaces: bool,
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.stderr))
    }

    /// Asserts the exit code, showing what was said.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)] // an assertion above all
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            in_namespaces: false,
        }
    }

    /// Each home is in the network namespace of its name, whose nodes listen here.
    pub fn in_namespaces() -> Self {
        Self {
            in_namespaces: true,
            ..Self::new()
        }
    }

    fn command(&self, home: &str) -> Command {
        // packing needs no network, and has no home
        if self.in_namespaces && home != "pack" {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", home]).arg(weft());
            command
        } else {
            Command::new(weft())
        }
    }

    fn listen(&self) -> [&'static str; 3] {
        let address = if self.in_namespaces {
            streets::LISTEN
        } else {
            "/ip4/127.0.0.1/tcp/0"
        };
        ["--no-mdns", "--listen", address]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `weft --dir HOME …` to its end.
    pub fn weft(&self, home: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(home);
        command.arg("--dir").arg(self.path(home)).args(arguments);
        ended(command.stdin(Stdio::null()).output().unwrap())
    }

    /// The same with `--json`, which must succeed.
    pub fn json(&self, home: &str, arguments: &[&str]) -> Value {
        self.weft(home, &[&["--json"], arguments].concat())
            .expect(0)
            .json()
    }

    /// Makes a mesh; its id.
    pub fn init(&self, home: &str) -> String {
        self.init_following(home, &[])
    }

    /// The same, with these flags.
    pub fn init_following(&self, home: &str, flags: &[&str]) -> String {
        let made = self.json(
            home,
            &[&["mesh", "init"][..], &self.listen(), flags].concat(),
        );
        made["mesh_id"].as_str().unwrap().to_owned()
    }

    /// An invitation of the admin's node, which need not run; it names these members.
    pub fn invite(&self, admin: &str, members: &[String]) -> String {
        let mut arguments = vec!["mesh", "invite", "--expires", "1h"];
        for member in members {
            arguments.extend(["--address", member]);
        }
        let made = self.json(admin, &arguments);
        made["invitation"].as_str().unwrap().to_owned()
    }

    /// Makes the home of a node that joins as soon as it runs and finds a member.
    pub fn join(&self, home: &str, admin: &str, members: &[String]) {
        self.join_with(home, &self.invite(admin, members));
    }

    /// The same with an invitation that is here.
    pub fn join_with(&self, home: &str, invitation: &str) {
        self.join_following(home, invitation, &[]);
    }

    /// The same, with these flags.
    pub fn join_following(&self, home: &str, invitation: &str, flags: &[&str]) {
        let join = ["mesh", "join", invitation];
        self.json(home, &[&join[..], &self.listen(), flags].concat());
    }

    /// Waits until a node belongs to its mesh.
    pub fn wait_member(&self, home: &str) -> Value {
        self.wait(home, "it is a member", |status| {
            status["standing"] == "member"
        })
    }

    /// Starts a node and waits until it answers.
    pub fn up(&self, home: &str, flags: &[&str]) -> Node {
        let node = self.start(home, flags);
        self.wait(home, "the node answers", |status| {
            status["addresses"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        });
        node
    }

    /// Starts a node.
    pub fn start(&self, home: &str, flags: &[&str]) -> Node {
        let mut command = self.command(home);
        command
            .arg("--dir")
            .arg(self.path(home))
            .arg("up")
            .args(flags);
        let log = std::fs::File::create(self.path(&format!("{home}.log"))).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env("WEFT_LOG", "info");
        Node {
            child: Some(command.spawn().unwrap()),
            home: home.to_owned(),
        }
    }

    /// What the node tells, if it runs.
    pub fn status(&self, home: &str) -> Option<Value> {
        let told = self.weft(home, &["--json", "status"]);
        (told.code == 0).then(|| told.json())
    }

    /// Waits until the node tells what is hoped for.
    pub fn wait(&self, home: &str, what: &str, hoped: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < PATIENCE {
            last = self.status(home);
            if let Some(status) = last.as_ref().filter(|status| hoped(status)) {
                return status.clone();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut log = String::new();
        if let Ok(mut file) = std::fs::File::open(self.path(&format!("{home}.log"))) {
            let _ = file.read_to_string(&mut log);
        }
        panic!("{home}: {what}, not within {PATIENCE:?}; last: {last:?}\nlog:\n{log}");
    }

    /// Waits until this version is active and answers.
    pub fn wait_active(&self, home: &str, version: &str) -> Value {
        self.wait(home, &format!("{version} is active"), |status| {
            active(status) == version
        })
    }

    /// Where the node listens, with its peer id.
    pub fn address(&self, home: &str) -> String {
        self.status(home).unwrap()["addresses"][0]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Packs the demo's model in this version; the bundle's path.
    pub fn pack(&self, version: &str) -> String {
        self.pack_from(version, version, "q8_0", &[])
    }

    /// The same; nodes that have this bundle's release fetch a delta.
    pub fn pack_on(&self, version: &str, base: &str) -> String {
        self.pack_from(version, version, "q8_0", &["--base", base])
    }

    /// The demo's model in one version and quantization, under the name of another version.
    pub fn pack_as(&self, version: &str, of: &str, quantization: &str) -> String {
        self.pack_from(version, of, quantization, &[])
    }

    fn pack_from(&self, version: &str, of: &str, quantization: &str, base: &[&str]) -> String {
        let bundle = self
            .path(&format!("{version}.weft"))
            .to_string_lossy()
            .into_owned();
        let source = asset(of).to_string_lossy().into_owned();
        let name = ["--name", "incident", "--version", version];
        let flags = ["--quantization", quantization, "--out", &bundle];
        self.json(
            "pack",
            &[&["release", "pack", &source][..], &name, &flags, base].concat(),
        );
        bundle
    }

    /// Publishes a bundle at this node with its own admin key.
    pub fn publish(&self, home: &str, bundle: &str) -> Ended {
        let key = self
            .path(home)
            .join("admin.key")
            .to_string_lossy()
            .into_owned();
        self.weft(
            home,
            &["--json", "release", "publish", bundle, "--key", &key],
        )
    }
}

/// The version that is active and answers, or nothing.
pub fn active(status: &Value) -> &str {
    let model = &status["models"][0];
    if model["answering"] == true {
        model["active"]["version"].as_str().unwrap_or("")
    } else {
        ""
    }
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running node; killed when it goes.
pub struct Node {
    child: Option<Child>,
    pub home: String,
}

impl Node {
    /// kill -9.
    pub fn kill(mut self) {
        self.end();
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}
