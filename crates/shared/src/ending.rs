//! The end of a process, step by step, so that nobody notices it.
//!
//! Balancers learn that a process ends at about the time when it is asked to, and some later: in Kubernetes, SIGTERM and
//! the removal of the endpoint are not ordered. So a process that has been asked to end goes on taking requests for a
//! grace; its readiness fails meanwhile, and connections are not kept. Then it listens no more and finishes what is under
//! way.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long the refusals of what was given up may take to reach their clients.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How far the end has come.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// The process has been asked to end.
    pub asked: CancellationToken,
    /// No more connections are taken, and open ones end with the requests under way.
    pub closing: CancellationToken,
    /// What is still under way is given up.
    pub overdue: CancellationToken,
}

impl Ending {
    /// Goes from step to step once asked: closes after `grace`, and has given up everything when it completes, `drain`
    /// after it was asked.
    pub(crate) async fn run(&self, grace: Duration, drain: Duration) {
        self.asked.cancelled().await;
        sleep(grace).await;
        self.closing.cancel();
        sleep(drain.saturating_sub(grace + LAST_WORDS)).await;
        self.overdue.cancel();
        sleep(LAST_WORDS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_taken_for_the_grace_and_finished_until_the_drain_ends() {
        let ending = Ending::default();
        let running = ending.clone();
        let run = tokio::spawn(async move { running.run(Duration::from_secs(3), Duration::from_secs(11)).await });
        sleep(Duration::from_mins(1)).await;
        assert!(!ending.closing.is_cancelled(), "nobody has asked");
        ending.asked.cancel();
        for (wait, closing, overdue) in
            [(2900, false, false), (200, true, false), (7300, true, false), (200, true, true)]
        {
            sleep(Duration::from_millis(wait)).await;
            assert_eq!((ending.closing.is_cancelled(), ending.overdue.is_cancelled()), (closing, overdue));
            assert!(!run.is_finished());
        }
        sleep(Duration::from_millis(500)).await;
        assert!(run.is_finished());
    }
}
