//! weft-record
