//! How the API asks the loop: one bounded queue, one answer each.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use weft_core::Limits;
use weft_record::Name;

use crate::{
    bundle::{self, ExportError, ImportError, OpenBundle, Pieces, PipeBundle, Source},
    pins::PinError,
    registrar::InviteError,
    report::{
        CollectReport, CollectRequest, EnrolmentsReport, EventsReport, ImportReport, InviteReport,
        InviteRequest, PeersReport, PinRequest, PinsReport, RecordsReport, StatusReport,
        WantsReport,
    },
    shell::CollectReply,
    stock::CollectError,
};

/// Requests that wait for the loop; it answers each in well under a millisecond.
pub(crate) const REQUESTS: usize = 64;

/// What the loop is asked.
pub(crate) enum Request {
    Status(oneshot::Sender<StatusReport>),
    Peers(oneshot::Sender<PeersReport>),
    Records(oneshot::Sender<RecordsReport>),
    /// Enrolments that this node knows.
    Enrolments(oneshot::Sender<EnrolmentsReport>),
    Invite {
        request: InviteRequest,
        reply: oneshot::Sender<Result<InviteReport, InviteError>>,
    },
    Events {
        after: u64,
        reply: oneshot::Sender<EventsReport>,
    },
    Limit {
        limits: Limits,
        reply: oneshot::Sender<()>,
    },
    Import {
        bundle: Source,
        reply: bundle::Reply,
    },
    /// A courier comes for this channel in so many seconds, or none any more; the answer is
    /// whether the node follows it.
    Expect {
        channel: Name,
        in_s: Option<u64>,
        reply: oneshot::Sender<bool>,
    },
    /// What this node has or, with a version, what a site that runs it has.
    Wants {
        version: Option<String>,
        reply: oneshot::Sender<Result<WantsReport, ExportError>>,
    },
    Export {
        channel: Name,
        reply: oneshot::Sender<Result<ExportStream, ExportError>>,
    },
    /// What may go is deleted, or only told.
    Collect {
        request: CollectRequest,
        reply: CollectReply,
    },
    Pin {
        request: PinRequest,
        reply: oneshot::Sender<Result<PinsReport, PinError>>,
    },
    /// The active model of this channel gave non-finite logits, or cannot be read.
    Suspect(Name),
    Stop(oneshot::Sender<()>),
}

/// A bundle as it is written.
pub(crate) type ExportStream = mpsc::Receiver<Result<Bytes, std::io::Error>>;

/// The asking end.
#[derive(Clone)]
pub(crate) struct Control(mpsc::Sender<Request>);

/// The loop has ended, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub(crate) struct Stopping;

impl Control {
    /// A pair of ends.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(REQUESTS);
        (Self(sender), receiver)
    }

    pub(crate) async fn status(&self) -> Result<StatusReport, Stopping> {
        self.ask(Request::Status).await
    }

    pub(crate) async fn peers(&self) -> Result<PeersReport, Stopping> {
        self.ask(Request::Peers).await
    }

    pub(crate) async fn records(&self) -> Result<RecordsReport, Stopping> {
        self.ask(Request::Records).await
    }

    pub(crate) async fn enrolments(&self) -> Result<EnrolmentsReport, Stopping> {
        self.ask(Request::Enrolments).await
    }

    pub(crate) async fn invite(
        &self,
        request: InviteRequest,
    ) -> Result<Result<InviteReport, InviteError>, Stopping> {
        self.ask(|reply| Request::Invite { request, reply }).await
    }

    pub(crate) async fn events(&self, after: u64) -> Result<EventsReport, Stopping> {
        self.ask(|reply| Request::Events { after, reply }).await
    }

    pub(crate) async fn limit(&self, limits: Limits) -> Result<(), Stopping> {
        self.ask(|reply| Request::Limit { limits, reply }).await
    }

    pub(crate) async fn import(
        &self,
        path: PathBuf,
    ) -> Result<Result<ImportReport, ImportError>, Stopping> {
        let opened = tokio::task::spawn_blocking(move || OpenBundle::open(&path));
        match opened.await.map_err(|_| Stopping)? {
            Ok(bundle) => self.take_in(Source::File(bundle)).await,
            Err(error) => Ok(Err(error)),
        }
    }

    /// The same of what comes piece by piece.
    pub(crate) async fn import_pieces(
        &self,
        pieces: Pieces,
    ) -> Result<Result<ImportReport, ImportError>, Stopping> {
        match PipeBundle::open(pieces).await {
            Ok(bundle) => self.take_in(Source::Pipe(Box::new(bundle))).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn take_in(&self, bundle: Source) -> Result<Result<ImportReport, ImportError>, Stopping> {
        self.ask(|reply| Request::Import { bundle, reply }).await
    }

    pub(crate) async fn expect(&self, channel: Name, in_s: Option<u64>) -> Result<bool, Stopping> {
        self.ask(|reply| Request::Expect {
            channel,
            in_s,
            reply,
        })
        .await
    }

    pub(crate) async fn wants(
        &self,
        version: Option<String>,
    ) -> Result<Result<WantsReport, ExportError>, Stopping> {
        self.ask(|reply| Request::Wants { version, reply }).await
    }

    pub(crate) async fn export(
        &self,
        channel: Name,
    ) -> Result<Result<ExportStream, ExportError>, Stopping> {
        self.ask(|reply| Request::Export { channel, reply }).await
    }

    pub(crate) async fn collect(
        &self,
        request: CollectRequest,
    ) -> Result<Result<CollectReport, CollectError>, Stopping> {
        self.ask(|reply| Request::Collect { request, reply }).await
    }

    pub(crate) async fn pin(
        &self,
        request: PinRequest,
    ) -> Result<Result<PinsReport, PinError>, Stopping> {
        self.ask(|reply| Request::Pin { request, reply }).await
    }

    pub(crate) async fn stop(&self) -> Result<(), Stopping> {
        self.ask(Request::Stop).await
    }

    /// From an engine's thread; lost only when the node stops anyway.
    pub(crate) fn suspect_blocking(&self, channel: Name) {
        let _ = self.0.blocking_send(Request::Suspect(channel));
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }
}
