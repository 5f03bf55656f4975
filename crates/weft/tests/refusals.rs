//! Bad input, one process each: the exit code, three lines, and nothing lost.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// Runs weft with a folder of its own.
fn weft(directory: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft"))
        .arg("--dir")
        .arg(directory)
        .args(words)
        .env_remove("WEFT_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs weft, which must fail with this code and say something like this.
fn refused(directory: &Path, words: &[&str], exit: i32, says: &str) {
    let output = weft(directory, words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {text}");
    assert!(text.contains(says), "{words:?}: {text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("error: "), "{text}");
    assert!(lines[1].starts_with("  why: "), "{text}");
    assert!(lines[2].starts_with("  next: "), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
    assert!(output.stdout.is_empty());
}

/// Runs weft, which must succeed; its object.
fn object(directory: &Path, words: &[&str]) -> serde_json::Value {
    let output = weft(directory, &[&["--json"], words].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words:?}: {text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], 1, "{text}");
    value
}

fn asset() -> PathBuf {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let mut folders: Vec<PathBuf> = fs::read_dir(assets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.remove(0)
}

fn init(directory: &Path) -> serde_json::Value {
    object(
        directory,
        &[
            "mesh",
            "init",
            "--no-mdns",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ],
    )
}

/// A node that ends with this value.
struct Up(Child);

impl Up {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
            .arg("--dir")
            .arg(directory)
            .args([
                "--json",
                "-q",
                "up",
                "--end-with",
                &std::process::id().to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("\"api\""), "the node did not start: {line}");
        Self(child)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_6() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("admin.key");
    let name = key.to_str().unwrap();
    let made = object(folder.path(), &["key", "new", name]);
    let shown = object(folder.path(), &["key", "show", name]);
    assert_eq!(made["public_key"], shown["public_key"]);
    refused(folder.path(), &["key", "new", name], 6, "never overwritten");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused(folder.path(), &["key", "show", name], 6, "its mode is 0640");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    refused(folder.path(), &["key", "show", name], 5, "cannot be used");
}

#[test]
fn a_truncated_gguf_is_refused_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    let name = file.to_str().unwrap();
    let source = asset();
    object(
        folder.path(),
        &[
            "model",
            "quantize",
            source.to_str().unwrap(),
            name,
            "--to",
            "q4_0",
        ],
    );
    let inspected = object(folder.path(), &["model", "inspect", name]);
    assert!(inspected["parameters"].as_u64().unwrap() > 100_000);
    let whole = fs::read(&file).unwrap();
    for share in [2, 3] {
        fs::write(&file, &whole[..whole.len() / share]).unwrap();
        refused(
            folder.path(),
            &["model", "inspect", name],
            5,
            "cannot be opened as a model",
        );
    }
    let out = folder.path().join("x.weft");
    let words = [
        "release",
        "pack",
        name,
        "--name",
        "x",
        "--version",
        "1.0.0",
        "--out",
    ];
    refused(
        folder.path(),
        &[&words[..], &[out.to_str().unwrap()]].concat(),
        5,
        "model.gguf",
    );
    assert!(!out.exists());
    refused(
        folder.path(),
        &["model", "logits", name, "--tokens", "1"],
        5,
        "model.gguf",
    );
}

#[test]
fn a_safetensors_header_that_lies_about_its_size_is_refused_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(asset()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let weights = model.join("model.safetensors");
    let honest = fs::read(&weights).unwrap();
    for lie in [u64::MAX, honest.len() as u64 * 2, 8] {
        let mut bytes = honest.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        fs::write(&weights, &bytes).unwrap();
        let words = ["model", "inspect", model.to_str().unwrap()];
        refused(folder.path(), &words, 5, "model.safetensors");
    }
}

#[test]
fn what_is_not_there_is_4_and_a_node_that_does_not_run_is_3() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    refused(&home, &["up"], 4, "there is no node in");
    init(&home);
    refused(&home, &["mesh", "init"], 6, "already holds a node");
    refused(&home, &["status"], 3, "no node runs in");
    refused(&home, &["run", "incident", "hello"], 3, "no node runs in");
    refused(&home, &["show", "nothing"], 4, "no release `nothing`");
    refused(&home, &["bundle", "export", "-"], 4, "nothing was written");
    let listed = object(&home, &["list"]);
    assert_eq!(listed["releases"].as_array().unwrap().len(), 0);
    let _up = Up::start(&home);
    refused(
        &home,
        &["run", "nothing", "hello"],
        4,
        "`nothing` is not active",
    );
    refused(&home, &["up"], 6, "already runs");
    let status = object(&home, &["status"]);
    assert_eq!(status["channels"][0]["channel"], "stable");
}

#[test]
fn a_port_in_use_is_7() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        folder.path(),
        &["-q", "up", "--api", &address],
        7,
        "another program uses this port",
    );
    let listen = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    refused(
        folder.path(),
        &["-q", "up", "--listen", &listen],
        7,
        "did not start",
    );
    refused(folder.path(), &["up", "--api", "0.0.0.0:0"], 6, "loopback");
}

#[test]
fn only_the_mesh_s_own_key_can_publish_and_a_pack_is_no_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    let made = init(&home);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pack, key) = (path("model.weft"), path("other.key"));
    let source = asset();
    let words = [
        "release",
        "pack",
        source.to_str().unwrap(),
        "--name",
        "m",
        "--version",
        "1.0.0",
    ];
    object(
        &home,
        &[&words[..], &["--no-probe", "--out", &pack]].concat(),
    );
    refused(
        &home,
        &[&words[..], &["--no-probe", "--out", &pack]].concat(),
        6,
        "was not written",
    );
    let bad = [
        "release",
        "pack",
        source.to_str().unwrap(),
        "--name",
        "m",
        "--version",
        "new",
    ];
    refused(
        &home,
        &[&bad[..], &["--out", &path("bad.weft")]].concat(),
        2,
        "cannot be a release",
    );
    object(&home, &["key", "new", &key]);
    refused(
        &home,
        &["release", "publish", &pack, "--key", &key],
        6,
        "is not published",
    );
    // signed by nobody, it is nothing that a node takes
    refused(&home, &["bundle", "import", &pack], 5, "nobody has signed");
    let key = made["key"].as_str().unwrap();
    let published = object(&home, &["release", "publish", &pack, "--key", key]);
    assert_eq!(published["seq"], 0);
    let again = object(&home, &["release", "publish", &pack, "--key", key]);
    assert_eq!(
        (&again["seq"], &again["was_there"]),
        (&0.into(), &true.into())
    );
    let again = object(
        &home,
        &["release", "publish", &pack, "--key", key, "--again"],
    );
    assert_eq!(
        (&again["seq"], &again["was_there"]),
        (&1.into(), &false.into())
    );
    let shown = object(&home, &["show", "m@1.0.0"]);
    assert_eq!(shown["signers"].as_array().unwrap().len(), 1);
    // a tampered bundle changes nothing
    let bundle = path("bundle.weft");
    object(&home, &["bundle", "export", &bundle]);
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, &bytes).unwrap();
    refused(&home, &["bundle", "import", &bundle], 5, "bundle.weft");
    let other = folder.path().join("other");
    init(&other);
    refused(&other, &["bundle", "import", &bundle], 5, "bundle.weft");
    // a running node refuses it in the same words
    let _up = Up::start(&home);
    refused(
        &home,
        &["bundle", "import", &bundle],
        5,
        "bundle.weft was not taken in",
    );
}

