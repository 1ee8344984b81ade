//! Order: what docs/ordering.md promises, and what it says is so for now.

mod closes;
mod currently;
mod input;
mod output;
mod page;
mod posts;
mod remote;
mod stage;
mod timers;
mod turn;
