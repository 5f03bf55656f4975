//! The node's hand on the network. Nothing here waits for a peer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};
use weft_core::{Caps, DisconnectReason, Message, Path, Peer};

use crate::{
    block::BlockList,
    book::Book,
    bounds,
    fault::{Absence, LinkFault},
    gate::Admissions,
    identity,
    link::Link,
    pacer::Pacer,
    reach::Reachability,
    socket::Sockets,
    traffic::{Traffic, TrafficCounters},
};

/// Talks to the network of one node; clones talk to the same.
#[derive(Clone)]
pub struct NetHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer is not up.
    #[error("the peer is not connected")]
    NotConnected,
    /// A link begins with `Hello`; until it was sent, nothing else is taken.
    #[error("the first message to a peer must be Hello")]
    NotGreeted,
    /// Only members get chunks, and are asked for them.
    #[error("the peer is not admitted")]
    NotAdmitted,
    /// A queue to the peer was full; the peer is being disconnected.
    #[error("the peer reads too slowly and is being disconnected")]
    Overflow,
    /// A reply to a request that the peer did not make, or that was answered
    /// `Absent` because the answer took too long.
    #[error("the peer does not wait for this reply")]
    NotAsked,
    /// The message is longer than the protocol allows.
    #[error("the message has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Too many commands wait.
    #[error("the network is too busy")]
    Busy,
    /// The network was shut down.
    #[error("the network is shut down")]
    Shutdown,
}

impl NetHandle {
    /// Queues a message to a peer that is up.
    ///
    /// Control messages arrive in order or the peer goes down: where a queue
    /// is full the peer is disconnected, so nothing is lost silently.
    pub fn send(&self, peer: &Peer, message: Message<Bytes>) -> Result<(), SendError> {
        let link = self
            .shared
            .links()
            .get(peer)
            .cloned()
            .ok_or(SendError::NotConnected)?;
        link.send(message)
    }

    /// Spreads an announcement (an encoded envelope of at most 32 KiB) through
    /// the mesh. It may be lost: nothing may depend on it.
    pub fn broadcast(&self, announcement: Vec<u8>) -> Result<(), SendError> {
        if announcement.len() > bounds::GOSSIP_BYTES {
            let (bytes, limit) = (announcement.len(), bounds::GOSSIP_BYTES);
            return Err(SendError::TooLong { bytes, limit });
        }
        self.command(Command::Broadcast(announcement))
    }

    /// Dials an address once, soon. The end is told by [`crate::NetEvent`].
    pub fn dial(&self, address: Multiaddr) -> Result<(), SendError> {
        self.command(Command::Dial(address))
    }

    /// Lets a peer that is up take part: only then are announcements exchanged with
    /// it, and chunks. One that may no longer begins anew with a new link, because
    /// gossip does not take a peer back out.
    pub fn admit(&self, peer: &Peer, member: bool) {
        let Some(link) = self.shared.links().get(peer).cloned() else {
            return;
        };
        if member {
            self.shared.admissions.admit(identity::peer_id(peer));
            link.welcome();
        } else if link.is_admitted() {
            link.close(LinkFault::Outside);
        }
    }

    /// Closes every connection to a peer. One that misbehaved is neither dialled nor
    /// accepted for ten minutes, a stranger for ten seconds, any other for a minute.
    pub fn disconnect(&self, peer: &Peer, reason: DisconnectReason) {
        let fault = LinkFault::LetGo(reason);
        self.shared.keep_away(peer, fault.absence());
        if let Some(link) = self.shared.links().get(peer) {
            link.close(fault);
        }
    }

    /// Where this node can be reached; each address ends in its own `/p2p` name.
    pub fn listeners(&self) -> Vec<Multiaddr> {
        lock(&self.shared.listeners).clone()
    }

    /// How others from beyond the LAN get to this node.
    pub fn reachability(&self) -> Reachability {
        *lock(&self.shared.reachability)
    }

    /// Whether this node carries what members that cannot dial each other say.
    pub fn relays(&self) -> bool {
        self.shared.relays.load(Ordering::Relaxed)
    }

    /// Keeps to these caps from now on, also with what is under way. Where a cap is 0, links
    /// that carry chunks end and begin anew: there is no other way to call chunks back. In the
    /// background, chunks over the uplink give way to whatever else needs it; peers are asked
    /// to send them so.
    pub fn limit(&self, caps: &Caps, background: bool) {
        self.shared.pacer.limit(caps, background);
        for link in self.shared.links().values() {
            link.end_if_paused();
        }
    }

    /// Peers that are up.
    pub fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.shared.links().keys().copied().collect();
        peers.sort_unstable();
        peers
    }

    /// Over what those are reached that are up.
    pub fn paths(&self) -> Vec<Path> {
        self.shared.links().values().map(|link| link.path).collect()
    }

    /// Payload that passed since the start.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.read()
    }

    /// Closes everything; returns when it is closed.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            // An error means that the network was already gone.
            let _ = wait.await;
        }
    }

    fn command(&self, command: Command) -> Result<(), SendError> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Busy,
                mpsc::error::TrySendError::Closed(_) => SendError::Shutdown,
            })
    }
}

/// What a handle asks of the network loop.
pub(crate) enum Command {
    Broadcast(Vec<u8>),
    Dial(Multiaddr),
    Shutdown(oneshot::Sender<()>),
}

/// What handles, links and the loop share.
pub(crate) struct Shared {
    links: Mutex<HashMap<Peer, Arc<Link>>>,
    pub(crate) blocked: Arc<Mutex<BlockList>>,
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) listeners: Mutex<Vec<Multiaddr>>,
    pub(crate) reachability: Mutex<Reachability>,
    pub(crate) relays: AtomicBool,
    pub(crate) book: Mutex<Book>,
    /// Told when there may be something else to tell peers.
    pub(crate) book_changed: watch::Sender<()>,
    pub(crate) traffic: Arc<TrafficCounters>,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) sockets: Arc<Sockets>,
    stranger_block: Duration,
}

impl Shared {
    pub(crate) fn new(stranger_block: Duration) -> Self {
        Self {
            links: Mutex::default(),
            blocked: Arc::default(),
            admissions: Arc::default(),
            listeners: Mutex::default(),
            reachability: Mutex::default(),
            relays: AtomicBool::new(false),
            book: Mutex::default(),
            book_changed: watch::Sender::new(()),
            traffic: Arc::default(),
            pacer: Arc::default(),
            sockets: Arc::default(),
            stranger_block,
        }
    }

    /// Peers that are up.
    pub(crate) fn links(&self) -> MutexGuard<'_, HashMap<Peer, Arc<Link>>> {
        lock(&self.links)
    }

    pub(crate) fn keep_away(&self, peer: &Peer, absence: Absence) {
        let duration = match absence {
            Absence::None => return,
            Absence::Stranger => self.stranger_block,
            Absence::Banned => bounds::BAN,
            Absence::Fault => bounds::FAULT_BLOCK,
        };
        lock(&self.blocked).block(identity::peer_id(peer), Instant::now(), duration);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
