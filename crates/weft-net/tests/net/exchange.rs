//! Members tell each other of further members, and nobody else.

use std::time::Duration;

use weft_net::NetEvent;

use crate::harness::{Node, QUIC, TCP, config};

/// A node that knows only this one.
fn knowing(number: u8, listen: &[&str], other: &Node) -> Node {
    let mut config = config(number, listen);
    config.bootstrap = vec![other.address()];
    Node::start(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_know_only_a_third_find_each_other() {
    let mut middle = Node::listening(1, &[TCP]).await;
    let mut first = knowing(2, &[TCP], &middle);
    assert_eq!(first.up().await, middle.key);
    assert_eq!(middle.up().await, first.key);
    let mut second = knowing(3, &[TCP, QUIC], &middle);
    assert_eq!(second.up().await, middle.key);
    assert_eq!(middle.up().await, second.key);
    assert_eq!(first.up().await, second.key);
    assert_eq!(second.up().await, first.key);
    // and they stay together when the one that they met through is gone
    middle.net.shutdown().await;
    assert_eq!(first.down().await.0, middle.key);
    assert_eq!(second.down().await.0, middle.key);
    assert_eq!(first.net.peers(), [second.key]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_at_the_door_is_told_of_nobody_and_nobody_of_it() {
    let mut middle = Node::listening(1, &[TCP]).await;
    let mut member = knowing(2, &[TCP], &middle);
    assert_eq!(member.up().await, middle.key);
    assert_eq!(middle.up().await, member.key);
    let mut stranger = knowing(3, &[TCP], &middle);
    assert_eq!(middle.at_the_door().await, stranger.key);
    // it thinks much of itself and tells of itself at once
    assert_eq!(stranger.up().await, middle.key);
    let is_up = |event: &NetEvent| matches!(event, NetEvent::PeerUp { .. });
    let (members, strangers) = tokio::join!(
        member.rest(Duration::from_secs(3)),
        stranger.rest(Duration::from_secs(3))
    );
    assert!(!members.iter().any(is_up), "{members:?}");
    assert!(!strangers.iter().any(is_up), "{strangers:?}");
}
