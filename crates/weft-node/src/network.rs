//! `weft-net` as the loop sees it.

use bytes::Bytes;
use tokio::sync::mpsc;
use weft_core::{Caps, DisconnectReason, Input, Message, Path, Peer};
use weft_keys::SecretKey;
use weft_net::{Net, NetConfig, NetEvent, NetHandle, Reachability};

use crate::{
    home::Home,
    places::Places,
    report::{LinksReport, PlaceReport, ReachabilityReport, TrafficReport, WayIn},
    run::RunError,
};

/// The running network of one node.
pub(crate) struct Network {
    handle: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    places: Places,
}

impl Network {
    pub(crate) fn start(home: &Home) -> Result<Self, RunError> {
        let settings = home.settings();
        let secret = SecretKey::from_seed(*home.secret().seed());
        let mut config = NetConfig::new(secret, settings.mesh_id);
        config.listen = addresses("network.listen", &settings.listen)?;
        config.bootstrap = addresses("network.bootstrap", &settings.bootstrap)?;
        config.mdns = settings.mdns;
        config.lan.clone_from(&settings.lan);
        config.relaying = settings.relaying;
        let places = Places::new(settings.mesh_id, &config.bootstrap);
        let (handle, events) = Net::start(config).map_err(RunError::Network)?;
        Ok(Self {
            handle,
            events,
            places,
        })
    }

    pub(crate) async fn next(&mut self) -> Option<NetEvent> {
        self.events.recv().await
    }

    /// What an event means to the core, if anything.
    pub(crate) fn input(&mut self, event: NetEvent) -> Option<Input<Bytes>> {
        self.places.see(&event);
        match event {
            NetEvent::PeerUp {
                peer,
                address,
                outbound,
                path,
            } => {
                tracing::debug!(%peer, %address, outbound, ?path, "connected");
                Some(Input::PeerUp(peer, path))
            }
            NetEvent::PeerDown { peer, reason } => {
                tracing::debug!(%peer, reason, "disconnected");
                Some(Input::PeerDown(peer))
            }
            NetEvent::Message(peer, message) => Some(Input::Message(peer, message)),
            NetEvent::Gossip(announcement) => Some(Input::Gossip(announcement)),
            NetEvent::Listening(address) => {
                tracing::info!(%address, "listening");
                None
            }
            NetEvent::DialFailed { address, reason } => {
                tracing::debug!(%address, reason, "a dial failed");
                None
            }
            _ => None,
        }
    }

    /// What is wrong with the places that this node dials.
    pub(crate) fn places(&self) -> Vec<PlaceReport> {
        self.places.report()
    }

    pub(crate) fn admit(&self, peer: &Peer, member: bool) {
        self.handle.admit(peer, member);
    }

    pub(crate) fn send(&self, peer: &Peer, message: Message<Bytes>) {
        // Nothing to do about it here: the network tells PeerDown where a message
        // that mattered was lost, and the core asks again.
        if let Err(error) = self.handle.send(peer, message) {
            tracing::debug!(%peer, %error, "a message was not taken");
        }
    }

    pub(crate) fn broadcast(&self, announcement: Vec<u8>) {
        if let Err(error) = self.handle.broadcast(announcement) {
            tracing::debug!(%error, "an announcement was not taken");
        }
    }

    pub(crate) fn disconnect(&self, peer: &Peer, reason: DisconnectReason) {
        self.handle.disconnect(peer, reason);
    }

    pub(crate) fn limit(&self, caps: &Caps, background: bool) {
        self.handle.limit(caps, background);
    }

    pub(crate) fn traffic(&self) -> TrafficReport {
        let traffic = self.handle.traffic();
        TrafficReport {
            uplink_bytes_in: traffic.uplink_bytes_in,
            uplink_bytes_out: traffic.uplink_bytes_out,
            lan_bytes_in: traffic.payload_bytes_in - traffic.uplink_bytes_in,
            lan_bytes_out: traffic.payload_bytes_out - traffic.uplink_bytes_out,
        }
    }

    /// How others get to this node, and whether it helps others.
    pub(crate) fn reachability(&self) -> ReachabilityReport {
        let way = match self.handle.reachability() {
            Reachability::Direct => WayIn::Direct,
            Reachability::Relayed => WayIn::Relayed,
            Reachability::DialOut => WayIn::DialOut,
            _ => WayIn::Unknown,
        };
        ReachabilityReport {
            way,
            relays: self.handle.relays(),
            links: self.links(),
        }
    }

    fn links(&self) -> LinksReport {
        let mut links = LinksReport::default();
        for path in self.handle.paths() {
            let count = match path {
                Path::Lan => &mut links.lan,
                Path::Wan => &mut links.uplink,
                Path::Relayed => &mut links.relayed,
            };
            *count += 1;
        }
        links
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.handle.peers()
    }

    pub(crate) fn listeners(&self) -> Vec<String> {
        self.handle
            .listeners()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub(crate) async fn shutdown(self) {
        self.handle.shutdown().await;
    }
}

fn addresses<A: std::str::FromStr>(key: &'static str, texts: &[String]) -> Result<Vec<A>, RunError>
where
    A::Err: std::fmt::Display,
{
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|error: A::Err| RunError::Address {
                key,
                text: text.clone(),
                reason: error.to_string(),
            })
        })
        .collect()
}
