//! What payload weighs on a real wire, where weft runs over TLS and yamux on TCP.
//!
//! Every full packet of an Ethernet has 1,500 bytes, of which IPv4 takes 20, TCP 20 and
//! its timestamps 12. A TLS record and a yamux frame carry at most 16 KiB and cost 22 and
//! 12 bytes. The receiver acknowledges every second packet with one of 52 bytes.

/// Payload of a full packet.
const PACKET_PAYLOAD_BYTES: u64 = 1_448;
/// What goes before it, and the whole of a packet that only acknowledges.
const PACKET_HEADER_BYTES: u64 = 52;
/// Most that one record and one frame carry.
const RECORD_PAYLOAD_BYTES: u64 = 16 * 1_024;
/// What both cost.
const RECORD_HEADER_BYTES: u64 = 34;
/// Packets that one acknowledgement is for.
const PACKETS_ACKNOWLEDGED: u64 = 2;

/// What so much payload weighs.
pub(super) fn wire_bytes(payload: u64) -> u64 {
    let records = payload.div_ceil(RECORD_PAYLOAD_BYTES).max(1);
    let stream = payload + records * RECORD_HEADER_BYTES;
    stream + packets(stream) * PACKET_HEADER_BYTES
}

/// What comes back for so many bytes on the wire.
pub(super) fn acknowledgement_bytes(wire: u64) -> u64 {
    let packets = wire.div_ceil(PACKET_PAYLOAD_BYTES + PACKET_HEADER_BYTES);
    packets.div_ceil(PACKETS_ACKNOWLEDGED) * PACKET_HEADER_BYTES
}

fn packets(stream: u64) -> u64 {
    stream.div_ceil(PACKET_PAYLOAD_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_grows_by_four_percent_and_a_short_message_by_its_headers() {
        // 16 records, 182 packets
        assert_eq!(wire_bytes(262_144), 262_144 + 16 * 34 + 182 * 52);
        assert_eq!(wire_bytes(100), 100 + 34 + 52);
        assert_eq!(acknowledgement_bytes(wire_bytes(262_144)), 91 * 52);
        assert_eq!(acknowledgement_bytes(186), 52);
    }
}
