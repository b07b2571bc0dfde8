//! How much of a door one address may have before it has shown a key that opens something.
//!
//! Who tries wrong keys, or none, from one address fills its own share and no other's. What has been let in counts no longer: many
//! encoders may publish from one address. It judges nobody, and keeps nothing of an address that has left.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A bound for each address. Cheap to clone; as large as the number of shares that are taken.
#[derive(Debug, Clone)]
pub struct Shares {
    max: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    of: IpAddr,
}

// === impl Shares ===

impl Shares {
    /// So many for each address; for IPv6 for each network of 64 bits, because that is what one customer has.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, taken: Arc::default() }
    }

    /// One for this address, unless it has all it may.
    #[must_use]
    pub fn take(&self, address: IpAddr) -> Option<Share> {
        let of = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(of).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), of })
    }
}

// === impl Share ===

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fills_its_own_share_and_no_others() {
        let shares = Shares::new(2);
        let take = |text: &str| shares.take(text.parse().unwrap());
        let (first, second) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && take("192.0.2.1").is_none());
        let other = (take("192.0.2.2"), take("2001:db8::1"), take("2001:db8::2"));
        assert!(other.0.is_some() && other.1.is_some() && other.2.is_some());
        assert!(take("2001:db8:0:0:ffff::").is_none() && take("2001:db8:0:1::").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        drop((second, other));
        assert!(shares.taken.lock().unwrap().is_empty(), "nothing is kept of who has left");
    }
}
