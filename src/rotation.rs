//! Reloads files that orchestrators replace while the gateway runs.
//!
//! Files are read again by path, every few seconds: file system notifications would lose track of a file in Kubernetes,
//! which replaces a symbolic link in the path.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::http::public::PublicState;
use crate::http::serve::Tls;
use crate::settings::SecretFiles;
use crate::settings::resolved::{TlsFiles, TlsPem};

/// How often files are read.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// A change is applied if the files are still the same after this time: a file may be written in several steps.
const SETTLE: Duration = Duration::from_secs(1);

/// Calls `read` periodically, and `apply` with its result if that has changed since the last call. Both run on threads
/// that they may block.
async fn watch<T, R, A>(read: R, apply: A)
where
    T: PartialEq + Send + 'static,
    R: Fn() -> T + Clone + Send + 'static,
    A: Fn(&T) + Send + Sync + 'static,
{
    let read = || spawn_blocking(read.clone());
    let apply = Arc::new(apply);
    let mut applied: Option<T> = None;
    loop {
        if let Ok(found) = read().await
            && applied.as_ref() != Some(&found)
        {
            sleep(SETTLE).await;
            if read().await.is_ok_and(|again| again == found) {
                let apply = Arc::clone(&apply);
                let applying = spawn_blocking(move || {
                    apply(&found);
                    found
                });
                applied = applying.await.ok();
            }
        }
        sleep(READ_INTERVAL).await;
    }
}

/// Applies secrets whose files change.
pub(crate) async fn take_over_secrets(state: Arc<PublicState>) {
    let settings = Arc::clone(&state.settings);
    if settings.load().has_secret_files() {
        let warned = Mutex::<Vec<String>>::default();
        watch(
            move || settings.load().read_secret_files(),
            move |files| take_over(&state, files, &mut warned.lock()),
        )
        .await;
    }
}

/// Applies the internal listener's certificate when its files change, and warns before it expires or while it is not valid.
pub(crate) async fn take_over_certificate(files: TlsFiles, tls: Tls) {
    let reading = files.clone();
    let read = move || {
        let pem = reading.read();
        let warning = reading.validity_warning(&pem);
        (pem, warning)
    };
    let apply = move |(pem, warning): &(TlsPem, Option<String>)| match files.certified_key(pem) {
        Ok(certificate) => {
            if tls.replace(&certificate) {
                tracing::info!("internal.tls_certificate_file: the certificate has changed; it is used from now on");
            }
            if let Some(warning) = warning {
                tracing::warn!("{warning}");
            }
        }
        Err(problem) => tracing::warn!("{problem}; the previous certificate stays in use"),
    };
    watch(read, apply).await;
}

/// Applies the changes in `files`. `warned` contains the problems at the last change: a warning is logged once, and not
/// again when another file changes.
fn take_over(state: &PublicState, files: &SecretFiles, warned: &mut Vec<String>) {
    let before = state.settings.load_full();
    let reread = before.with_secrets_of(files);
    let in_use = |problem| format!("{problem}; the previous secret stays in use");
    let restart = |key| format!("{key}_file: the secret has changed; restart wxgate to use it");
    let problems = reread.problems.iter().map(in_use);
    let wrong: Vec<String> = problems.chain(reread.need_restart.iter().map(restart)).collect();
    for warning in wrong.iter().filter(|warning| !warned.contains(warning)) {
        tracing::warn!("{warning}");
    }
    *warned = wrong;
    let Some(now) = reread.settings.map(Arc::new) else {
        return;
    };
    state.settings.store(Arc::clone(&now));
    for key in &reread.replaced {
        tracing::info!("{key}_file: the secret has changed; it is used from now on");
    }
    let known = before.warnings();
    for warning in now.warnings().iter().filter(|warning| !known.contains(warning)) {
        tracing::warn!("{warning}");
    }
    for account in state.directory.all() {
        if before.app_secret(account.app_id()) != now.app_secret(account.app_id()) {
            account.credentials.retry_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn file_is_taken_over_once_it_no_longer_changes() {
        const SEEN: [&str; 9] = ["old", "old", "old", "o", "ne", "new", "new", "new", "new"];
        let (reads, applied) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let applying = Arc::clone(&applied);
        let read = move || SEEN[reads.fetch_add(1, Ordering::Relaxed).min(SEEN.len() - 1)];
        let watching = watch(read, move |found| applying.lock().push(*found));
        assert!(timeout(READ_INTERVAL * 7, watching).await.is_err());
        assert_eq!(*applied.lock(), ["old", "new"]);
    }

    /// Checking the settings of many accounts takes time.
    #[tokio::test]
    async fn other_tasks_go_on_while_a_change_is_taken_over() {
        let (go_on, waiting) = std::sync::mpsc::channel();
        let (taken_over, mut went_on) = tokio::sync::mpsc::unbounded_channel();
        let waiting = Mutex::new(waiting);
        let watching = tokio::spawn(watch(
            || "found",
            move |_| {
                taken_over.send(true).unwrap();
                let told = waiting.lock().recv_timeout(Duration::from_secs(30));
                taken_over.send(told.is_ok()).unwrap();
            },
        ));
        assert_eq!(went_on.recv().await, Some(true));
        let _ = go_on.send(());
        assert_eq!(went_on.recv().await, Some(true), "this test went on in the meantime");
        watching.abort();
    }
}
