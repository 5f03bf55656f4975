//! What a peer may cost: how many messages and signature checks, and points for what no
//! honest node sends. A flood must cost whoever sends it more than this node.

use weft_record::Refusal;

use crate::{
    bounds,
    holdings::Holding,
    io::{DisconnectReason, Event, Output},
    message::{Payload, Peer},
    node::Node,
    table::Table,
};

/// So many at once, and so many a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    burst: u64,
    each_us: u64,
}

impl Rate {
    pub(crate) const fn new(burst: u64, per_minute: u64) -> Self {
        Self {
            burst,
            each_us: 60_000_000 / per_minute,
        }
    }
}

/// What was used of a rate: the time at which all of it will have been given back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    free_us: u64,
}

impl Meter {
    /// Takes one if there is one left.
    pub(crate) fn take(&mut self, rate: Rate, now_us: u64) -> bool {
        let left = self.has_room(rate, now_us);
        if left {
            self.spend(1, rate, now_us);
        }
        left
    }

    pub(crate) fn has_room(self, rate: Rate, now_us: u64) -> bool {
        self.free_us.saturating_sub(now_us) + rate.each_us <= rate.burst * rate.each_us
    }

    /// Takes this many, also beyond what is left.
    pub(crate) fn spend(&mut self, count: u64, rate: Rate, now_us: u64) {
        self.free_us = self.free_us.max(now_us) + count * rate.each_us;
    }

    /// When there will be one.
    pub(crate) fn ready_us(self, rate: Rate) -> u64 {
        self.free_us.saturating_sub((rate.burst - 1) * rate.each_us)
    }
}

/// What is remembered of a peer, also while it is away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    points: u32,
    counted_us: u64,
    banned_until_us: u64,
    checks: Meter,
    pub(crate) answers: Meter,
    pub(crate) digests: Meter,
    pub(crate) hellos: Meter,
    pub(crate) wants: Meter,
    pub(crate) joins: Meter,
    /// What this node asked of it.
    pub(crate) questions: Meter,
    /// What it said that it holds, and what it was told.
    pub(crate) holding: Holding,
}

impl Account {
    fn add(&mut self, points: u32, now_us: u64) {
        let leaked = now_us.saturating_sub(self.counted_us) / bounds::POINT_LEAK_US;
        self.points = self
            .points
            .saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX));
        self.counted_us += leaked * bounds::POINT_LEAK_US;
        if self.points == 0 {
            self.counted_us = now_us;
        }
        self.points = self.points.saturating_add(points);
    }
}

/// The accounts of all peers, and those that many share.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    peers: Table<Peer, Account>,
    door_checks: Meter,
    gossip_checks: Meter,
    pub(crate) let_go: u64,
}

impl Accounts {
    pub(crate) fn of(&mut self, peer: Peer) -> &mut Account {
        if self.peers.len() >= bounds::ACCOUNTS && !self.peers.contains_key(&peer) {
            // whoever has been quiet for longest; those that are banned stay longest
            let oldest = self.peers.iter().min_by_key(|(peer, account)| {
                let newest_us = [
                    account.checks,
                    account.answers,
                    account.hellos,
                    account.wants,
                    account.questions,
                ]
                .map(|meter| meter.free_us)
                .into_iter()
                .max();
                (account.banned_until_us, account.points, newest_us, **peer)
            });
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
        self.peers.entry(&peer)
    }
}

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The owner or an admin at this node.
    Owner,
    /// Gossip, which does not tell who sent it.
    Gossip,
    /// A connected peer.
    Peer(Peer),
}

impl Source {
    pub(crate) fn peer(self) -> Option<Peer> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Owner | Self::Gossip => None,
        }
    }
}

impl<P: Payload> Node<P> {
    /// Whether this peer was let go not long ago.
    pub(crate) fn is_banned(&mut self, peer: Peer) -> bool {
        let now_us = self.now_us;
        self.accounts.of(peer).banned_until_us > now_us
    }

    /// Takes one of a peer's rate; a message beyond it is dropped and counted.
    pub(crate) fn allows(
        &mut self,
        peer: Peer,
        meter: impl Fn(&mut Account) -> &mut Meter,
        rate: Rate,
    ) -> bool {
        let now_us = self.now_us;
        if meter(self.accounts.of(peer)).take(rate, now_us) {
            return true;
        }
        self.fault(peer, bounds::FLOOD_POINTS, "it sent too many messages");
        false
    }

