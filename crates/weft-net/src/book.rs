//! Where members are reached: what this node tells of itself and of those it is connected with,
//! and what others told. Reads no clock and opens no socket.
//!
//! A node signs where it is reached, once for its site and once for everybody, with the key of
//! its connections. Others pass that on as it is, and only while they are connected with it: so
//! what is told is fresh, and nobody can make up where somebody else is.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::{
    Multiaddr, PeerId,
    core::{PeerRecord, SignedEnvelope},
    identity::Keypair,
};
use serde::{Deserialize, Serialize};
use weft_core::{Path, Peer};

use crate::{bounds, identity, on_link, place};

/// What a node tells a member, in place of what it told before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Whether the sender carries what members that cannot dial each other say.
    pub(crate) relays: bool,
    /// Where the sender reached the one whom it tells this, if it dialled.
    pub(crate) reached_at: Option<Vec<u8>>,
    /// The sender's record for everybody.
    pub(crate) own: Option<Vec<u8>>,
    /// Its record for its site, if the other one is on its LAN.
    pub(crate) own_site: Option<Vec<u8>>,
    /// Records of those that it is connected with, the newest first.
    pub(crate) others: Vec<Vec<u8>>,
}

/// Somebody of whom a member told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) peer: PeerId,
    /// Of two records the one with the higher number is newer.
    pub(crate) seq: u64,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// Why what was told is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ToldError {
    #[error("told of {0} peers at once")]
    TooMany(usize),
    #[error("told of a peer in {0} bytes")]
    TooLong(usize),
    #[error("told of a peer what that peer has not signed")]
    Forged,
    #[error("told of itself what another peer has signed")]
    NotItsOwn,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Book {
    own: Own,
    relays: bool,
    members: BTreeMap<Peer, Member>,
}

/// Encoded records of this node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) everybody: Option<Vec<u8>>,
    pub(crate) site: Option<Vec<u8>>,
}

/// A member that this node is connected with.
#[derive(Debug)]
struct Member {
    path: Path,
    /// Where this node dialled it.
    reached: Option<Multiaddr>,
    relays: bool,
    /// Where it dialled this node.
    reached_at: Option<Multiaddr>,
    everybody: Option<Record>,
    site: Option<Record>,
    /// What it told of others last, in brief.
    others: BTreeSet<[u8; 16]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    seq: u64,
    addresses: Vec<Multiaddr>,
    bytes: Vec<u8>,
}

impl Book {
    /// A member is connected; `reached` is where this node dialled it.
    pub(crate) fn came(&mut self, peer: Peer, path: Path, reached: Option<Multiaddr>) {
        let member = Member {
            path,
            reached,
            relays: false,
            reached_at: None,
            everybody: None,
            site: None,
            others: BTreeSet::new(),
        };
        self.members.insert(peer, member);
    }

    /// It is not any more; whether it was.
    pub(crate) fn gone(&mut self, peer: &Peer) -> bool {
        self.members.remove(peer).is_some()
    }

    /// This node tells this of itself from now on; whether that is something else.
    pub(crate) fn set_own(&mut self, own: Own) -> bool {
        std::mem::replace(&mut self.own, own.clone()) != own
    }

    /// Where members from beyond the LAN have reached this node.
    pub(crate) fn reached_at(&self) -> BTreeSet<Multiaddr> {
        let far = self.members.values().filter(|one| one.path == Path::Wan);
        far.filter_map(|one| one.reached_at.clone()).collect()
    }

    /// Whether this node is a relay from now on; whether that is something else.
    pub(crate) fn set_relays(&mut self, relays: bool) -> bool {
        std::mem::replace(&mut self.relays, relays) != relays
    }

    /// Members that are relays, each with where everybody reaches it.
    pub(crate) fn relays(&self) -> Vec<(PeerId, Multiaddr)> {
        let relays = self.members.iter().filter(|(_, member)| member.relays);
        relays
            .filter_map(|(peer, member)| {
                let mut addresses = member.everybody.iter().flat_map(|one| &one.addresses);
                let direct = addresses.find(|one| !on_link::is_relayed(one))?;
                Some((identity::peer_id(peer), direct.clone()))
            })
            .collect()
    }

