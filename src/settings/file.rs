//! Reads the files that settings name and the settings file itself, and trims secrets wherever they are written.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than any settings or secret needs, less than a wrong path (a log, a device) may contain.
pub(super) const MAX_TEXT_MIB: u64 = 1;

/// The error for a file that is not text.
pub(super) const NOT_UTF8: &str = "it is not UTF-8";

/// The secret in a file, trimmed. The error does not quote what may be the secret itself.
pub(super) fn read_secret(file: &str) -> Result<String, String> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| io::Error::other(NOT_UTF8));
    let content = read(Path::new(file), MAX_TEXT_MIB).and_then(text).map_err(|error| {
        // It may have been meant relative to the settings file.
        let is_elsewhere = error.kind() == io::ErrorKind::NotFound && Path::new(file).is_relative();
        let base = if is_elsewhere {
            "; a relative path is resolved against the working directory"
        } else {
            ""
        };
        if looks_like_path(file) {
            return format!("can't read {file:?}: {error}{base}");
        }
        format!(
            "expected the path of a file that holds the secret (not shown, it may be the secret itself): {error}{base}"
        )
    })?;
    let secret = trimmed(&content);
    if secret.is_empty() {
        return Err(format!("{file:?} is empty"));
    }
    Ok(secret.to_owned())
}

/// `secret` without what editors and copying add around it: white space and byte order marks.
pub(super) fn trimmed(secret: &str) -> &str {
    secret.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Whether this is certainly a path, and not a misplaced secret: it is absolute or begins with a dot, has a file
/// extension, or leads into an existing folder.
fn looks_like_path(file: &str) -> bool {
    let path = Path::new(file);
    let rooted = path.is_absolute() || file.starts_with("./") || file.starts_with("../");
    let short_word = |text: &str| text.len() <= 6 && text.bytes().all(|b| b.is_ascii_alphabetic());
    let named = path.extension().and_then(OsStr::to_str).is_some_and(short_word);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    rooted || named || folder.is_some_and(Path::is_dir)
}

/// Reads a file of at most `mebibytes` MiB.
pub(super) fn read(file: &Path, mebibytes: u64) -> io::Result<Vec<u8>> {
    let most = mebibytes * bytesize::MIB;
    let mut bytes = Vec::new();
    File::open(file)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {mebibytes} MiB")));
    }
    Ok(bytes)
}
