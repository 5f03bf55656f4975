//! What the demo found, as figures.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_core::FetchStatus;
use weft_record::Hash;

use super::watch::Glance;
use crate::{
    context::quoted,
    output::{duration, percent, size, table},
    pack::Pack,
    style::Style,
};

/// All of it.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    pub(crate) folder: PathBuf,
    pub(crate) mesh_id: String,
    pub(crate) model: String,
    pub(crate) questions: usize,
    pub(crate) releases: Vec<ReleaseFigures>,
    pub(crate) reuse: Reuse,
    pub(crate) interruption: Interruption,
    pub(crate) nodes: Vec<NodeFigures>,
    /// Whether the nodes were left running.
    pub(crate) running: bool,
    /// A line to ask by hand.
    #[serde(skip)]
    pub(crate) example: String,
}

/// One release.
#[derive(Serialize)]
pub(crate) struct ReleaseFigures {
    pub(crate) version: String,
    pub(crate) bytes: u64,
    pub(crate) chunks: usize,
    /// The limit under which every node fetched it.
    pub(crate) cap_bytes_per_sec: u64,
}

/// What the second release shares with the first, computed from their chunk maps.
#[derive(Clone, Serialize)]
pub(crate) struct Reuse {
    pub(crate) bytes_identical: u64,
    pub(crate) bytes_total: u64,
    pub(crate) chunks_identical: usize,
    pub(crate) chunks_total: usize,
}

/// A fetch that was cut off by SIGKILL.
#[derive(Clone, Serialize)]
pub(crate) struct Interruption {
    pub(crate) node: String,
    /// Of what it had to fetch, by its own status.
    pub(crate) killed_at_percent: u64,
    /// Fetched before the kill.
    pub(crate) bytes_before: u64,
    /// Of these, found again after the start.
    pub(crate) bytes_resumed: u64,
    /// Fetched after it.
    pub(crate) bytes_after: u64,
    /// Fetched both times.
    pub(crate) bytes_twice: u64,
    #[serde(skip)]
    bytes_reused: u64,
}

/// One node.
#[derive(Serialize)]
pub(crate) struct NodeFigures {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) peer_id: String,
    pub(crate) address: String,
    /// Its process at the end.
    pub(crate) pid: Option<u32>,
    /// What answers at the end.
    pub(crate) version: String,
    /// Exactly right answers with the first and the second release.
    pub(crate) scores: [usize; 2],
    /// How the first and the second release came.
    pub(crate) transfers: [Transfer; 2],
}

/// How one release came to one node.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Transfer {
    pub(crate) bytes_fetched: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) bytes_resumed: u64,
    pub(crate) peers: usize,
    /// From the node's first chunk to its last.
    pub(crate) fetch_seconds: f64,
    /// From the publication to the first answer.
    pub(crate) answering_seconds: f64,
    #[serde(skip)]
    pub(crate) last: FetchStatus,
    #[serde(skip)]
    begun_s: Option<f64>,
    #[serde(skip)]
    whole: bool,
    /// Fetched by a process that was killed.
    #[serde(skip)]
    fetched_before: u64,
}

impl ReleaseFigures {
    pub(crate) fn of(pack: &Pack, cap_bytes_per_sec: u64) -> Self {
        Self {
            version: pack.release.version.clone(),
            bytes: pack.bytes(),
            chunks: pack.chunks().count(),
            cap_bytes_per_sec,
        }
    }
}

impl Reuse {
    pub(crate) fn between(first: &Pack, second: &Pack) -> Self {
        let held: BTreeSet<(Hash, u32)> = first
            .chunks()
            .map(|chunk| (chunk.hash, chunk.length))
            .collect();
        let shared: Vec<u64> = second
            .chunks()
            .filter(|chunk| held.contains(&(chunk.hash, chunk.length)))
            .map(|chunk| u64::from(chunk.length))
            .collect();
        Self {
            bytes_identical: shared.iter().sum(),
            bytes_total: second.bytes(),
            chunks_identical: shared.len(),
            chunks_total: second.chunks().count(),
        }
    }
}

impl Interruption {
    /// As the node's status was when it was killed.
    pub(crate) fn begun(node: &str, fetch: &FetchStatus) -> Self {
        let needed = (fetch.bytes_total - fetch.bytes_reused).max(1);
        Self {
            node: node.to_owned(),
            killed_at_percent: fetch.bytes_fetched * 100 / needed,
            bytes_before: fetch.bytes_fetched,
            bytes_resumed: 0,
            bytes_after: 0,
            bytes_twice: 0,
            bytes_reused: fetch.bytes_reused,
        }
    }

    /// As it was when all of it was there.
    pub(crate) fn ended(&mut self, transfer: &Transfer) {
        let fetch = &transfer.last;
        // what it had copied from the older version lies in the file too, and is found again
        self.bytes_resumed = fetch.bytes_resumed.saturating_sub(self.bytes_reused);
        self.bytes_after = fetch.bytes_fetched;
        let moved = self.bytes_reused + self.bytes_before + self.bytes_after;
        self.bytes_twice = moved.saturating_sub(fetch.bytes_total);
    }
}

impl Transfer {
    /// Takes in what a node says about its fetch.
    pub(crate) fn see(&mut self, glance: &Glance, at_s: f64) {
        if glance.is_between() {
            return;
        }
        let fetch = &glance.fetch;
        if fetch.bytes_held > 0 && self.begun_s.is_none() {
            self.begun_s = Some(at_s);
        }
        if fetch.bytes_total > 0 && fetch.bytes_held > 0 {
            self.last = fetch.clone();
            self.bytes_fetched = self.fetched_before + fetch.bytes_fetched;
            self.bytes_reused = self.bytes_reused.max(fetch.bytes_reused);
            self.bytes_resumed = fetch.bytes_resumed;
            self.peers = self.peers.max(fetch.chunks_by_peer.len());
            if !self.whole {
                self.fetch_seconds = at_s - self.begun_s.unwrap_or(at_s);
                self.whole = fetch.bytes_held == fetch.bytes_total;
            }
        }
        if self.answering_seconds == 0.0 && glance.answering && glance.active == glance.target {
            self.answering_seconds = at_s;
        }
    }

