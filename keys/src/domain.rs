//! What a signature is for: every signed message begins with one of these, so
//! that a signature made for one purpose never passes for another.

/// A signed record: followed by version, kind, mesh id and record id.
pub const RECORD: &[u8] = b"weft v1 record signature\0";

/// A node's word that shares of telemetry are to be sealed to a key: followed by mesh id,
/// key and expiry.
pub const AGGREGATOR: &[u8] = b"weft v1 aggregator key statement\0";
