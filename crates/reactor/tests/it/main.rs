//! Tests of the reactor, through its public API: one program, a module for each
//! thing that is promised.

mod amend;
mod background;
mod buffers;
mod close;
mod common;
mod convert;
mod descriptors;
mod errors;
mod fork;
mod handle_close;
mod looking;
mod map;
mod memory_cap;
mod moved_source;
mod nested_turn;
mod opening;
mod panic;
mod post;
mod registration;
mod remote;
mod replaced_map;
mod run;
mod settling;
mod shutdown;
mod stale_events;
mod state;
mod timer_memory;
mod timers;
mod trouble;
mod turn;
