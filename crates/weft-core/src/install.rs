//! From a verified head to an answering model: choose the variant, wait for its
//! files, stage, probe, activate, soak; go back when it fails.

use std::collections::BTreeSet;

use weft_record::{FileEntry, Hash, Name, ProbeSet, RecordId, Release};

use crate::{
    bounds,
    config::{ChannelStatus, FetchStatus, Phase},
    fetch::FilePhase,
    io::{Disk, Event, Outcome, Output, ProbeMeasurement, ProbeRequest, SlotKind, SlotPlan, Slots},
    message::{Payload, Peer},
    node::{Node, Pending},
};

/// One followed channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) slots: Slots,
    /// What the newest head asks for, once it is known and fits.
    target: Option<Target>,
    phase: Phase,
    reason: String,
    /// The active slot is probed once more at this time.
    soak_due_us: Option<u64>,
    /// The disk refused a slot operation: tried again at this time.
    retry_us: Option<u64>,
}

#[derive(Clone, Debug)]
struct Target {
    seq: u64,
    plan: SlotPlan,
    files: Vec<FileEntry>,
    /// `FetchStarted` was told.
    told: bool,
    /// A stage, probe or switch is under way.
    busy: bool,
    /// It was activated: nothing is left to do.
    done: bool,
}

impl Channel {
    pub(crate) fn new(slots: Slots) -> Self {
        let phase = if slots.active.is_some() {
            Phase::Active
        } else {
            Phase::Idle
        };
        Self {
            slots,
            target: None,
            phase,
            reason: String::new(),
            soak_due_us: None,
            retry_us: None,
        }
    }
}

// ---- what a head asks for -------------------------------------------------

impl<P: Payload> Node<P> {
    pub(crate) fn retarget_all(&mut self) {
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.retarget(&channel);
        }
        self.rest_unneeded();
        self.advance_all();
    }

    /// Files of targets that a newer head replaced are no longer asked for; what
    /// is held of them stays and is reused.
    fn rest_unneeded(&mut self) {
        let targets = self
            .channels
            .values()
            .filter_map(|channel| channel.target.as_ref());
        let needed: BTreeSet<Hash> = targets
            .flat_map(|target| target.files.iter().map(|file| file.blake3))
            .collect();
        let idle: Vec<Hash> = self
            .files
            .iter()
            .filter(|(file, state)| state.phase == FilePhase::Fetching && !needed.contains(file))
            .map(|(file, _)| *file)
            .collect();
        for file in idle {
            self.rest(file);
        }
        self.blobs.retain(|_, blob| needed.contains(&blob.file));
    }

    /// Holds the channel's target against its newest accepted head.
    fn retarget(&mut self, name: &Name) {
        if self.trust.fork(name).is_some() {
            self.set_phase(
                name,
                Phase::Forked,
                "two signed heads contend for one place",
            );
            return;
        }
        let Some(head) = self.trust.head(name) else {
            return;
        };
        let (head_id, seq, release_id) = (head.id(), head.seq, head.release);
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        if channel
            .target
            .as_ref()
            .is_some_and(|target| target.plan.head == head_id)
        {
            return;
        }
        if channel.target.as_ref().is_some_and(|target| target.busy) {
            // the step under way ends first; its end looks here again
            return;
        }
        if channel
            .slots
            .active
            .as_ref()
            .is_some_and(|slot| slot.release == release_id)
        {
            if channel.target.take().is_some() || channel.phase != Phase::Soaking {
                self.set_phase(name, Phase::Active, "");
            }
            return;
        }
        if channel.slots.failed.contains(&head_id) {
            channel.target = None;
            if channel.phase != Phase::Refused {
                self.set_phase(name, Phase::Refused, "this release failed its probe here");
            }
            return;
        }
        let Some(release) = self.trust.release(&release_id).cloned() else {
            self.set_phase(name, Phase::Fetching, "waiting for the release record");
            self.ask_for_records(None);
            return;
        };
        self.event(Event::HeadAccepted {
            channel: name.clone(),
            seq,
            head: head_id,
            release: release_id,
        });
        let chosen = match self.choose_variant(&release) {
            Ok(index) => index,
            Err(reason) => {
                self.event(Event::NoVariant {
                    channel: name.clone(),
                    release: release_id,
                    reason: reason.clone(),
                });
                if let Some(channel) = self.channels.get_mut(name) {
                    channel.target = None;
                }
                self.set_phase(name, Phase::Refused, &reason);
                return;
            }
        };
        let files = files_of(&release, chosen);
        let plan = SlotPlan {
            channel: name.clone(),
            head: head_id,
            release: release_id,
            variant: chosen as u32,
            files: files
                .iter()
                .map(|file| (file.path.clone(), file.blake3))
                .collect(),
        };
        if let Some(channel) = self.channels.get_mut(name) {
            channel.target = Some(Target {
                seq,
                plan,
                files: files.clone(),
                told: false,
                busy: false,
                done: false,
            });
        }
        self.set_phase(name, Phase::Fetching, "");
        for file in files {
            self.require_file(file.blake3, file.length, file.chunk_map);
        }
    }

    /// The first variant, in this node's order of preference, that this machine can run.
    fn choose_variant(&self, release: &Release) -> Result<usize, String> {
        let facts = &self.config.facts;
        let mut reasons = Vec::new();
        let preference = |index: &usize| {
            let quantization = &release.variants[*index].quantization;
            let wanted = self
                .config
                .variant_preference
                .iter()
                .position(|name| name == quantization);
            (wanted.unwrap_or(usize::MAX), *index)
        };
        let mut order: Vec<usize> = (0..release.variants.len()).collect();
        order.sort_by_key(preference);
        for index in order {
            let variant = &release.variants[index];
            let requires = &variant.requires;
            let name = &variant.quantization;
            let architecture = requires.architecture.as_str();
            if !architecture.is_empty() && architecture != facts.architecture {
                reasons.push(format!(
                    "{name} is for {architecture}, this is {}",
                    facts.architecture
                ));
            } else if requires.ram_bytes > facts.ram_bytes {
                let (needs, has) = (requires.ram_bytes, facts.ram_bytes);
                reasons.push(format!(
                    "{name} needs {needs} bytes of memory, this machine has {has}"
                ));
            } else if requires.disk_bytes > facts.disk_bytes {
                let (needs, has) = (requires.disk_bytes, facts.disk_bytes);
                reasons.push(format!(
                    "{name} needs {needs} bytes of disk, {has} are free"
                ));
            } else if let Some(missing) = requires
                .isa
                .iter()
                .find(|isa| !facts.isa.iter().any(|has| has == isa.as_str()))
            {
                reasons.push(format!("{name} needs the instruction set {missing}"));
            } else {
                return Ok(index);
            }
        }
        Err(format!(
            "no variant fits this machine: {}",
            reasons.join("; ")
        ))
    }
}

