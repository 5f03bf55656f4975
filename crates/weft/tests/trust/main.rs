//! Several admins, offline: every verb that signs, with the real command and files alone.

#![allow(clippy::unwrap_used)]

mod files;
mod guard;
mod harness;
mod manifest;
mod nodes;
mod rotation;
mod signing;
