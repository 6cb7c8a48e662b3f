//! The command line: arguments in, library called, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_freed_memory();
    wxgate::cli::main()
}

/// Pictures pass through in buffers of 104 KiB. As it starts out, glibc's allocator gives each freed one
/// back to the kernel and gets it anew, page fault by page fault. Freeing a large block once makes it
/// keep twice as much (`mallopt(3)`, `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`); the block itself is
/// never touched and takes no memory. Other allocators don't mind.
fn keep_freed_memory() {
    const LARGE: usize = 512 * 1024;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
}
