//! Making room at the owner's word, and what is never to make room.

use std::sync::PoisonError;

use tokio::sync::oneshot;
use weft_core::{Command, Input, OpId, Outcome};

use super::Shell;
use crate::{
    pins::PinError,
    report::{CollectReport, CollectRequest, PinRequest, PinsReport},
    stock::{self, CollectError},
};

/// Who waits for what is being deleted, and what will be told.
pub(super) type Waiting = (CollectReply, CollectReport);
pub(crate) type CollectReply = oneshot::Sender<Result<CollectReport, CollectError>>;

impl Shell {
    /// Deletes what nothing needs, or only tells what that is.
    pub(super) fn collect(&mut self, request: &CollectRequest, reply: CollectReply) {
        let store = self.workers.store();
        let (wish, report) = match stock::look(&self.node, store, request, self.wall_s()) {
            Ok(found) => found,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        if request.dry_run {
            let _ = reply.send(Ok(report));
            return;
        }
        tracing::info!(?wish, files = report.files, "collecting, as the owner asks");
        self.collecting = Some((reply, report));
        self.handle(Input::Command(Command::Collect(wish)));
    }

    /// The store was asked to delete: for whoever waits for it.
    pub(super) fn collect_begun(&mut self, operation: OpId) {
        if let Some(waiting) = self.collecting.take() {
            self.collections.insert(operation, waiting);
        }
    }

    /// An operation ended: perhaps somebody waits for it.
    pub(super) fn collect_done(&mut self, operation: OpId, outcome: &Outcome<bytes::Bytes>) {
        if let Some((reply, report)) = self.collections.remove(&operation) {
            let _ = reply.send(stock::done(report, outcome, self.workers.store()));
        }
    }

    /// Pins a release, or no longer; answered when that would outlast a restart.
    pub(super) fn pin(
        &mut self,
        request: &PinRequest,
        reply: oneshot::Sender<Result<PinsReport, PinError>>,
    ) {
        if let Err(error) = self.pins.apply(&self.node, request) {
            let _ = reply.send(Err(error));
            return;
        }
        let PinRequest { release, pinned } = *request;
        tracing::info!(%release, pinned, "what is pinned changes");
        self.handle(Input::Command(Command::Pin(self.pins.all())));
        let report = stock::pins_report(&self.node, &self.pins, &release);
        self.pins_changed += 1;
        let (number, pins) = (self.pins_changed, self.pins.clone());
        let (store, kept) = (self.workers.store().clone(), self.pins_kept.clone());
        tokio::task::spawn_blocking(move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // a later change, which holds this one too, may have been faster
            let written = if *kept < number {
                pins.keep(&store)
            } else {
                Ok(())
            };
            if written.is_ok() {
                *kept = number.max(*kept);
            }
            let _ = reply.send(written.map(|()| report).map_err(PinError::from));
        });
    }
}
