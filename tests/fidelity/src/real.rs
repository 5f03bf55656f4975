//! A case played by real processes.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    case::{Case, Happening},
    goodput::goodput,
    idle::CpuTime,
    interrupt,
    lab::{Lab, address},
    node::{Node, PORT},
    outcome::{Fetched, Outcome, Served},
    release::PackedRelease,
    torrent::{Torrent, TorrentRound},
};

/// How often nodes are asked whether they have everything. They say themselves when they
/// had it; this only bounds how late that is noticed.
const LOOK: Duration = Duration::from_millis(500);
/// An import of a release that was published before must be over everywhere by then.
const RELEASE_LIMIT: Duration = Duration::from_mins(2);

/// One of many rounds that the same nodes play.
#[derive(Clone, Debug)]
pub struct Round {
    /// What it came to.
    pub outcome: Outcome,
    /// All bytes that the publisher's line sent.
    pub publisher_wire_bytes: u64,
    /// Part of this machine's time that nobody used meanwhile.
    pub idle: f64,
    /// What one plain TCP flow carries, bytes a second: from one place to the next, or from
    /// one node to the next if there is one place. It was measured before all rounds.
    pub goodput_bytes_per_sec: f64,
}

/// Plays each release as a round of its own, by the same nodes; everybody begins a round
/// without anything of it.
pub fn run_rounds(
    case: &Case,
    weft: &Path,
    releases: &[PackedRelease],
    seed: u64,
    told: &mut dyn FnMut(&Round),
) -> Result<()> {
    run_rounds_beside(case, weft, releases, seed, &[], &mut |round, _| told(round))
}

/// The same; after each round libtorrent plays it too, in the same namespaces with the same
/// pack, once with each of these settings. weft's nodes are idle meanwhile.
pub fn run_rounds_beside(
    case: &Case,
    weft: &Path,
    releases: &[PackedRelease],
    seed: u64,
    torrents: &[Torrent],
    told: &mut dyn FnMut(&Round, &[TorrentRound]),
) -> Result<()> {
    interrupt::watch();
    let folder = tempfile::tempdir()?;
    let lab = Lab::new(case, seed)?;
    let mut fleet = Fleet::enroll(case, &lab, weft, folder.path())?;
    fleet.prepare()?;
    lab.limit(case)?;
    let to = if case.places.len() > 1 {
        case.places[0].nodes
    } else {
        1
    };
    let (place, number) = case.place_of(to);
    let goodput_bytes_per_sec = goodput(&lab, 0, to, &address(place, number))?;
    for release in releases {
        let (wire, cpu) = (lab.sent_bytes(0)?, CpuTime::now()?);
        let outcome = fleet.play(release)?;
        let round = Round {
            publisher_wire_bytes: lab.sent_bytes(0)? - wire,
            idle: CpuTime::now()?.idle_since(cpu),
            goodput_bytes_per_sec,
            outcome,
        };
        let overflowed = lab.wire().overflowed();
        ensure!(
            overflowed == 0,
            "the wire itself lost {overflowed} packets: this machine is too slow"
        );
        let played = torrents
            .iter()
            .map(|torrent| torrent.play(case, &lab, &release.path))
            .collect::<Result<Vec<_>>>()?;
        told(&round, &played);
        fleet.start_killed()?;
    }
    Ok(())
}

/// Plays it with this binary and these releases.
pub fn run(case: &Case, weft: &Path, releases: &[PackedRelease], seed: u64) -> Result<Outcome> {
    ensure!(
        releases.len() == case.releases,
        "{} releases are needed",
        case.releases
    );
    interrupt::watch();
    let folder = tempfile::tempdir()?;
    let lab = Lab::new(case, seed)?;
    let mut fleet = Fleet::enroll(case, &lab, weft, folder.path())?;
    let (last, earlier) = releases.split_last().context("no release")?;
    for release in earlier {
        fleet.settle(release)?;
    }
    fleet.prepare()?;
    lab.limit(case)?;
    let outcome = fleet.play(last)?;
    let overflowed = lab.wire().overflowed();
    ensure!(
        overflowed == 0,
        "the wire itself lost {overflowed} packets: this machine is too slow"
    );
    Ok(outcome)
}

