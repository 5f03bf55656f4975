//! weft-keys
