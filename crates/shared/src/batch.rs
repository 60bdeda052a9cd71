//! What is asked for one by one and done together.
//!
//! Whoever needs a row, or has one to store, submits it alone. Those who come while other statements are on their way share
//! the next one, so that under load one statement, one commit, one wake-up of PostgreSQL's and one of ours serve many.
//! Nobody waits for company: without load everybody has a statement of their own at once.
//!
//! Such a statement takes its items from arrays, `unnest((select $1::uuid[]), …)`. The inner `select` hides from PostgreSQL
//! how long they are. Where it knows, it holds a plan for one item to be so much better than one for any number that it
//! plans anew every time, which takes longer than the statement.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};

use crate::error::{Error, Kind, Result};

/// How many statements may be on their way at a time: while one is at the server, the next is written or read.
const STATEMENTS: usize = 2;
/// How many items may share a statement.
const MOST: usize = 100;
/// How long a statement may take: somewhat longer than PostgreSQL lets it, because PostgreSQL may be out of reach.
const LONGEST: Duration = Duration::from_secs(12);

/// Items of `I`, each of which comes to an `O`, by one piece of work for all that are there.
#[derive(Debug)]
pub struct Batch<I, O>(mpsc::Sender<Submitted<I, O>>);

/// Derived, it would ask for items that can be cloned.
impl<I, O> Clone for Batch<I, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Whoever waits for what comes of an item.
type Waiting<O> = oneshot::Sender<Result<O>>;
type Submitted<I, O> = (I, Waiting<O>);

impl<I, O> Batch<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    /// A batch whose items go through `work` with `tool`, such as a database. It says what came of each in the order in which
    /// it was given them, and does all or nothing: where an item is to blame for its failure, so not where the database is
    /// away, it is called again for each one alone.
    ///
    /// A batch has to be made within a Tokio runtime, and works until it and its clones are dropped.
    pub fn new<T, F, R>(tool: &T, work: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Arc<[I]>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Vec<O>>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(MOST);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..STATEMENTS {
            let (tool, work) = (tool.clone(), work.clone());
            tokio::spawn(run(Arc::clone(&receiver), move |items| work(tool.clone(), items)));
        }
        Self(sender)
    }

    /// What comes of `item`. Whoever gives up before it is its turn takes it back.
    ///
    /// # Errors
    /// What the work failed with.
    pub async fn submit(&self, item: I) -> Result<O> {
        let (sender, receiver) = oneshot::channel();
        self.0.send((item, sender)).await.map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }
}

fn ended() -> Error {
    Error::internal(anyhow::anyhow!("a batch has ended without an answer"))
}

/// Takes what is there and has it done, again and again.
async fn run<I, O, R>(receiver: Arc<Mutex<mpsc::Receiver<Submitted<I, O>>>>, work: impl Fn(Arc<[I]>) -> R)
where
    I: Clone,
    R: Future<Output = Result<Vec<O>>>,
{
    loop {
        let mut submitted = Vec::new();
        let mut receiver = receiver.lock().await;
        if receiver.recv_many(&mut submitted, MOST).await == 0 {
            return;
        }
        // Requests that came with those are about to submit theirs; as long as there are any, they come along.
        let mut taken = 0;
        while taken < submitted.len() && submitted.len() < MOST {
            taken = submitted.len();
            tokio::task::yield_now().await;
            while submitted.len() < MOST
                && let Ok(more) = receiver.try_recv()
            {
                submitted.push(more);
            }
        }
        drop(receiver);
        // Some have given up meanwhile.
        submitted.retain(|(_, waiting)| !waiting.is_closed());
        if submitted.is_empty() {
            continue;
        }
        let (items, mut waiting): (Vec<_>, Vec<_>) = submitted.into_iter().unzip();
        let items = Arc::<[I]>::from(items);
        match attempt(work(Arc::clone(&items)), &mut waiting).await {
            Err(error) if items.len() > 1 && !is_everybodys(&error) => {
                for (item, waiting) in items.iter().zip(waiting) {
                    let mut waiting = vec![waiting];
                    let done = attempt(work(Arc::from([item.clone()])), &mut waiting).await;
                    tell(done, waiting);
                }
            }
            done => tell(done, waiting),
        }
    }
}

/// Does `work` for those who are `waiting`, as long as anybody is.
async fn attempt<O>(work: impl Future<Output = Result<Vec<O>>>, waiting: &mut [Waiting<O>]) -> Result<Vec<O>> {
    let all_gone = async {
        for waiting in waiting {
            waiting.closed().await;
        }
    };
    // A panic would end the worker, and two of them everybody's.
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        done = timeout(LONGEST, work) => match done {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::internal(anyhow::anyhow!("a statement's work panicked"))),
            Err(_) => Err(Error::timeout("the database took too long")),
        },
        () = all_gone => Ok(Vec::new()),
    }
}

