//! What the standard library does not have of the C library.

#![allow(unsafe_code)] // there is no safe way to duplicate over a number, or to fork

use std::os::fd::{AsRawFd, RawFd};

unsafe extern "C" {
    fn dup2(from: RawFd, to: RawFd) -> RawFd;
    fn fork() -> i32;
    fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// Makes standard input another name of `file`.
pub(crate) fn replace_stdin(file: &impl AsRawFd) {
    // SAFETY: standard input is nobody's own; that it may be replaced is what
    // `std::io::Stdin` is made for.
    assert_eq!(unsafe { dup2(file.as_raw_fd(), 0) }, 0);
}

/// Has a child of this process do `work` and end; returns whether it did not panic.
pub(crate) fn in_a_child(work: impl FnOnce()) -> bool {
    // SAFETY: the child has this thread alone. `work` takes no lock that another
    // thread may have held: the test is alone in its process.
    match unsafe { fork() } {
        0 => {
            let status = i32::from(super::panics(work));
            // SAFETY: it ends the child, without any destructor.
            unsafe { _exit(status) }
        }
        child => {
            let mut status = -1;
            // SAFETY: `status` outlives the call.
            assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
            status == 0
        }
    }
}
