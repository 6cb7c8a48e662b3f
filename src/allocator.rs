//! Tunes glibc's allocator for the buffers of uploads. Other allocators do not need this.
//!
//! Pictures pass through buffers of up to about 400 KiB. If they are mapped one by one, as glibc does at first, they cost
//! a page fault per 4 KiB: up to 1.8 times the CPU time of an upload. In the heap they cost nothing, but fragment it, and
//! glibc returns its free pages only on request. And as soon as a 5 MiB part for S3 is freed, glibc raises its
//! thresholds, and such parts come from the heap too.

use std::time::Duration;

/// How often free memory is returned to the kernel.
pub const TRIM_INTERVAL: Duration = Duration::from_secs(20);

/// Fixes the thresholds, so that a part for S3 is unmapped when it is freed and smaller buffers stay in the heap. To be
/// called when the process starts.
pub fn fix_thresholds() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::fix_thresholds();
}

/// Returns the heap's free pages to the kernel. With about 60 MiB free it takes a few milliseconds.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt(3) and malloc_trim(3) have no safe wrapper")]
mod glibc {
    /// Larger blocks are mapped, and unmapped when freed.
    const MMAP_THRESHOLD: libc::c_int = 4 * 1024 * 1024;
    /// If more than this is free at the end of a heap, the heap shrinks at once. `malloc_trim` does not do that for
    /// threads' heaps.
    const TRIM_THRESHOLD: libc::c_int = 2 * 1024 * 1024;

    pub(super) fn fix_thresholds() {
        // SAFETY: mallopt takes two numbers and sets a parameter under the allocator's own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        }
    }

    pub(super) fn trim() {
        // SAFETY: malloc_trim takes a number, may be called on any thread, and leaves memory in use alone.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
