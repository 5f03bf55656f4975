//! The demo's mesh: what is done to it, and what must hold of it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use weft_core::{FetchStatus, Phase};

use super::{
    QUESTIONS, assets,
    node::{Call, DemoNode, begin, call, finish, free_ports, weft},
    questions::{self, Answers, Question},
    report::{Interruption, NodeFigures, Reuse, Transfer},
    watch::{Glance, Watch},
};
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    interrupt,
    pack::Pack,
};

/// Golden prompts that the releases carry; taken from behind the questions.
const PROBES: usize = 8;
/// The quantization that travels.
pub(super) const QUANTIZATION: &str = "q8_0";
/// It must have lasted at least this long, or the cut proves little.
const SECOND_FETCH_MIN_S: f64 = 5.0;
/// The node is killed when its fetch is at this share, in percent...
const KILL_AT: u64 = 36;
/// ...and the demo fails if its own status then says less or more than this.
const KILL_BETWEEN: std::ops::RangeInclusive<u64> = 30..=70;
/// Every wait for the whole mesh ends after this.
const STEP_LIMIT: Duration = Duration::from_secs(90);
/// How often all nodes are looked at.
const POLL: Duration = Duration::from_millis(40);

/// All nodes, and what they are asked.
pub(super) struct Mesh<'a> {
    context: &'a Context,
    folder: &'a Path,
    pub(super) nodes: Vec<DemoNode>,
    pub(super) questions: Vec<Question>,
    keep: bool,
    steps: usize,
}

/// What came of one release going through the mesh.
pub(super) struct RolledOut {
    pub(super) transfers: Vec<Transfer>,
    pub(super) interruption: Option<Interruption>,
}

impl<'a> Mesh<'a> {
    pub(super) fn new(
        context: &'a Context,
        folder: &'a Path,
        count: usize,
        keep: bool,
    ) -> Result<Self, Failure> {
        let models = folder.join("models");
        assets::FIRST.write(&models)?;
        assets::SECOND.write(&models)?;
        let failed = |error: std::io::Error| {
            Failure::file(format!("{} cannot be written", folder.display()), &error)
        };
        std::fs::write(questions::path(folder), assets::HELD_OUT).map_err(failed)?;
        let lines = questions::read(assets::HELD_OUT, QUESTIONS + PROBES)?;
        let probes: Vec<String> = lines
            .iter()
            .skip(QUESTIONS)
            .map(|question| serde_json::json!({ "prompt": question.line }).to_string() + "\n")
            .collect();
        std::fs::write(folder.join("probes.jsonl"), probes.concat()).map_err(failed)?;
        let ports = free_ports(count)?;
        let nodes = ports
            .into_iter()
            .enumerate()
            .map(|(index, port)| DemoNode::new(folder, index + 1, port))
            .collect();
        let questions = lines.into_iter().take(QUESTIONS).collect();
        Ok(Self {
            context,
            folder,
            nodes,
            questions,
            keep,
            steps: 0,
        })
    }

    /// Packs both versions at once, each in a process of its own.
    pub(super) fn pack(&mut self) -> Result<(Pack, Pack), Failure> {
        let pack = |version: &assets::Version| -> Result<(Call, PathBuf), Failure> {
            let out = self.folder.join(format!("{}.weft", version.folder()));
            let mut command = weft(self.folder)?;
            command
                .args(["release", "pack"])
                .arg(self.folder.join("models").join(version.folder()));
            command.args(["--name", assets::MODEL, "--version", version.version]);
            command.args(["--quantization", QUANTIZATION, "--notes", assets::PURPOSE]);
            command
                .arg("--probe")
                .arg(self.folder.join("probes.jsonl"))
                .arg("--out")
                .arg(&out);
            Ok((begin(command)?, out))
        };
        let calls = [pack(&assets::FIRST)?, pack(&assets::SECOND)?];
        let [first, second] = calls.map(|(call, out)| finish(call).and_then(|_| Pack::open(&out)));
        Ok((first?, second?))
    }

