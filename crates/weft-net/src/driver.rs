//! The network loop: owns the swarm, starts a session for each peer, dials.

mod reachable;

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use ipnet::IpNet;
use libp2p::{
    Multiaddr, PeerId, Swarm, TransportError,
    core::{ConnectedPoint, transport::PortUse},
    gossipsub::{self, IdentTopic, MessageAcceptance},
    mdns,
    swarm::{ConnectionId, DialError, SwarmEvent, dial_opts::DialOpts},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use weft_core::Path;
use weft_record::{Envelope, MeshId};

use crate::{
    behaviour::{self, Behaviour, BehaviourEvent, MembersEvent},
    bounds,
    config::NetConfig,
    dialer::{self, Dialer, Source},
    event::NetEvent,
    fault::LinkFault,
    handle::{Command, Shared, lock},
    identity,
    link::Link,
    on_link, place,
    reach::Reach,
    session::{Opened, Report, Session},
    socket::Socket,
    streams::{self, EventKind, Protocol},
    whereabouts::Whereabouts,
};

/// Owned by one task.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    mesh_id: MeshId,
    topic: IdentTopic,
    shared: Arc<Shared>,
    stall: Duration,
    lan: Vec<IpNet>,
    commands: mpsc::Receiver<Command>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    events: mpsc::Sender<NetEvent>,
    peers: HashMap<PeerId, Neighbour>,
    dialer: Dialer,
    whereabouts: Whereabouts,
    reach: Reach,
    /// Members beyond the LAN that may be asked to dial this node.
    afar: BTreeSet<PeerId>,
    /// Whether they are.
    asks: bool,
    serves: Arc<Semaphore>,
    next_session: u64,
}

/// A peer with at least one connection.
struct Neighbour {
    session: u64,
    link: Arc<Link>,
    connections: Vec<Connection>,
    /// Its session has heard of a control stream that the peer opened.
    control_accepted: bool,
    streams: mpsc::Sender<Opened>,
    task: JoinHandle<()>,
    since: Instant,
    dialled: Option<Multiaddr>,
}

#[derive(Clone)]
struct Connection {
    id: ConnectionId,
    /// Without `/p2p`.
    address: Multiaddr,
    /// This node dialled it, and not just when the other one did, to get through two routers.
    outbound: bool,
    /// Streams of the link are on it.
    carries: bool,
    socket: Option<Arc<Socket>>,
}

