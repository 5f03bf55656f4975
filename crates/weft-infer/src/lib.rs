//! weft-infer
