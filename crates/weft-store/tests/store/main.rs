//! The store from outside: what it does, and what is left of it after a power
//! cut, a kill or a full disk.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

mod full_disk;
mod kill;
mod operations;
mod power;
mod scenario;
mod strace;
mod twin;
