//! Defects that others had before us, and some of our own, each by its shortest
//! reproduction.
//!
//! `docs/lineage.md` lists those of others by number, and a test's first line
//! begins with the number that it is for. A test that another file has for the
//! same thing anyway is there. [`page`] compares the two.

mod accepting;
mod asynchat;
mod asyncore;
mod attacks;
mod ending;
mod framing;
mod page;
mod reaching;
mod requests;
mod session;
mod together;