    /// What is to be told a member.
    pub(crate) fn told_to(&self, peer: &Peer) -> Told {
        let Some(member) = self.members.get(peer) else {
            return Told::default();
        };
        let is_near = member.path == Path::Lan;
        let others = self.members.iter().filter(|(other, _)| *other != peer);
        let mut records: Vec<&Record> = others
            .filter_map(|(_, other)| {
                // who is on the LAN of both is on one LAN with it
                let site = other.site.as_ref();
                let site = site.filter(|_| is_near && other.path == Path::Lan);
                site.or(other.everybody.as_ref())
            })
            .collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.seq));
        records.truncate(bounds::PEERS_TOLD);
        Told {
            relays: self.relays,
            reached_at: member.reached.as_ref().map(Multiaddr::to_vec),
            own: self.own.everybody.clone(),
            own_site: self.own.site.clone().filter(|_| is_near),
            others: records.into_iter().map(|one| one.bytes.clone()).collect(),
        }
    }

    /// A member tells something; who is new in it. Names of others that it told before are not
    /// looked at again.
    pub(crate) fn hear(&mut self, peer: &Peer, told: Told) -> Result<Vec<Learned>, ToldError> {
        if told.others.len() > bounds::PEERS_TOLD {
            return Err(ToldError::TooMany(told.others.len()));
        }
        let Some(member) = self.members.get_mut(peer) else {
            return Ok(Vec::new());
        };
        let name = identity::peer_id(peer);
        let mut learned = Vec::new();
        for (known, bytes) in [
            (&mut member.everybody, told.own),
            (&mut member.site, told.own_site),
        ] {
            let is_known = match (&*known, &bytes) {
                (Some(known), Some(bytes)) => known.bytes == *bytes,
                (None, None) => true,
                _ => false,
            };
            if is_known {
                continue;
            }
            *known = None;
            if let Some(bytes) = bytes {
                let (record, of) = read(bytes)?;
                if of.peer != name {
                    return Err(ToldError::NotItsOwn);
                }
                *known = Some(record);
                learned.push(of);
            }
        }
        let mut others = BTreeSet::new();
        for bytes in told.others {
            let brief = brief(&bytes);
            others.insert(brief);
            if !member.others.contains(&brief) {
                learned.push(read(bytes)?.1);
            }
        }
        member.others = others;
        member.relays = told.relays;
        let reached_at = told.reached_at.and_then(|bytes| bytes.try_into().ok());
        let is_direct = |one: &Multiaddr| place::is_place(one) && !on_link::is_relayed(one);
        member.reached_at = reached_at.filter(is_direct);
        Ok(learned)
    }
}

/// A record of this node, signed; nothing where it is reached nowhere.
pub(crate) fn sign(keypair: &Keypair, addresses: Vec<Multiaddr>) -> Option<Vec<u8>> {
    if addresses.is_empty() {
        return None;
    }
    let signed = PeerRecord::new_interop(keypair, addresses);
    let signed = signed.inspect_err(|error| tracing::warn!(%error, "nothing can be signed"));
    let bytes = signed.ok()?.into_signed_envelope().into_protobuf_encoding();
    Some(bytes).filter(|bytes| bytes.len() <= bounds::PEER_RECORD_BYTES)
}

/// Takes a record apart, if it is what its peer signed.
fn read(bytes: Vec<u8>) -> Result<(Record, Learned), ToldError> {
    if bytes.len() > bounds::PEER_RECORD_BYTES {
        return Err(ToldError::TooLong(bytes.len()));
    }
    let envelope = SignedEnvelope::from_protobuf_encoding(&bytes).ok();
    let signed = envelope.and_then(|one| PeerRecord::from_signed_envelope_interop(one).ok());
    let signed = signed.ok_or(ToldError::Forged)?;
    if identity::peer(&signed.peer_id()).is_none() {
        return Err(ToldError::Forged);
    }
    let addresses = signed.addresses().iter().filter(|one| place::is_place(one));
    let learned = Learned {
        peer: signed.peer_id(),
        seq: signed.seq(),
        addresses: addresses.take(bounds::ADDRESSES_TOLD).cloned().collect(),
    };
    let record = Record {
        seq: learned.seq,
        addresses: learned.addresses.clone(),
        bytes,
    };
    Ok((record, learned))
}

