//! A node without a core: it greets, says what the test wants, and keeps what it hears.

// each test binary uses a part
#![allow(dead_code)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{runtime::Runtime, sync::mpsc};
use weft_core::{Control, Message, Peer};
use weft_keys::SecretKey;
use weft_net::{Net, NetConfig, NetEvent, NetHandle};
use weft_record::{MeshId, RecordId};
use weft_tests::PATIENCE;

pub(crate) struct Stranger {
    runtime: Runtime,
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    pub(crate) heard: Vec<NetEvent>,
    /// Who was dialled.
    pub(crate) peer: Peer,
}

impl Stranger {
    /// Dials a node and greets it, without an enrolment.
    pub(crate) fn meet(secret: SecretKey, mesh_id: MeshId, address: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut config = NetConfig::new(secret, mesh_id);
        (config.listen, config.mdns) = (Vec::new(), false);
        let guard = runtime.enter();
        let (net, events) = Net::start(config).unwrap();
        drop(guard);
        net.dial(address.parse().unwrap()).unwrap();
        let zero = SecretKey::from_seed([0; 32]).public();
        let mut stranger = Self {
            runtime,
            net,
            events,
            heard: Vec::new(),
            peer: zero,
        };
        stranger.peer = stranger.until("somebody is up", |event| match event {
            NetEvent::PeerUp { peer, .. } => Some(*peer),
            _ => None,
        });
        stranger.say(Control::Hello {
            mesh_id,
            root_version: 0,
            root: RecordId([0; 32]),
            enrolment: None,
        });
        // it would take whatever the other side gives
        stranger.net.admit(&stranger.peer, true);
        stranger
    }

    pub(crate) fn say(&self, control: Control) {
        self.send(Message::Control(control));
    }

    pub(crate) fn send(&self, message: Message<Bytes>) {
        self.net.send(&self.peer, message).unwrap();
    }

    /// Whether it got away: who was let go says nothing more.
    pub(crate) fn try_send(&self, message: Message<Bytes>) -> bool {
        self.net.send(&self.peer, message).is_ok()
    }

    pub(crate) fn announce(&self, envelope: Vec<u8>) {
        self.net.broadcast(envelope).unwrap();
    }

    /// Waits for an event; all that come are kept.
    pub(crate) fn until<T>(&mut self, what: &str, pick: impl Fn(&NetEvent) -> Option<T>) -> T {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(event) = self.next() {
                let picked = pick(&event);
                self.heard.push(event);
                if let Some(picked) = picked {
                    return picked;
                }
            }
        }
        panic!("{what}: not within {PATIENCE:?}, but {:?}", self.heard);
    }

    /// Takes in what came meanwhile.
    pub(crate) fn catch_up(&mut self) {
        while let Some(event) = self.next() {
            self.heard.push(event);
        }
    }

    /// What comes next, if something comes within a moment.
    pub(crate) fn next(&mut self) -> Option<NetEvent> {
        let wait = Duration::from_millis(300);
        let events = &mut self.events;
        let next = async { tokio::time::timeout(wait, events.recv()).await };
        self.runtime.block_on(next).ok().flatten()
    }
}
