//! The log of the thread that a test runs on.

use std::cell::RefCell;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Journal;

impl Log for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn flush(&self) {}
}

/// Begins to keep what is logged.
pub(crate) fn open() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Journal).unwrap();
        log::set_max_level(LevelFilter::Info);
    });
    take();
}

/// What was logged on this thread since.
pub(crate) fn take() -> Vec<String> {
    LINES.take()
}

/// How many of those lines contain `text`; they stay.
pub(crate) fn count(text: &str) -> usize {
    LINES.with_borrow(|lines| lines.iter().filter(|line| line.contains(text)).count())
}
