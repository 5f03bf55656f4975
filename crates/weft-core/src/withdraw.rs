//! Slots that lost their ground: a release was revoked, or a reset began anew without it.
//! They stop answering at once.

use weft_record::{Name, Verdict};

use crate::{
    bounds,
    config::Phase,
    io::{Disk, Event, Outcome, SlotPlan},
    message::Payload,
    node::Node,
    pending::Pending,
    target::remember_failed,
};

impl<P: Payload> Node<P> {
    pub(crate) fn leave_void_all(&mut self) {
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.leave_void(&channel);
        }
    }

    /// Leaves an active slot that may no longer answer.
    pub(crate) fn leave_void(&mut self, name: &Name) {
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        let Some(active) = channel.slots.active.clone() else {
            return;
        };
        if channel.switching || !self.is_void(&active) {
            return;
        }
        self.event(Event::Withdrawn {
            channel: name.clone(),
            release: active.release,
        });
        self.go_back(name, "its release no longer counts".to_owned(), true);
    }

    pub(crate) fn is_void(&self, slot: &SlotPlan) -> bool {
        let (channel, trust) = (&slot.channel, &self.trust);
        let void = trust.is_void(channel, slot.epoch, &slot.release);
        // what a reset names keeps its ground also before its records are here again
        void && (trust.is_revoked(&slot.release) || !self.is_base(slot))
    }

    fn is_base(&self, slot: &SlotPlan) -> bool {
        let epoch = self.trust.epoch(&slot.channel);
        let resets = self.trust.root_chain().iter().rev();
        let mut resets = resets.flat_map(|root| &root.resets);
        let reset = resets.find(|reset| reset.channel == slot.channel && reset.epoch == epoch);
        reset.is_some_and(|reset| reset.base == Some(slot.head))
    }

    /// Drops the active slot, and the previous one too if that may not answer either.
    pub(crate) fn go_back(&mut self, name: &Name, reason: String, void: bool) {
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        // what is under way must end first, else the wrong slot would be dropped
        if channel.switching {
            return;
        }
        let previous = channel.slots.previous.as_ref();
        let both = previous.is_some_and(|previous| self.is_void(previous));
        let pending = Pending::GoBack {
            channel: name.clone(),
            void,
            both,
            reason,
        };
        let disk = if both || void {
            Disk::Withdraw {
                channel: name.clone(),
                both,
                failed: !void,
            }
        } else {
            Disk::GoBack(name.clone())
        };
        self.switch(name, pending, disk);
    }

    pub(crate) fn went_back(
        &mut self,
        name: Name,
        void: bool,
        both: bool,
        reason: String,
        outcome: Outcome<P>,
    ) {
        let retry_us = self.now_us + bounds::DISK_RETRY_US;
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        channel.switching = false;
        if !matches!(outcome, Outcome::Switched) {
            // looked at again, and probed again, which asks again
            channel.retry_us = Some(retry_us);
            channel.soak_due_us = Some(retry_us);
            self.trouble(&outcome);
            return;
        }
        let Some(dropped) = channel.slots.active.take() else {
            return;
        };
        channel.soak_due_us = None;
        let mut previous = channel.slots.previous.take();
        if !both {
            channel.slots.active = previous.take();
        }
        if !void {
            remember_failed(&mut channel.slots, dropped.head);
        }
        let target = channel.target.as_ref();
        if target.is_some_and(|target| target.plan.release == dropped.release) {
            channel.target = None;
        }
        let to = channel.slots.active.as_ref().map(|slot| slot.release);
        let (from, retired) = (dropped.release, [Some(dropped), previous]);
        self.retire(retired.into_iter().flatten());
        self.event(Event::WentBack {
            channel: name.clone(),
            from,
            to,
            reason: reason.clone(),
        });
        self.set_phase(&name, Phase::Refused, &reason);
        // what we go back to is proven again too
        self.suspect(&name);
        self.retarget(&name);
        self.advance(&name);
    }

    /// Whether this head is what the channel asks for now.
    pub(crate) fn is_wanted(&self, slot: &SlotPlan) -> bool {
        match self.trust.verdict(&slot.channel) {
            Verdict::Go(head) => head.id() == slot.head && !self.is_held_by_time(),
            _ => false,
        }
    }

    /// Changes slots on disk; nothing else may until that is done.
    pub(crate) fn switch(&mut self, name: &Name, pending: Pending<P>, disk: Disk<P>) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.switching = true;
            self.disk(pending, disk);
        }
    }
}
