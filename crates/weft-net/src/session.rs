//! The life of one link: open the control streams, tell the node, run the
//! streams, and end as one when any of them ends.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, Stream};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    book::Learned,
    bounds,
    event::NetEvent,
    fault::LinkFault,
    handle::{Shared, lock},
    identity,
    link::Link,
    on_link,
    socket::Socket,
    streams::Protocol,
    transfer,
};

/// Everything a session needs from the network loop.
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) link: Arc<Link>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Multiaddr,
    pub(crate) outbound: bool,
    pub(crate) stall: Duration,
    pub(crate) streams: mpsc::Receiver<Opened>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) reports: mpsc::Sender<Report>,
    /// The session with the same peer before this one: it ends first.
    pub(crate) previous: Option<JoinHandle<()>>,
}

/// A stream that came to stand.
pub(crate) enum Opened {
    /// With the TCP connection that it is on.
    Inbound(Protocol, Stream, Option<Arc<Socket>>),
    Outbound(Protocol, Stream),
}

/// What a session asks of the network loop, or tells it.
pub(crate) enum Report {
    Open {
        session: u64,
        protocol: Protocol,
    },
    /// The peer told something; whoever is new in it.
    Heard {
        session: u64,
        learned: Vec<Learned>,
    },
    Ended {
        session: u64,
        was_up: bool,
        fault: LinkFault,
    },
}

type Tasks = JoinSet<Result<Infallible, LinkFault>>;

impl Session {
    /// Runs to the end of the link.
    pub(crate) async fn run(mut self) {
        if let Some(previous) = self.previous.take() {
            // It cannot have panicked unless a bug did; then there is nothing to wait for.
            let _ = previous.await;
        }
        let mut tasks = Tasks::new();
        let link = self.link.clone();
        let opened = tokio::select! {
            fault = link.closed() => Err(fault),
            opened = timeout(bounds::OPEN_TIMEOUT, self.open(&mut tasks)) => opened
                .unwrap_or(Err(LinkFault::NotOpened(bounds::OPEN_TIMEOUT.as_secs()))),
        };
        let was_up = opened.is_ok();
        let fault = match opened {
            Ok(early) => self.serve(&mut tasks, early).await,
            Err(fault) => fault,
        };
        // Where the link was closed on purpose its streams fail too: the reason
        // given first stands.
        self.link.close(fault);
        let fault = self.link.closed().await;
        self.shared.keep_away(&self.link.peer, fault.absence());
        tasks.shutdown().await;
        if was_up {
            tracing::debug!(peer = %self.link.peer, %fault, "peer down");
            let event = NetEvent::PeerDown {
                peer: self.link.peer,
                reason: fault.to_string(),
            };
            // Without a receiver there is nobody left to tell.
            let _ = self.events.send(event).await;
        }
        let ended = Report::Ended {
            session: self.number,
            was_up,
            fault,
        };
        let _ = self.reports.send(ended).await;
    }

    /// Opens the outbound control stream, which proves that the peer speaks
    /// weft. Returns the inbound streams that came before it.
    async fn open(&mut self, tasks: &mut Tasks) -> Result<Vec<Opened>, LinkFault> {
        self.ask_for(Protocol::Control).await?;
        let mut early = Vec::new();
        loop {
            match self.streams.recv().await.ok_or(LinkFault::Shutdown)? {
                Opened::Outbound(Protocol::Control, stream) => {
                    tasks.spawn(transfer::write_control(
                        stream,
                        self.link.clone(),
                        self.stall,
                    ));
                    return Ok(early);
                }
                // Bounded by the streams that a connection may open.
                other => early.push(other),
            }
        }
    }

