//! Chunks and blobs over every transport, and what pushes back.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use weft_core::{ChunkRef, Message, Peer};
use weft_net::{NetConfig, NetEvent, NetHandle, Security, SendError};
use weft_record::Hash;

use crate::harness::{Node, PATIENCE, QUIC, TCP, chunk, config, hello, pair};

const MIB: usize = 1024 * 1024;

/// A chunk that can be told from every other.
fn payload(chunk: ChunkRef) -> Bytes {
    let mut word = u64::from(chunk.index).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(MIB);
    while bytes.len() < MIB {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.into()
}

/// Answers every request until its network is gone.
fn serve(mut node: Node) -> NetHandle {
    let net = node.net.clone();
    tokio::spawn(async move {
        loop {
            let (peer, message) = node.message().await;
            let reply = match message {
                Message::Get(chunk) if chunk.index < 1000 => Message::Data(chunk, payload(chunk)),
                Message::Get(chunk) => Message::Absent(chunk),
                _ => continue,
            };
            node.net.send(&peer, reply).unwrap();
        }
    });
    net
}

async fn fetch(node: &mut Node, from: Peer, count: u32) {
    let (mut asked, mut seen) = (0, vec![false; count as usize]);
    for _ in 0..count {
        while asked < count && asked - seen.iter().filter(|seen| **seen).count() as u32 <= 15 {
            node.net.send(&from, Message::Get(chunk(asked))).unwrap();
            asked += 1;
        }
        match node.message().await {
            (peer, Message::Data(chunk, bytes)) => {
                assert_eq!(peer, from);
                assert_eq!(bytes, payload(chunk));
                assert!(!std::mem::replace(&mut seen[chunk.index as usize], true));
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn transfer(listen: &str, second: NetConfig) {
    let (first, mut second) = pair(&[listen], second).await;
    let from = first.key;
    let served = serve(first);
    fetch(&mut second, from, 64).await;
    assert_eq!(second.net.traffic().payload_bytes_in, 64 * MIB as u64);
    assert_eq!(served.traffic().payload_bytes_out, 64 * MIB as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_over_tcp_with_tls() {
    transfer(TCP, config(2, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_over_tcp_with_noise() {
    let mut noise = config(2, &[]);
    noise.security = Security::NoiseOnly;
    transfer(TCP, noise).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_over_quic() {
    transfer(QUIC, config(2, &[])).await;
}

#[tokio::test]
async fn what_is_not_there_is_answered_so() {
    let (mut first, mut second) = pair(&[TCP], config(2, &[])).await;
    let (blob, nothing) = (Hash([5; 32]), Hash([6; 32]));
    for request in [
        Message::Get(chunk(1000)),
        Message::GetBlob(blob),
        Message::GetBlob(nothing),
    ] {
        second.net.send(&first.key, request).unwrap();
    }
    let longest = Bytes::from(vec![3; weft_core::bounds::BLOB_BYTES]);
    for _ in 0..3 {
        let (peer, request) = first.message().await;
        let reply = match request {
            Message::Get(chunk) => Message::Absent(chunk),
            Message::GetBlob(hash) if hash == blob => Message::Blob(hash, longest.clone()),
            Message::GetBlob(hash) => Message::NoBlob(hash),
            other => panic!("{other:?}"),
        };
        first.net.send(&peer, reply).unwrap();
    }
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(second.message().await.1);
    }
    for expected in [
        Message::Absent(chunk(1000)),
        Message::Blob(blob, longest),
        Message::NoBlob(nothing),
    ] {
        assert!(replies.contains(&expected));
    }
}

#[tokio::test]
async fn replies_that_nobody_waits_for_or_that_are_too_long_are_not_sent() {
    let (mut first, second) = pair(&[TCP], config(2, &[])).await;
    let unasked = first.net.send(
        &second.key,
        Message::Data(chunk(0), Bytes::from_static(b"x")),
    );
    assert_eq!(unasked, Err(SendError::NotAsked));
    second.net.send(&first.key, Message::Get(chunk(0))).unwrap();
    first.message().await;
    let long = Message::Data(chunk(0), Bytes::from(vec![0; MIB + 1]));
    assert!(matches!(
        first.net.send(&second.key, long),
        Err(SendError::TooLong { .. })
    ));
    first
        .net
        .send(&second.key, Message::Absent(chunk(0)))
        .unwrap();
    assert_eq!(
        first.net.send(&second.key, Message::Absent(chunk(0))),
        Err(SendError::NotAsked)
    );
}

/// Requests that the node was handed.
async fn requests(node: &mut Node) -> Vec<ChunkRef> {
    let chunk = |event| match event {
        NetEvent::Message(_, Message::Get(chunk)) => Some(chunk),
        _ => None,
    };
    node.rest(Duration::from_millis(500))
        .await
        .into_iter()
        .filter_map(chunk)
        .collect()
}

#[tokio::test]
async fn a_node_is_handed_a_window_of_requests_at_a_time() {
    let (mut first, second) = pair(&[TCP], config(2, &[])).await;
    for index in 0..64 {
        second
            .net
            .send(&first.key, Message::Get(chunk(index)))
            .unwrap();
    }
    for _ in 0..3 {
        let window = requests(&mut first).await;
        assert_eq!(window.len(), 8);
        for chunk in window {
            first.net.send(&second.key, Message::Absent(chunk)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_a_window_of_chunks_and_no_more() {
    let (mut first, second) = pair(&[TCP], config(2, &[])).await;
    // The second's node reads nothing, and its queue of events is full.
    for _ in 0..300 {
        first
            .net
            .send(&second.key, Message::Control(hello()))
            .unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    for index in 0..64 {
        second
            .net
            .send(&first.key, Message::Get(chunk(index)))
            .unwrap();
    }
    let mut handed = 0;
    loop {
        let window = requests(&mut first).await;
        if window.is_empty() {
            break;
        }
        handed += window.len();
        for chunk in window {
            first
                .net
                .send(&second.key, Message::Data(chunk, payload(chunk)))
                .unwrap();
        }
    }
    // A window, and what the second took from its two streams before it stood still.
    assert!((8..=16).contains(&handed), "{handed}");
}

#[tokio::test]
async fn a_node_that_asks_without_end_is_stopped_at_the_bound() {
    let (first, mut second) = pair(&[TCP], config(2, &[])).await;
    let refused = (0..1000)
        .map(|index| second.net.send(&first.key, Message::Get(chunk(index))))
        .position(|sent| sent == Err(SendError::Overflow));
    assert_eq!(refused, Some(64));
    assert_eq!(second.down().await.0, first.key);
}

#[tokio::test]
async fn a_peer_that_never_answers_is_let_go() {
    let mut hasty = config(2, &[]);
    hasty.stall_timeout = Duration::from_secs(1);
    let (mut first, mut second) = pair(&[TCP], hasty).await;
    second.net.send(&first.key, Message::Get(chunk(0))).unwrap();
    first.message().await;
    assert!(second.down().await.1.contains("no byte passed"));
    let start = Instant::now();
    while !first.net.peers().is_empty() {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(10)).await;
    }
}
