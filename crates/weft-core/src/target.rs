//! What a channel's newest head asks for, and which variant of it fits this machine.

use std::collections::BTreeSet;

use weft_record::{Delta, FileEntry, Hash, Name, RecordId, Release, Variant, Verdict};

use crate::{
    bounds,
    config::{Facts, Phase},
    courier::Courier,
    file::FilePhase,
    io::{Event, SlotPlan, Slots},
    message::Payload,
    node::Node,
};

/// One followed channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) slots: Slots,
    /// What the newest head asks for, once it is known and fits.
    pub(crate) target: Option<Target>,
    pub(crate) phase: Phase,
    pub(crate) reason: String,
    /// Somebody is known to bring what it lacks.
    pub(crate) courier: Option<Box<Courier>>,
    /// The active slot is probed once more at this time.
    pub(crate) soak_due_us: Option<u64>,
    /// The disk is changing which slot is which.
    pub(crate) switching: bool,
    /// The disk refused a slot operation: tried again at this time.
    pub(crate) retry_us: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) seq: u64,
    pub(crate) plan: SlotPlan,
    pub(crate) files: Vec<FileEntry>,
    /// Of these, as differences from other files.
    pub(crate) deltas: Vec<Delta>,
    /// `FetchStarted` was told.
    pub(crate) told: bool,
    /// A stage, probe or switch is under way.
    pub(crate) busy: bool,
    /// It was activated: nothing is left to do.
    pub(crate) done: bool,
}

impl Target {
    /// Whether this is one of its files or deltas, and it is not active yet.
    pub(crate) fn needs(&self, file: &Hash) -> bool {
        let is_file = |one: &FileEntry| one.blake3 == *file;
        let is_delta = |one: &Delta| one.blake3 == *file;
        !self.done && (self.files.iter().any(is_file) || self.deltas.iter().any(is_delta))
    }
}

impl Channel {
    /// Whether nothing is to be fetched for it.
    pub(crate) fn has_all(&self) -> bool {
        self.target.as_ref().is_none_or(|target| target.done)
    }

