//! What the original's own tests check: docs/original-tests.md has the facts,
//! and which test here holds each of them.

mod asynchat;
mod collector;
mod connections;
mod echo;
mod errors;
mod events;
mod family;
mod files;
mod framing;
mod page;
mod sockets;
mod turning;
mod with_send;
