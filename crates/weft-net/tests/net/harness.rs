//! Nodes without a core: they greet, and the test says the rest.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use weft_core::{ChunkRef, Control, Message, Peer};
use weft_keys::SecretKey;
use weft_net::{Multiaddr, Net, NetConfig, NetEvent, NetHandle};
use weft_record::{Hash, MeshId, RecordId};

/// Long enough for a busy machine; nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

pub(crate) struct Node {
    pub(crate) key: Peer,
    pub(crate) net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    skipped: VecDeque<NetEvent>,
}

pub(crate) fn config(number: u8, listen: &[&str]) -> NetConfig {
    let mut config = NetConfig::new(secret(number), mesh());
    config.listen = listen.iter().map(|text| text.parse().unwrap()).collect();
    config.mdns = false;
    config
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

pub(crate) fn mesh() -> MeshId {
    MeshId([77; 32])
}

pub(crate) fn hello() -> Control {
    Control::Hello {
        mesh_id: mesh(),
        root_version: 0,
        root: RecordId([0; 32]),
        enrolment: None,
    }
}

pub(crate) fn chunk(index: u32) -> ChunkRef {
    ChunkRef {
        file: Hash([1; 32]),
        index,
    }
}

impl Node {
    pub(crate) fn start(config: NetConfig) -> Self {
        let key = config.secret.public();
        let (net, events) = Net::start(config).unwrap();
        Self {
            key,
            net,
            events,
            skipped: VecDeque::new(),
        }
    }

    /// Waits until every address of the configuration is listened on.
    pub(crate) async fn listening(number: u8, listen: &[&str]) -> Self {
        let mut node = Self::start(config(number, listen));
        for _ in listen {
            node.until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
                .await;
        }
        node
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.net.listeners()[0].clone()
    }

    /// The first event that `pick` takes; those before it are kept for later.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&NetEvent) -> Option<T>) -> T {
        if let Some(index) = self.skipped.iter().position(|event| pick(event).is_some()) {
            let event = self.skipped.remove(index).unwrap();
            return pick(&event).unwrap();
        }
        loop {
            let event = timeout(PATIENCE, self.events.recv())
                .await
                .unwrap_or_else(|_| panic!("no such event came, but {:?}", self.skipped))
                .unwrap();
            match pick(&event) {
                Some(picked) => return picked,
                None => self.skipped.push_back(event),
            }
        }
    }

    /// The next peer that is up; it is greeted and admitted.
    pub(crate) async fn up(&mut self) -> Peer {
        let peer = self.at_the_door().await;
        self.net.admit(&peer, true);
        peer
    }

    /// The next peer that is up; it is greeted and no more.
    pub(crate) async fn at_the_door(&mut self) -> Peer {
        let peer = self
            .until(|event| match event {
                NetEvent::PeerUp { peer, .. } => Some(*peer),
                _ => None,
            })
            .await;
        self.net.send(&peer, Message::Control(hello())).unwrap();
        peer
    }

    pub(crate) async fn down(&mut self) -> (Peer, String) {
        self.until(|event| match event {
            NetEvent::PeerDown { peer, reason } => Some((*peer, reason.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> (Peer, Message<Bytes>) {
        self.until(|event| match event {
            NetEvent::Message(peer, message) => Some((*peer, message.clone())),
            _ => None,
        })
        .await
    }

    /// Events that come within this time, with those skipped before.
    pub(crate) async fn rest(&mut self, time: Duration) -> Vec<NetEvent> {
        let mut events: Vec<NetEvent> = self.skipped.drain(..).collect();
        while let Ok(Some(event)) = timeout(time, self.events.recv()).await {
            events.push(event);
        }
        events
    }
}

/// Two nodes that greeted each other, the first dialled by the second.
pub(crate) async fn pair(first: &[&str], second: NetConfig) -> (Node, Node) {
    let mut first = Node::listening(1, first).await;
    let mut second = Node::start(second);
    second.net.dial(first.address()).unwrap();
    greet(&mut first, &mut second).await;
    (first, second)
}

/// Waits until two nodes are up at each other and read each other's greeting.
pub(crate) async fn greet(first: &mut Node, second: &mut Node) {
    assert_eq!(second.up().await, first.key);
    assert_eq!(first.up().await, second.key);
    assert_eq!(
        first.message().await,
        (second.key, Message::Control(hello()))
    );
    assert_eq!(
        second.message().await,
        (first.key, Message::Control(hello()))
    );
}