pub(crate) struct Fleet<'a> {
    case: &'a Case,
    lab: &'a Lab,
    nodes: Vec<Node>,
    keys: Vec<Value>,
    /// What nodes counted before they were killed.
    served: Served,
    killed: Vec<usize>,
    /// Releases published so far.
    published: u64,
}

impl<'a> Fleet<'a> {
    /// Makes a mesh of all nodes of the case, at full speed.
    pub(crate) fn enroll(case: &'a Case, lab: &'a Lab, weft: &Path, folder: &Path) -> Result<Self> {
        let count = case.node_count();
        let mut nodes: Vec<Node> = (0..count)
            .map(|index| Node::new(weft, folder, index))
            .collect();
        let mut places: Vec<String> = Vec::new();
        for index in 0..count {
            let (place, number) = case.place_of(index);
            let place = format!("/ip4/{}/tcp/{PORT}", address(place, number));
            let listen = ["--no-mdns", "--listen", &place];
            let known = |other: usize| places[other].clone();
            let peer_id = if index == 0 {
                nodes[0].call(lab, &[&["mesh", "init"][..], &listen].concat())?;
                nodes[0].start(lab)?;
                nodes[0].status(lab)?["peer_id"].clone()
            } else {
                let words = ["mesh", "invite", "--expires", "1h", "--address", &known(0)];
                let invited = nodes[0].call(lab, &words)?;
                let invitation = text(&invited, "invitation")?;
                let peers: Vec<String> = case.dials(index).into_iter().map(known).collect();
                let mut words = vec!["mesh", "join", invitation];
                // the publisher is in the invitation already
                for peer in peers.iter().skip(1) {
                    words.extend(["--peer", peer]);
                }
                words.extend(listen);
                let joined = nodes[index].call(lab, &words)?;
                nodes[index].start(lab)?;
                joined["peer_id"].clone()
            };
            let peer_id = peer_id.as_str().context("no peer id")?;
            places.push(format!("{place}/p2p/{peer_id}"));
        }
        let mut keys = Vec::new();
        for node in &mut nodes {
            keys.push(node.status(lab)?["key"].clone());
        }
        let mut fleet = Self {
            case,
            lab,
            nodes,
            keys,
            served: Served::new(count),
            killed: Vec::new(),
            published: 0,
        };
        fleet.wait_linked(&|_| true)?;
        Ok(fleet)
    }

    /// Waits until every node that runs sees all its neighbours that run.
    fn wait_linked(&mut self, runs: &dyn Fn(usize) -> bool) -> Result<()> {
        let links = self.case.links();
        let running = links.iter().filter(|(a, b)| runs(*a) && runs(*b));
        let running: Vec<(usize, usize)> = running.copied().collect();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if !runs(index) {
                continue;
            }
            let degree = running
                .iter()
                .filter(|(a, b)| *a == index || *b == index)
                .count();
            node.wait(self.lab, "it sees its neighbours", |status| {
                let members = status["node"]["members"].as_array();
                status["node"]["standing"] == "member"
                    && members.is_some_and(|members| members.len() == degree)
            })?;
        }
        Ok(())
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(crate) fn node_mut(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }

