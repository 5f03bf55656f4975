//! The bundle's side of the conversation: what a neighbour would say that holds
//! exactly what is in the file.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use weft_core::{ChunkRef, Control, Message, Peer};

use super::{ImportError, OpenBundle};

/// What a bundle tells the loop.
pub(crate) enum FromBundle {
    /// A message to the core, from this peer.
    Message(Peer, Message<Bytes>),
    /// All records were handed over.
    RecordsSent(Peer),
    /// The file can no longer be read.
    Failed(Peer, ImportError),
    /// Asks of which of these the core has, or may come to have, a use.
    Look(Vec<ChunkRef>, oneshot::Sender<Vec<bool>>),
    /// Nothing more comes through the pipe, because it broke off or was broken if there is a
    /// reason.
    Ended(Peer, Option<String>),
    /// The core has taken what there was to take.
    Drained(Peer),
}

/// Indexes in one message; far below the bound on control messages.
const INDEXES: usize = 4096;

/// Answers the core out of the file until the loop drops its end.
pub(super) struct BundlePeer {
    pub(super) key: Peer,
    pub(super) bundle: OpenBundle,
    pub(super) inbox: mpsc::Receiver<Message<Bytes>>,
    pub(super) outbox: mpsc::Sender<FromBundle>,
}

/// The loop has gone, and nobody listens.
struct Gone;

impl BundlePeer {
    pub(super) fn run(mut self) {
        if self.hand_over().is_err() {
            return;
        }
        while let Some(message) = self.inbox.blocking_recv() {
            let answered = match message {
                Message::Control(Control::Want(file)) => self.tell_chunks(&file),
                Message::Get(chunk) => match self.bundle.chunk(chunk) {
                    Ok(Some(bytes)) => self.say(Message::Data(chunk, bytes)),
                    Ok(None) => self.say(Message::Absent(chunk)),
                    Err(error) => self.fail(error),
                },
                Message::GetBlob(hash) => match self.bundle.blob(&hash) {
                    Ok(Some(bytes)) => self.say(Message::Blob(hash, bytes)),
                    Ok(None) => self.say(Message::NoBlob(hash)),
                    Err(error) => self.fail(error),
                },
                // A file learns nothing and wants nothing.
                _ => Ok(()),
            };
            if answered.is_err() {
                return;
            }
        }
    }

    fn hand_over(&self) -> Result<(), Gone> {
        for message in self.bundle.contents().messages() {
            self.say(message)?;
        }
        self.tell(FromBundle::RecordsSent(self.key))
    }

    fn tell_chunks(&self, file: &weft_record::Hash) -> Result<(), Gone> {
        for indexes in self.bundle.indexes(file).chunks(INDEXES) {
            self.say(Message::Control(Control::Gained {
                file: *file,
                indexes: indexes.to_vec(),
            }))?;
        }
        Ok(())
    }

    fn fail(&self, error: ImportError) -> Result<(), Gone> {
        self.tell(FromBundle::Failed(self.key, error))?;
        Err(Gone)
    }

    fn say(&self, message: Message<Bytes>) -> Result<(), Gone> {
        self.tell(FromBundle::Message(self.key, message))
    }

    fn tell(&self, message: FromBundle) -> Result<(), Gone> {
        self.outbox.blocking_send(message).map_err(|_| Gone)
    }
}
