//! Which addresses somebody can be told, and which of them lead somewhere from anywhere.

use std::net::{IpAddr, Ipv4Addr};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::on_link;

/// Longest address that is told, in bytes: a relay's with a long name.
const BYTES: usize = 256;

/// Whether an address is one that weft dials: a host and a port, over TCP or QUIC, perhaps
/// behind a relay.
pub(crate) fn is_place(address: &Multiaddr) -> bool {
    if address.len() > BYTES {
        return false;
    }
    let parts: Vec<Protocol> = address.iter().collect();
    let is_host = match parts.first() {
        Some(Protocol::Ip4(ip)) => is_host((*ip).into()),
        Some(Protocol::Ip6(ip)) => is_host((*ip).into()),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => true,
        _ => false,
    };
    let rest = match parts.get(1..) {
        Some([Protocol::Tcp(port), rest @ ..]) if *port != 0 => rest,
        Some([Protocol::Udp(port), Protocol::QuicV1, rest @ ..]) if *port != 0 => rest,
        _ => return false,
    };
    let is_end = matches!(
        rest,
        [] | [Protocol::P2p(_)]
            | [Protocol::P2p(_), Protocol::P2pCircuit]
            | [Protocol::P2p(_), Protocol::P2pCircuit, Protocol::P2p(_)]
    );
    is_host && is_end
}

/// Whether an address is of loopback: it leads to whoever dials it.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    on_link::ip_of(address).is_some_and(|ip| ip.is_loopback())
}

/// Whether an address has the same meaning everywhere.
pub(crate) fn is_public(address: &Multiaddr) -> bool {
    match on_link::ip_of(address) {
        Some(IpAddr::V4(ip)) => {
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared)
        }
        Some(IpAddr::V6(ip)) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
        None => true,
    }
}

fn is_host(ip: IpAddr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_what_weft_dials_is_a_place() {
        let relay =
            "/ip4/203.0.113.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        for place in [
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/2001:db8::1/udp/1/quic-v1",
            "/dns4/example.org/tcp/443",
            &format!("{relay}/p2p-circuit"),
        ] {
            assert!(is_place(&parsed(place)), "{place}");
        }
        for other in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/224.0.0.1/udp/1/quic-v1",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/udp/1",
            "/ip4/10.0.0.1/tcp/1/ws",
            "/memory/1",
            &format!("{relay}/p2p-circuit/ip4/10.0.0.1/tcp/1"),
        ] {
            assert!(!is_place(&parsed(other)), "{other}");
        }
        let long = format!("/dns4/{}/tcp/1", "a".repeat(300));
        assert!(!is_place(&parsed(&long)));
    }

    #[test]
    fn private_addresses_are_not_public() {
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
        ] {
            assert!(
                !is_public(&parsed(&format!("/ip4/{private}/tcp/1"))),
                "{private}"
            );
        }
        for private in ["fd00::1", "fe80::1", "::1"] {
            assert!(
                !is_public(&parsed(&format!("/ip6/{private}/tcp/1"))),
                "{private}"
            );
        }
        assert!(is_public(&parsed("/ip4/203.0.113.1/tcp/1")));
        assert!(is_public(&parsed("/ip4/100.128.0.1/tcp/1")));
        assert!(is_public(&parsed("/ip6/2001:db8::1/tcp/1")));
        assert!(is_public(&parsed("/dns4/example.org/tcp/1")));
    }
}
