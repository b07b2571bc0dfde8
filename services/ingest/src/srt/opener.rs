//! Opens key messages where nobody waits for it: a key takes thousands of rounds to derive, and the threads that serve datagrams have others
//! to serve. So it is done on threads that may block, a few at a time for the whole door; whoever finds no place waits for one.
//!
//! It knows nothing of connections, and remembers nothing: who asks has a bound on how often.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::secret::{Passphrase, Sealed, Secret};

/// Keys that are derived at once for those who knock.
const AT_ONCE: usize = 2;
/// The same for those who are in, whose media waits for the next key.
const AT_ONCE_WITHIN: usize = 1;

/// What opens the key messages of one door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Opener {
    passphrase: Passphrase,
    places: Arc<Semaphore>,
    places_within: Arc<Semaphore>,
}

// === impl Opener ===

impl Opener {
    /// One for this passphrase.
    #[must_use]
    pub fn new(passphrase: Passphrase) -> Self {
        let [places, places_within] = [AT_ONCE, AT_ONCE_WITHIN].map(|count| Arc::new(Semaphore::new(count)));
        Self { passphrase, places, places_within }
    }

    /// The keys of a key message of somebody who knocks. Dropped, it leaves its place as soon as what it began is done.
    ///
    /// # Errors
    /// [`Sealed`].
    pub async fn open(&self, message: Vec<u8>) -> Result<Secret, Sealed> {
        self.open_at(&self.places, message).await
    }

    /// The same of somebody who is in: those who knock do not keep him waiting.
    ///
    /// # Errors
    /// [`Sealed`].
    pub async fn open_within(&self, message: Vec<u8>) -> Result<Secret, Sealed> {
        self.open_at(&self.places_within, message).await
    }

    async fn open_at(&self, places: &Arc<Semaphore>, message: Vec<u8>) -> Result<Secret, Sealed> {
        // Nobody closes it, and nothing panics while it derives: where either did, nothing is opened.
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| Sealed::Unknown)?;
        let passphrase = self.passphrase.clone();
        let derived = tokio::task::spawn_blocking(move || {
            let _place = place;
            passphrase.open(&message)
        });
        derived.await.unwrap_or(Err(Sealed::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn keys_are_derived_apart_and_a_few_at_a_time() {
        let opener = Opener::new(Passphrase::new("a long passphrase").unwrap());
        // Well formed, and sealed with nothing: all rounds are done before that is known.
        let head = [0x12, 0x20, 0x29, 1, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4];
        let message = [&head[..], &[7; 16 + 24]].concat();
        let taken = Arc::clone(&opener.places).acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        let mut opens: Vec<_> = (0..AT_ONCE + 6).map(|_| Box::pin(opener.open(message.clone()))).collect();
        assert!(opens.iter_mut().all(|open| open.now_or_never().is_none()), "all places are taken");
        assert!(matches!(opener.open_within(message).await, Err(Sealed::Wrong)), "who is in has a place of his own");
        drop(taken);
        let opened = join_all(opens).await;
        assert!(opened.iter().all(|opened| matches!(opened, Err(Sealed::Wrong))), "{opened:?}");
        assert_eq!(opener.places.available_permits(), AT_ONCE);
    }
}
