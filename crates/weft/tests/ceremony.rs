//! The ceremony of `keys/README.md`, run word for word: every command in its console
//! blocks, each on its person's laptop, with the output that the text promises.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Where the text mounts the stick.
const STICK: &str = "/mnt/stick";
/// What stands in the text for the mesh id, which is another in every mesh.
const MESH_ID: &str = "MESH_ID";

#[test]
fn the_ceremony_is_as_the_text_says() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../keys/README.md");
    let steps = steps(&fs::read_to_string(text).unwrap());
    assert!(steps.len() > 25, "only {} commands were found", steps.len());
    let mut laptops = Laptops::new();
    for step in &steps {
        laptops.run(step);
    }
}

/// One command, and what it prints.
#[derive(Debug)]
struct Step {
    who: String,
    command: String,
    output: Vec<String>,
}

/// Commands are lines such as `anna$ weft …` in console blocks; the lines after one are
/// its output, in which … stands for anything.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        let prompt = line.split_once("$ ").filter(|(who, _)| {
            !who.is_empty() && who.chars().all(|character| character.is_ascii_lowercase())
        });
        if let Some((who, command)) = prompt {
            steps.push(Step {
                who: who.to_owned(),
                command: command.to_owned(),
                output: Vec::new(),
            });
        } else {
            let step = steps.last_mut();
            step.unwrap().output.push(line.trim_end().to_owned());
        }
    }
    steps
}

/// A folder each, and a stick between them.
struct Laptops {
    folder: tempfile::TempDir,
    mesh_id: Option<String>,
    homes: BTreeMap<String, std::path::PathBuf>,
}

impl Laptops {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("stick")).unwrap();
        Self {
            folder,
            mesh_id: None,
            homes: BTreeMap::new(),
        }
    }

    /// What each person finds on their laptop: a model to pack.
    fn home(&mut self, who: &str) -> std::path::PathBuf {
        let folder = self.folder.path().join(who);
        let made = self.homes.entry(who.to_owned()).or_insert_with(|| {
            fs::create_dir(&folder).unwrap();
            for model in ["incident-1.0.0", "incident-1.1.0"] {
                let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
                std::os::unix::fs::symlink(assets.join(model), folder.join(model)).unwrap();
            }
            folder.clone()
        });
        made.clone()
    }

    fn run(&mut self, step: &Step) {
        let home = self.home(&step.who);
        let stick = self
            .folder
            .path()
            .join("stick")
            .to_str()
            .unwrap()
            .to_owned();
        let mesh_id = self.mesh_id.clone();
        let fill = |text: &str| {
            let text = text.replace(STICK, &stick);
            match &mesh_id {
                Some(mesh_id) => text.replace(MESH_ID, mesh_id),
                None => text,
            }
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_weft"));
        let path = format!(
            "{}:{}",
            binary.parent().unwrap().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new("sh")
            .args(["-c", &fill(&step.command)])
            .current_dir(&home)
            .env("PATH", path)
            .env("HOME", &home)
            .env("NO_COLOR", "1")
            .env_remove("XDG_DATA_HOME")
            .env_remove("WEFT_DIR")
            .env_remove("WEFT_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut printed = String::from_utf8(output.stdout).unwrap();
        printed.push_str(&String::from_utf8(output.stderr).unwrap());
        if self.mesh_id.is_none() {
            self.mesh_id = printed
                .lines()
                .find_map(|line| line.strip_prefix("mesh"))
                .map(|id| id.trim().to_owned());
        }
        let expected: Vec<String> = step.output.iter().map(|line| self.filled(line)).collect();
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        let refused = expected.iter().any(|line| line.starts_with("error: "));
        assert_eq!(
            output.status.success(),
            !refused,
            "{}$ {}\n{printed}",
            step.who,
            step.command
        );
        assert!(
            matches(&expected, &lines),
            "{}$ {}\nprints\n{printed}\nand the text says\n{}",
            step.who,
            step.command,
            step.output.join("\n")
        );
    }

    fn filled(&self, line: &str) -> String {
        let stick = self.folder.path().join("stick");
        let line = line.replace(STICK, stick.to_str().unwrap());
        match &self.mesh_id {
            Some(mesh_id) => line.replace(MESH_ID, mesh_id),
            None => line,
        }
    }
}

/// Whether the lines are the expected ones; a line of … alone stands for any lines.
fn matches(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, lines)| fits(first, line) && matches(rest, lines)),
    }
}

/// Whether a line is the expected one; … stands for anything, blanks for any blanks.
fn fits(expected: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (squeeze(expected), squeeze(line));
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn the_text_is_taken_apart_and_held_against_what_is_printed() {
    let found =
        steps("a\n```console\nanna$ weft x\nout …\n\nben$ y\n```\nb$ no\n```text\nc$ no\n```\n");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].output, ["out …", ""]);
    assert!(fits("a … c", "a  b  c") && fits("…", "") && fits("a…", "abc"));
    assert!(!fits("a … c", "a b d") && !fits("a", "ab"));
    let expected = ["a", "…", "z"].map(str::to_owned);
    assert!(matches(&expected, &["a", "z"]) && matches(&expected, &["a", "b", "c", "z"]));
    assert!(!matches(&expected, &["a", "b"]));
}
