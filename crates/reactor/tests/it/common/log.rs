//! The record that every test compares with what should have happened.

use std::cell::RefCell;
use std::rc::Rc;

/// What happened, in order. A clone is the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.0.borrow().iter().any(|logged| logged == event)
    }

    /// How many events begin with `prefix`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let events = self.0.borrow();
        events.iter().filter(|e| e.starts_with(prefix)).count()
    }
}
