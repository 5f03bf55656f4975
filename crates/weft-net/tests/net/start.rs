//! What keeps a network from starting.

use std::net::{TcpListener, UdpSocket};

use weft_net::{Net, StartError};

use crate::harness::{Node, config};

fn refusal(listen: &str) -> StartError {
    match Net::start(config(1, &[listen])) {
        Err(error) => error,
        Ok(_) => panic!("{listen} was listened on"),
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "/ip4/127.0.0.1/tcp/{}",
        listener.local_addr().unwrap().port()
    );
    let error = refusal(&listen);
    assert!(
        matches!(&error, StartError::AddressInUse { address } if address.to_string() == listen)
    );
    assert!(error.to_string().contains(&listen) && error.to_string().contains("another port"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "/ip4/127.0.0.1/udp/{}/quic-v1",
        socket.local_addr().unwrap().port()
    );
    assert!(matches!(refusal(&listen), StartError::AddressInUse { .. }));
}

#[tokio::test]
async fn two_nodes_do_not_share_a_port() {
    let node = Node::listening(2, &["/ip4/127.0.0.1/tcp/0"]).await;
    let (taken, peer) = {
        let mut address = node.address();
        let peer = address.pop();
        (address.to_string(), peer)
    };
    assert!(peer.is_some());
    assert!(matches!(refusal(&taken), StartError::AddressInUse { .. }));
}

#[tokio::test]
async fn an_address_of_another_machine_or_kind_is_refused() {
    let error = refusal("/ip4/192.0.2.1/tcp/0");
    assert!(matches!(&error, StartError::Listen { .. }), "{error}");
    for listen in [
        "/dns4/localhost/tcp/0",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/0",
        "/ip4/127.0.0.1/tcp/0/ws",
    ] {
        let error = refusal(listen);
        assert!(
            matches!(&error, StartError::AddressUnsupported { .. }),
            "{listen}: {error}"
        );
    }
}
