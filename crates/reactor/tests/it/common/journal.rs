//! The log of the thread that a test runs on.

use std::cell::{Cell, RefCell};
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LEVEL: Cell<LevelFilter> = const { Cell::new(LevelFilter::Off) };
}

struct Journal;

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LEVEL.get()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            LINES.with_borrow_mut(|lines| lines.push(line));
        }
    }

    fn flush(&self) {}
}

/// Begins to keep what is logged, from the level `info` on.
pub(crate) fn open() {
    open_at(LevelFilter::Info);
}

/// The same, from this level on.
pub(crate) fn open_at(level: LevelFilter) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Journal).unwrap();
        log::set_max_level(LevelFilter::Debug);
    });
    LEVEL.set(level);
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
