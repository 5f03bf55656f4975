//! Who is not admitted gets and gives control messages, and nothing else.

use std::time::Duration;

use tokio::time::sleep;
use weft_core::{Control, Message};
use weft_net::{NetEvent, NetHandle, SendError};
use weft_record::{ENVELOPE_VERSION, Envelope, Hash, Kind};

use crate::harness::{Node, TCP, chunk, config, mesh};

fn announcement(speaker: u8, number: u8) -> Vec<u8> {
    Envelope {
        v: ENVELOPE_VERSION,
        kind: Kind::Head as u8,
        mesh_id: mesh(),
        body: vec![speaker, number],
        sigs: Vec::new(),
        proof: None,
    }
    .encode()
}

/// Says it again and again: until gossip's meshes stand, an announcement may be lost.
fn talk(net: &NetHandle, speaker: u8) -> tokio::task::JoinHandle<()> {
    let net = net.clone();
    tokio::spawn(async move {
        for number in 0..=u8::MAX {
            net.broadcast(announcement(speaker, number)).unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    })
}

/// Who the next announcement is of.
async fn heard(node: &mut Node) -> u8 {
    node.until(|event| match event {
        NetEvent::Gossip(bytes) => Some(Envelope::decode(bytes).unwrap().body[0]),
        _ => None,
    })
    .await
}

/// The first node, dialled by the others; only the third is admitted by it.
async fn three() -> [Node; 3] {
    let mut first = Node::listening(1, &[TCP]).await;
    let mut others = Vec::new();
    for number in [2, 3] {
        let mut other = Node::start(config(number, &[]));
        other.net.dial(first.address()).unwrap();
        other.up().await;
        let peer = first.at_the_door().await;
        if number == 3 {
            first.net.admit(&peer, true);
        }
        others.push(other);
    }
    let third = others.pop().unwrap();
    [first, others.pop().unwrap(), third]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_of_who_is_not_admitted_reach_nobody_until_it_is() {
    let [mut first, mut second, mut third] = three().await;
    let talks = [talk(&second.net, 2), talk(&third.net, 3)];
    for _ in 0..20 {
        assert_eq!(heard(&mut first).await, 3, "the second one is at the door");
    }
    let told = second.rest(Duration::from_millis(50)).await;
    let gossip = |event: &NetEvent| matches!(event, NetEvent::Gossip(_));
    assert!(!told.iter().any(gossip), "it was told something: {told:?}");
    first.net.admit(&second.key, true);
    while heard(&mut first).await != 2 {}
    while heard(&mut third).await != 2 {}
    while heard(&mut second).await != 3 {}
    for talk in talks {
        talk.abort();
    }
}

#[tokio::test]
async fn a_request_for_a_chunk_waits_at_the_door() {
    let [mut first, second, third] = three().await;
    let refused = first.net.send(&second.key, Message::Get(chunk(1)));
    assert_eq!(refused, Err(SendError::NotAdmitted));
    second.net.send(&first.key, Message::Get(chunk(2))).unwrap();
    third.net.send(&first.key, Message::Get(chunk(3))).unwrap();
    let request = |event: &NetEvent| match event {
        NetEvent::Message(peer, Message::Get(chunk)) => Some((*peer, *chunk)),
        _ => None,
    };
    assert_eq!(first.until(request).await, (third.key, chunk(3)));
    // control messages pass meanwhile
    let asked = Message::Control(Control::Want(Hash([7; 32])));
    second.net.send(&first.key, asked.clone()).unwrap();
    let told = |event: &NetEvent| match event {
        NetEvent::Message(peer, message) if *message == asked => Some(*peer),
        _ => None,
    };
    assert_eq!(first.until(told).await, second.key);
    first.net.admit(&second.key, true);
    assert_eq!(first.until(request).await, (second.key, chunk(2)));
}

#[tokio::test]
async fn a_member_that_no_longer_is_one_begins_at_the_door_again() {
    let mut first = Node::listening(1, &[TCP]).await;
    let mut bootstrapped = config(2, &[]);
    bootstrapped.bootstrap = vec![first.address()];
    let mut second = Node::start(bootstrapped);
    second.up().await;
    first.up().await;
    first.net.admit(&second.key, false);
    assert_eq!(
        first.down().await,
        (second.key, "it no longer takes part".to_owned())
    );
    second.down().await;
    assert_eq!(first.at_the_door().await, second.key);
    let refused = first.net.send(&second.key, Message::Get(chunk(1)));
    assert_eq!(refused, Err(SendError::NotAdmitted));
}
