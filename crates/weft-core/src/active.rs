//! The active slot: probed at every start, after its soak and when it is suspected;
//! gone back from when it fails. And the verdict on what a probe measured.

use weft_record::{Name, ProbeSet, RecordId};

use crate::{
    config::Phase,
    io::{Event, Outcome, Output, ProbeMeasurement, ProbeRequest, SlotKind, SlotPlan},
    message::Payload,
    node::Node,
    pending::Pending,
};

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
        if channel.switching {
            // what it ends with is probed
            return;
        }
        if channel.phase == Phase::Active {
            channel.phase = Phase::Soaking;
        }
        self.probe(SlotKind::Active, plan);
    }

    pub(crate) fn probed_active(
        &mut self,
        name: Name,
        release: RecordId,
        asked: usize,
        outcome: Outcome<P>,
    ) {
        let active = self
            .channels
            .get(&name)
            .map(|channel| &channel.slots.active);
        // another one may have taken its place meanwhile
        let probed = active.and_then(Option::clone);
        let Some(plan) = probed.filter(|plan| plan.release == release) else {
            return;
        };
        if self.was_asked_less(&plan, asked) {
            self.suspect(&name);
            return;
        }
        let verdict = self.judge_probe(&name, &plan, outcome);
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
            Err(reason) => self.go_back(&name, reason, false),
        }
    }

    pub(crate) fn probe(&mut self, slot: SlotKind, plan: SlotPlan) {
        let probes = self
            .probe_set(&plan.release)
            .map(|set| set.probes)
            .unwrap_or_default();
        let (channel, asked) = (plan.channel.clone(), probes.len());
        let pending = match slot {
            SlotKind::Staged => Pending::ProbeStaged(channel, asked),
            SlotKind::Active => Pending::ProbeActive(channel, plan.release, asked),
        };
        let operation = self.begin(pending);
        self.emit(Output::Probe(
            operation,
            ProbeRequest { slot, plan, probes },
        ));
    }

    /// The release's record was away when the model was probed, and is back: what was
    /// measured says nothing about its probes.
    pub(crate) fn was_asked_less(&self, plan: &SlotPlan, asked: usize) -> bool {
        let release = self.trust.release(&plan.release);
        release.is_some_and(|release| release.probe_set.probes.len() != asked)
    }

    pub(crate) fn probe_set(&self, release: &RecordId) -> Option<ProbeSet> {
        self.trust
            .release(release)
            .map(|release| release.probe_set.clone())
    }

    /// Compares what was measured, and tells how it ended.
    pub(crate) fn judge_probe(
        &mut self,
        channel: &Name,
        plan: &SlotPlan,
        outcome: Outcome<P>,
    ) -> Result<(), String> {
        let verdict = self.probe_verdict(plan, outcome);
        self.event(Event::Probed {
            channel: channel.clone(),
            release: plan.release,
            passed: verdict.is_ok(),
            reason: verdict.clone().err().unwrap_or_default(),
        });
        verdict
    }

    /// Compares what was measured with what the release's signer promised.
    fn probe_verdict(&self, plan: &SlotPlan, outcome: Outcome<P>) -> Result<(), String> {
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
                self.retarget(&name);
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
