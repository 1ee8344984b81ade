//! How many connections there are, and each address has: [`Ledger`] and [`Place`].
//!
//! A connection holds its address alive, so the number of its holders is the number of its
//! connections. The lock is taken where one is accepted, and where the last of an address
//! goes, on whichever thread that is.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The connections that the listeners of one map have let in.
#[derive(Default)]
pub(crate) struct Ledger {
    shared: Arc<Shared>,
    /// The connections of which no address is counted.
    any: Option<Arc<Peer>>,
    /// How many they have refused.
    pub(crate) refused: u64,
}

#[derive(Default)]
struct Shared {
    addresses: Mutex<Addresses>,
    count: AtomicUsize,
}

type Addresses = HashMap<Block, Weak<Peer>>;

/// The addresses that count as one: an IPv4 address, or an IPv6 prefix and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Block(IpAddr, u8);

/// An address that has connections, or all of them whose address is not counted.
struct Peer {
    block: Option<Block>,
    shared: Arc<Shared>,
}

/// One connection, as long as it lives. It can go to another thread.
pub(crate) struct Place(Arc<Peer>);

impl Ledger {
    /// A place for one connection more of this address.
    pub(crate) fn place(&self, address: IpAddr, ipv6_prefix: u8) -> Place {
        let block = Block::of(address, ipv6_prefix);
        let mut addresses = self.shared.lock();
        if let Some(peer) = addresses.get(&block).and_then(Weak::upgrade) {
            return Place::of(peer);
        }
        let peer = self.peer(Some(block));
        addresses.insert(block, Arc::downgrade(&peer));
        Place::of(peer)
    }

    /// A place for one connection more, whatever its address.
    pub(crate) fn place_of_any(&mut self) -> Place {
        let any = self.any.take().unwrap_or_else(|| self.peer(None));
        Place::of(Arc::clone(self.any.insert(any)))
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    fn peer(&self, block: Option<Block>) -> Arc<Peer> {
        Arc::new(Peer {
            block,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Shared {
    /// No panic can leave the table half changed.
    fn lock(&self) -> MutexGuard<'_, Addresses> {
        let addresses = self.addresses.lock();
        addresses.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into(), 32),
            IpAddr::V6(address) => {
                let prefix = ipv6_prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self(Ipv6Addr::from(u128::from(address) & mask).into(), prefix)
            }
        }
    }
}

impl Place {
    fn of(peer: Arc<Peer>) -> Self {
        peer.shared.count.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }

    /// How many connections the address has, this one included.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The address, if it is counted.
    pub(crate) fn block(&self) -> Option<Block> {
        self.0.block
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some(block) = self.block else {
            return;
        };
        let mut addresses = self.shared.lock();
        // It may have come back, and be another one, before the lock was there.
        let is_gone = |it: &Weak<Self>| it.strong_count() == 0;
        if addresses.get(&block).is_some_and(is_gone) {
            addresses.remove(&block);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.block.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(ledger: &Ledger, address: &str, prefix: u8) -> usize {
        ledger.place(address.parse().unwrap(), prefix).count() - 1
    }

    #[test]
    fn each_address_has_its_own_count_and_an_ipv6_prefix_is_one() {
        let ledger = Ledger::default();
        let place = |address: &str, prefix| ledger.place(address.parse().unwrap(), prefix);
        let _places = [
            place("192.0.2.1", 64),
            place("192.0.2.1", 48),
            place("::ffff:192.0.2.1", 64),
            place("2001:db8:1:2::1", 64),
            place("2001:db8:1:2:ffff::9", 64),
            place("2001:db8:1:3::1", 64),
            place("2001:db8:1:2::1", 48),
            place("2001:db8::1", 0),
            place("::1", 0),
            place("2001:db8::1", 128),
            place("2001:db8::2", 200),
        ];
        for (address, prefix, expected) in [
            ("192.0.2.1", 0, 3),
            ("192.0.2.2", 0, 0),
            ("2001:db8:1:2::7", 64, 2),
            ("2001:db8:1:3::7", 64, 1),
            ("2001:db8:1:3::7", 48, 1),
            ("2001:db8:2:3::7", 48, 0),
            ("::7", 0, 2),
            ("2001:db8::1", 128, 1),
            ("2001:db8::2", 128, 1),
        ] {
            assert_eq!(
                count(&ledger, address, prefix),
                expected,
                "{address}/{prefix}"
            );
        }
    }

    #[test]
    fn an_address_without_connections_leaves_nothing_behind() {
        let ledger = Ledger::default();
        let mut some: Vec<Place> = (0..100_u8)
            .map(|n| ledger.place([10, 0, 0, n / 2].into(), 64))
            .collect();
        assert_eq!(ledger.shared.lock().len(), 50);
        let others = some.split_off(33);
        for (places, left) in [(some, 50 - 16), (others, 0)] {
            std::thread::spawn(move || drop(places)).join().unwrap();
            assert_eq!(ledger.shared.lock().len(), left);
        }
    }

    #[test]
    fn threads_that_take_and_give_back_at_once_agree_in_the_end() {
        let ledger = Ledger::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let place = ledger.place([127, 0, 0, 1].into(), 64);
                        assert!((1..=4).contains(&place.count()));
                    }
                });
            }
        });
        assert_eq!(ledger.shared.lock().len(), 0);
    }
}
