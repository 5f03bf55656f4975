//! What libp2p does for weft, put together: limits, weft's streams, gossip, the LAN.

use std::io;

use libp2p::{
    Swarm, SwarmBuilder,
    connection_limits::{self, ConnectionLimits},
    dns::{self, ResolverConfig, ResolverOpts},
    gossipsub::{self, MessageAuthenticity, MessageId, ValidationMode},
    identity::Keypair,
    mdns,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use crate::{
    bounds,
    config::{NetConfig, StartError},
    gate::Gate,
    handle::Shared,
    streams, tcp,
};

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    pub(crate) gate: Gate,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// The topic on which a mesh announces its heads.
pub(crate) fn topic(config: &NetConfig) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("weft/1/{}", config.mesh_id))
}

/// Sets the transports and the behaviour up; nothing listens or dials yet.
pub(crate) fn swarm(config: &NetConfig, shared: &Shared) -> Result<Swarm<Behaviour>, StartError> {
    let keypair = Keypair::ed25519_from_bytes(*config.secret.seed())
        .map_err(|error| StartError::Key(error.to_string()))?;
    let behaviour = behaviour(&keypair, config, shared)?;
    let tcp = tcp::transport(&keypair, config.security, shared.sockets.clone())?;
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_quic()
        .with_other_transport(|_| tcp)
        .map_err(transport)?;
    // The transports differ in type, the swarm does not.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_behaviour(|_| behaviour)
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
    shared: &Shared,
) -> Result<Behaviour, StartError> {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(bounds::CONNECTIONS_PENDING))
        .with_max_pending_outgoing(Some(bounds::CONNECTIONS_PENDING))
        .with_max_established(Some(bounds::CONNECTIONS))
        .with_max_established_per_peer(Some(bounds::CONNECTIONS_PER_PEER));
    let mdns = if config.mdns { lan(keypair) } else { None };
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: streams::Behaviour::new(shared.blocked.clone()),
        gate: Gate::new(gossip(config)?, shared.admissions.clone()),
        mdns: mdns.into(),
    })
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
