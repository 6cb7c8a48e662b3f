//! How many files, and so connections, this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// The most connections at once, if the limit on open files allows them.
const CONNECTIONS: usize = 16_384;

/// Raises the limit on open files to the hard limit: the customary 1024 is for programs that use `select`. If that is
/// refused, the limit stays as it is.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// As many connections as leave a quarter of the open files to Redis, WeChat and uploads, even if each of them reads a
/// picture of the local store, which is an open file too.
pub(super) fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files / 4 * 3 / FILES_EACH).unwrap_or(usize::MAX);
    most.clamp(16, CONNECTIONS)
}

/// The open files of a connection: its socket, and the picture that it reads.
const FILES_EACH: u64 = 2;