/// All files of a variant, with the release's own tokenizer and template.
fn files_of(release: &Release, variant: usize) -> Vec<FileEntry> {
    let mut files = release.variants[variant].files.clone();
    files.extend(release.tokenizer.iter().cloned());
    files.extend(release.template.iter().cloned());
    files
}

// ---- stage, probe, activate -----------------------------------------------

impl<P: Payload> Node<P> {
    pub(crate) fn advance_all(&mut self) {
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.advance(&channel);
        }
    }

    /// Takes the next step of a channel whose files are whole.
    fn advance(&mut self, name: &Name) {
        if self.trust.fork(name).is_some() {
            return;
        }
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let Some(target) = channel.target.as_mut() else {
            return;
        };
        if target.busy || target.done || channel.retry_us.is_some() {
            return;
        }
        if target
            .files
            .iter()
            .any(|file| is(&self.files, file.blake3, FilePhase::Contradictory))
        {
            let reason = "a file does not match the release's own chunk map".to_owned();
            self.refuse_unstaged(name, reason);
            return;
        }
        let files = &self.files;
        if !target
            .files
            .iter()
            .all(|file| is(files, file.blake3, FilePhase::Complete))
        {
            return;
        }
        target.busy = true;
        let plan = target.plan.clone();
        let bytes_fetched = self
            .fetch_status(name)
            .map_or(0, |fetch| fetch.bytes_fetched);
        self.event(Event::FetchCompleted {
            channel: name.clone(),
            release: plan.release,
            bytes_fetched,
        });
        self.set_phase(name, Phase::Staging, "");
        self.disk(Pending::Stage(name.clone()), Disk::Stage(plan));
    }

    pub(crate) fn staged(&mut self, name: Name, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Staged) {
            self.step_failed(&name, &outcome);
            return;
        }
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        let Some(target) = &channel.target else {
            return;
        };
        channel.slots.staged = Some(target.plan.clone());
        let plan = target.plan.clone();
        self.set_phase(&name, Phase::Probing, "");
        self.probe(Pending::ProbeStaged(name), SlotKind::Staged, plan);
    }

    pub(crate) fn probed_staged(&mut self, name: Name, outcome: Outcome<P>) {
        let Some(plan) = self
            .channels
            .get(&name)
            .and_then(|channel| channel.slots.staged.clone())
        else {
            return;
        };
        let verdict = self.judge(&plan, outcome);
        self.event(Event::Probed {
            channel: name.clone(),
            release: plan.release,
            passed: verdict.is_ok(),
            reason: verdict.clone().err().unwrap_or_default(),
        });
        match verdict {
            Ok(()) if self.trust.fork(&name).is_some() => {
                // contended since: what is staged waits
                if let Some(target) = self.target_mut(&name) {
                    target.busy = false;
                }
            }
            Ok(()) => self.disk(Pending::Activate(name.clone()), Disk::Activate(name)),
            Err(reason) => {
                self.set_phase(&name, Phase::Refused, &reason);
                self.disk(
                    Pending::DropStaged {
                        channel: name.clone(),
                    },
                    Disk::DropStaged(name),
                );
            }
        }
    }

    pub(crate) fn activated(&mut self, name: Name, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Switched) {
            self.step_failed(&name, &outcome);
            return;
        }
        let soak_due_us = self.now_us + bounds::SOAK_US;
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        channel.slots.previous = channel.slots.active.take();
        channel.slots.active = channel.slots.staged.take();
        channel.soak_due_us = Some(soak_due_us);
        let Some(target) = channel.target.as_mut() else {
            return;
        };
        target.busy = false;
        target.done = true;
        let (release, seq) = (target.plan.release, target.seq);
        self.set_phase(&name, Phase::Soaking, "");
        self.event(Event::Activated {
            channel: name.clone(),
            release,
            seq,
        });
        self.retarget(&name);
        self.advance(&name);
    }

    pub(crate) fn dropped_staged(&mut self, name: Name, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Switched) {
            self.trouble(&outcome);
        }
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        if let Some(slot) = channel.slots.staged.take() {
            remember_failed(&mut channel.slots, slot.head);
        }
        channel.target = None;
        self.retarget(&name);
        self.advance(&name);
    }

    /// The release's bytes contradict each other: nothing was staged, nothing is lost.
    fn refuse_unstaged(&mut self, name: &Name, reason: String) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let Some(target) = channel.target.take() else {
            return;
        };
        remember_failed(&mut channel.slots, target.plan.head);
        let release = target.plan.release;
        self.set_phase(name, Phase::Refused, &reason);
        self.event(Event::Probed {
            channel: name.clone(),
            release,
            passed: false,
            reason,
        });
    }

    pub(crate) fn contradictory(&mut self, file: Hash) {
        if let Some(state) = self.files.get_mut(&file) {
            state.phase = FilePhase::Contradictory;
            self.advance_all();
            return;
        }
        let concerned: Vec<Name> = self
            .channels
            .iter()
            .filter(|(_, channel)| {
                let target = channel.target.as_ref();
                target.is_some_and(|target| target.files.iter().any(|entry| entry.blake3 == file))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in concerned {
            self.refuse_unstaged(
                &name,
                "a chunk map does not fit its file's length".to_owned(),
            );
        }
    }

    /// A slot step that the disk refused is taken again later.
    fn step_failed(&mut self, name: &Name, outcome: &Outcome<P>) {
        self.trouble(outcome);
        let retry_us = self.now_us + bounds::DISK_RETRY_US;
        if let Some(channel) = self.channels.get_mut(name) {
            channel.retry_us = Some(retry_us);
            if let Some(target) = channel.target.as_mut() {
                target.busy = false;
            }
        }
    }
}

// ---- the active slot ------------------------------------------------------

impl<P: Payload> Node<P> {
    /// At start: a disk that rotted, or a changed engine, must not answer prompts.
    pub(crate) fn probe_active_slots(&mut self) {
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.suspect(&channel);
        }
    }

    pub(crate) fn suspect(&mut self, name: &Name) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        channel.soak_due_us = None;
        let Some(plan) = channel.slots.active.clone() else {
            return;
        };
        if channel.phase == Phase::Active {
            channel.phase = Phase::Soaking;
        }
        self.probe(Pending::ProbeActive(name.clone()), SlotKind::Active, plan);
    }

    pub(crate) fn probed_active(&mut self, name: Name, outcome: Outcome<P>) {
        let Some(plan) = self
            .channels
            .get(&name)
            .and_then(|channel| channel.slots.active.clone())
        else {
            return;
        };
        let verdict = self.judge(&plan, outcome);
        self.event(Event::Probed {
            channel: name.clone(),
            release: plan.release,
            passed: verdict.is_ok(),
            reason: verdict.clone().err().unwrap_or_default(),
        });
        match verdict {
            Ok(()) => {
                if self
                    .channels
                    .get(&name)
                    .is_some_and(|channel| channel.phase == Phase::Soaking)
                {
                    self.set_phase(&name, Phase::Active, "");
                }
            }
            Err(reason) => {
                let pending = Pending::GoBack {
                    channel: name.clone(),
                    reason,
                };
                self.disk(pending, Disk::GoBack(name));
            }
        }
    }

    pub(crate) fn went_back(&mut self, name: Name, reason: String, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Switched) {
            self.trouble(&outcome);
            // the probe runs again and asks again
            let due_us = self.now_us + bounds::DISK_RETRY_US;
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.soak_due_us = Some(due_us);
            }
            return;
        }
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        let Some(dropped) = channel.slots.active.take() else {
            return;
        };
        channel.slots.active = channel.slots.previous.take();
        remember_failed(&mut channel.slots, dropped.head);
        channel.target = None;
        let to = channel.slots.active.as_ref().map(|slot| slot.release);
        self.event(Event::WentBack {
            channel: name.clone(),
            from: dropped.release,
            to,
            reason: reason.clone(),
        });
        self.set_phase(&name, Phase::Refused, &reason);
        // what we go back to is proven again too
        self.suspect(&name);
    }

    fn probe(&mut self, pending: Pending<P>, slot: SlotKind, plan: SlotPlan) {
        let probes = self
            .probe_set(&plan.release)
            .map(|set| set.probes)
            .unwrap_or_default();
        let operation = self.begin(pending);
        self.emit(Output::Probe(
            operation,
            ProbeRequest { slot, plan, probes },
        ));
    }

    fn probe_set(&self, release: &RecordId) -> Option<ProbeSet> {
        self.trust
            .release(release)
            .map(|release| release.probe_set.clone())
    }

    /// Compares what was measured with what the release's signer promised.
    fn judge(&self, plan: &SlotPlan, outcome: Outcome<P>) -> Result<(), String> {
        let measured = match outcome {
            Outcome::Probed(measured) => measured,
            Outcome::Failed(failure) => return Err(failure.text),
            _ => return Err("the probe did not run".to_owned()),
        };
        // a slot whose release record is gone proves nothing; it is kept as it was
        let Some(set) = self.probe_set(&plan.release) else {
            return Ok(());
        };
        compare(&set, plan.variant as usize, &measured)
    }

    pub(crate) fn install_due_us(&self) -> u64 {
        let channels = self.channels.values();
        let dues = channels.flat_map(|channel| [channel.soak_due_us, channel.retry_us]);
        dues.flatten().min().unwrap_or(u64::MAX)
    }

    pub(crate) fn run_install_timers(&mut self) {
        for name in self.channels.keys().cloned().collect::<Vec<_>>() {
            let Some(channel) = self.channels.get_mut(&name) else {
                continue;
            };
            let due = |due_us: Option<u64>| due_us.is_some_and(|due_us| due_us <= self.now_us);
            let (soak, retry) = (due(channel.soak_due_us), due(channel.retry_us));
            if soak {
                self.suspect(&name);
            }
            if retry {
                if let Some(channel) = self.channels.get_mut(&name) {
                    channel.retry_us = None;
                }
                self.advance(&name);
            }
        }
    }
}

