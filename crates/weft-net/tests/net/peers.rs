//! Peers come, greet, talk and go.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weft_core::{Control, DisconnectReason, Message};
use weft_net::{Multiaddr, NetEvent, Security, SendError};
use weft_record::Hash;

use crate::harness::{Node, PATIENCE, QUIC, TCP, chunk, config, greet, hello, mesh, pair};

fn want(number: u32) -> Control {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_le_bytes());
    Control::Want(Hash(hash))
}

#[tokio::test]
async fn two_nodes_meet_over_tcp_noise_and_quic() {
    let mut noise = config(2, &[]);
    noise.security = Security::NoiseOnly;
    for (listen, second) in [(TCP, config(2, &[])), (TCP, noise), (QUIC, config(2, &[]))] {
        let (first, second) = pair(&[listen], second).await;
        assert_eq!(first.net.peers(), [second.key]);
        assert_eq!(second.net.peers(), [first.key]);
    }
}

#[tokio::test]
async fn who_dialled_is_told() {
    let mut first = Node::listening(1, &[TCP]).await;
    let mut second = Node::start(config(2, &[]));
    second.net.dial(first.address()).unwrap();
    let direction = |event: &NetEvent| match event {
        NetEvent::PeerUp {
            outbound, address, ..
        } => Some((*outbound, address.clone())),
        _ => None,
    };
    let mut dialled = first.address();
    dialled.pop();
    assert_eq!(second.until(direction).await, (true, dialled));
    assert!(!first.until(direction).await.0);
}

