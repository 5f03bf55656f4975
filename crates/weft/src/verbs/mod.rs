//! One file a verb.

pub(crate) mod bundle;
pub(crate) mod completions;
mod expect;
pub(crate) mod gc;
pub(crate) mod key;
pub(crate) mod limit;
pub(crate) mod list;
pub(crate) mod mesh;
pub(crate) mod model;
pub(crate) mod node;
pub(crate) mod pin;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod version;