    /// Brings a release to all nodes that run, at full speed.
    pub(crate) fn settle(&mut self, release: &PackedRelease) -> Result<()> {
        let mut publishing = self.publish(release)?;
        let end = Instant::now() + RELEASE_LIMIT;
        let version = &release.release.version;
        for node in self.nodes.iter_mut().filter(|node| node.is_running()) {
            node.wait(self.lab, "an earlier release is active", |status| {
                is_active(status, version)
            })?;
        }
        while publishing.0.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "publishing {version} does not end");
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        Ok(())
    }

    /// Stops those who come later.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        for &late in &self.case.late {
            self.nodes[late].kill();
        }
        let late = &self.case.late;
        self.wait_linked(&|node| !late.contains(&node))
    }

    fn play(&mut self, release: &PackedRelease) -> Result<Outcome> {
        let (before, served_before) = (self.lab.bytes()?, self.all_served()?);
        // the first head of a channel has the number 0
        let seq = self.published;
        let mut publishing = self.publish(release)?;
        let accepted = |event: &Value| event["seq"].as_u64() == Some(seq);
        let begin = loop {
            let head = self.nodes[0].event(self.lab, "head_accepted", accepted)?;
            if let Some(at) = head {
                break at;
            }
            interrupt::sleep_until(Instant::now() + Duration::from_millis(20))?;
        };
        // its import is over when the head is out
        publishing.0.wait()?;
        let id = self.target()?;
        let mut happenings = self.case.happenings.iter().peekable();
        let mut completed = vec![None; self.nodes.len()];
        let mut next_look = Instant::now();
        while completed[1..].contains(&None) {
            let next = happenings.peek().map(|(after, _)| begin + *after);
            if next.is_some_and(|next| next <= Instant::now()) {
                if let Some((_, happening)) = happenings.next() {
                    self.happen(*happening)?;
                }
                continue;
            }
            if next_look <= Instant::now() {
                self.look("fetch_completed", &id, &mut completed);
                next_look = Instant::now() + LOOK;
            }
            ensure!(
                begin.elapsed() < self.case.limit,
                "not over within {:?}: {completed:?}",
                self.case.limit
            );
            let wake = next.map_or(next_look, |next| next.min(next_look));
            interrupt::sleep_until(wake)?;
        }
        let after = self.lab.bytes()?;
        let fetched = self.fetched()?;
        let served = self.all_served()?.since(&served_before);
        let mut activated = vec![None; self.nodes.len()];
        while activated[1..].contains(&None) {
            ensure!(
                begin.elapsed() < self.case.limit,
                "not active within {:?}",
                self.case.limit
            );
            self.look("activated", &id, &mut activated);
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        let mut started = vec![None; self.nodes.len()];
        self.look("fetch_started", &id, &mut started);
        let first = started.into_iter().skip(1).flatten().min();
        let first = first.context("nobody began to fetch")?;
        let since = |times: Vec<Option<Instant>>| -> Vec<Duration> {
            let others = times.into_iter().skip(1).flatten();
            others
                .map(|at| at.saturating_duration_since(first))
                .collect()
        };
        Ok(Outcome {
            began: first.saturating_duration_since(begin),
            completed: since(completed),
            activated: since(activated),
            bytes: after
                .iter()
                .zip(before)
                .map(|(after, before)| after.since(before))
                .collect(),
            chunk_bytes: served.over_uplinks(self.case),
            publisher_chunk_bytes: served.by_publisher(),
            fetched,
        })
    }

    /// What each node sent to each so far.
    fn all_served(&mut self) -> Result<Served> {
        let mut served = self.served.clone();
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_running() {
                self.count_served(index, &mut served)?;
            }
        }
        Ok(served)
    }

    fn count_served(&mut self, from: usize, served: &mut Served) -> Result<()> {
        let status = self.nodes[from].status(self.lab)?;
        let counts = status["node"]["bytes_served_by_peer"].as_array();
        for count in counts.context("no count of what it served")? {
            if let Some(to) = self.keys.iter().position(|key| *key == count[0]) {
                served.add(from, to, count[1].as_u64().unwrap_or(0));
            }
        }
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        let mut served = self.served.clone();
        self.count_served(node, &mut served)?;
        self.served = served;
        self.nodes[node].kill();
        self.killed.push(node);
        Ok(())
    }

    fn start_killed(&mut self) -> Result<()> {
        for node in std::mem::take(&mut self.killed) {
            self.nodes[node].launch(self.lab)?;
        }
        Ok(())
    }

    /// The node of a place that got most chunks from other places.
    fn claimer(&mut self, place: usize) -> Result<Option<usize>> {
        let mut best = None;
        for index in 1..self.nodes.len() {
            if self.case.place_of(index).0 != place || !self.nodes[index].is_running() {
                continue;
            }
            let status = self.nodes[index].status(self.lab)?;
            let counts = status["node"]["channels"][0]["fetch"]["chunks_by_peer"].clone();
            let is_near = |key: &Value| {
                let other = self.keys.iter().position(|known| known == key);
                other.is_some_and(|other| self.case.place_of(other).0 == place)
            };
            let afar = counts.as_array().into_iter().flatten();
            let afar = afar.filter(|count| !is_near(&count[0]));
            let chunks: u64 = afar.filter_map(|count| count[1].as_u64()).sum();
            if best.is_none_or(|(most, _)| chunks > most) {
                best = Some((chunks, index));
            }
        }
        Ok(best.map(|(_, index)| index))
    }

    /// Where everybody has what it fetched from.
    fn fetched(&mut self) -> Result<Fetched> {
        let mut all = Fetched::default();
        let publisher = self.nodes[0].status(self.lab)?["key"].clone();
        for node in &mut self.nodes[1..] {
            let status = node.status(self.lab)?;
            let fetch = &status["node"]["channels"][0]["fetch"];
            all.bytes_duplicate += fetch["bytes_duplicate"].as_u64().unwrap_or(0);
            for pair in fetch["chunks_by_peer"].as_array().into_iter().flatten() {
                all.add(pair[0] == publisher, pair[1].as_u64().unwrap_or(0));
            }
        }
        Ok(all)
    }

    /// The release that the publisher's channel is at.
    fn target(&mut self) -> Result<Value> {
        let status = self.nodes[0].status(self.lab)?;
        let target = status["node"]["channels"][0]["target"].clone();
        ensure!(target.is_string(), "no release is published: {status}");
        Ok(target)
    }

    /// Asks those that did not have it yet.
    fn look(&mut self, kind: &str, id: &Value, found: &mut [Option<Instant>]) {
        for (node, found) in self.nodes.iter_mut().zip(found) {
            if found.is_some() || !node.is_running() {
                continue;
            }
            // one that has just started does not answer yet
            let told = node.event(self.lab, kind, |event| event["release"] == *id);
            *found = told.unwrap_or_default();
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<()> {
        match happening {
            Happening::Cut(place) => self.lab.wire().cut(place, true),
            Happening::Mend(place) => self.lab.wire().cut(place, false),
            Happening::Split(place) => self.lab.part(self.case, place, true)?,
            Happening::Join(place) => self.lab.part(self.case, place, false)?,
            Happening::Kill(node) => self.kill(node)?,
            Happening::Start(node) => {
                self.killed.retain(|killed| *killed != node);
                self.nodes[node].launch(self.lab)?;
            }
            Happening::KillClaimer(place) => {
                if let Some(node) = self.claimer(place)? {
                    self.kill(node)?;
                }
            }
            Happening::StartKilled => self.start_killed()?,
        }
        Ok(())
    }

    /// Begins to publish; the process goes on by itself.
    pub(crate) fn publish(&mut self, release: &PackedRelease) -> Result<Call> {
        self.published += 1;
        let node = &self.nodes[0];
        let key = node.home().join("admin.key");
        let (key, pack) = (key.to_string_lossy(), release.path.to_string_lossy());
        let mut command = node.command(self.lab, &["release", "publish", &*pack, "--key", &*key]);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Call(child))
    }
}

/// A process that ends with this value.
pub(crate) struct Call(Child);

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_active(status: &Value, version: &str) -> bool {
    status["models"][0]["active"]["version"] == version
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    match value[key].as_str() {
        Some(text) => Ok(text),
        None => bail!("no {key} in {value}"),
    }
}
