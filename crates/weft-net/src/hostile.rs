//! Peers that break the protocol, as tests: a bare libp2p node that opens
//! weft's streams and says what no weft node would.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, Stream, Swarm, SwarmBuilder,
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent, dummy},
    tcp, yamux,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use weft_core::{ChunkRef, Control, Message, Peer, bounds::CONTROL_BYTES};
use weft_record::{Hash, MeshId, RecordId, codec};

use crate::{
    Net, NetConfig, NetEvent, NetHandle,
    book::Told,
    frame::{self, REPLY_BYTES, Subject},
    streams::{self, EventKind, Protocol},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn chunk() -> Subject {
    Subject::Chunk(ChunkRef {
        file: Hash([1; 32]),
        index: 9,
    })
}

fn hello() -> Control {
    Control::Hello {
        mesh_id: MeshId([1; 32]),
        root_version: 0,
        root: RecordId([0; 32]),
        enrolment: None,
    }
}

struct Victim {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
}

impl Victim {
    async fn start() -> Self {
        let secret = weft_keys::SecretKey::from_seed([1; 32]);
        let mut config = NetConfig::new(secret, MeshId([1; 32]));
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        config.mdns = false;
        config.stall_timeout = Duration::from_secs(1);
        let (net, events) = Net::start(config).unwrap();
        let mut victim = Self { net, events };
        victim
            .until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
            .await;
        victim
    }

    async fn until<T>(&mut self, pick: impl Fn(&NetEvent) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.events.recv())
                .await
                .expect("an event")
                .unwrap();
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    }

    async fn up(&mut self) -> Peer {
        let peer = self
            .until(|event| match event {
                NetEvent::PeerUp { peer, .. } => Some(*peer),
                _ => None,
            })
            .await;
        self.net.send(&peer, Message::Control(hello())).unwrap();
        self.net.admit(&peer, true);
        peer
    }

    async fn down(&mut self) -> String {
        self.until(|event| match event {
            NetEvent::PeerDown { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
    }
}

/// A swarm that runs by itself; streams come out, orders for streams go in.
struct Hostile {
    orders: mpsc::Sender<Order>,
    streams: mpsc::Receiver<(Protocol, EventKind)>,
    /// Answers to what was not looked at yet.
    kept: Vec<(Protocol, EventKind)>,
}

enum Order {
    Open(Protocol),
    Dial(Multiaddr),
}

fn hostile_swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .build()
}

impl Hostile {
    fn start(victim: &Victim) -> Self {
        let mut swarm = hostile_swarm(streams::Behaviour::new(Arc::default()));
        swarm.dial(victim.net.listeners()[0].clone()).unwrap();
        let (orders, mut orders_out) = mpsc::channel(16);
        let (streams_in, streams) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut connection = None;
            let mut waiting = Vec::new();
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                            connection = Some((peer_id, connection_id));
                        }
                        SwarmEvent::Behaviour(event) => {
                            let _ = streams_in.send((event.protocol, event.kind)).await;
                        }
                        _ => {}
                    },
                    order = orders_out.recv() => match order {
                        Some(Order::Open(protocol)) => waiting.push(protocol),
                        Some(Order::Dial(address)) => swarm.dial(address).unwrap(),
                        None => return,
                    },
                }
                if let Some((peer, connection)) = connection {
                    for protocol in waiting.drain(..) {
                        swarm.behaviour_mut().open(peer, connection, protocol);
                    }
                }
            }
        });
        Self {
            orders,
            streams,
            kept: Vec::new(),
        }
    }

    async fn open(&mut self, protocol: Protocol) -> Stream {
        self.orders.send(Order::Open(protocol)).await.unwrap();
        self.take(protocol, false).await
    }

    async fn accept(&mut self, protocol: Protocol) -> Stream {
        self.take(protocol, true).await
    }

    async fn take(&mut self, protocol: Protocol, inbound: bool) -> Stream {
        loop {
            let fits = |(other, kind): &(Protocol, EventKind)| {
                *other == protocol && matches!(kind, EventKind::Inbound(_)) == inbound
            };
            if let Some(index) = self.kept.iter().position(fits) {
                match self.kept.remove(index).1 {
                    EventKind::Inbound(stream) | EventKind::Outbound(stream) => return stream,
                    failed => panic!("{failed:?}"),
                }
            }
            let next = timeout(PATIENCE, self.streams.recv())
                .await
                .expect("a stream");
            self.kept.push(next.unwrap());
        }
    }
}