#[tokio::test]
async fn control_messages_arrive_in_order_both_ways() {
    let (mut first, mut second) = pair(&[TCP], config(2, &[])).await;
    for number in 0..500 {
        first
            .net
            .send(&second.key, Message::Control(want(number)))
            .unwrap();
        second
            .net
            .send(&first.key, Message::Control(want(number)))
            .unwrap();
    }
    for number in 0..500 {
        assert_eq!(
            second.message().await,
            (first.key, Message::Control(want(number)))
        );
        assert_eq!(
            first.message().await,
            (second.key, Message::Control(want(number)))
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_greeting_or_to_nobody() {
    let mut first = Node::listening(1, &[TCP]).await;
    let mut second = Node::start(config(2, &[]));
    let lost = second.net.send(&first.key, Message::Control(hello()));
    assert_eq!(lost, Err(SendError::NotConnected));
    second.net.dial(first.address()).unwrap();
    second
        .until(|event| matches!(event, NetEvent::PeerUp { .. }).then_some(()))
        .await;
    let early = second.net.send(&first.key, Message::Control(want(1)));
    assert_eq!(early, Err(SendError::NotGreeted));
    let early = second.net.send(&first.key, Message::Get(chunk(1)));
    assert_eq!(early, Err(SendError::NotGreeted));
    second
        .net
        .send(&first.key, Message::Control(hello()))
        .unwrap();
    assert_eq!(first.message().await.1, Message::Control(hello()));
}

#[tokio::test]
async fn a_control_message_beyond_the_bound_is_refused_before_it_is_sent() {
    let (first, mut second) = pair(&[TCP], config(2, &[])).await;
    let records = vec![vec![0; weft_core::bounds::CONTROL_BYTES]];
    let refused = first
        .net
        .send(&second.key, Message::Control(Control::Records(records)));
    assert!(matches!(refused, Err(SendError::TooLong { .. })));
    let records = vec![vec![7; weft_core::bounds::CONTROL_BYTES - 1024]];
    let longest = Message::Control(Control::Records(records));
    first.net.send(&second.key, longest.clone()).unwrap();
    assert_eq!(second.message().await.1, longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_dial_each_other_at_once_are_up_exactly_once() {
    for round in 0..8_u8 {
        let listen: &[&str] = if round % 2 == 0 { &[TCP] } else { &[QUIC] };
        let mut first = Node::listening(10 + round, listen).await;
        let mut second = Node::listening(50 + round, listen).await;
        first.net.dial(second.address()).unwrap();
        second.net.dial(first.address()).unwrap();
        greet(&mut first, &mut second).await;
        let quiet = Duration::from_millis(300);
        let (firsts, seconds) = tokio::join!(first.rest(quiet), second.rest(quiet));
        for event in firsts.iter().chain(&seconds) {
            assert!(
                matches!(event, NetEvent::Listening(_)),
                "round {round}: {event:?}"
            );
        }
        // It also ends exactly once, and both still talk until then.
        first
            .net
            .send(&second.key, Message::Control(want(1)))
            .unwrap();
        assert_eq!(second.message().await.1, Message::Control(want(1)));
        first.net.shutdown().await;
        assert_eq!(second.down().await.0, first.key);
        let after = second.rest(quiet).await;
        assert!(
            !after
                .iter()
                .any(|event| matches!(event, NetEvent::PeerDown { .. }))
        );
    }
}

#[tokio::test]
async fn a_stranger_stays_away_until_its_time_is_over() {
    let mut lenient = config(1, &[TCP]);
    lenient.stranger_block = Duration::from_secs(3);
    let mut first = Node::start(lenient);
    first
        .until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
        .await;
    let mut bootstrapped = config(2, &[TCP]);
    bootstrapped.bootstrap = vec![first.address()];
    let mut second = Node::start(bootstrapped);
    greet(&mut first, &mut second).await;
    let blocked = Instant::now();
    first
        .net
        .disconnect(&second.key, DisconnectReason::Stranger);
    assert!(first.down().await.1.contains("stranger"));
    second.down().await;
    // Neither its own dials nor ours bring it back before the time is over.
    first.net.dial(second.address()).unwrap();
    first.up().await;
    assert!(blocked.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_node_that_restarts_on_its_port_is_found_again() {
    let mut first = Node::listening(1, &[TCP]).await;
    let address = first.address();
    let mut bootstrapped = config(2, &[]);
    bootstrapped.bootstrap = vec![address.clone()];
    let mut second = Node::start(bootstrapped);
    greet(&mut first, &mut second).await;
    first.net.shutdown().await;
    assert_eq!(second.down().await.0, first.key);
    second
        .until(|event| matches!(event, NetEvent::DialFailed { .. }).then_some(()))
        .await;
    let mut bare: Multiaddr = address;
    bare.pop();
    let mut first = Node::listening(1, &[&bare.to_string()]).await;
    greet(&mut first, &mut second).await;
}

#[tokio::test]
async fn a_node_can_wait_for_its_bootstrap_address() {
    let (probe, mut bare) = {
        let node = Node::listening(1, &[TCP]).await;
        (node.net.clone(), node.address())
    };
    probe.shutdown().await;
    bare.pop();
    let mut bootstrapped = config(2, &[]);
    bootstrapped.bootstrap = vec![bare.clone()];
    let mut second = Node::start(bootstrapped);
    let (address, reason) = second
        .until(|event| match event {
            NetEvent::DialFailed { address, reason } => Some((address.clone(), reason.clone())),
            _ => None,
        })
        .await;
    assert_eq!(address, bare);
    assert!(reason.contains("refused"), "{reason}");
    let mut first = Node::listening(1, &[&bare.to_string()]).await;
    greet(&mut first, &mut second).await;
}

#[tokio::test]
async fn a_node_does_not_dial_itself_and_notices_the_wrong_peer() {
    let first = Node::listening(1, &[TCP]).await;
    let mut bare = first.address();
    bare.pop();
    let other = Node::listening(3, &[TCP]).await;
    let name = other.address().pop().unwrap();
    let mut second = Node::start(config(2, &[TCP]));
    second
        .until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
        .await;
    second.net.dial(second.address()).unwrap();
    second.net.dial(bare.clone().with(name)).unwrap();
    let told = second
        .until(|event| match event {
            NetEvent::OtherPeer {
                address,
                expected,
                found,
            } => Some((address.clone(), *expected, *found)),
            _ => None,
        })
        .await;
    assert_eq!(told, (bare, other.key, first.key));
    assert!(second.net.peers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_are_all_up_at_each_other() {
    let mut nodes = Vec::new();
    let mut addresses = Vec::new();
    for number in 1..=5 {
        let mut config = config(number, &[TCP, QUIC]);
        config.bootstrap.clone_from(&addresses);
        assert_eq!(config.mesh_id, mesh());
        let mut node = Node::start(config);
        for _ in 0..2 {
            node.until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
                .await;
        }
        addresses.extend(node.net.listeners());
        nodes.push(node);
    }
    let start = Instant::now();
    while nodes.iter().any(|node| node.net.peers().len() < 4) {
        assert!(start.elapsed() < PATIENCE, "not all up");
        sleep(Duration::from_millis(20)).await;
    }
    for mut node in nodes {
        let ups = node.rest(Duration::from_millis(200)).await;
        let ups = ups
            .iter()
            .filter(|event| matches!(event, NetEvent::PeerUp { .. }))
            .count();
        assert_eq!(ups, 4);
    }
}
