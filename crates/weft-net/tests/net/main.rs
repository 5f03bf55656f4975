//! Real sockets on loopback, real processes for the LAN.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod caps;
mod chunks;
mod door;
mod exchange;
mod gossip;
mod harness;
mod lan;
mod peers;
mod start;