#[test]
fn a_release_travels_in_a_file_to_a_node_that_never_had_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let (home, site) = (folder.path().join("node"), folder.path().join("site"));
    let made = init(&home);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pack, bundle) = (path("model.weft"), path("bundle.weft"));
    let source = asset();
    let words = [
        "release",
        "pack",
        source.to_str().unwrap(),
        "--name",
        "m",
        "--version",
        "1.0.0",
    ];
    object(&home, &[&words[..], &["--out", &pack]].concat());
    let key = made["key"].as_str().unwrap();
    object(&home, &["release", "publish", &pack, "--key", key]);
    object(&home, &["bundle", "export", &bundle]);
    let invited = object(&home, &["mesh", "invite"]);
    let invitation = invited["invitation"].as_str().unwrap();
    object(&site, &["mesh", "join", invitation, "--no-mdns"]);
    let taken = object(&site, &["bundle", "import", &bundle]);
    assert_eq!(taken["channels"][0]["outcome"], "activated");
    let again = object(&site, &["bundle", "import", &bundle]);
    assert_eq!(again["channels"][0]["outcome"], "already_active");
    let _up = Up::start(&site);
    let waited = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        object(&site, &["status"])["models"][0]["answering"] == true
    });
    assert!(waited, "the model did not answer within 10 s");
    let answer = object(
        &site,
        &["run", "m", "pump pressure low", "--max-tokens", "4"],
    );
    assert!(answer["completion_tokens"].as_u64().unwrap() <= 4);
}

/// A disk of this size needs a mount namespace of one's own.
#[test]
#[allow(clippy::print_stderr)]
fn a_full_disk_is_8_and_room_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    let made = init(&home);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pack, bundle, disk) = (path("model.weft"), path("bundle.weft"), path("disk"));
    let source = asset();
    let words = [
        "release",
        "pack",
        source.to_str().unwrap(),
        "--name",
        "m",
        "--version",
        "1.0.0",
    ];
    object(
        &home,
        &[&words[..], &["--no-probe", "--out", &pack]].concat(),
    );
    let key = made["key"].as_str().unwrap();
    object(&home, &["release", "publish", &pack, "--key", key]);
    object(&home, &["bundle", "export", &bundle]);
    let invited = object(&home, &["mesh", "invite"]);
    fs::create_dir(&disk).unwrap();
    let script = "set -e
        mount -t tmpfs -o size=1600k tmpfs \"$DISK\" || exit 77
        \"$WEFT\" --json --dir \"$DISK/n\" mesh join \"$INVITATION\" --no-mdns
        status=0; \"$WEFT\" --dir \"$DISK/n\" bundle import \"$BUNDLE\" || status=$?
        test $status = 8
        mount -o remount,size=64m \"$DISK\"
        \"$WEFT\" --json --dir \"$DISK/n\" bundle import \"$BUNDLE\"";
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script])
        .env("WEFT", env!("CARGO_BIN_EXE_weft"))
        .env("INVITATION", invited["invitation"].as_str().unwrap())
        .env("DISK", &disk)
        .env("BUNDLE", &bundle)
        .output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output {
        Ok(output) if output.status.success() => {
            let errors = text(&output.stderr);
            assert!(errors.contains("no space left"), "{errors}");
            assert!(text(&output.stdout).contains("\"activated\""));
        }
        // no namespaces here, or no tmpfs in them
        Ok(output)
            if output.status.code() != Some(77) && !text(&output.stderr).starts_with("unshare") =>
        {
            panic!(
                "{:?}: {}{}",
                output.status,
                text(&output.stdout),
                text(&output.stderr)
            );
        }
        _ => eprintln!(
            "SKIPPED weft::refusals a_full_disk_is_8_and_room_mends_it: no mount namespace"
        ),
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
        .args(["completions", "zsh"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // closed before a word is read: the script is longer than a pipe's memory or the
    // process is slower than this line, and either way it must end quietly
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
}