impl Driver {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        config: &NetConfig,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<NetEvent>,
    ) -> Self {
        let whereabouts = Whereabouts::new(config, Instant::now());
        let mut driver = Self {
            swarm,
            mesh_id: config.mesh_id,
            topic: behaviour::topic(config),
            shared,
            stall: config.stall_timeout,
            lan: config.lan.clone(),
            commands,
            reports: mpsc::channel(bounds::REPORTS),
            events,
            peers: HashMap::new(),
            dialer: Dialer::new(Instant::now(), random),
            whereabouts,
            reach: Reach::new(config.relaying, Instant::now()),
            afar: BTreeSet::new(),
            asks: false,
            serves: Arc::new(Semaphore::new(bounds::SERVES)),
            next_session: 0,
        };
        for address in &config.bootstrap {
            if !driver
                .dialer
                .add(Source::Bootstrap, None, address.clone(), Instant::now())
            {
                tracing::warn!(%address, "too many bootstrap addresses; this one is left out");
            }
        }
        driver
    }

    /// Runs until it is shut down or every handle is gone. It never waits for
    /// the node: sessions do that, and their streams push back.
    pub(crate) async fn run(mut self) {
        loop {
            self.dial_what_is_due();
            self.tell_whereabouts();
            self.keep_reachable();
            let deadlines = [self.dialer.deadline(), self.reach.deadline()];
            let deadline = self.whereabouts.deadline();
            let deadline = deadlines.into_iter().flatten().fold(deadline, Instant::min);
            let due = tokio::time::sleep_until(deadline.into());
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                report = self.reports.1.recv() => {
                    if let Some(report) = report {
                        self.on_report(report);
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => {
                        self.stop();
                        // Whoever asked may not wait any more.
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.on_command(command),
                    None => return self.stop(),
                },
                () = due => {}
            }
        }
    }

    fn stop(self) {
        self.shared.links().clear();
        for neighbour in self.peers.into_values() {
            neighbour.task.abort();
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Broadcast(announcement) => {
                // Nobody to tell, or told already: both are fine.
                if let Err(error) = self
                    .swarm
                    .behaviour_mut()
                    .gate
                    .members
                    .gossip
                    .publish(self.topic.clone(), announcement)
                {
                    tracing::debug!(%error, "announcement not spread");
                }
            }
            Command::Dial(address) => {
                self.dialer
                    .add(Source::Asked, None, address, Instant::now());
            }
            // The loop ends with it.
            Command::Shutdown(_) => {}
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.on_stream(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gate(MembersEvent::Gossip(event))) => {
                self.on_gossip(event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gate(MembersEvent::Probe(event))) => {
                self.on_probe(event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gate(event)) => {
                tracing::trace!(?event, "of members");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Relayed(event)) => {
                tracing::debug!(?event, "by a relay");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Punch(event)) => {
                tracing::debug!(?event, "a direct way instead of a relay");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.on_lan(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_connected(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => {
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                self.on_dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => {
                tracing::debug!(address = %send_back_addr, %error, "inbound connection failed");
            }
            SwarmEvent::NewListenAddr {
                address,
                listener_id,
            } => self.on_listening(listener_id, address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.on_listening_no_more(address),
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                ..
            } => {
                self.reach.lost(listener_id);
                for address in addresses {
                    self.on_listening_no_more(address);
                }
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: ConnectedPoint) {
        self.dialer.connected(id, peer);
        let (address, _) = dialer::split_peer(endpoint.get_remote_address().clone());
        let is_dialled = |endpoint: &ConnectedPoint| match endpoint {
            ConnectedPoint::Dialer { port_use, .. } => *port_use == PortUse::New,
            ConnectedPoint::Listener { .. } => false,
        };
        let connection = Connection {
            id,
            address,
            outbound: is_dialled(&endpoint),
            carries: false,
            socket: self.shared.sockets.find(&endpoint),
        };
        let is_relayed = on_link::is_relayed(&connection.address);
        let relayed = self.peers.get(&peer).map(|neighbour| {
            let mut known = neighbour.connections.iter();
            known.all(|known| on_link::is_relayed(&known.address))
        });
        match self.peers.get_mut(&peer) {
            // what passes directly does not burden a relay
            Some(_) if relayed == Some(true) && !is_relayed => self.replace(peer, connection),
            Some(_) if relayed == Some(false) && is_relayed => {
                self.swarm.close_connection(connection.id);
            }
            Some(neighbour) => {
                if connection.outbound {
                    neighbour
                        .dialled
                        .get_or_insert_with(|| connection.address.clone());
                }
                neighbour.connections.push(connection);
            }
            None => self.start_session(peer, connection, None),
        }
    }

    fn start_session(
        &mut self,
        peer: PeerId,
        connection: Connection,
        previous: Option<JoinHandle<()>>,
    ) {
        let Some(key) = identity::peer(&peer) else {
            // The stream behaviour turns such peers away before this.
            self.swarm.close_connection(connection.id);
            return;
        };
        self.next_session += 1;
        let link = Link::new(
            key,
            on_link::path_to(&connection.address, &self.lan),
            self.serves.clone(),
            &self.shared,
        );
        let link = Arc::new(link);
        let (streams_in, streams_out) = mpsc::channel(bounds::LINK_INPUTS);
        let session = Session {
            number: self.next_session,
            link: link.clone(),
            shared: self.shared.clone(),
            address: connection.address.clone(),
            outbound: connection.outbound,
            stall: self.stall,
            streams: streams_out,
            events: self.events.clone(),
            reports: self.reports.0.clone(),
            previous,
        };
        let neighbour = Neighbour {
            session: self.next_session,
            link,
            dialled: connection.outbound.then(|| connection.address.clone()),
            connections: vec![connection],
            control_accepted: false,
            streams: streams_in,
            task: tokio::spawn(session.run()),
            since: Instant::now(),
        };
        self.peers.insert(peer, neighbour);
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(neighbour) = self.peers.get_mut(&peer) else {
            return;
        };
        neighbour
            .connections
            .retain(|connection| connection.id != id);
        if neighbour.connections.is_empty() {
            neighbour.link.close(LinkFault::Closed);
        }
    }

    fn on_stream(&mut self, event: streams::Event) {
        let Some(neighbour) = self.peers.get_mut(&event.peer) else {
            return;
        };
        let Some(connection) = neighbour
            .connections
            .iter_mut()
            .find(|known| known.id == event.connection)
        else {
            return; // of an earlier session
        };
        connection.carries = true;
        let connection = connection.clone();
        let opened = match event.kind {
            EventKind::Inbound(stream) => {
                if event.protocol == Protocol::Control {
                    if neighbour.control_accepted {
                        self.replace(event.peer, connection);
                        return self.on_stream(streams::Event {
                            kind: EventKind::Inbound(stream),
                            ..event
                        });
                    }
                    neighbour.control_accepted = true;
                }
                Opened::Inbound(event.protocol, stream, connection.socket)
            }
            EventKind::Outbound(stream) => Opened::Outbound(event.protocol, stream),
            // an earlier weft: it is told of nobody
            EventKind::Refused if event.protocol == Protocol::Peers => return,
            EventKind::Refused => {
                return neighbour
                    .link
                    .close(LinkFault::Refused(event.protocol.name()));
            }
            EventKind::Failed(reason) => {
                return neighbour.link.close(LinkFault::Stream(reason));
            }
        };
        if neighbour.streams.try_send(opened).is_err() {
            neighbour.link.close(LinkFault::Overflow);
        }
    }

    /// The peer began anew on this connection (it restarted, or gave the old
    /// link up before this node noticed): the old link ends, a new one starts.
    fn replace(&mut self, peer: PeerId, connection: Connection) {
        let Some(old) = self.peers.remove(&peer) else {
            return;
        };
        old.link.close(LinkFault::Replaced);
        for known in old
            .connections
            .iter()
            .filter(|known| known.id != connection.id)
        {
            self.swarm.close_connection(known.id);
        }
        self.start_session(peer, connection, Some(old.task));
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            neighbour.dialled = neighbour.dialled.take().or(old.dialled);
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Open { session, protocol } => {
                let Some((peer, neighbour)) = self.by_session(session) else {
                    return;
                };
                // Bulk goes over TCP where there is a choice.
                let best = neighbour.connections.iter().min_by_key(|connection| {
                    protocol == Protocol::Chunk && dialer::is_quic(&connection.address)
                });
                if let Some(connection) = best.map(|connection| connection.id) {
                    self.swarm
                        .behaviour_mut()
                        .streams
                        .open(peer, connection, protocol);
                }
            }
            Report::Heard { session, learned } => {
                let Some((peer, neighbour)) = self.by_session(session) else {
                    return;
                };
                let mut connections = neighbour.connections.iter();
                let is_here = connections.any(|connection| place::is_loopback(&connection.address));
                let is_afar = neighbour.link.path == Path::Wan;
                self.on_learned(learned, is_here);
                if is_afar {
                    self.may_ask(peer);
                }
                self.whereabouts.changed();
            }
            Report::Ended {
                session,
                was_up,
                fault,
            } => {
                let Some((peer, _)) = self.by_session(session) else {
                    return;
                };
                let Some(neighbour) = self.peers.remove(&peer) else {
                    return;
                };
                self.may_not_ask(&peer);
                for connection in &neighbour.connections {
                    self.swarm.close_connection(connection.id);
                }
                if let (false, Some(address)) = (was_up, &neighbour.dialled) {
                    let (address, reason) = (address.clone(), fault.to_string());
                    self.tell(NetEvent::DialFailed { address, reason });
                }
                self.whereabouts.changed();
                let now = Instant::now();
                self.dialer
                    .down(peer, neighbour.dialled, now - neighbour.since, now);
            }
        }
    }

    fn by_session(&self, session: u64) -> Option<(PeerId, &Neighbour)> {
        self.peers
            .iter()
            .find(|(_, neighbour)| neighbour.session == session)
            .map(|(peer, neighbour)| (*peer, neighbour))
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message {
            propagation_source,
            message_id,
            message,
        } = event
        else {
            return;
        };
        // Whether it is valid the node finds out. Here it must only look like
        // what belongs on this topic, and there must be somebody to take it.
        let belongs = message.data.len() <= bounds::GOSSIP_BYTES
            && Envelope::decode(&message.data)
                .is_ok_and(|envelope| envelope.mesh_id == self.mesh_id);
        let acceptance = if !belongs {
            MessageAcceptance::Reject
        } else if self.tell(NetEvent::Gossip(message.data)) {
            MessageAcceptance::Accept
        } else {
            MessageAcceptance::Ignore
        };
        self.swarm
            .behaviour_mut()
            .gate
            .members
            .gossip
            .report_message_validation_result(&message_id, &propagation_source, acceptance);
    }

    fn on_lan(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    tracing::debug!(%peer, %address, "found on the LAN");
                    self.dialer
                        .add(Source::Lan, Some(peer), address, Instant::now());
                }
            }
            mdns::Event::Expired(gone) => {
                for (peer, address) in gone {
                    self.dialer.expire_lan(&peer, &address);
                }
            }
        }
    }

    fn dial_what_is_due(&mut self) {
        let now = Instant::now();
        loop {
            let (peers, blocked) = (&self.peers, &self.shared.blocked);
            let next = self.dialer.next(
                now,
                peers.len(),
                |peer| peers.contains_key(peer),
                |peer| lock(blocked).until(peer, now),
            );
            let Some(dial) = next else { return };
            // A fresh port each time: two nodes that dial each other from their
            // listening ports would meet in one connection that neither accepts,
            // and a quick redial would find its port still in use.
            let options = match (dial.peer, dial.addresses.first()) {
                (Some(peer), _) => DialOpts::peer_id(peer)
                    .addresses(dial.addresses)
                    .allocate_new_port()
                    .build(),
                (None, Some(address)) => DialOpts::unknown_peer_id()
                    .address(address.clone())
                    .allocate_new_port()
                    .build(),
                (None, None) => continue,
            };
            let connection = options.connection_id();
            self.dialer.dialling(dial.target, connection);
            if let Err(error) = self.swarm.dial(options) {
                self.on_dial_failed(connection, &error);
            }
        }
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        // Either way the place is this node itself.
        if let DialError::LocalPeerId { .. } | DialError::NoAddresses = error {
            return self.dialer.failed_for_good(connection);
        }
        let reason = describe(error);
        let target = self.dialer.failed(connection, Instant::now());
        let Some((expected, address)) = target else {
            return;
        };
        let found = match error {
            DialError::WrongPeerId { obtained, .. } => identity::peer(obtained),
            _ => None,
        };
        let expected = expected.as_ref().and_then(identity::peer);
        if let (Some(expected), Some(found)) = (expected, found) {
            tracing::warn!(%address, %expected, %found, "another peer answered there");
            self.tell(NetEvent::OtherPeer {
                address,
                expected,
                found,
            });
        } else {
            tracing::debug!(%address, %reason, "dial failed");
            self.tell(NetEvent::DialFailed { address, reason });
        }
    }

    /// Tells the node something that it may miss; false if it does not keep up.
    fn tell(&self, event: NetEvent) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// For people: the innermost causes, without libp2p's names around them.
fn describe(error: &DialError) -> String {
    match error {
        DialError::Transport(failures) => {
            let texts: Vec<String> = failures
                .iter()
                .map(|(address, error)| {
                    let reason = match error {
                        TransportError::MultiaddrNotSupported(_) => {
                            "this kind of address is not understood".to_owned()
                        }
                        TransportError::Other(error) => innermost(error),
                    };
                    format!("{}: {reason}", dialer::split_peer(address.clone()).0)
                })
                .collect();
            texts.join("; ")
        }
        DialError::WrongPeerId { obtained, .. } => {
            format!("another peer answered there: {obtained}")
        }
        DialError::Denied { cause } => innermost(cause),
        other => other.to_string(),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Spreads dials in time; nothing secret comes of it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
