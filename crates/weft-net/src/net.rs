//! Starting the network of a node.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use libp2p::{Multiaddr, Swarm, TransportError, multiaddr::Protocol};
use tokio::sync::mpsc;

use crate::{
    behaviour::{self, Behaviour},
    bounds,
    config::{NetConfig, StartError},
    driver::Driver,
    event::NetEvent,
    handle::{NetHandle, Shared},
};

/// The network of one node.
pub struct Net;

impl Net {
    /// Listens, begins to dial, and returns; must be called within tokio.
    ///
    /// The receiver must be read all the time: while it is not, streams push
    /// back on the peers.
    pub fn start(config: NetConfig) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), StartError> {
        let shared = Arc::new(Shared::new(config.stranger_block));
        let mut swarm = behaviour::swarm(&config, &shared)?;
        for address in &config.listen {
            listen(&mut swarm, address)?;
        }
        let (commands, commands_out) = mpsc::channel(bounds::COMMANDS);
        let (events_in, events) = mpsc::channel(bounds::EVENTS);
        let driver = Driver::new(swarm, &config, shared.clone(), commands_out, events_in);
        tokio::spawn(driver.run());
        Ok((NetHandle { shared, commands }, events))
    }
}

fn listen(swarm: &mut Swarm<Behaviour>, address: &Multiaddr) -> Result<(), StartError> {
    probe(address)?;
    match swarm.listen_on(address.clone()) {
        Ok(_) => Ok(()),
        Err(TransportError::MultiaddrNotSupported(_)) => Err(StartError::AddressUnsupported {
            address: address.clone(),
        }),
        Err(TransportError::Other(error)) => Err(refusal(address, &error)),
    }
}

/// libp2p listens with SO_REUSEPORT, which lets two programs of one user share
/// a port without a word. Binding once without it finds a port in use.
fn probe(address: &Multiaddr) -> Result<(), StartError> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => {
            return Err(StartError::AddressUnsupported {
                address: address.clone(),
            });
        }
    };
    let bound = match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind(SocketAddr::new(ip, port)).map(drop),
        Some(Protocol::Udp(port)) => UdpSocket::bind(SocketAddr::new(ip, port)).map(drop),
        _ => {
            return Err(StartError::AddressUnsupported {
                address: address.clone(),
            });
        }
    };
    bound.map_err(|error| refusal(address, &error))
}

fn refusal(address: &Multiaddr, error: &std::io::Error) -> StartError {
    let address = address.clone();
    match error.kind() {
        ErrorKind::AddrInUse => StartError::AddressInUse { address },
        _ => StartError::Listen {
            address,
            reason: error.to_string(),
        },
    }
}
