//! Whose something is after `fork(2)`: [`Process`].

use std::process;

/// The process that made something which outlives it in the system: a path, a mode.
///
/// A child has a copy, and shall take nothing from its parent by dropping that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Self {
        Self(process::id())
    }

    pub(crate) fn is_this(self) -> bool {
        self.0 == process::id()
    }
}
