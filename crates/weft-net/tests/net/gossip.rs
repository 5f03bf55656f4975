//! Announcements reach everybody, and only what looks like one.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weft_core::bounds::ANNOUNCEMENT_BYTES;
use weft_net::{NetEvent, SendError};
use weft_record::{ENVELOPE_VERSION, Envelope, Kind, MeshId};

use crate::harness::{Node, PATIENCE, TCP, config, mesh};

/// An encoded envelope that nobody signed: gossip does not judge it.
fn envelope(number: u8) -> Vec<u8> {
    of_mesh(mesh(), number)
}

fn of_mesh(mesh_id: MeshId, number: u8) -> Vec<u8> {
    let (v, kind) = (ENVELOPE_VERSION, Kind::Head as u8);
    Envelope {
        v,
        kind,
        mesh_id,
        body: vec![number],
        sigs: Vec::new(),
        proof: None,
    }
    .encode()
}

/// Five nodes in a line: what the first says passes three others before the last.
async fn line() -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=5 {
        let mut config = config(number, &[TCP]);
        config.bootstrap = nodes.last().map(Node::address).into_iter().collect();
        let mut node = Node::start(config);
        node.until(|event| matches!(event, NetEvent::Listening(_)).then_some(()))
            .await;
        nodes.push(node);
    }
    let start = Instant::now();
    while nodes
        .iter()
        .map(|node| node.net.peers().len())
        .sum::<usize>()
        < 8
    {
        assert!(start.elapsed() < PATIENCE, "not all up");
        sleep(Duration::from_millis(20)).await;
    }
    for node in &nodes {
        for peer in node.net.peers() {
            node.net.admit(&peer, true);
        }
    }
    nodes
}

async fn gossip(node: &mut Node) -> Vec<u8> {
    node.until(|event| match event {
        NetEvent::Gossip(announcement) => Some(announcement.clone()),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_reaches_all_five_once() {
    let mut nodes = line().await;
    // Until the meshes of gossip stand, an announcement may be lost: nothing
    // depends on it, so the test says it again until it passes.
    let mut first = nodes.remove(0);
    let speaker = first.net.clone();
    let talk = tokio::spawn(async move {
        for number in 0..200 {
            speaker.broadcast(envelope(number)).unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    });
    for node in &mut nodes {
        gossip(node).await;
    }
    talk.abort();
    sleep(Duration::from_millis(500)).await;
    for node in &mut nodes {
        node.rest(Duration::from_millis(50)).await;
    }
    first.net.broadcast(envelope(250)).unwrap();
    first.net.broadcast(envelope(250)).unwrap();
    for node in &mut nodes {
        assert_eq!(gossip(node).await, envelope(250));
    }
    for node in nodes.iter_mut().chain([&mut first]) {
        let rest = node.rest(Duration::from_millis(200)).await;
        assert!(
            !rest
                .iter()
                .any(|event| matches!(event, NetEvent::Gossip(_))),
            "{rest:?}"
        );
    }
}

#[tokio::test]
async fn what_is_too_long_or_no_envelope_of_this_mesh_is_not_spread() {
    let mut nodes = line().await;
    let long = nodes[0].net.broadcast(vec![0; ANNOUNCEMENT_BYTES + 1]);
    assert_eq!(
        long,
        Err(SendError::TooLong {
            bytes: ANNOUNCEMENT_BYTES + 1,
            limit: ANNOUNCEMENT_BYTES
        })
    );
    let mut last = nodes.pop().unwrap();
    let speaker = nodes[0].net.clone();
    let talk = tokio::spawn(async move {
        for number in 0..200 {
            speaker.broadcast(vec![0xff, number]).unwrap();
            speaker.broadcast(of_mesh(MeshId::ZERO, number)).unwrap();
            speaker.broadcast(envelope(number)).unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    });
    for _ in 0..3 {
        let announcement = Envelope::decode(&gossip(&mut last).await).unwrap();
        assert_eq!(announcement.mesh_id, mesh());
    }
    talk.abort();
}