    /// The process that fetched was killed; another one goes on.
    pub(crate) fn interrupted(&mut self) {
        self.fetched_before = self.bytes_fetched;
    }
}

impl Report {
    pub(crate) fn text(&self, style: Style, keep: bool) -> String {
        let versions: Vec<&str> = self
            .releases
            .iter()
            .map(|release| release.version.as_str())
            .collect();
        let fetched = versions
            .iter()
            .map(|version| format!("fetched {version}"))
            .collect::<Vec<_>>();
        let times = format!("answers {} after", versions.join(", "));
        let score = format!("score {}", versions.join(" → "));
        let head = [
            "node",
            "runs",
            &fetched[0],
            &fetched[1],
            "reused",
            &times,
            &score,
        ];
        let rows: Vec<Vec<String>> = self
            .nodes
            .iter()
            .map(|node| {
                let [first, second] = &node.transfers;
                vec![
                    node.name.clone(),
                    node.version.clone(),
                    size(first.bytes_fetched),
                    size(second.bytes_fetched),
                    format!(
                        "{} ({})",
                        size(second.bytes_reused),
                        percent(second.bytes_reused, self.reuse.bytes_total)
                    ),
                    format!(
                        "{:.1} s, {:.1} s",
                        first.answering_seconds, second.answering_seconds
                    ),
                    format!(
                        "{}/{q} → {}/{q}",
                        node.scores[0],
                        node.scores[1],
                        q = self.questions
                    ),
                ]
            })
            .collect();
        let mut text = format!("\n{}", table(style, &head, &rows));
        let _ = writeln!(
            text,
            "\nAll of it took {}.\n",
            style.bold(&duration(self.seconds))
        );
        text.push_str(&self.advice(style, keep));
        text
    }

    /// How to go on by hand.
    fn advice(&self, style: Style, keep: bool) -> String {
        let weft = std::env::current_exe().map_or_else(|_| "weft".to_owned(), |path| quoted(&path));
        let folder = quoted(&self.folder);
        let numbers: Vec<String> = (1..=self.nodes.len())
            .map(|number| number.to_string())
            .collect();
        let numbers = numbers.join(" ");
        let mut lines = vec![format!("cd {folder}")];
        if !keep {
            lines.push(format!(
                "for n in {numbers}; do {weft} --dir node-$n -q up & done"
            ));
        }
        lines.push(format!("{weft} --dir node-2 status"));
        lines.push(format!(
            "{weft} --dir node-2 run {} {}",
            self.model,
            quoted(Path::new(&self.example))
        ));
        lines.push(format!("{weft} --dir node-4 bundle export stable.weft"));
        let pids: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|node| node.pid)
            .map(|pid| pid.to_string())
            .collect();
        let nodes = if keep {
            pids.join(" ")
        } else {
            "$(jobs -p)".to_owned()
        };
        lines.push(format!("kill {nodes}; rm -r {folder}"));
        let state = if keep {
            "The nodes run on"
        } else {
            "The nodes are stopped, the mesh is kept"
        };
        let mut text = format!("{state} in {folder}. Go on by hand:\n");
        for line in lines {
            let _ = writeln!(text, "  {}", style.bold(&line));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(total: u64, held: u64, fetched: u64, reused: u64, resumed: u64) -> FetchStatus {
        FetchStatus {
            bytes_total: total,
            bytes_held: held,
            bytes_fetched: fetched,
            bytes_reused: reused,
            bytes_resumed: resumed,
            ..FetchStatus::default()
        }
    }

    fn glance(fetch: FetchStatus) -> Glance {
        Glance {
            fetch,
            phase: Some(weft_core::Phase::Fetching),
            ..Glance::default()
        }
    }

    #[test]
    fn the_last_fetch_is_not_taken_for_the_next_one() {
        let mut transfer = Transfer::default();
        let mut glance = glance(fetch(100, 100, 100, 0, 0));
        glance.phase = Some(weft_core::Phase::Active);
        glance.active = Some("1.0.0".into());
        glance.target = Some("1.1.0".into());
        transfer.see(&glance, 1.0);
        assert_eq!((transfer.bytes_fetched, transfer.last.bytes_total), (0, 0));
        glance.phase = Some(weft_core::Phase::Fetching);
        transfer.see(&glance, 1.0);
        assert_eq!(transfer.bytes_fetched, 100);
    }

    #[test]
    fn a_cut_fetch_adds_up() {
        let mut transfer = Transfer::default();
        transfer.see(&glance(fetch(100, 60, 40, 20, 0)), 1.0);
        let mut cut = Interruption::begun("n", &transfer.last);
        assert_eq!((cut.killed_at_percent, cut.bytes_before), (50, 40));
        transfer.interrupted();
        // five bytes of the forty had not been noted, and came again
        transfer.see(&glance(fetch(100, 100, 45, 0, 55)), 7.0);
        cut.ended(&transfer);
        assert_eq!(
            (cut.bytes_resumed, cut.bytes_after, cut.bytes_twice),
            (35, 45, 5)
        );
        assert_eq!((transfer.bytes_fetched, transfer.bytes_reused), (85, 20));
        assert!((transfer.fetch_seconds - 6.0).abs() < 1e-9);
    }
}
