//! Order: what docs/ordering.md promises, and what it says is so for now.

mod closes;
#[path = "../common/mod.rs"]
mod common;
mod currently;
mod input;
mod output;
mod page;
mod remote;
mod stage;
mod timers;
mod turn;
