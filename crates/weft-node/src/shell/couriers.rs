//! Couriers that the owner expects: kept over a restart, so that a reboot does not begin to
//! fetch what somebody is carrying.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use weft_core::{Command, Input};
use weft_record::Name;
use weft_store::Store;

use super::Shell;

/// Under this name they are kept.
const SETTING: &str = "couriers";

/// One that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Expected {
    channel: Name,
    /// Until then, in seconds since 1970.
    until_s: u64,
}

/// What was expected when the node ended. A note that cannot be read is as good as none: the
/// release comes over the network.
pub(super) fn kept(store: &Store) -> Vec<Expected> {
    let note = store.setting(SETTING).unwrap_or_default();
    note.and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

impl Shell {
    /// Has the core expect what was expected before.
    pub(super) fn expect_again(&mut self) {
        for Expected { channel, until_s } in self.couriers.clone() {
            self.tell_expected(channel, Some(until_s));
        }
        self.follow_couriers();
    }

    /// The owner expects a courier within so many seconds, or none any more; answered, when
    /// that is kept, with whether the node follows the channel.
    pub(super) fn expect(
        &mut self,
        channel: &Name,
        in_s: Option<u64>,
        reply: oneshot::Sender<bool>,
    ) {
        let status = self.node.status();
        if !status.channels.iter().any(|one| one.channel == *channel) {
            let _ = reply.send(false);
            return;
        }
        let until_s = in_s.map(|in_s| self.wall_s().saturating_add(in_s));
        self.tell_expected(channel.clone(), until_s);
        self.couriers.retain(|one| one.channel != *channel);
        self.couriers.extend(until_s.map(|until_s| Expected {
            channel: channel.clone(),
            until_s,
        }));
        self.keep_couriers(Some(reply));
    }

    /// Forgets those that came, or did not come in time.
    pub(super) fn follow_couriers(&mut self) {
        if self.couriers.is_empty() {
            return;
        }
        let status = self.node.status();
        let is_awaited = |expected: &Expected| {
            let mut channels = status.channels.iter();
            channels.any(|one| one.channel == expected.channel && one.courier.is_some())
        };
        let before = self.couriers.len();
        self.couriers.retain(is_awaited);
        if self.couriers.len() < before {
            self.keep_couriers(None);
        }
    }

    fn tell_expected(&mut self, channel: Name, until_s: Option<u64>) {
        let zero_s = self.clock.wall_at_zero_s();
        let until_us = until_s.map(|until_s| until_s.saturating_sub(zero_s) * 1_000_000);
        self.handle(Input::Command(Command::Expect(channel, until_us)));
    }

    fn keep_couriers(&self, reply: Option<oneshot::Sender<bool>>) {
        let store = self.workers.store().clone();
        let note = serde_json::to_vec(&self.couriers).unwrap_or_default();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.set_setting(SETTING, &note) {
                tracing::warn!(%error, "couriers that are expected were not kept");
            }
            if let Some(reply) = reply {
                let _ = reply.send(true);
            }
        });
    }

    pub(super) fn wall_s(&self) -> u64 {
        self.clock.wall_at_zero_s() + self.clock.now_us() / 1_000_000
    }
}
