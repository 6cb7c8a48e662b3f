//! The command line: arguments in, library called, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fix_malloc_thresholds();
    wxgate::cli::main()
}

/// Keeps glibc's allocator from raising its thresholds. It does so whenever a large block is freed, and after a
/// burst of uploads to S3, whose parts have 5 MiB, the process would keep hundreds of megabytes for good.
///
/// Below `MMAP_THRESHOLD` are the buffers that pictures pass through, up to some 400 KiB each: they are reused
/// without a page fault for each. Above it, memory goes back to the kernel as soon as it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn fix_malloc_thresholds() {
    const MMAP_THRESHOLD: libc::c_int = 256 * 1024;
    const TRIM_THRESHOLD: libc::c_int = 1024 * 1024;
    #[expect(
        unsafe_code,
        reason = "mallopt(3) has no safe wrapper; nothing allocates on another thread yet"
    )]
    // SAFETY: it takes two numbers and only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
    }
}
