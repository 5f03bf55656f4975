//! Whom to dial and when: bootstrap addresses, peers of the LAN, former members and
//! those of which others told, each with exponential backoff. Reads no clock and opens
//! no socket.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};

use crate::{book::Learned, bounds, on_link};

/// Why a place is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Named by the owner at the start: tried for ever.
    Bootstrap,
    /// Asked for once.
    Asked,
    /// Found on the LAN: tried until its announcement expires.
    Lan,
    /// Was a peer before: tried until it failed too often.
    Remembered,
    /// A member told of it: tried a few times, beyond the LAN only by a node that has few
    /// links.
    Told,
}

/// The next place to dial.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) target: u64,
    pub(crate) peer: Option<PeerId>,
    /// TCP before QUIC, relays last, without the peer's `/p2p`.
    pub(crate) addresses: Vec<Multiaddr>,
}

/// All places that are dialled.
pub(crate) struct Dialer {
    targets: Vec<Target>,
    next_target: u64,
    paced_due: Instant,
    jitter: Box<dyn FnMut() -> u64 + Send>,
}

#[derive(Debug)]
struct Target {
    number: u64,
    source: Source,
    peer: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    /// Number of the newest record that told of it.
    seq: u64,
    /// It is on the LAN, by what was told.
    is_near: bool,
    failures: u32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Dialled when this comes.
    Due(Instant),
    Dialling(Option<ConnectionId>),
    Up,
}

impl Dialer {
    /// `jitter` gives uniformly distributed numbers.
    pub(crate) fn new(now: Instant, jitter: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self {
            targets: Vec::new(),
            next_target: 0,
            paced_due: now,
            jitter: Box::new(jitter),
        }
    }

    /// Adds a place, or an address to a place that is known. Without room for
    /// it, it is left out: false.
    pub(crate) fn add(
        &mut self,
        source: Source,
        peer: Option<PeerId>,
        address: Multiaddr,
        now: Instant,
    ) -> bool {
        let (address, named) = split_peer(address);
        let peer = named.or(peer);
        let known = self
            .targets
            .iter_mut()
            .find(|target| match (target.peer, peer) {
                (Some(one), Some(other)) => one == other,
                _ => target.addresses.contains(&address),
            });
        if let Some(target) = known {
            target.peer = target.peer.or(peer);
            if target.source == Source::Told {
                target.source = source;
            }
            if !target.addresses.contains(&address)
                && target.addresses.len() < bounds::ADDRESSES_PER_TARGET
            {
                target.addresses.push(address);
                target.addresses.sort_by_key(rank);
            }
            if source == Source::Asked && matches!(target.state, State::Due(_)) {
                target.state = State::Due(now);
            }
            return true;
        }
        if self.targets.len() >= bounds::TARGETS {
            let forgettable = [Source::Told, Source::Remembered]
                .into_iter()
                .find_map(|source| {
                    let mut targets = self.targets.iter();
                    targets.position(|target| target.source == source && target.state != State::Up)
                });
            let Some(forgettable) = forgettable else {
                return false;
            };
            self.targets.remove(forgettable);
        }
        self.push(source, peer, vec![address], (0, false), now);
        true
    }

    /// A member told of a peer: a newer record replaces what an older one said. A place that is
    /// known by itself only gains addresses.
    pub(crate) fn told(&mut self, learned: Learned, is_near: bool, now: Instant) {
        let Learned {
            peer,
            seq,
            mut addresses,
        } = learned;
        if addresses.is_empty() {
            return;
        }
        addresses.sort_by_key(rank);
        let known = self
            .targets
            .iter_mut()
            .find(|target| target.peer == Some(peer));
        if let Some(target) = known {
            if target.source != Source::Told {
                addresses.retain(|address| !target.addresses.contains(address));
                let room = bounds::ADDRESSES_PER_TARGET.saturating_sub(target.addresses.len());
                target.addresses.extend(addresses.into_iter().take(room));
                target.addresses.sort_by_key(rank);
            } else if seq >= target.seq {
                (target.seq, target.is_near) = (seq, is_near);
                if target.addresses != addresses {
                    (target.addresses, target.failures) = (addresses, 0);
                    if matches!(target.state, State::Due(_)) {
                        target.state = State::Due(now);
                    }
                }
            }
            return;
        }
        let told = self.targets.iter().filter(|one| one.source == Source::Told);
        if told.count() < bounds::TARGETS_TOLD && self.targets.len() < bounds::TARGETS {
            self.push(Source::Told, Some(peer), addresses, (seq, is_near), now);
        }
    }

