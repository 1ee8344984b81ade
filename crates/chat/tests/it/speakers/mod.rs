//! One of many who is slow: what that member gets, and what the others do.

mod rooms;
mod waits;