fn brief(bytes: &[u8]) -> [u8; 16] {
    let mut brief = [0; 16];
    brief.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    brief
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keypair(number: u8) -> Keypair {
        Keypair::ed25519_from_bytes([number; 32]).unwrap()
    }

    fn peer(number: u8) -> Peer {
        weft_keys::SecretKey::from_seed([number; 32]).public()
    }

    fn record(number: u8, address: &str) -> Vec<u8> {
        sign(&keypair(number), vec![address.parse().unwrap()]).unwrap()
    }

    fn own(number: u8) -> Told {
        Told {
            own: Some(record(number, "/ip4/203.0.113.1/tcp/1")),
            own_site: Some(record(number, "/ip4/10.0.0.1/tcp/1")),
            ..Told::default()
        }
    }

    /// A book of these members, each of which told of itself.
    fn book(members: &[(u8, Path)]) -> Book {
        let mut book = Book::default();
        for (number, path) in members {
            book.came(peer(*number), *path, None);
            book.hear(&peer(*number), own(*number)).unwrap();
        }
        book
    }

    fn addresses(told: &Told) -> Vec<String> {
        let read = |bytes: &Vec<u8>| read(bytes.clone()).unwrap().1.addresses[0].to_string();
        told.others.iter().map(read).collect()
    }

    #[test]
    fn a_site_hears_of_its_lan_and_the_others_do_not() {
        let mut book = book(&[
            (1, Path::Lan),
            (2, Path::Lan),
            (3, Path::Wan),
            (4, Path::Wan),
        ]);
        book.set_own(Own {
            everybody: Some(record(9, "/ip4/203.0.113.9/tcp/1")),
            site: Some(record(9, "/ip4/10.0.0.9/tcp/1")),
        });
        let near = book.told_to(&peer(1));
        assert_eq!(near.own_site, book.own.site);
        let mut heard = addresses(&near);
        heard.sort();
        let (lan, world) = ("/ip4/10.0.0.1/tcp/1", "/ip4/203.0.113.1/tcp/1");
        assert_eq!(heard, [lan, world, world]);
        let far = book.told_to(&peer(3));
        assert_eq!((&far.own_site, &far.own), (&None, &book.own.everybody));
        assert_eq!(addresses(&far), [world; 3]);
        assert_eq!(
            book.told_to(&peer(5)),
            Told::default(),
            "nothing for strangers"
        );
    }

    #[test]
    fn only_those_that_are_connected_are_told_of() {
        let mut book = book(&[(1, Path::Wan), (2, Path::Wan)]);
        assert_eq!(book.told_to(&peer(1)).others.len(), 1);
        assert!(book.gone(&peer(2)));
        assert_eq!(book.told_to(&peer(1)).others.len(), 0);
        assert!(!book.gone(&peer(2)));
    }

    #[test]
    fn what_was_told_before_is_not_news() {
        let mut book = book(&[(1, Path::Wan)]);
        let mut told = own(1);
        told.others = vec![record(2, "/ip4/203.0.113.2/tcp/1")];
        let news = book.hear(&peer(1), told.clone()).unwrap();
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].peer, identity::peer_id(&peer(2)));
        assert!(book.hear(&peer(1), told.clone()).unwrap().is_empty());
        told.others.push(record(3, "/ip4/203.0.113.3/tcp/1"));
        assert_eq!(book.hear(&peer(1), told).unwrap().len(), 1);
    }

    #[test]
    fn nobody_speaks_for_another() {
        let mut book = book(&[(1, Path::Lan)]);
        let hear = |book: &mut Book, change: &dyn Fn(&mut Told)| {
            let mut told = own(1);
            change(&mut told);
            book.hear(&peer(1), told)
        };
        let stolen = |told: &mut Told| told.own = own(2).own;
        assert_eq!(hear(&mut book, &stolen), Err(ToldError::NotItsOwn));
        let forged = |told: &mut Told| {
            let mut bytes = record(2, "/ip4/203.0.113.2/tcp/1");
            *bytes.last_mut().unwrap() ^= 1;
            told.others = vec![bytes];
        };
        assert_eq!(hear(&mut book, &forged), Err(ToldError::Forged));
        let many = |told: &mut Told| told.others = vec![Vec::new(); bounds::PEERS_TOLD + 1];
        assert_eq!(hear(&mut book, &many), Err(ToldError::TooMany(65)));
        let long = |told: &mut Told| told.others = vec![vec![0; 2000]];
        assert_eq!(hear(&mut book, &long), Err(ToldError::TooLong(2000)));
    }

    #[test]
    fn where_it_is_reached_only_those_beyond_the_lan_say() {
        let mut book = book(&[(1, Path::Lan), (2, Path::Wan)]);
        let say = |book: &mut Book, number: u8, address: &str| {
            let address: Multiaddr = address.parse().unwrap();
            let reached_at = Some(address.to_vec());
            let told = Told {
                reached_at,
                ..own(number)
            };
            book.hear(&peer(number), told).unwrap();
            book.reached_at().len()
        };
        assert_eq!(say(&mut book, 1, "/ip4/203.0.113.7/tcp/1"), 0);
        assert_eq!(say(&mut book, 2, "/ip4/0.0.0.0/tcp/1"), 0);
        assert_eq!(say(&mut book, 2, "/ip4/203.0.113.7/tcp/1"), 1);
        book.gone(&peer(2));
        assert!(book.reached_at().is_empty());
    }

    #[test]
    fn the_longest_message_fits() {
        let relays = (0..bounds::ADDRESSES_TOLD).map(|number| {
            let relay = identity::peer_id(&peer(number as u8 + 1));
            let text = "/ip6/2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/udp/65535/quic-v1";
            let text = format!("{text}/p2p/{relay}/p2p-circuit");
            text.parse::<Multiaddr>().unwrap()
        });
        let record = sign(&keypair(1), relays.collect());
        let longest = record.expect("it fits").len();
        assert!(longest > bounds::PEER_RECORD_BYTES / 2, "{longest}");
        let told = Told {
            relays: true,
            reached_at: Some(vec![0; 128]),
            own: Some(vec![0; bounds::PEER_RECORD_BYTES]),
            own_site: Some(vec![0; bounds::PEER_RECORD_BYTES]),
            others: vec![vec![0; bounds::PEER_RECORD_BYTES]; bounds::PEERS_TOLD],
        };
        let bytes = weft_record::codec::encode(&told).len();
        assert!(bytes <= bounds::PEERS_BYTES, "{bytes}");
    }
}
