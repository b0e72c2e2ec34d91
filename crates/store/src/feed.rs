//! A feed of the latest value. It keeps no history: a slow reader sees fewer values, never old ones.

use tokio::sync::watch;

/// The present value of something that changes, and word of each change.
///
/// The first [`Feed::next`] always yields the present value at once: what was there before the reader came is
/// news to the reader. A clone is a new reader.
#[derive(Debug)]
pub struct Feed<T> {
    receiver: watch::Receiver<T>,
}

impl<T: Clone> Feed<T> {
    /// The next value that this reader has not seen, at the first call the present one.
    ///
    /// Dropping the future loses nothing. When the store is gone there is no next value: it then waits for
    /// ever, so that a `select!` over several feeds needs no case for it.
    pub async fn next(&mut self) -> T {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.receiver.borrow_and_update().clone()
    }

    /// The present value; it counts as seen only by [`Feed::next`].
    pub fn latest(&self) -> T {
        self.receiver.borrow().clone()
    }
}

impl<T> From<watch::Receiver<T>> for Feed<T> {
    fn from(mut receiver: watch::Receiver<T>) -> Self {
        // A fresh receiver takes the present value for seen, which is how first reads get lost.
        receiver.mark_changed();
        Self { receiver }
    }
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        self.receiver.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_read_is_never_missed() {
        let (sender, receiver) = watch::channel(1);
        sender.send_replace(2);
        let mut feed = Feed::from(receiver);
        assert_eq!((feed.latest(), feed.next().await), (2, 2));
        let mut clone = feed.clone();
        assert_eq!(clone.next().await, 2);
        sender.send_replace(3);
        sender.send_replace(4);
        assert_eq!((feed.next().await, clone.next().await), (4, 4));
    }

    #[tokio::test]
    async fn the_last_value_is_yielded_though_the_sender_is_gone() {
        let (sender, receiver) = watch::channel(1);
        drop(sender);
        let mut feed = Feed::from(receiver);
        assert_eq!(feed.latest(), 1);
        // tokio reports the closing only after the last unseen value.
        assert_eq!(feed.next().await, 1);
    }
}