    /// Makes the mesh, invites and starts every node; returns the mesh id.
    pub(super) fn begin(&mut self, cap_bytes_per_sec: u64) -> Result<String, Failure> {
        let key = self.key();
        let mut mesh_id = String::new();
        for index in 0..self.nodes.len() {
            let invitation = match index {
                0 => String::new(),
                _ => self.invite(index)?,
            };
            let mut command = weft(&self.nodes[index].directory)?;
            if index == 0 {
                command.args(["mesh", "init", "--key"]).arg(&key);
            } else {
                command.args(["mesh", "join", &invitation]);
            }
            command.args(["--no-mdns", "--listen", &self.nodes[index].listen()]);
            let made = call(command)?;
            let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
            if index == 0 {
                mesh_id = text("mesh_id");
            }
            self.nodes[index].peer_id = text("peer_id");
            self.nodes[index].start(cap_bytes_per_sec, !self.keep)?;
        }
        for node in &mut self.nodes {
            node.wait_until_up()?;
        }
        self.wait("every node to be enrolled and to meet another", |glance| {
            glance.enrolled && glance.members > 0
        })?;
        self.say(&format!(
            "{} asked to join, each with an invitation of its own; {} enrolled them",
            crate::output::count(self.nodes.len() - 1, "node"),
            self.nodes[0].name
        ))?;
        for node in &self.nodes {
            let pid = node
                .pid()
                .map_or_else(String::new, |pid| format!(", process {pid}"));
            let api = node.client()?.api().address;
            self.say(&format!("{}{pid}, http://{api}", node.name))?;
        }
        Ok(mesh_id)
    }

    /// Has the admin's node invite another one, which will find a few members: no single
    /// one is needed.
    fn invite(&self, index: usize) -> Result<String, Failure> {
        let mut command = weft(&self.nodes[0].directory)?;
        command.args(["mesh", "invite", "--expires", "1h"]);
        let mut neighbours = vec![0, index - 1, index.saturating_sub(2)];
        neighbours.dedup();
        for neighbour in neighbours {
            command.args(["--address", &self.nodes[neighbour].address()]);
        }
        let made = call(command)?;
        Ok(made["invitation"].as_str().unwrap_or_default().to_owned())
    }

    /// Publishes from one node and waits until all answer with it. The victim is killed
    /// in the middle of its fetch and started again under the cap.
    pub(super) fn roll_out(
        &mut self,
        publisher: usize,
        pack: &Pack,
        victim: Option<(usize, u64)>,
    ) -> Result<RolledOut, Failure> {
        let version = pack.release.version.clone();
        let mut command = weft(&self.nodes[publisher].directory)?;
        command
            .args(["release", "publish"])
            .arg(&pack.path)
            .arg("--key")
            .arg(self.key());
        let mut publishing = Some(begin(command)?);
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut watch = Watch::start(self.context.output, &names);
        let mut transfers = vec![Transfer::default(); self.nodes.len()];
        let mut interruption = None;
        let started = Instant::now();
        let glances = loop {
            if interrupt::came() {
                return Err(Failure::interrupted(""));
            }
            let glances = self.look()?;
            for (transfer, glance) in transfers.iter_mut().zip(&glances) {
                if let Some(glance) = glance
                    .as_ref()
                    .filter(|glance| glance.target.as_deref() == Some(&*version))
                {
                    transfer.see(glance, started.elapsed().as_secs_f64());
                }
            }
            watch.show(&glances)?;
            if let (Some((victim, cap)), None) = (victim, &interruption)
                && let Some(fetch) = ready_to_die(&transfers[victim])
            {
                let node = &mut self.nodes[victim];
                let pid = node.pid().unwrap_or_default();
                node.kill()?;
                let begun = Interruption::begun(&node.name, &fetch);
                watch.say(&format!(
                    "SIGKILL for {} (process {pid}) at {} % of its fetch",
                    node.name, begun.killed_at_percent
                ))?;
                interruption = Some(begun);
                transfers[victim].interrupted();
                node.start(cap, !self.keep)?;
                node.wait_until_up()?;
                let pid = node.pid().unwrap_or_default();
                watch.say(&format!("{} runs again (process {pid})", node.name))?;
            }
            if publishing.as_mut().is_some_and(Call::has_ended) {
                publishing.take().map(finish).transpose()?;
            }
            self.refuse_bad(&glances, &version)?;
            let done = |glance: &Option<Glance>| {
                glance
                    .as_ref()
                    .is_some_and(|glance| glance.answers(&version))
            };
            if publishing.is_none() && glances.iter().all(done) {
                break glances;
            }
            if started.elapsed() > STEP_LIMIT {
                watch.finish(&glances)?;
                return Err(self.too_late(&format!("{version} to answer everywhere"), &glances));
            }
            interrupt::pause(POLL);
        };
        watch.finish(&glances)?;
        if let (Some((victim, _)), Some(interruption)) = (victim, &mut interruption) {
            interruption.ended(&transfers[victim]);
        }
        Ok(RolledOut {
            transfers,
            interruption,
        })
    }

