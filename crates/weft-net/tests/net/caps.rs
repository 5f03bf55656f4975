//! Caps over real connections.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use weft_core::{Caps, Message};
use weft_net::NetHandle;

use crate::harness::{Node, TCP, chunk, config, pair};

const CHUNK_BYTES: usize = 256 * 1024;
const RATE: u64 = 2_000_000;

/// Two nodes on one LAN; the second asks for chunks without end, the first gives them.
async fn busy_pair() -> (NetHandle, NetHandle) {
    let (first, second) = pair(&[TCP], config(2, &[])).await;
    let handles = (first.net.clone(), second.net.clone());
    let from = first.key;
    tokio::spawn(give(first));
    tokio::spawn(async move {
        let mut second = second;
        for index in 0..8 {
            second.net.send(&from, Message::Get(chunk(index))).unwrap();
        }
        for index in 8.. {
            while !matches!(second.message().await.1, Message::Data(..)) {}
            second.net.send(&from, Message::Get(chunk(index))).unwrap();
        }
    });
    handles
}

async fn give(mut first: Node) {
    let payload = Bytes::from(vec![7; CHUNK_BYTES]);
    loop {
        if let (peer, Message::Get(chunk)) = first.message().await {
            let data = Message::Data(chunk, payload.clone());
            first.net.send(&peer, data).unwrap();
        }
    }
}

/// Bytes a second that the second takes in, over this time.
async fn rate(second: &NetHandle, time: Duration) -> f64 {
    let (before, start) = (second.traffic().payload_bytes_in, Instant::now());
    sleep(time).await;
    let bytes = second.traffic().payload_bytes_in - before;
    bytes as f64 / start.elapsed().as_secs_f64()
}

/// Sets a cap while much is under way, and looks how soon and how well it is kept.
async fn keeps(limited: &NetHandle, second: &NetHandle, caps: Caps) {
    let free = rate(second, Duration::from_millis(300)).await;
    assert!(free > 10.0 * RATE as f64, "{free} without a cap");
    limited.limit(&caps, false);
    // what the connection itself holds still comes: a window of each stream
    sleep(Duration::from_secs(1)).await;
    let capped = rate(second, Duration::from_secs(3)).await;
    let of_cap = capped / RATE as f64;
    assert!((0.95..1.03).contains(&of_cap), "{of_cap} of the cap");
    limited.limit(&Caps::default(), false);
    sleep(Duration::from_millis(200)).await;
    let free = rate(second, Duration::from_millis(500)).await;
    assert!(free > 5.0 * RATE as f64, "{free} without a cap again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_on_fetching_counts_at_once_and_holds() {
    let (_first, second) = busy_pair().await;
    let caps = Caps {
        lan_fetch_bytes_per_sec: Some(RATE),
        ..Caps::default()
    };
    keeps(&second, &second, caps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_on_serving_counts_at_once_and_holds() {
    let (first, second) = busy_pair().await;
    let caps = Caps {
        lan_serve_bytes_per_sec: Some(RATE),
        ..Caps::default()
    };
    keeps(&first, &second, caps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_on_the_uplink_leaves_the_lan_alone() {
    let (first, second) = busy_pair().await;
    let caps = Caps {
        fetch_bytes_per_sec: Some(RATE),
        serve_bytes_per_sec: Some(RATE),
        ..Caps::default()
    };
    first.limit(&caps, false);
    second.limit(&caps, false);
    sleep(Duration::from_millis(200)).await;
    let free = rate(&second, Duration::from_millis(500)).await;
    assert!(free > 5.0 * RATE as f64, "{free} on the LAN");
}