/// Says these bytes on a control stream and tells why it was let go.
async fn control(bytes: &[u8]) -> String {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    victim.up().await;
    let mut stream = hostile.open(Protocol::Control).await;
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    victim.down().await
}

#[tokio::test]
async fn a_control_frame_beyond_the_bound_is_refused_before_it_is_read() {
    let length = CONTROL_BYTES as u32 + 1;
    let reason = control(&length.to_le_bytes()).await;
    assert!(
        reason.contains(&length.to_string()) && reason.contains("at most"),
        "{reason}"
    );
    let reason = control(&u32::MAX.to_le_bytes()).await;
    assert!(reason.contains("at most"), "{reason}");
}

#[tokio::test]
async fn a_control_message_that_does_not_decode_is_refused() {
    let mut bytes = codec::encode(&hello());
    bytes.push(0);
    let mut frame = (bytes.len() as u32).to_le_bytes().to_vec();
    frame.extend(bytes);
    assert!(control(&frame).await.contains("does not decode"));
    assert!(
        control(&[1, 0, 0, 0, 0xff])
            .await
            .contains("does not decode")
    );
}

#[tokio::test]
async fn a_frame_that_drips_or_stops_is_given_up() {
    let start = Instant::now();
    let reason = control(&[100, 0, 0, 0, 1, 2, 3]).await;
    assert!(reason.contains("no byte passed"), "{reason}");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_empty_frame_keeps_the_stream_alive_and_says_nothing() {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    let peer = victim.up().await;
    let mut stream = hostile.open(Protocol::Control).await;
    let body = codec::encode(&hello());
    stream.write_all(&[0; 8]).await.unwrap();
    stream
        .write_all(&(body.len() as u32).to_le_bytes())
        .await
        .unwrap();
    stream.write_all(&body).await.unwrap();
    stream.flush().await.unwrap();
    let first = victim
        .until(|event| match event {
            NetEvent::Message(from, message) => Some((*from, message.clone())),
            _ => None,
        })
        .await;
    assert_eq!(first, (peer, Message::Control(hello())));
}

/// Answers one request for a chunk with these bytes and tells what came of it.
async fn reply(bytes: &[u8]) -> NetEvent {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    let peer = victim.up().await;
    let Subject::Chunk(wanted) = chunk() else {
        unreachable!()
    };
    victim.net.send(&peer, Message::Get(wanted)).unwrap();
    let mut streams = [
        hostile.accept(Protocol::Chunk).await,
        hostile.accept(Protocol::Chunk).await,
    ];
    let [one, other] = &mut streams;
    let mut request = [0; frame::REQUEST_BYTES];
    let mut second = request;
    let stream = tokio::select! {
        read = one.read_exact(&mut request) => { read.unwrap(); one }
        read = other.read_exact(&mut second) => { read.unwrap(); request = second; other }
    };
    assert_eq!(frame::decode_request(&request), Ok((chunk(), false)));
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    victim
        .until(|event| {
            matches!(event, NetEvent::Message(..) | NetEvent::PeerDown { .. })
                .then(|| event.clone())
        })
        .await
}

fn why(event: NetEvent) -> String {
    match event {
        NetEvent::PeerDown { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reply_is_taken_if_it_was_asked_for_and_fits() {
    let mut bytes = frame::encode_reply(chunk(), Some(3)).to_vec();
    bytes.extend(b"abc");
    let Subject::Chunk(wanted) = chunk() else {
        unreachable!()
    };
    match reply(&bytes).await {
        NetEvent::Message(_, Message::Data(chunk, payload)) => {
            assert_eq!((chunk, payload), (wanted, Bytes::from_static(b"abc")));
        }
        other => panic!("{other:?}"),
    }
    let long: [u8; REPLY_BYTES] = frame::encode_reply(chunk(), Some(1024 * 1024 + 1));
    let reason = why(reply(&long).await);
    assert!(
        reason.contains("1048577 bytes") && reason.contains("1048576"),
        "{reason}"
    );
    let other = Subject::Blob(Hash([8; 32]));
    let reason = why(reply(&frame::encode_reply(other, None)).await);
    assert!(reason.contains("nobody asked"), "{reason}");
    let reason = why(reply(&[9; REPLY_BYTES]).await);
    assert!(reason.contains("unknown kind 9"), "{reason}");
    let mut short = frame::encode_reply(chunk(), Some(1000)).to_vec();
    short.extend([0; 10]);
    let reason = why(reply(&short).await);
    assert!(reason.contains("no byte passed"), "{reason}");
}

#[tokio::test]
async fn a_request_of_unknown_kind_is_refused() {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    victim.up().await;
    let mut stream = hostile.open(Protocol::Chunk).await;
    stream.write_all(&[8; frame::REQUEST_BYTES]).await.unwrap();
    stream.flush().await.unwrap();
    assert!(victim.down().await.contains("unknown kind 8"));
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_stays_away_for_a_while() {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    victim.up().await;
    let mut stream = hostile.open(Protocol::Control).await;
    stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    victim.down().await;
    hostile
        .orders
        .send(Order::Dial(victim.net.listeners()[0].clone()))
        .await
        .unwrap();
    let quiet = timeout(Duration::from_secs(1), victim.events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn more_chunk_streams_than_agreed_are_not_served() {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    victim.up().await;
    let mut served = 0;
    for _ in 0..6 {
        let mut stream = hostile.open(Protocol::Chunk).await;
        let written = async {
            stream
                .write_all(&frame::encode_request(chunk(), false))
                .await?;
            stream.flush().await
        };
        // A stream that was turned away fails here or is never heard of.
        let _ = written.await;
        hostile
            .kept
            .push((Protocol::Chunk, EventKind::Inbound(stream)));
    }
    while let Ok(Some(event)) = timeout(Duration::from_millis(500), victim.events.recv()).await {
        match event {
            NetEvent::Message(_, Message::Get(_)) => served += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(served, 4);
}

#[tokio::test]
async fn a_second_control_stream_on_another_connection_is_a_new_session() {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    let peer = victim.up().await;
    let first = hostile.open(Protocol::Control).await;
    hostile
        .orders
        .send(Order::Dial(victim.net.listeners()[0].clone()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The stand-in opens on its newest connection.
    let second = hostile.open(Protocol::Control).await;
    let reason = victim.down().await;
    assert!(reason.contains("new session"), "{reason}");
    assert_eq!(victim.up().await, peer);
    drop((first, second));
}

#[tokio::test]
async fn a_peer_that_speaks_other_protocols_never_comes_up() {
    let mut victim = Victim::start().await;
    let mut swarm = hostile_swarm(dummy::Behaviour);
    swarm.dial(victim.net.listeners()[0].clone()).unwrap();
    let closed = async {
        loop {
            if let SwarmEvent::ConnectionClosed { .. } = swarm.select_next_some().await {
                return;
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("turned away");
    assert!(victim.events.try_recv().is_err());
}

/// Says these bytes about peers and tells why it was let go.
async fn peers(bytes: &[u8]) -> String {
    let mut victim = Victim::start().await;
    let mut hostile = Hostile::start(&victim);
    victim.up().await;
    let mut stream = hostile.open(Protocol::Peers).await;
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    victim.down().await
}

#[tokio::test]
async fn what_is_said_of_peers_is_bounded_and_signed() {
    let reason = peers(&u32::MAX.to_le_bytes()).await;
    assert!(reason.contains("at most 69680"), "{reason}");
    let reason = peers(&[1, 0, 0, 0, 0xff]).await;
    assert!(reason.contains("does not decode"), "{reason}");
    let told = Told {
        others: vec![vec![7; 100]],
        ..Told::default()
    };
    let body = codec::encode(&told);
    let frame = [&(body.len() as u32).to_le_bytes()[..], &body].concat();
    let reason = peers(&frame).await;
    assert!(reason.contains("has not signed"), "{reason}");
}
