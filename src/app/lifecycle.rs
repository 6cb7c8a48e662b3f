//! What runs besides the listeners, and how it is ended.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long cut-off tasks may take to clean up, and then how long the journal may take to end.
const LAST_WORK_LIMIT: Duration = Duration::from_secs(2);

/// The tokens that end the gateway's parts in order, and the trackers of the tasks that the drain waits for.
#[derive(Clone, Default)]
pub(super) struct Lifecycle {
    /// Cancelled to begin the drain.
    pub(super) stop: CancellationToken,
    /// Cancelled to cut off the renewals and uploads that outlive the drain.
    pub(super) cut_off: CancellationToken,
    /// Cancelled once all renewals and uploads have ended, so that the journal still notes them.
    pub(super) tasks_done: CancellationToken,
    /// Renewals and uploads.
    pub(super) tasks: TaskTracker,
    /// Refreshing, the journal's writer, sweeps.
    pub(super) background: TaskTracker,
}

impl Lifecycle {
    /// Waits for the renewals and uploads until `end_of_grace`, then for the rest of the background tasks.
    pub(super) async fn drain_tasks(&self, end_of_grace: Instant) {
        self.tasks.close();
        self.background.close();
        if timeout_at(end_of_grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "renewals or uploads were still in progress when server.shutdown_grace ended"
            );
            self.cut_off.cancel();
            // What they have begun is removed, and their locks are released.
            let _ = timeout(LAST_WORK_LIMIT, self.tasks.wait()).await;
        }
        self.tasks_done.cancel();
        let _ = timeout(LAST_WORK_LIMIT, self.background.wait()).await;
    }
}

/// Calls `work` every `interval` until `stop` is cancelled.
pub(super) async fn repeat(interval: Duration, stop: CancellationToken, work: impl Fn()) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        work();
    }
}
