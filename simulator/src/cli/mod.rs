//! One file a verb.

pub(crate) mod fuzz;
pub(crate) mod golden;
pub(crate) mod replay;
pub(crate) mod scale;
pub(crate) mod shrink;
