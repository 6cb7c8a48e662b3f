//! One gateway of the cluster, which ends and starts again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Caller, GatewayProcess, SandboxHost, WallClock, free_address};

/// A gateway that comes back at the same addresses.
pub struct Replica {
    pub caller: Caller,
    pub clock: WallClock,
    process: tokio::sync::Mutex<Option<(GatewayProcess, Instant)>>,
    /// The logs of processes that have ended, as far as they have not been taken.
    logs: Mutex<Vec<String>>,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Resident, in KiB.
    pub memory: u64,
    /// Open.
    pub files: u64,
}

impl Size {
    pub fn exceeds(self, limit: Self) -> bool {
        self.memory > limit.memory || self.files > limit.files
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            memory: self.memory + more.memory,
            files: self.files + more.files,
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB {} files", self.memory / 1024, self.files)
    }
}

impl Replica {
    pub fn new(wechat: &Arc<SandboxHost>) -> Self {
        Self {
            clock: WallClock::ahead_by(0),
            caller: Caller::new(free_address(), free_address(), wechat),
            process: tokio::sync::Mutex::new(None),
            logs: Mutex::default(),
        }
    }

    /// Its process's id, age and size, if it runs.
    pub async fn size(&self) -> Option<(u32, Duration, Size)> {
        let process = self.process.lock().await;
        let (process, started) = process.as_ref()?;
        let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).ok()?.count();
        let size = Size {
            memory: process.memory("VmRSS:"),
            files: files.try_into().unwrap(),
        };
        Some((process.id(), started.elapsed(), size))
    }

    /// This process serves from now on.
    pub async fn set_process(&self, process: GatewayProcess) {
        *self.process.lock().await = Some((process, Instant::now()));
    }

    /// What it has logged since the last call of this.
    pub async fn take_log(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.logs.lock().unwrap());
        if let Some((process, _)) = &*self.process.lock().await {
            lines.append(&mut process.take_log());
        }
        lines
    }

    pub async fn signal(&self, name: &str) {
        if let Some((process, _)) = &*self.process.lock().await {
            process.signal(name);
        }
    }

    /// Ends it: at once as a power cut would, or with a drain.
    pub async fn stop(&self, at_once: bool) {
        let Some((mut process, _)) = self.process.lock().await.take() else {
            return;
        };
        if at_once {
            process.kill();
        } else {
            process.signal("TERM");
            let status = process.ended().await;
            assert!(status.success(), "the drain failed: {status}");
        }
        self.logs.lock().unwrap().append(&mut process.take_log());
    }
}