    fn push(
        &mut self,
        source: Source,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        (seq, is_near): (u64, bool),
        now: Instant,
    ) {
        self.next_target += 1;
        self.targets.push(Target {
            number: self.next_target,
            source,
            peer,
            addresses,
            seq,
            is_near,
            failures: 0,
            state: State::Due(now),
        });
    }

    /// The announcement of this address on the LAN expired.
    pub(crate) fn expire_lan(&mut self, peer: &PeerId, address: &Multiaddr) {
        let (address, _) = split_peer(address.clone());
        for target in &mut self.targets {
            if target.source == Source::Lan && target.peer == Some(*peer) {
                target.addresses.retain(|known| *known != address);
            }
        }
        self.targets
            .retain(|target| !target.addresses.is_empty() || target.state == State::Up);
    }

    /// When [`Dialer::next`] is worth calling again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.targets
            .iter()
            .filter_map(|target| match target.state {
                State::Due(due) if target.is_paced() => Some(due.max(self.paced_due)),
                State::Due(due) => Some(due),
                _ => None,
            })
            .min()
    }

    /// The next place that is due. `links` stand; `is_up` and `blocked_until` tell of a peer.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        links: usize,
        is_up: impl Fn(&PeerId) -> bool,
        blocked_until: impl Fn(&PeerId) -> Option<Instant>,
    ) -> Option<Dial> {
        for target in &mut self.targets {
            let is_paced = target.is_paced();
            match target.state {
                State::Due(due) if due <= now && !(is_paced && self.paced_due > now) => {}
                _ => continue,
            }
            if let Some(peer) = target.peer {
                if is_up(&peer) {
                    target.state = State::Up;
                    continue;
                }
                if let Some(until) = blocked_until(&peer) {
                    target.state = State::Due(until);
                    continue;
                }
            }
            if target.is_spare() && links >= bounds::LINKS_WANTED {
                target.state = State::Due(now + bounds::LINKS_LOOK);
                continue;
            }
            if is_paced {
                self.paced_due = now + bounds::FOUND_DIAL_INTERVAL;
            }
            target.state = State::Dialling(None);
            return Some(Dial {
                target: target.number,
                peer: target.peer,
                addresses: target.addresses.clone(),
            });
        }
        None
    }

    /// The dial of this place runs under this connection.
    pub(crate) fn dialling(&mut self, target: u64, connection: ConnectionId) {
        if let Some(target) = self.targets.iter_mut().find(|known| known.number == target) {
            target.state = State::Dialling(Some(connection));
        }
    }

    /// A connection stands, whoever dialled it.
    pub(crate) fn connected(&mut self, connection: ConnectionId, peer: PeerId) {
        for target in &mut self.targets {
            if target.state == State::Dialling(Some(connection)) {
                target.peer = Some(peer);
            }
            if target.peer == Some(peer) {
                target.state = State::Up;
            }
        }
    }

    /// A dial failed: who was expected, and an address, for whom to tell.
    pub(crate) fn failed(
        &mut self,
        connection: ConnectionId,
        now: Instant,
    ) -> Option<(Option<PeerId>, Multiaddr)> {
        let index = self
            .targets
            .iter()
            .position(|target| target.state == State::Dialling(Some(connection)))?;
        let target = &self.targets[index];
        let told = target.addresses.first().cloned();
        let told = told.map(|address| (target.peer, address));
        self.retry(index, now);
        told
    }

    /// The peer dialled was this node itself: never again.
    pub(crate) fn failed_for_good(&mut self, connection: ConnectionId) {
        self.targets
            .retain(|target| target.state != State::Dialling(Some(connection)));
    }

    /// The link to a peer is gone after it stood for `lived`. `address` is
    /// where it was reached, if this node dialled it.
    pub(crate) fn down(
        &mut self,
        peer: PeerId,
        address: Option<Multiaddr>,
        lived: Duration,
        now: Instant,
    ) {
        let proven = lived >= bounds::LINK_PROVEN;
        if let (Some(address), true) = (address, proven) {
            self.add(Source::Remembered, Some(peer), address, now);
        }
        let mut index = 0;
        while let Some(target) = self.targets.get_mut(index) {
            if target.peer == Some(peer) {
                if proven {
                    target.failures = 0;
                    // What was asked for or told of led to a peer: now it is one of those known.
                    if matches!(target.source, Source::Asked | Source::Told) {
                        target.source = Source::Remembered;
                    }
                }
                if self.retry(index, now) {
                    continue;
                }
            }
            index += 1;
        }
    }

    /// Plans the next try; true if the place was given up instead.
    fn retry(&mut self, index: usize, now: Instant) -> bool {
        let jitter = (self.jitter)();
        let target = &mut self.targets[index];
        let exhausted = match target.source {
            Source::Bootstrap | Source::Lan => false,
            Source::Asked => true,
            Source::Remembered => target.failures >= bounds::REMEMBERED_FAILURES,
            Source::Told => target.failures >= bounds::TOLD_FAILURES,
        };
        if exhausted || target.addresses.is_empty() {
            self.targets.remove(index);
            return true;
        }
        target.state = State::Due(now + backoff(target.failures, jitter));
        target.failures = target.failures.saturating_add(1);
        false
    }
}

