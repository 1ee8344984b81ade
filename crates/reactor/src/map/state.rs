//! State that many channels share.

use std::any::Any;
use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use slab::Slab;

use super::ChannelMap;
use crate::error::Absent;

/// The next serial number of the whole process, so that a state of one map is a stranger
/// to every other.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);

/// The name of a state of type `T` that a map keeps:
/// [`ChannelMap::insert_state`] returns one. It is `Copy` and keeps nothing alive.
pub struct State<T> {
    key: usize,
    serial: u64,
    // `fn() -> T`: a name owns no `T`, so it is `Send` and `Sync` whatever `T` is.
    state: PhantomData<fn() -> T>,
}

/// The states of a map, each with its serial number. Each is in a cell of its own, so that
/// one can be lent together with the map.
#[derive(Default)]
pub(super) struct States(Slab<(u64, Rc<dyn Any>)>);

impl States {
    fn get<T: 'static>(&self, state: State<T>) -> Result<&Rc<dyn Any>, Absent> {
        match self.0.get(state.key) {
            Some((serial, cell)) if *serial == state.serial => Ok(cell),
            _ => Err(Absent::Closed),
        }
    }
}

fn cell<T: 'static>(state: &Rc<dyn Any>) -> Result<&RefCell<T>, Absent> {
    state.downcast_ref().ok_or(Absent::OtherType)
}

/// # Shared state
impl ChannelMap {
    /// Keeps a value that many channels share: the members of a room, a table of
    /// sessions. A state is no channel: [`run`](Self::run) does not wait for it,
    /// [`len`](Self::len) does not count it, and a shutdown leaves it alone. A map that is
    /// dropped drops its states after its channels.
    ///
    /// ```
    /// use reactor::{Absent, ChannelMap};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let names = map.insert_state(vec!["ada"]);
    /// map.state_mut(names)?.push("grace");
    /// map.run()?; // there is no channel
    /// assert_eq!(*map.state(names)?, ["ada", "grace"]);
    /// assert_eq!(map.remove_state(names)?, ["ada", "grace"]);
    /// assert_eq!(map.state(names).unwrap_err(), Absent::Closed);
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn insert_state<T: 'static>(&mut self, state: T) -> State<T> {
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        State {
            key: self.states.0.insert((serial, Rc::new(RefCell::new(state)))),
            serial,
            state: PhantomData,
        }
    }

    /// Borrows a state. The map is borrowed as long: copy what is needed, or use
    /// [`with_state`](Self::with_state).
    ///
    /// # Errors
    ///
    /// [`Absent::Closed`] if it was removed, or is another map's; [`Absent::InCallback`]
    /// inside [`with_state`](Self::with_state).
    pub fn state<T: 'static>(&self, state: State<T>) -> Result<Ref<'_, T>, Absent> {
        let cell = cell(self.states.get(state)?)?;
        cell.try_borrow().map_err(|_| Absent::InCallback)
    }

    /// Borrows a state mutably. The map is borrowed as long.
    ///
    /// # Errors
    ///
    /// As [`state`](Self::state).
    pub fn state_mut<T: 'static>(&mut self, state: State<T>) -> Result<RefMut<'_, T>, Absent> {
        let cell = cell(self.states.get(state)?)?;
        cell.try_borrow_mut().map_err(|_| Absent::InCallback)
    }

    /// Calls `f` with a state *and* the map, and returns the result of `f`. Inside `f`, the
    /// state is [`InCallback`](Absent::InCallback).
    ///
    /// ```
    /// use reactor::{ChannelMap, TimerChannel, Token};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let members = map.insert_state(Vec::<Token>::new());
    /// let member = map.insert(TimerChannel::new(|_, _, _| Ok(())))?;
    /// map.state_mut(members)?.push(member.token());
    /// map.with_state(members, |members, map| {
    ///     for member in members.drain(..) {
    ///         map.close(member);
    ///     }
    /// })?;
    /// map.run()?; // the last channel is closed
    /// # Ok::<(), reactor::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`state`](Self::state). `f` is dropped then.
    pub fn with_state<T: 'static, R>(
        &mut self,
        state: State<T>,
        f: impl FnOnce(&mut T, &mut Self) -> R,
    ) -> Result<R, Absent> {
        let lent = Rc::clone(self.states.get(state)?);
        let cell = cell(&lent)?;
        let mut borrowed = cell.try_borrow_mut().map_err(|_| Absent::InCallback)?;
        Ok(f(&mut borrowed, self))
    }

    /// Takes a state out of the map.
    ///
    /// # Errors
    ///
    /// As [`state`](Self::state), and the state stays where it is.
    pub fn remove_state<T: 'static>(&mut self, state: State<T>) -> Result<T, Absent> {
        drop(self.state_mut(state)?);
        let (_, cell) = self.states.0.remove(state.key);
        let cell = cell.downcast::<RefCell<T>>();
        let cell = cell.map_err(|_| Absent::OtherType)?;
        // Another owner would have had it borrowed, which `state_mut` refuses.
        let cell = Rc::into_inner(cell).ok_or(Absent::InCallback)?;
        Ok(cell.into_inner())
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for State<T> {}

impl<T> PartialEq for State<T> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<T> Eq for State<T> {}

impl<T> Hash for State<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.serial.hash(hasher);
    }
}

impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.serial)
    }
}
