//! Discovery on a LAN: two processes in two network namespaces with a cable
//! between them, because mDNS skips loopback.

use std::{env, process::Command, time::Duration};

use weft_core::{DisconnectReason, Message};
use weft_net::NetEvent;

use crate::harness::{Node, config, hello};

const TEST: &str = "lan::nodes_find_each_other_and_a_stranger_is_not_dialled_again";
const ROLE: &str = "WEFT_NET_LAN_ROLE";

/// Two hosts and a cable; each host runs this test again, in its role.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
ip netns add other
ip link add cable type veth peer name cable netns other
ip link set lo up
ip addr add 10.77.0.1/24 dev cable
ip link set cable up
ip -n other link set lo up
ip -n other addr add 10.77.0.2/24 dev cable
ip -n other link set cable up
ip route add 224.0.0.0/4 dev cable
ip -n other route add 224.0.0.0/4 dev cable
WEFT_NET_LAN_ROLE=1 "$0" "$@" &
one=$!
WEFT_NET_LAN_ROLE=2 ip netns exec other "$0" "$@"
wait $one
"#;

#[test]
fn nodes_find_each_other_and_a_stranger_is_not_dialled_again() {
    if let Ok(role) = env::var(ROLE) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(host(role.parse().unwrap()));
    }
    let allowed = Command::new("unshare")
        .args(["-Urnm", "ip", "link"])
        .output();
    match allowed {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            return println!("SKIPPED {TEST}: namespaces are refused: {}", reason.trim());
        }
        Err(error) => return println!("SKIPPED {TEST}: unshare cannot be run: {error}"),
    }
    let output = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", SCRIPT])
        .arg(env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture"])
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

async fn host(number: u8) {
    let mut config = config(number, &["/ip4/0.0.0.0/tcp/0"]);
    config.mdns = true;
    let mut node = Node::start(config);
    let other = node.up().await;
    if number == 1 {
        assert_eq!(node.message().await, (other, Message::Control(hello())));
        node.net.disconnect(&other, DisconnectReason::Stranger);
    }
    assert_eq!(node.down().await.0, other);
    // The other side goes on dialling and is turned away before it is up.
    let rest = node.rest(Duration::from_secs(2)).await;
    let up = |event: &NetEvent| matches!(event, NetEvent::PeerUp { .. });
    assert!(!rest.iter().any(up), "{rest:?}");
}