    /// Whether its next step needs the disk to take more.
    pub(crate) fn waits_for_bytes(&self) -> bool {
        matches!(self.phase, Phase::Fetching | Phase::Staging)
    }

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
            courier: None,
            soak_due_us: None,
            switching: false,
            retry_us: None,
        }
    }
}

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
    pub(crate) fn rest_unneeded(&mut self) {
        let needed: BTreeSet<Hash> = self.wanted_files().collect();
        let idle: Vec<Hash> = self
            .files
            .iter()
            .filter(|(file, state)| {
                let runs = matches!(state.phase, FilePhase::Fetching | FilePhase::Deferred);
                runs && !needed.contains(file)
            })
            .map(|(file, _)| *file)
            .collect();
        for file in idle {
            self.rest(file);
        }
        self.blobs.retain(|_, blob| needed.contains(&blob.file));
    }

    /// Whether some target has it, or as a delta.
    pub(crate) fn is_wanted_file(&self, file: &Hash) -> bool {
        self.wanted_files().any(|wanted| wanted == *file)
    }

    fn wanted_files(&self) -> impl Iterator<Item = Hash> {
        let channels = self.channels.values();
        let targets = channels.filter_map(|channel| channel.target.as_ref());
        targets.flat_map(|target| {
            let files = target.files.iter().map(|file| file.blake3);
            files.chain(target.deltas.iter().map(|delta| delta.blake3))
        })
    }

    /// Holds the channel's target against what its records ask for.
    pub(crate) fn retarget(&mut self, name: &Name) {
        self.leave_void(name);
        let head = match self.trust.verdict(name) {
            Verdict::Go(head) => head.clone(),
            Verdict::Forked(_) => {
                let reason = "two signed heads contend for one place";
                self.set_phase(name, Phase::Forked, reason);
                return;
            }
            Verdict::Undecided => {
                let reason = "a head came that may contend: waiting for those before it";
                self.set_phase(name, Phase::Fetching, reason);
                return;
            }
            Verdict::Withdrawn => {
                let reason = "every release that this channel named was withdrawn";
                self.drop_target(name, Phase::Withdrawn, reason);
                return;
            }
            Verdict::Nothing => {
                self.drop_target(name, Phase::Idle, "");
                return;
            }
        };
        let (head_id, epoch, seq, release_id) = (head.id(), head.epoch, head.seq, head.release);
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        if let Some(target) = &channel.target
            && target.plan.head == head_id
        {
            // it is wanted again after it was contended
            if matches!(
                channel.phase,
                Phase::Forked | Phase::Withdrawn | Phase::Idle
            ) {
                let phase = if target.done {
                    Phase::Active
                } else {
                    Phase::Fetching
                };
                self.set_phase(name, phase, "");
            }
            self.tell_held_by_time(name);
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
            self.ask_members();
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
            epoch,
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
                deltas: release.deltas.clone(),
                told: false,
                busy: false,
                done: false,
            });
        }
        self.set_phase(name, Phase::Fetching, "");
        for file in files {
            self.require_file(file.blake3, file.length, file.chunk_map);
        }
        self.keep_deltas();
        self.tell_held_by_time(name);
    }

    /// Nothing is wanted of a channel now; what is active, if anything, stays.
    fn drop_target(&mut self, name: &Name, phase: Phase, reason: &str) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        // a step under way ends first; its end looks here again
        if channel.target.as_ref().is_none_or(|target| !target.busy) {
            channel.target = None;
        }
        let phase = match channel.phase {
            Phase::Soaking if phase == Phase::Idle => return,
            _ if phase == Phase::Idle && channel.slots.active.is_some() => Phase::Active,
            _ => phase,
        };
        self.set_phase(name, phase, reason);
    }

    fn tell_held_by_time(&mut self, name: &Name) {
        let held = self.is_held_by_time();
        let text = "the newest root has run out, and nothing new is activated until it is renewed";
        if let Some(channel) = self.channels.get_mut(name)
            && channel.target.as_ref().is_some_and(|target| !target.done)
            && (held || channel.reason == text)
        {
            channel.reason = if held { text.to_owned() } else { String::new() };
        }
    }

    /// The first variant, in this node's order of preference, that this machine can run.
    /// Free disk comes and goes: a variant for which there is none now is taken only if
    /// no other fits, and the fetch then waits for space.
    pub(crate) fn choose_variant(&self, release: &Release) -> Result<usize, String> {
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
        let (mut reasons, mut runs) = (Vec::new(), Vec::new());
        for index in order {
            match misfit(&release.variants[index], &self.config.facts) {
                Some(reason) => reasons.push(reason),
                None => runs.push(index),
            }
        }
        let disk_bytes = self.config.facts.disk_bytes;
        let has_room = |index: &&usize| release.variants[**index].requires.disk_bytes <= disk_bytes;
        let chosen = runs.iter().find(has_room).or(runs.first());
        chosen
            .copied()
            .ok_or_else(|| format!("no variant fits this machine: {}", reasons.join("; ")))
    }
}

/// Why this machine can never run the variant.
fn misfit(variant: &Variant, facts: &Facts) -> Option<String> {
    let (requires, name) = (&variant.requires, &variant.quantization);
    let architecture = requires.architecture.as_str();
    if !architecture.is_empty() && architecture != facts.architecture {
        return Some(format!(
            "{name} is for {architecture}, this is {}",
            facts.architecture
        ));
    }
    if requires.ram_bytes > facts.ram_bytes {
        let (needs, has) = (requires.ram_bytes, facts.ram_bytes);
        return Some(format!(
            "{name} needs {needs} bytes of memory, this machine has {has}"
        ));
    }
    let has = |isa: &&Name| facts.isa.iter().any(|has| has == isa.as_str());
    let missing = requires.isa.iter().find(|isa| !has(isa));
    missing.map(|isa| format!("{name} needs the instruction set {isa}"))
}

/// All files of a variant, with the release's own tokenizer and template.
fn files_of(release: &Release, variant: usize) -> Vec<FileEntry> {
    let mut files = release.variants[variant].files.clone();
    files.extend(release.tokenizer.iter().cloned());
    files.extend(release.template.iter().cloned());
    files
}

pub(crate) fn remember_failed(slots: &mut Slots, head: RecordId) {
    if !slots.failed.contains(&head) {
        slots.failed.push(head);
    }
    let excess = slots.failed.len().saturating_sub(bounds::FAILED_HEADS);
    slots.failed.drain(..excess);
}
