//! Reads that are asked for one by one and answered together.
//!
//! Whoever needs a row asks for it alone. Those who ask while other reads are on their way share the next statement, so
//! that under load one statement, one wake-up of PostgreSQL's and one of ours serve many. Nobody waits for company: without
//! load every read has a statement of its own at once.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::{Error, Result};

/// How many statements may be on their way at a time: while one is at the server, the next is written or read.
const STATEMENTS: usize = 2;
/// How many reads may share a statement.
const MOST: usize = 100;

/// Finds what belongs to a key, by one `read` for all who ask.
#[derive(Debug)]
pub struct Batch<K, V>(mpsc::Sender<Asked<K, V>>);

/// Derived, it would ask for keys and values that can be cloned.
impl<K, V> Clone for Batch<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A key and whoever waits for what belongs to it.
type Asked<K, V> = (K, oneshot::Sender<Result<Option<V>>>);

impl<K, V> Batch<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// A batch whose keys are looked up by `read`. It has to be made within a Tokio runtime, and works until it and its
    /// clones are dropped.
    pub fn new<F, R>(read: F) -> Self
    where
        F: Fn(Vec<K>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<HashMap<K, V>>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(MOST);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..STATEMENTS {
            tokio::spawn(answer(Arc::clone(&receiver), read.clone()));
        }
        Self(sender)
    }

    /// What belongs to `key`, if there is anything.
    ///
    /// # Errors
    /// What `read` failed with.
    pub async fn get(&self, key: K) -> Result<Option<V>> {
        let ended = || Error::internal(anyhow::anyhow!("a batch of reads has ended"));
        let (sender, receiver) = oneshot::channel();
        self.0.send((key, sender)).await.map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }
}

/// Takes what is asked for and reads it, again and again.
async fn answer<K, V, R>(receiver: Arc<Mutex<mpsc::Receiver<Asked<K, V>>>>, read: impl Fn(Vec<K>) -> R)
where
    K: Clone + Eq + Hash,
    V: Clone,
    R: Future<Output = Result<HashMap<K, V>>>,
{
    loop {
        let mut asked = Vec::new();
        let mut receiver = receiver.lock().await;
        if receiver.recv_many(&mut asked, MOST).await == 0 {
            return;
        }
        // Requests that came with the first one are about to ask.
        tokio::task::yield_now().await;
        while asked.len() < MOST
            && let Ok(more) = receiver.try_recv()
        {
            asked.push(more);
        }
        drop(receiver);
        // Some have given up meanwhile.
        asked.retain(|(_, waiting)| !waiting.is_closed());
        let keys: HashSet<K> = asked.iter().map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            continue;
        }
        let found = read(keys.into_iter().collect()).await;
        for (key, waiting) in asked {
            let value = found.as_ref().map(|found| found.get(&key).cloned()).map_err(Error::copy);
            // Whoever has given up in this moment is gone.
            drop(waiting.send(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};

    use super::*;

    fn doubled(keys: Vec<u64>) -> HashMap<u64, u64> {
        keys.into_iter().map(|key| (key, key * 2)).collect()
    }

    #[tokio::test]
    async fn whoever_asks_while_others_are_answered_shares_the_next_read() {
        let reads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (go, gate) = tokio::sync::watch::channel(false);
        let batch = Batch::new({
            let reads = Arc::clone(&reads);
            move |keys: Vec<u64>| {
                reads.lock().unwrap().push(keys.len());
                let mut gate = gate.clone();
                async move {
                    drop(gate.wait_for(|open| *open).await);
                    Ok(doubled(keys))
                }
            }
        });
        let mut first = Vec::new();
        for key in 0..2 {
            let batch = batch.clone();
            first.push(tokio::spawn(async move { batch.get(key).await.unwrap() }));
            while reads.lock().unwrap().len() < first.len() {
                tokio::task::yield_now().await;
            }
        }
        // Each of 24 keys is asked for twice.
        let rest = join_all((0..48).map(|n| batch.get(n / 2)));
        let (rest, _) = tokio::join!(rest, async { go.send(true) });
        for (n, value) in (0..48).zip(rest) {
            assert_eq!(value.unwrap(), Some(n / 2 * 2));
        }
        for (key, value) in (0..).zip(first) {
            assert_eq!(value.await.unwrap(), Some(key * 2));
        }
        assert_eq!(*reads.lock().unwrap(), [1, 1, 24]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_nothing() {
        let batch = Batch::new(async |_: Vec<u64>| Ok(doubled(vec![1])));
        assert_eq!(batch.get(2).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_the_next_read_is_a_new_one() {
        let batch = Batch::new(
            async |keys: Vec<u64>| {
                if keys.contains(&0) { Err(Error::unavailable("away")) } else { Ok(doubled(keys)) }
            },
        );
        for failed in join_all([0, 1].map(|key| batch.get(key))).await {
            assert_eq!(failed.unwrap_err().message(), "away");
        }
        assert_eq!(batch.get(1).await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn whoever_gives_up_is_not_read_for() {
        let (sender, mut read) = mpsc::unbounded_channel();
        let batch = Batch::new(move |keys: Vec<u64>| {
            sender.send(keys.clone()).unwrap();
            async { Ok(doubled(keys)) }
        });
        assert!(batch.get(1).now_or_never().is_none());
        assert_eq!(batch.get(2).await.unwrap(), Some(4));
        assert_eq!(read.recv().await, Some(vec![2]));
    }
}