/// The core's verdict on a measurement.
fn compare(set: &ProbeSet, variant: usize, measured: &ProbeMeasurement) -> Result<(), String> {
    let asked = set.probes.len();
    if measured.answers.len() != asked {
        return Err(format!(
            "{} of {asked} probes were answered",
            measured.answers.len()
        ));
    }
    let matched = set
        .probes
        .iter()
        .zip(&measured.answers)
        .filter(|(probe, answer)| probe.expected.get(variant) == Some(answer))
        .count();
    // a release without probes proves itself by loading
    let share_bp = (matched * 10_000).checked_div(asked).unwrap_or(10_000);
    let limits = &set.limits;
    if share_bp < usize::from(limits.min_match_bp) {
        let wanted = f64::from(limits.min_match_bp) / 100.0;
        return Err(format!(
            "{matched} of {asked} probe answers match, {wanted} % must"
        ));
    }
    let (speed, floor) = (
        measured.tokens_per_sec_milli,
        limits.min_tokens_per_sec_milli,
    );
    if speed < floor {
        return Err(format!(
            "{speed} thousandths of a token a second, at least {floor} must be"
        ));
    }
    let (memory, ceiling) = (measured.peak_memory_bytes, limits.max_memory_bytes);
    if ceiling > 0 && memory > ceiling {
        return Err(format!(
            "{memory} bytes of memory, at most {ceiling} may be"
        ));
    }
    Ok(())
}