    /// Tells the node and runs the streams until the first fault.
    async fn serve(&mut self, tasks: &mut Tasks, early: Vec<Opened>) -> LinkFault {
        let peer = self.link.peer;
        self.shared.links().insert(peer, self.link.clone());
        let up = NetEvent::PeerUp {
            peer,
            address: self.address.clone(),
            outbound: self.outbound,
            path: self.link.path,
        };
        let fault = match self.events.send(up).await {
            Ok(()) => {
                for opened in early {
                    self.spawn(tasks, opened);
                }
                self.watch(tasks).await
            }
            Err(_) => LinkFault::Shutdown,
        };
        let mut links = self.shared.links();
        if links
            .get(&peer)
            .is_some_and(|link| Arc::ptr_eq(link, &self.link))
        {
            links.remove(&peer);
            drop(links);
            if lock(&self.shared.book).gone(&peer) {
                self.shared.book_changed.send_replace(());
            }
            self.shared.admissions.forget(&identity::peer_id(&peer));
        }
        fault
    }

    async fn watch(&mut self, tasks: &mut Tasks) -> LinkFault {
        let (mut chunk_streams_asked, mut is_member) = (false, false);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                fault = self.link.closed() => return fault,
                Some(ended) = tasks.join_next() => {
                    return match ended {
                        Ok(Ok(never)) => match never {},
                        Ok(Err(fault)) => fault,
                        Err(panicked) => LinkFault::Stream(panicked.to_string()),
                    };
                }
                opened = self.streams.recv() => match opened {
                    Some(opened) => self.spawn(tasks, opened),
                    None => return LinkFault::Shutdown,
                },
                () = self.link.chunk_streams_wanted.notified(), if !chunk_streams_asked => {
                    chunk_streams_asked = true;
                    for _ in 0..bounds::CHUNK_STREAMS {
                        if let Err(fault) = self.ask_for(Protocol::Chunk).await {
                            return fault;
                        }
                    }
                }
                () = self.link.admitted(), if !is_member => {
                    is_member = true;
                    if let Err(fault) = self.enter_in_book().await {
                        return fault;
                    }
                }
                _ = tick.tick() => {
                    self.link.expire_serves(Instant::now());
                    if self.link.stalled_for() > self.stall {
                        return LinkFault::Stalled(self.stall.as_secs());
                    }
                }
            }
        }
    }

    fn spawn(&self, tasks: &mut Tasks, opened: Opened) {
        let (link, events, stall) = (self.link.clone(), self.events.clone(), self.stall);
        match opened {
            Opened::Inbound(Protocol::Control, stream, _) => {
                tasks.spawn(transfer::read_control(stream, link, events, stall))
            }
            Opened::Inbound(Protocol::Chunk, stream, socket) => {
                tasks.spawn(async move {
                    // the peer may know before this node does that both are members
                    link.admitted().await;
                    transfer::serve_chunks(stream, link, socket, events, stall).await
                })
            }
            Opened::Outbound(Protocol::Chunk, stream) => {
                tasks.spawn(transfer::request_chunks(stream, link, events, stall))
            }
            Opened::Inbound(Protocol::Peers, stream, _) => {
                let (number, shared, reports) =
                    (self.number, self.shared.clone(), self.reports.clone());
                tasks.spawn(async move {
                    link.admitted().await;
                    transfer::read_peers(stream, link, shared, (number, reports), stall).await
                })
            }
            Opened::Outbound(Protocol::Peers, stream) => {
                let shared = self.shared.clone();
                tasks.spawn(transfer::write_peers(stream, link, shared, stall))
            }
            // Only one is ever asked for.
            Opened::Outbound(Protocol::Control, _) => return,
        };
    }

    /// From now on the peer is told of others, and others of it.
    async fn enter_in_book(&self) -> Result<(), LinkFault> {
        let is_direct = self.outbound && !on_link::is_relayed(&self.address);
        let reached = is_direct.then(|| self.address.clone());
        lock(&self.shared.book).came(self.link.peer, self.link.path, reached);
        self.shared.book_changed.send_replace(());
        self.ask_for(Protocol::Peers).await
    }

    async fn ask_for(&self, protocol: Protocol) -> Result<(), LinkFault> {
        let order = Report::Open {
            session: self.number,
            protocol,
        };
        self.reports
            .send(order)
            .await
            .map_err(|_| LinkFault::Shutdown)
    }
}
