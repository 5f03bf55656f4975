//! Whether an address is on the site's LAN: on a network that this machine is attached to, or
//! under a prefix that the owner named. What comes from there does not cross the site's uplink.

use std::net::IpAddr;

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;
use libp2p::{Multiaddr, multiaddr::Protocol};
use weft_core::Path;

/// A shorter prefix is no LAN, whatever an interface says.
const PREFIX_MIN: u8 = 8;

/// By which way a peer at this address is reached. The interfaces are looked at each time:
/// they come and go, and connections are few. `lan` is what the owner named beside them.
pub(crate) fn path_to(address: &Multiaddr, lan: &[IpNet]) -> Path {
    path(address, is_near(address, lan, interfaces))
}

/// The same for many addresses at once.
pub(crate) struct Site<'a> {
    lan: &'a [IpNet],
    interfaces: Vec<Interface>,
}

impl<'a> Site<'a> {
    /// Looks at the interfaces as they are now.
    pub(crate) fn look(lan: &'a [IpNet]) -> Self {
        Self {
            lan,
            interfaces: interfaces(),
        }
    }

    pub(crate) fn path_to(&self, address: &Multiaddr) -> Path {
        let is_near = is_near(address, self.lan, || self.interfaces.as_slice());
        path(address, is_near)
    }
}

fn path(address: &Multiaddr, is_near: bool) -> Path {
    if is_near {
        Path::Lan
    } else if is_relayed(address) {
        Path::Relayed
    } else {
        Path::Wan
    }
}

fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the interfaces of this machine cannot be read");
        Vec::new()
    })
}

/// Whether somebody else carries what goes to this address.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The first IP address that an address names.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    })
}

fn is_near<I: AsRef<[Interface]>>(
    address: &Multiaddr,
    lan: &[IpNet],
    interfaces: impl FnOnce() -> I,
) -> bool {
    if is_relayed(address) {
        return false;
    }
    let Some(ip) = ip_of(address) else {
        return false;
    };
    if ip.is_loopback() || matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        return true;
    }
    lan.iter().any(|prefix| prefix.contains(&ip))
        || interfaces()
            .as_ref()
            .iter()
            .any(|interface| holds(interface, ip))
}

fn holds(interface: &Interface, ip: IpAddr) -> bool {
    match (&interface.addr, ip) {
        (IfAddr::V4(own), IpAddr::V4(ip)) => {
            let differ = u32::from(own.ip) ^ u32::from(ip);
            is_within(u128::from(differ) << 96, own.prefixlen)
        }
        (IfAddr::V6(own), IpAddr::V6(ip)) => {
            is_within(u128::from(own.ip) ^ u128::from(ip), own.prefixlen)
        }
        _ => false,
    }
}

/// Whether two addresses that differ in these bits, the first bit of an address first, share
/// a prefix of this length.
fn is_within(differ: u128, prefix: u8) -> bool {
    prefix >= PREFIX_MIN && differ.leading_zeros() >= u32::from(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_of_this_machine_are_near() {
        let interfaces = if_addrs::get_if_addrs().expect("interfaces");
        assert!(!interfaces.is_empty());
        for interface in &interfaces {
            assert!(holds(interface, interface.ip()), "{interface:?}");
        }
        // any network may be this machine's own, so the far ones are asked of loopback alone
        let loopback: Vec<_> = interfaces
            .into_iter()
            .filter(Interface::is_loopback)
            .collect();
        let near = |text: &str| {
            let address = text.parse().expect("an address");
            is_near(&address, &[], || loopback.clone())
        };
        assert!(near("/ip4/127.0.0.1/tcp/1"));
        assert!(near("/ip6/::1/udp/1/quic-v1"));
        assert!(near("/ip6/fe80::1/tcp/1"));
        assert!(!near("/ip4/192.0.2.1/tcp/1"));
        assert!(!near("/ip6/2001:db8::1/tcp/1"));
        assert!(!near("/dns4/example.org/tcp/1"));
    }

    #[test]
    fn what_the_owner_names_is_near_too() {
        let lan = ["10.1.0.0/16", "2001:db8:1::/48"].map(|text| text.parse().expect("a prefix"));
        let near = |text: &str| {
            let address = text.parse().expect("an address");
            is_near(&address, &lan, Vec::<Interface>::new)
        };
        assert!(near("/ip4/10.1.200.3/tcp/1"));
        assert!(near("/ip6/::ffff:10.1.2.3/tcp/1"), "the same address");
        assert!(near("/ip6/2001:db8:1:2::3/udp/1/quic-v1"));
        assert!(!near("/ip4/10.2.0.1/tcp/1"));
        assert!(!near("/ip6/2001:db8:2::3/tcp/1"));
        let relayed = "/ip4/10.1.2.3/tcp/1/p2p-circuit";
        assert!(!near(relayed), "who carries it may be far away");
    }

    #[test]
    fn a_prefix_decides() {
        let differ = |one: [u8; 4], other: [u8; 4]| {
            let bits = u32::from_be_bytes(one) ^ u32::from_be_bytes(other);
            u128::from(bits) << 96
        };
        let near = differ([10, 1, 2, 3], [10, 1, 2, 200]);
        let far = differ([10, 1, 2, 3], [10, 1, 3, 3]);
        assert!(is_within(near, 24) && !is_within(far, 24) && is_within(far, 16));
        assert!(!is_within(near, 0), "no LAN is everything");
    }
}