    fn look(&self) -> Result<Vec<Option<Glance>>, Failure> {
        self.nodes
            .iter()
            .map(|node| node.status().map(|status| Some(Glance::of(&status))))
            .collect()
    }

    /// Waits for something that every node must come to.
    fn wait(&self, what: &str, done: impl Fn(&Glance) -> bool) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            if interrupt::came() {
                return Err(Failure::interrupted(""));
            }
            let glances = self.look()?;
            if glances.iter().flatten().all(&done) {
                return Ok(());
            }
            if started.elapsed() > STEP_LIMIT {
                return Err(self.too_late(what, &glances));
            }
            interrupt::pause(POLL);
        }
    }

    fn too_late(&self, what: &str, glances: &[Option<Glance>]) -> Failure {
        let states: Vec<String> = self
            .nodes
            .iter()
            .zip(glances)
            .map(|(node, glance)| match glance {
                None => format!("{} is down", node.name),
                Some(glance) => format!(
                    "{} {:?} {}/{} {}",
                    node.name,
                    glance.phase,
                    glance.fetch.bytes_held,
                    glance.fetch.bytes_total,
                    glance.reason
                ),
            })
            .collect();
        Failure::new(
            Exit::Failed,
            format!("waited {} s in vain for {what}", STEP_LIMIT.as_secs()),
            states.join("; "),
            format!("tail {}/node-*/node.log", quoted(self.folder)),
        )
    }

    /// A node that says no will not change its mind: no need to wait for the limit.
    fn refuse_bad(&self, glances: &[Option<Glance>], version: &str) -> Result<(), Failure> {
        for (node, glance) in self.nodes.iter().zip(glances) {
            let Some(glance) = glance else { continue };
            let bad = matches!(glance.phase, Some(Phase::Refused | Phase::Forked));
            if bad && glance.target.as_deref() == Some(version) {
                return Err(node.failed(&format!("it does not take {version}: {}", glance.reason)));
            }
        }
        Ok(())
    }

    pub(super) fn cap(&self, bytes_per_sec: u64) -> Result<(), Failure> {
        for node in &self.nodes {
            node.client()?
                .limit(&weft_core::Limits::fetching(bytes_per_sec))
                .map_err(|error| node.failed(&error.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn ask(&self) -> Result<Vec<Answers>, Failure> {
        let clients = self
            .nodes
            .iter()
            .map(DemoNode::client)
            .collect::<Result<Vec<_>, _>>()?;
        let all = questions::ask(&clients, assets::MODEL, &self.questions)?;
        for (node, answers) in self.nodes.iter().zip(&all).skip(1) {
            // the same verified bytes, decoded greedily: anything else is a fault
            if answers.texts != all[0].texts {
                return Err(node.failed("it answers otherwise than node-1 with the same model"));
            }
        }
        Ok(all)
    }

    pub(super) fn show_scores(&self, all: &[Answers]) -> Result<(), Failure> {
        if let (Some(question), Some(answer)) = (
            self.questions.first(),
            all.first().and_then(|answers| answers.texts.first()),
        ) {
            self.say(&format!("asked   {}", question.line))?;
            self.say(&format!("answer  {}", answer.trim()))?;
            self.say(&format!("wanted  {}", question.expected))?;
        }
        for (node, answers) in self.nodes.iter().zip(all) {
            let rate = answers.tokens as f64 / answers.seconds.max(f64::EPSILON);
            self.say(&format!(
                "{:<8} {}/{} exactly right, {rate:.0} tokens/s",
                node.name,
                answers.score(&self.questions),
                self.questions.len()
            ))?;
        }
        Ok(())
    }

    /// A line that the new version has right and the old one had not.
    pub(super) fn show_difference(
        &self,
        before: &[Answers],
        after: &[Answers],
    ) -> Result<(), Failure> {
        let (Some(before), Some(after)) = (before.first(), after.first()) else {
            return Ok(());
        };
        let right = |text: &str, question: &Question| text.trim() == question.expected.trim();
        let texts = before.texts.iter().zip(&after.texts);
        let better = self
            .questions
            .iter()
            .zip(texts)
            .find(|(question, (old, new))| right(new, question) && !right(old, question));
        if let Some((question, (old, new))) = better {
            self.say(&format!("asked   {}", question.line))?;
            self.say(&format!("{}   {}", assets::FIRST.version, old.trim()))?;
            self.say(&format!("{}   {}", assets::SECOND.version, new.trim()))?;
        }
        Ok(())
    }

    pub(super) fn check_reuse(&self, transfers: &[Transfer], reuse: &Reuse) -> Result<(), Failure> {
        for (node, transfer) in self.nodes.iter().zip(transfers) {
            if transfer.bytes_reused == 0 {
                return Err(node.failed("it reused nothing of the version before"));
            }
            if transfer.bytes_reused != reuse.bytes_identical {
                return Err(node.failed(&format!(
                    "it reused {} bytes, the two versions share {}",
                    transfer.bytes_reused, reuse.bytes_identical
                )));
            }
        }
        Ok(())
    }

    /// The publisher is left out: it takes the release from the pack, which no limit slows.
    pub(super) fn check_resume(
        transfers: &[Transfer],
        publisher: usize,
        interruption: &Interruption,
    ) -> Result<(), Failure> {
        let fail = |why: String| {
            Err(Failure::new(
                Exit::Failed,
                format!("{} did not resume as it must", interruption.node),
                why,
                "",
            ))
        };
        if !KILL_BETWEEN.contains(&interruption.killed_at_percent) {
            return fail(format!(
                "it was killed at {} %",
                interruption.killed_at_percent
            ));
        }
        if interruption.bytes_resumed == 0 {
            return fail("nothing of what it had fetched was there after the kill".to_owned());
        }
        let fetchers = transfers
            .iter()
            .enumerate()
            .filter(|(node, _)| *node != publisher);
        let shortest = fetchers
            .map(|(_, transfer)| transfer.fetch_seconds)
            .fold(f64::INFINITY, f64::min);
        if shortest < SECOND_FETCH_MIN_S {
            return fail(format!(
                "a fetch took {shortest:.1} s under the limit, too short to cut"
            ));
        }
        Ok(())
    }

    pub(super) fn figures(
        &self,
        transfers: [&[Transfer]; 2],
        answers: [&[Answers]; 2],
    ) -> Vec<NodeFigures> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| NodeFigures {
                name: node.name.clone(),
                directory: node.directory.clone(),
                peer_id: node.peer_id.clone(),
                address: node.address(),
                pid: node.pid(),
                version: assets::SECOND.version.to_owned(),
                scores: answers.map(|all| all[index].score(&self.questions)),
                transfers: transfers.map(|all| all[index].clone()),
            })
            .collect()
    }

    /// Stops all nodes, or lets them run on.
    pub(super) fn end(&mut self) {
        if self.keep {
            for node in &mut self.nodes {
                node.let_go();
            }
            return;
        }
        self.nodes.iter().for_each(DemoNode::ask_to_stop);
        self.nodes.iter_mut().for_each(DemoNode::wait_until_stopped);
    }

    fn key(&self) -> PathBuf {
        self.folder.join("admin.key")
    }

    pub(super) fn title(&mut self, text: &str) -> Result<(), Failure> {
        self.steps += 1;
        let output = &self.context.output;
        let number = output.style.good(&format!("{}.", self.steps));
        output.story(&format!("\n{number} {}", output.style.bold(text)))
    }

    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        self.context.output.story(&format!("   {text}"))
    }
}

/// The victim's fetch, once it is far enough to be cut off.
fn ready_to_die(transfer: &Transfer) -> Option<FetchStatus> {
    let fetch = &transfer.last;
    let needed = fetch
        .bytes_total
        .checked_sub(fetch.bytes_reused)
        .filter(|needed| *needed > 0)?;
    (fetch.bytes_fetched * 100 / needed >= KILL_AT).then(|| fetch.clone())
}
