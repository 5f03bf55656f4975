//! Where this node itself is reached, and when it signs that. Opens no socket.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, identity::Keypair};

use crate::{
    book::{self, Own},
    bounds,
    config::NetConfig,
    on_link, place,
};

/// What is known of it.
pub(crate) struct Whereabouts {
    keypair: Option<Keypair>,
    listeners: BTreeSet<Multiaddr>,
    is_reachable: bool,
    /// For everybody, and for the site, as signed last.
    signed: (Vec<Multiaddr>, Vec<Multiaddr>),
    signed_at: Option<Instant>,
    due: Instant,
}

impl Whereabouts {
    pub(crate) fn new(config: &NetConfig, now: Instant) -> Self {
        Self {
            keypair: Keypair::ed25519_from_bytes(*config.secret.seed()).ok(),
            listeners: BTreeSet::new(),
            is_reachable: true,
            signed: (Vec::new(), Vec::new()),
            signed_at: None,
            due: now + bounds::PEER_RECORD_RENEWED,
        }
    }

    pub(crate) fn listens(&mut self, address: Multiaddr) {
        self.listeners.insert(address);
        self.changed();
    }

    pub(crate) fn listens_no_more(&mut self, address: &Multiaddr) {
        self.listeners.remove(address);
        self.changed();
    }

    /// Whether anybody gets through to the addresses that it listens at, as far as it knows.
    pub(crate) fn reachable(&mut self, is_reachable: bool) {
        if std::mem::replace(&mut self.is_reachable, is_reachable) != is_reachable {
            self.changed();
        }
    }

    /// Where everybody reaches it, as signed last; not through relays.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Multiaddr> {
        let all = self.signed.0.iter();
        all.filter(|one| !on_link::is_relayed(one))
    }

    /// Something may have changed: it is looked at soon. A record's number is the second in
    /// which it was signed, so there is no more than one a second.
    pub(crate) fn changed(&mut self) {
        let free = self.signed_at.map(|at| at + Duration::from_secs(1));
        self.due = self.due.min(free.unwrap_or_else(Instant::now));
    }

    /// When [`Whereabouts::sign`] is worth calling.
    pub(crate) fn deadline(&self) -> Instant {
        self.due
    }

    /// Signs what has changed, or has grown old. `reached_at` is where members from beyond the
    /// LAN have reached this node.
    pub(crate) fn sign(&mut self, reached_at: &BTreeSet<Multiaddr>, now: Instant) -> Option<Own> {
        let addresses = self.addresses(reached_at);
        self.due = now + bounds::PEER_RECORD_RENEWED;
        let renews = self.signed_at.map(|at| at + bounds::PEER_RECORD_RENEWED);
        if addresses == self.signed && renews.is_some_and(|at| now < at) {
            self.due = renews.unwrap_or(now);
            return None;
        }
        let keypair = self.keypair.as_ref()?;
        let own = Own {
            everybody: book::sign(keypair, addresses.0.clone()),
            site: book::sign(keypair, addresses.1.clone()),
        };
        tracing::debug!(everybody = ?addresses.0, site = ?addresses.1, "tells where it is reached");
        (self.signed, self.signed_at) = (addresses, Some(now));
        Some(own)
    }

    /// Addresses for everybody, and for the site.
    fn addresses(&self, reached_at: &BTreeSet<Multiaddr>) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
        let (relayed, direct): (Vec<&Multiaddr>, Vec<&Multiaddr>) = self
            .listeners
            .iter()
            .filter(|one| place::is_place(one))
            .partition(|one| on_link::is_relayed(one));
        let listeners = || direct.iter().copied();
        let mut everybody: Vec<Multiaddr> = reached_at.iter().cloned().collect();
        // what nobody gets through to is told as the last way only
        let public = || listeners().filter(|one| place::is_public(one)).cloned();
        if self.is_reachable {
            everybody.extend(public());
        }
        everybody.extend(relayed.into_iter().cloned());
        if !self.is_reachable {
            everybody.extend(public());
        }
        let private = listeners().filter(|one| !place::is_public(one));
        let (here, near): (Vec<_>, Vec<_>) = private.cloned().partition(place::is_loopback);
        // who listens on loopback alone has only neighbours on its own machine
        let is_only_here = near.is_empty() && everybody.is_empty();
        let mut site = if is_only_here { here } else { near };
        site.extend(everybody.iter().cloned());
        (listed(everybody), listed(site))
    }
}

/// Each once, as many as are told.
fn listed(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut listed = Vec::new();
    for address in addresses {
        if listed.len() < bounds::ADDRESSES_TOLD && !listed.contains(&address) {
            listed.push(address);
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use weft_record::MeshId;

    use super::*;

    fn listening(texts: &[&str]) -> Whereabouts {
        let secret = weft_keys::SecretKey::from_seed([1; 32]);
        let config = NetConfig::new(secret, MeshId([1; 32]));
        let mut whereabouts = Whereabouts::new(&config, Instant::now());
        for text in texts {
            whereabouts.listens(parsed(text));
        }
        whereabouts
    }

    fn parsed(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn private_addresses_are_for_the_site_alone() {
        let (private, public) = ("/ip4/10.0.0.1/tcp/1", "/ip4/203.0.113.1/tcp/1");
        let node = listening(&["/ip4/127.0.0.1/tcp/1", private, public]);
        let (everybody, site) = node.addresses(&BTreeSet::new());
        assert_eq!(everybody, [parsed(public)]);
        assert_eq!(site, [parsed(private), parsed(public)]);
        let here = "/ip4/127.0.0.1/tcp/1";
        let (everybody, site) = listening(&[here]).addresses(&BTreeSet::new());
        assert_eq!((everybody.len(), site), (0, vec![parsed(here)]));
    }

    #[test]
    fn where_somebody_from_afar_reached_it_everybody_may_know() {
        let node = listening(&["/ip4/10.0.0.1/tcp/1"]);
        let reached = parsed("/dns4/example.org/tcp/1");
        let (everybody, site) = node.addresses(&BTreeSet::from([reached.clone()]));
        assert_eq!(everybody, std::slice::from_ref(&reached));
        assert_eq!(site, [parsed("/ip4/10.0.0.1/tcp/1"), reached]);
    }

    #[test]
    fn a_record_is_signed_when_it_changes_and_when_it_is_old() {
        let mut node = listening(&["/ip4/203.0.113.1/tcp/1"]);
        let (now, nowhere) = (Instant::now(), BTreeSet::new());
        assert!(node.deadline() <= now);
        let own = node.sign(&nowhere, now).expect("something new");
        assert!(own.everybody.is_some() && own.site.is_some());
        node.changed();
        assert_eq!(node.deadline(), now + Duration::from_secs(1));
        assert_eq!(node.sign(&nowhere, node.deadline()), None);
        let old = now + bounds::PEER_RECORD_RENEWED;
        assert_eq!(node.deadline(), old);
        assert!(node.sign(&nowhere, old).is_some());
        let away = parsed("/ip4/203.0.113.1/tcp/1");
        node.listens_no_more(&away);
        let own = node.sign(&nowhere, old).expect("it changed");
        assert_eq!(own, Own::default());
    }
}
