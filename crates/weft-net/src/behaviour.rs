//! What libp2p does for weft, put together: limits, weft's streams, gossip, the LAN, and
//! the ways to a node that nobody can dial.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use libp2p::{
    Swarm, SwarmBuilder, autonat,
    connection_limits::{self, ConnectionLimits},
    dcutr,
    dns::{self, ResolverConfig, ResolverOpts},
    gossipsub::{self, MessageAuthenticity, MessageId, ValidationMode},
    identify,
    identity::Keypair,
    mdns, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use crate::{
    block::BlockList,
    bounds,
    config::{NetConfig, StartError},
    gate::{Admissions, Gate},
    handle::Shared,
    mux::Yamux,
    streams, tcp,
};

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    pub(crate) gate: Gate,
    mdns: Toggle<mdns::tokio::Behaviour>,
    /// Reserves places at relays, and dials through them.
    relayed: relay::client::Behaviour,
    /// Makes a direct connection of a relayed one.
    punch: dcutr::Behaviour,
}

/// What is for members only.
#[derive(NetworkBehaviour)]
pub(crate) struct Members {
    pub(crate) gossip: gossipsub::Behaviour,
    /// Tells as which address a member is seen, and what this node speaks.
    identify: identify::Behaviour,
    /// Carries what members behind routers say to each other.
    pub(crate) relay: relay::Behaviour,
    /// Asks some whether they can dial this node, and dials those that ask.
    pub(crate) probe: autonat::v1::Behaviour,
}

/// The topic on which a mesh announces its heads.
pub(crate) fn topic(config: &NetConfig) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("weft/1/{}", config.mesh_id))
}

/// Sets the transports and the behaviour up; nothing listens or dials yet.
pub(crate) fn swarm(config: &NetConfig, shared: &Shared) -> Result<Swarm<Behaviour>, StartError> {
    let keypair = Keypair::ed25519_from_bytes(*config.secret.seed())
        .map_err(|error| StartError::Key(error.to_string()))?;
    let gate = gate(&keypair, config, shared.admissions.clone())?;
    let blocked = shared.blocked.clone();
    let make = |keypair: &Keypair, relayed| behaviour(keypair, config, blocked, gate, relayed);
    let secure = tcp::Secure::new(&keypair, config.security)?;
    let tcp = tcp::transport(secure.clone(), shared.sockets.clone());
    let secure = |_: &Keypair| Ok::<_, Infallible>(secure);
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_quic()
        .with_other_transport(|_| tcp)
        .map_err(transport)?;
    // The transports differ in type, the swarm does not.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_relay_client(secure, || Yamux)
                .map_err(transport)?
                .with_behaviour(make)
                .map_err(transport)?
                .with_swarm_config(|swarm| {
                    // One address after the other, so that TCP comes before QUIC.
                    swarm.with_dial_concurrency_factor(std::num::NonZeroU8::MIN)
                })
                .with_connection_timeout(bounds::CONNECT_TIMEOUT)
                .build()
        };
    }
    // Without a resolver a node still reaches the addresses that need no names.
    Ok(if dns::tokio::Transport::system(()).is_ok() {
        finish!(builder.with_dns().map_err(transport)?)
    } else {
        finish!(builder.with_dns_config(ResolverConfig::default(), ResolverOpts::default()))
    })
}

fn transport(error: impl ToString) -> StartError {
    StartError::Transport(error.to_string())
}

fn behaviour(
    keypair: &Keypair,
    config: &NetConfig,
    blocked: Arc<Mutex<BlockList>>,
    gate: Gate,
    relayed: relay::client::Behaviour,
) -> Behaviour {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(bounds::CONNECTIONS_PENDING))
        .with_max_pending_outgoing(Some(bounds::CONNECTIONS_PENDING))
        .with_max_established(Some(bounds::CONNECTIONS))
        .with_max_established_per_peer(Some(bounds::CONNECTIONS_PER_PEER));
    let mdns = if config.mdns { lan(keypair) } else { None };
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: streams::Behaviour::new(blocked),
        gate,
        mdns: mdns.into(),
        relayed,
        punch: dcutr::Behaviour::new(keypair.public().to_peer_id()),
    }
}

fn gate(
    keypair: &Keypair,
    config: &NetConfig,
    admissions: Arc<Admissions>,
) -> Result<Gate, StartError> {
    // Where this node is reached it tells in records of its own, by whom it tells it.
    let told = identify::Config::new("weft/1".to_owned(), keypair.public())
        .with_agent_version("weft".to_owned())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let relay = relay::Config {
        max_reservations: bounds::RELAY_RESERVATIONS,
        max_reservations_per_peer: bounds::RELAY_RESERVATIONS_PER_PEER,
        max_circuits: bounds::RELAY_CIRCUITS,
        max_circuits_per_peer: bounds::RELAY_CIRCUITS_PER_PEER,
        max_circuit_duration: bounds::RELAY_CIRCUIT_TIME,
        max_circuit_bytes: bounds::RELAY_CIRCUIT_BYTES,
        ..relay::Config::default()
    };
    let mut relay = relay::Behaviour::new(keypair.public().to_peer_id(), relay);
    relay.set_status(Some(relay::Status::Disable));
    let members = Members {
        gossip: gossip(config)?,
        identify: identify::Behaviour::new(told),
        relay,
        probe: autonat::v1::Behaviour::new(keypair.public().to_peer_id(), probe()),
    };
    Ok(Gate::new(members, admissions))
}

/// Whom it asks the network loop tells it. Version 1 dials the address that it sees and no
/// other, so that it need not be paid with tens of kilobytes, as version 2 must.
fn probe() -> autonat::v1::Config {
    autonat::v1::Config {
        boot_delay: bounds::PROBE_AFTER,
        retry_interval: bounds::PROBE_RETRY,
        throttle_server_period: bounds::PROBE_RETRY,
        refresh_interval: bounds::PROBE_REFRESH,
        use_connected: false,
        confidence_max: 1,
        max_peer_addresses: bounds::ADDRESSES_TOLD,
        throttle_clients_peer_max: bounds::PROBED_PER_PEER,
        throttle_clients_global_max: bounds::PROBED,
        throttle_clients_period: bounds::PROBED_WITHIN,
        // a mesh may be all of private networks
        only_global_ips: false,
        ..autonat::v1::Config::default()
    }
}

fn gossip(config: &NetConfig) -> Result<gossipsub::Behaviour, StartError> {
    let settings = gossipsub::ConfigBuilder::default()
        // What is announced is signed by its author; who forwards it does not matter.
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| {
            MessageId::from(blake3::hash(&message.data).as_bytes()[..20].to_vec())
        })
        .max_transmit_size(bounds::GOSSIP_FRAME_BYTES)
        .max_publish_messages(64)
        .connection_handler_queue_len(256)
        .build()
        .map_err(transport)?;
    let mut gossip =
        gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, settings).map_err(transport)?;
    gossip.subscribe(&topic(config)).map_err(transport)?;
    Ok(gossip)
}

/// Without the LAN a node still works; it says so and goes on.
fn lan(keypair: &Keypair) -> Option<mdns::tokio::Behaviour> {
    let peer_id = keypair.public().to_peer_id();
    mdns::tokio::Behaviour::new(mdns::Config::default(), peer_id)
        .inspect_err(|error: &io::Error| {
            tracing::warn!(%error, "peers on the LAN are not looked for");
        })
        .ok()
}