impl Target {
    /// Many may be found at once: they are dialled one after the other.
    fn is_paced(&self) -> bool {
        matches!(self.source, Source::Lan | Source::Told)
    }

    /// Whether it is of no use to a node that has enough links.
    fn is_spare(&self) -> bool {
        self.source == Source::Told && !self.is_near
    }
}

/// Doubles with each failure up to its bound; `jitter` takes up to half away.
fn backoff(failures: u32, jitter: u64) -> Duration {
    let full = bounds::BACKOFF_MIN
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(bounds::BACKOFF_MAX);
    let half_us = full.as_micros() as u64 / 2;
    Duration::from_micros(half_us + jitter % (half_us + 1))
}

/// Parts an address from the peer that it ends in.
pub(crate) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

/// In which order addresses are dialled: a relay is the last way.
fn rank(address: &Multiaddr) -> (bool, bool) {
    (on_link::is_relayed(address), is_quic(address))
}

/// Whether an address is QUIC's: bulk goes over TCP where both exist.
pub(crate) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::QuicV1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("address")
    }

    fn dialer(now: Instant) -> Dialer {
        Dialer::new(now, || u64::MAX)
    }

    fn next(dialer: &mut Dialer, now: Instant) -> Option<Dial> {
        dialer.next(now, 0, |_| false, |_| None)
    }

    #[test]
    fn backoff_doubles_up_to_a_minute_and_jitters_down_to_half() {
        assert_eq!(backoff(0, 0), Duration::from_millis(100));
        assert_eq!(backoff(0, 100_000), Duration::from_millis(200));
        assert_eq!(backoff(1, 0), Duration::from_millis(200));
        assert_eq!(backoff(20, 0), Duration::from_secs(30));
        for failures in [9, 31, 32, 1000] {
            for jitter in [0, 1, u64::MAX / 3, u64::MAX] {
                assert!(backoff(failures, jitter) <= bounds::BACKOFF_MAX);
                assert!(backoff(failures, jitter) >= bounds::BACKOFF_MAX / 2);
            }
        }
    }

    #[test]
    fn a_bootstrap_address_is_tried_for_ever_with_longer_waits() {
        let mut now = Instant::now();
        let mut dialer = dialer(now);
        dialer.add(Source::Bootstrap, None, address("/ip4/10.0.0.1/tcp/1"), now);
        let mut waits = Vec::new();
        for number in 0..200 {
            let dial = next(&mut dialer, now).expect("due");
            assert_eq!(next(&mut dialer, now), None);
            let connection = ConnectionId::new_unchecked(number);
            dialer.dialling(dial.target, connection);
            let failed = dialer.failed(connection, now);
            assert_eq!(failed, Some((None, dial.addresses[0].clone())));
            let due = dialer.deadline().expect("planned");
            waits.push(due - now);
            assert_eq!(next(&mut dialer, now), None);
            now = due;
        }
        assert!(waits[0] <= bounds::BACKOFF_MIN);
        assert!(waits.is_sorted_by(|one, two| *two >= *one / 2));
        assert!(waits[199] >= bounds::BACKOFF_MAX / 2);
    }

    #[test]
    fn addresses_of_one_peer_are_one_place_and_tcp_comes_first() {
        let now = Instant::now();
        let (mut dialer, peer) = (dialer(now), PeerId::random());
        let quic = address("/ip4/10.0.0.1/udp/1/quic-v1");
        let tcp = address("/ip4/10.0.0.1/tcp/1");
        let named = quic.clone().with(Protocol::P2p(peer));
        dialer.add(Source::Bootstrap, None, named, now);
        dialer.add(Source::Bootstrap, Some(peer), tcp.clone(), now);
        dialer.add(Source::Lan, Some(peer), tcp.clone(), now);
        let dial = next(&mut dialer, now).expect("due");
        assert_eq!((dial.peer, dial.addresses), (Some(peer), vec![tcp, quic]));
        assert_eq!(next(&mut dialer, now), None);
    }

    #[test]
    fn a_peer_that_is_up_or_blocked_is_not_dialled() {
        let now = Instant::now();
        let (mut dialer, up, blocked) = (dialer(now), PeerId::random(), PeerId::random());
        dialer.add(
            Source::Bootstrap,
            Some(up),
            address("/ip4/10.0.0.1/tcp/1"),
            now,
        );
        dialer.add(
            Source::Lan,
            Some(blocked),
            address("/ip4/10.0.0.2/tcp/1"),
            now,
        );
        let until = now + SECOND;
        let is_up = |peer: &PeerId| *peer == up;
        let blocked_until = |peer: &PeerId| (*peer == blocked).then_some(until);
        assert_eq!(dialer.next(now, 0, is_up, blocked_until), None);
        assert_eq!(dialer.deadline(), Some(until));
        let dial = dialer.next(until, 0, is_up, |_| None).expect("free again");
        assert_eq!(dial.peer, Some(blocked));
    }

    #[test]
    fn a_lost_peer_is_dialled_again_at_once_if_it_lived_and_later_if_not() {
        let now = Instant::now();
        let (mut dialer, peer) = (dialer(now), PeerId::random());
        dialer.add(Source::Bootstrap, None, address("/ip4/10.0.0.1/tcp/1"), now);
        let dial = next(&mut dialer, now).expect("due");
        dialer.dialling(dial.target, ConnectionId::new_unchecked(1));
        dialer.connected(ConnectionId::new_unchecked(1), peer);
        assert_eq!(dialer.deadline(), None);
        for failures in 0..5 {
            dialer.down(peer, None, Duration::ZERO, now);
            let due = dialer.deadline().expect("planned");
            assert_eq!(due - now, backoff(failures, u64::MAX));
        }
        dialer.down(peer, None, bounds::LINK_PROVEN, now);
        assert!(dialer.deadline().expect("planned") - now <= bounds::BACKOFF_MIN);
    }

    #[test]
    fn a_former_peer_is_remembered_and_in_the_end_forgotten() {
        let mut now = Instant::now();
        let (mut dialer, peer) = (dialer(now), PeerId::random());
        dialer.down(
            peer,
            Some(address("/ip4/10.0.0.1/tcp/1")),
            Duration::ZERO,
            now,
        );
        assert_eq!(
            dialer.deadline(),
            None,
            "a link that did not last is not remembered"
        );
        dialer.down(
            peer,
            Some(address("/ip4/10.0.0.1/tcp/1")),
            bounds::LINK_PROVEN,
            now,
        );
        let mut tries = 0;
        while let Some(due) = dialer.deadline() {
            now = due;
            let dial = next(&mut dialer, now).expect("due");
            tries += 1;
            let connection = ConnectionId::new_unchecked(tries);
            dialer.dialling(dial.target, connection);
            dialer.failed(connection, now);
        }
        assert_eq!(tries, bounds::REMEMBERED_FAILURES as usize);
    }

    #[test]
    fn an_address_asked_for_is_tried_once() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.add(Source::Asked, None, address("/ip4/10.0.0.1/tcp/1"), now);
        let dial = next(&mut dialer, now).expect("due");
        dialer.dialling(dial.target, ConnectionId::new_unchecked(1));
        let failed = dialer.failed(ConnectionId::new_unchecked(1), now);
        assert!(failed.is_some());
        assert_eq!(dialer.deadline(), None);
    }

    #[test]
    fn peers_of_the_lan_are_dialled_one_after_the_other_until_they_expire() {
        let now = Instant::now();
        let (mut dialer, peers) = (dialer(now), [PeerId::random(), PeerId::random()]);
        let places = [
            address("/ip4/10.0.0.1/tcp/1"),
            address("/ip4/10.0.0.2/tcp/1"),
        ];
        for (peer, place) in peers.iter().zip(&places) {
            dialer.add(Source::Lan, Some(*peer), place.clone(), now);
        }
        assert_eq!(next(&mut dialer, now).expect("due").peer, Some(peers[0]));
        assert_eq!(next(&mut dialer, now), None);
        assert_eq!(dialer.deadline(), Some(now + bounds::FOUND_DIAL_INTERVAL));
        dialer.expire_lan(&peers[1], &places[1]);
        assert_eq!(dialer.deadline(), None);
    }

    fn told(peer: PeerId, seq: u64, text: &str) -> Learned {
        let addresses = vec![address(text)];
        Learned {
            peer,
            seq,
            addresses,
        }
    }

    #[test]
    fn whom_others_told_of_is_dialled_by_a_node_with_few_links_and_soon_forgotten() {
        let mut now = Instant::now();
        let (mut dialer, near, far) = (dialer(now), PeerId::random(), PeerId::random());
        dialer.told(told(far, 1, "/ip4/203.0.113.1/tcp/1"), false, now);
        let many =
            |dialer: &mut Dialer, now| dialer.next(now, bounds::LINKS_WANTED, |_| false, |_| None);
        assert_eq!(many(&mut dialer, now), None, "it has links enough");
        assert_eq!(dialer.deadline(), Some(now + bounds::LINKS_LOOK));
        dialer.told(told(near, 1, "/ip4/10.0.0.1/tcp/1"), true, now);
        let dial = many(&mut dialer, now).expect("the LAN is always dialled");
        assert_eq!(dial.peer, Some(near));
        dialer.dialling(dial.target, ConnectionId::new_unchecked(1));
        dialer.failed_for_good(ConnectionId::new_unchecked(1));
        let mut tries = 0;
        while let Some(due) = dialer.deadline() {
            now = due;
            let dial = next(&mut dialer, now).expect("due");
            tries += 1;
            dialer.dialling(dial.target, ConnectionId::new_unchecked(tries));
            dialer.failed(ConnectionId::new_unchecked(tries), now);
        }
        assert_eq!(tries, bounds::TOLD_FAILURES as usize + 1);
    }

    #[test]
    fn the_newer_record_counts_and_what_is_known_by_itself_stays() {
        let now = Instant::now();
        let (mut dialer, peer, other) = (dialer(now), PeerId::random(), PeerId::random());
        dialer.told(told(peer, 5, "/ip4/203.0.113.5/tcp/1"), false, now);
        dialer.told(told(peer, 4, "/ip4/203.0.113.4/tcp/1"), false, now);
        dialer.told(told(peer, 6, "/ip4/203.0.113.6/tcp/1"), false, now);
        let own = address("/ip4/203.0.113.9/tcp/1");
        dialer.add(Source::Bootstrap, Some(other), own.clone(), now);
        dialer.told(told(other, 1, "/ip4/203.0.113.8/tcp/1"), false, now);
        let dial = next(&mut dialer, now).expect("due");
        assert_eq!(dial.addresses, [address("/ip4/203.0.113.6/tcp/1")]);
        let dial = next(&mut dialer, now).expect("due");
        assert_eq!(dial.addresses, [own, address("/ip4/203.0.113.8/tcp/1")]);
    }

    #[test]
    fn what_others_tell_is_bounded_and_makes_room() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        for _ in 0..2 * bounds::TARGETS_TOLD {
            let learned = told(PeerId::random(), 1, "/ip4/203.0.113.1/tcp/1");
            dialer.told(learned, false, now);
        }
        assert_eq!(dialer.targets.len(), bounds::TARGETS_TOLD);
        for number in 1..=bounds::TARGETS {
            let place = address(&format!("/ip4/10.0.0.1/tcp/{number}"));
            assert!(dialer.add(Source::Bootstrap, None, place, now));
        }
        assert_eq!(dialer.targets.len(), bounds::TARGETS);
    }

    #[test]
    fn places_are_bounded_and_former_peers_make_room() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        let place = |number: usize| address(&format!("/ip4/10.0.0.1/tcp/{}", number + 1));
        let old = PeerId::random();
        dialer.down(old, Some(place(0)), bounds::LINK_PROVEN, now);
        for number in 1..=bounds::TARGETS {
            assert!(dialer.add(Source::Bootstrap, None, place(number), now));
        }
        assert_eq!(dialer.targets.len(), bounds::TARGETS);
        assert!(dialer.targets.iter().all(|target| target.peer != Some(old)));
        assert!(!dialer.add(Source::Bootstrap, None, place(60_000), now));
    }
}
