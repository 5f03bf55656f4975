//! Whether an address is on a network that this machine is attached to: what comes from
//! there does not cross the site's uplink.

use std::net::IpAddr;

use if_addrs::{IfAddr, Interface};
use libp2p::{Multiaddr, multiaddr::Protocol};
use weft_core::Path;

/// A shorter prefix is no LAN, whatever an interface says.
const PREFIX_MIN: u8 = 8;

/// By which way a peer at this address is reached. The interfaces are looked at each time:
/// they come and go, and connections are few.
pub(crate) fn path_to(address: &Multiaddr) -> Path {
    let is_near = is_near(address, || {
        if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "the interfaces of this machine cannot be read");
            Vec::new()
        })
    });
    if is_near { Path::Lan } else { Path::Wan }
}

fn is_near(address: &Multiaddr, interfaces: impl FnOnce() -> Vec<Interface>) -> bool {
    let mut parts = address.iter();
    // somebody else carries it
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return false;
    }
    let ip = parts.find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    });
    let Some(ip) = ip else {
        return false;
    };
    if ip.is_loopback() || matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        return true;
    }
    interfaces().iter().any(|interface| holds(interface, ip))
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
        let near = |text: &str| is_near(&text.parse().expect("an address"), || loopback.clone());
        assert!(near("/ip4/127.0.0.1/tcp/1"));
        assert!(near("/ip6/::1/udp/1/quic-v1"));
        assert!(near("/ip6/fe80::1/tcp/1"));
        assert!(!near("/ip4/192.0.2.1/tcp/1"));
        assert!(!near("/ip6/2001:db8::1/tcp/1"));
        assert!(!near("/dns4/example.org/tcp/1"));
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