fn tell<O>(done: Result<Vec<O>>, waiting: Vec<Waiting<O>>) {
    // Whoever has given up in this moment is gone.
    match done {
        Ok(done) => waiting.into_iter().zip(done).for_each(|(waiting, done)| drop(waiting.send(Ok(done)))),
        Err(error) => waiting.into_iter().for_each(|waiting| drop(waiting.send(Err(error.copy())))),
    }
}

/// Whether each item alone would fail in the same way.
fn is_everybodys(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn doubled(items: &[u64]) -> Vec<u64> {
        items.iter().map(|item| item * 2).collect()
    }

    #[tokio::test]
    async fn whoever_comes_while_others_are_served_shares_the_next_statement() {
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (go, gate) = tokio::sync::watch::channel(false);
        let batch = Batch::new(&(), {
            let sizes = Arc::clone(&sizes);
            move |(), items: Arc<[u64]>| {
                sizes.lock().unwrap().push(items.len());
                let mut gate = gate.clone();
                async move {
                    drop(gate.wait_for(|open| *open).await);
                    Ok(doubled(&items))
                }
            }
        });
        let mut first = Vec::new();
        for item in 0..2 {
            let batch = batch.clone();
            first.push(tokio::spawn(async move { batch.submit(item).await.unwrap() }));
            while sizes.lock().unwrap().len() < first.len() {
                tokio::task::yield_now().await;
            }
        }
        let rest = join_all((0..48).map(|item| batch.submit(item)));
        let (rest, _) = tokio::join!(rest, async { go.send(true) });
        for (item, done) in (0..48).zip(rest) {
            assert_eq!(done.unwrap(), item * 2);
        }
        for (item, done) in (0..).zip(first) {
            assert_eq!(done.await.unwrap(), item * 2);
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 1, 48]);
    }

    #[tokio::test]
    async fn one_item_that_cannot_be_done_fails_alone() {
        let batch = Batch::new(&(), async |(), items: Arc<[u64]>| {
            if items.contains(&13) { Err(Error::invalid("item", "is 13")) } else { Ok(doubled(&items)) }
        });
        for (item, done) in (10..16).zip(join_all((10..16).map(|item| batch.submit(item))).await) {
            match done {
                Ok(done) => assert_eq!(done, item * 2),
                Err(error) => assert_eq!((item, error.message()), (13, "item: is 13")),
            }
        }
    }

    #[tokio::test]
    async fn an_item_whose_work_panics_fails_alone_and_ends_nothing() {
        let batch = Batch::new(&(), async |(), items: Arc<[u64]>| {
            assert!(!items.contains(&13), "unlucky");
            Ok(doubled(&items))
        });
        for _ in 0..=STATEMENTS {
            let (good, bad) = tokio::join!(batch.submit(1), batch.submit(13));
            assert_eq!((good.unwrap(), bad.unwrap_err().kind()), (2, Kind::Internal));
        }
    }

    #[tokio::test]
    async fn where_the_database_is_away_nobody_is_tried_alone() {
        let calls = Arc::new(std::sync::Mutex::new(0));
        let batch = Batch::new(&(), {
            let calls = Arc::clone(&calls);
            move |(), items: Arc<[u64]>| {
                *calls.lock().unwrap() += 1;
                async move { if items.contains(&0) { Err(Error::unavailable("away")) } else { Ok(doubled(&items)) } }
            }
        });
        for failed in join_all([0, 1, 2].map(|item| batch.submit(item))).await {
            assert_eq!(failed.unwrap_err().message(), "away");
        }
        assert_eq!(*calls.lock().unwrap(), 1);
        assert_eq!(batch.submit(1).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn nothing_is_done_for_whoever_has_given_up() {
        let (sender, mut done) = mpsc::unbounded_channel();
        let batch = Batch::new(&(), move |(), items: Arc<[u64]>| {
            sender.send(items.to_vec()).unwrap();
            async move { Ok(doubled(&items)) }
        });
        assert!(batch.submit(1).now_or_never().is_none());
        assert_eq!(batch.submit(2).await.unwrap(), 4);
        assert_eq!(done.recv().await, Some(vec![2]));
    }

    /// A batch in which item 0 takes for ever.
    fn hanging() -> Batch<u64, u64> {
        Batch::new(
            &(),
            async |(), items: Arc<[u64]>| {
                if items.contains(&0) { std::future::pending().await } else { Ok(doubled(&items)) }
            },
        )
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_nobody_waits_for_any_more_holds_up_nobody() {
        let batch = hanging();
        for _ in 0..4 {
            let given_up = timeout(Duration::from_millis(1), batch.submit(0)).await;
            assert!(given_up.is_err());
        }
        let done = timeout(Duration::from_millis(1), batch.submit(1)).await;
        assert_eq!(done.unwrap().unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_given_up() {
        let batch = hanging();
        let done = tokio::join!(batch.submit(0), batch.submit(3));
        assert_eq!(done.0.unwrap_err().kind(), Kind::Timeout);
        assert_eq!(done.1.unwrap_err().kind(), Kind::Timeout);
        assert_eq!(batch.submit(1).await.unwrap(), 2);
    }
}