    /// Whether a further record from there may cost anything now.
    pub(crate) fn has_checks(&mut self, source: Source) -> bool {
        let now_us = self.now_us;
        match source {
            Source::Owner => true,
            Source::Gossip => {
                let meter = self.accounts.gossip_checks;
                meter.has_room(bounds::GOSSIP_CHECKS, now_us)
            }
            Source::Peer(peer) if self.is_bundle(&peer) => true,
            Source::Peer(peer) if self.is_member(&peer) => {
                let meter = self.accounts.of(peer).checks;
                meter.has_room(bounds::CHECKS, now_us)
            }
            Source::Peer(peer) => {
                let (all, own) = (self.accounts.door_checks, self.accounts.of(peer).checks);
                all.has_room(bounds::DOOR_CHECKS_IN_ALL, now_us)
                    && own.has_room(bounds::DOOR_CHECKS, now_us)
            }
        }
    }

    pub(crate) fn charge(&mut self, source: Source, checks: u64) {
        let now_us = self.now_us;
        let accounts = &mut self.accounts;
        match source {
            Source::Owner => {}
            Source::Gossip => {
                let meter = &mut accounts.gossip_checks;
                meter.spend(checks, bounds::GOSSIP_CHECKS, now_us);
            }
            Source::Peer(peer) => {
                let state = self.peers.get(&peer);
                let standing = state.map(|state| state.standing).unwrap_or_default();
                let rate = if standing.is_member() {
                    bounds::CHECKS
                } else {
                    let all = &mut accounts.door_checks;
                    all.spend(checks, bounds::DOOR_CHECKS_IN_ALL, now_us);
                    bounds::DOOR_CHECKS
                };
                accounts.of(peer).checks.spend(checks, rate, now_us);
            }
        }
    }

    /// Tells of a refused record, and counts it against whoever alone can have made it.
    pub(crate) fn refused(&mut self, source: Source, refusal: &Refusal) {
        self.counters.records_refused += 1;
        self.event(Event::RecordRefused {
            from: source.peer(),
            reason: refusal.to_string(),
            attack: refusal.attack().to_owned(),
        });
        if let Source::Peer(peer) = source
            && refusal.is_senders_fault()
        {
            self.fault(peer, bounds::FAULT_POINTS, &refusal.to_string());
        }
    }

    /// Counts what no honest node does.
    pub(crate) fn fault(&mut self, peer: Peer, points: u32, reason: &str) {
        // a bundle is the owner's: what is wrong with it is told to the owner
        if !self.peers.contains_key(&peer) || self.is_bundle(&peer) {
            return;
        }
        let now_us = self.now_us;
        let account = self.accounts.of(peer);
        account.add(points, now_us);
        if account.points >= bounds::LET_GO_POINTS {
            self.let_go(peer, DisconnectReason::Misbehaved, reason);
        }
    }

    /// Ends the connection and refuses the next ones for a while.
    pub(crate) fn let_go(&mut self, peer: Peer, reason: DisconnectReason, text: &str) {
        let now_us = self.now_us;
        let account = self.accounts.of(peer);
        account.banned_until_us = now_us + bounds::BAN_US;
        // what was under way when it went may show again what it is
        if !self.peers.contains_key(&peer) {
            return;
        }
        let score = std::mem::take(&mut account.points);
        self.accounts.let_go += 1;
        self.disconnect(peer, reason);
        self.event(Event::PeerLetGo {
            peer,
            reason: text.to_owned(),
            score,
        });
    }

    /// Ends a connection that was refused at once.
    pub(crate) fn turn_away(&mut self, peer: Peer, reason: DisconnectReason) {
        self.emit(Output::Disconnect(peer, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (mut meter, rate) = (Meter::default(), Rate::new(5, 60));
        let passed =
            |meter: &mut Meter, now_us: u64| (0..100).filter(|_| meter.take(rate, now_us)).count();
        assert_eq!(passed(&mut meter, 0), 5);
        assert_eq!(passed(&mut meter, 999_999), 0);
        assert_eq!(meter.ready_us(rate), 1_000_000);
        assert_eq!(passed(&mut meter, 1_000_000), 1);
        assert_eq!(passed(&mut meter, 4_000_000), 3);
        assert_eq!(passed(&mut meter, 100_000_000), 5);
    }

    #[test]
    fn points_leak_and_accounts_stay_bounded() {
        let mut account = Account::default();
        account.add(bounds::FAULT_POINTS, 0);
        account.add(0, 5 * bounds::POINT_LEAK_US);
        assert_eq!(account.points, bounds::FAULT_POINTS - 5);
        let mut accounts = Accounts::default();
        for number in 0..=bounds::ACCOUNTS as u64 {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let peer = weft_keys::SecretKey::from_seed(seed).public();
            accounts.of(peer).banned_until_us = number;
        }
        assert_eq!(accounts.peers.len(), bounds::ACCOUNTS);
        assert!(accounts.peers.values().all(|one| one.banned_until_us > 0));
    }
}