fn remember_failed(slots: &mut Slots, head: RecordId) {
    if !slots.failed.contains(&head) {
        slots.failed.push(head);
    }
    let excess = slots.failed.len().saturating_sub(bounds::FAILED_HEADS);
    slots.failed.drain(..excess);
}

fn is(
    files: &std::collections::BTreeMap<Hash, crate::fetch::FileState>,
    file: Hash,
    phase: FilePhase,
) -> bool {
    files.get(&file).is_some_and(|state| state.phase == phase)
}

// ---- what is told ---------------------------------------------------------

impl<P: Payload> Node<P> {
    fn target_mut(&mut self, name: &Name) -> Option<&mut Target> {
        self.channels.get_mut(name)?.target.as_mut()
    }

    fn set_phase(&mut self, name: &Name, phase: Phase, reason: &str) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.phase = phase;
            reason.clone_into(&mut channel.reason);
        }
    }

    /// Tells once a target when all its files have been opened.
    pub(crate) fn fetch_started(&mut self, file: &Hash) {
        let names: Vec<Name> = self.channels.keys().cloned().collect();
        for name in names {
            let files = &self.files;
            let Some(target) = self
                .channels
                .get_mut(&name)
                .and_then(|ch| ch.target.as_mut())
            else {
                continue;
            };
            let concerns = target.files.iter().any(|entry| entry.blake3 == *file);
            let opened = target.files.iter().all(|entry| {
                files.get(&entry.blake3).is_some_and(|state| {
                    !matches!(state.phase, FilePhase::Opening | FilePhase::Dormant)
                })
            });
            if !concerns || !opened || std::mem::replace(&mut target.told, true) {
                continue;
            }
            let release = target.plan.release;
            let fetch = self.fetch_status(&name).unwrap_or_default();
            self.event(Event::FetchStarted {
                channel: name,
                release,
                bytes_total: fetch.bytes_total,
                bytes_resumed: fetch.bytes_resumed,
                bytes_reused: fetch.bytes_reused,
            });
        }
    }

    pub(crate) fn channel_status(&self, name: &Name) -> ChannelStatus {
        let channel = &self.channels[name];
        let head = self.trust.head(name);
        ChannelStatus {
            channel: name.clone(),
            seq: head.map(|head| head.seq),
            target: head.map(|head| head.release),
            active: channel.slots.active.as_ref().map(|slot| slot.release),
            previous: channel.slots.previous.as_ref().map(|slot| slot.release),
            phase: channel.phase,
            fetch: self.fetch_status(name),
            reason: channel.reason.clone(),
        }
    }

    fn fetch_status(&self, name: &Name) -> Option<FetchStatus> {
        let target = self.channels.get(name)?.target.as_ref()?;
        let mut status = FetchStatus::default();
        let mut by_peer: std::collections::BTreeMap<Peer, u64> = std::collections::BTreeMap::new();
        for entry in &target.files {
            status.bytes_total += entry.length;
            let Some(file) = self.files.get(&entry.blake3) else {
                continue;
            };
            let figures = &file.figures;
            status.bytes_held += figures.bytes_held;
            status.bytes_resumed += figures.bytes_resumed;
            status.bytes_reused += figures.bytes_reused;
            status.bytes_fetched += figures.bytes_fetched;
            status.bytes_duplicate += figures.bytes_duplicate;
            status.chunks_total += file.map.chunks.len() as u64;
            status.chunks_held += file.chunks_held();
            for (peer, chunks) in &figures.by_peer {
                *by_peer.entry(*peer).or_default() += chunks;
            }
        }
        status.chunks_by_peer = by_peer.into_iter().collect();
        Some(status)
    }
}
