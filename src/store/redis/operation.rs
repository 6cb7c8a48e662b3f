//! The store's operations, the Redis commands that they need, and their Lua scripts.
//!
//! Scripts, because reading and writing must be one step on the server, and because an oversized value must not be
//! transferred. Values are compared as [`GET`] returns them, cut if they are too long.

use crate::store::MAX_VALUE;

/// All commands that the store needs. A user's ACL must allow them; a test compares them with the documents and with the
/// commands that a server has run. None is newer than Redis 5.0.
pub const COMMANDS: [&str; 10] = [
    "get",
    "set",
    "del",
    "incr",
    "pexpire",
    "pttl",
    "eval",
    "xadd",
    "xrevrange",
    "ping",
];

/// One of the store's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    SetIfAbsent,
    CompareAndSet,
    CompareAndDelete,
    Shorten,
    Increment,
    Append,
    Newest,
    /// Used only by `wxgate check`.
    Diagnose,
}

impl Operation {
    /// The command that is sent, and the commands in its script, if it has one.
    pub(super) fn commands(self) -> (&'static str, &'static str) {
        match self {
            Self::Get => ("EVAL", "GET, PTTL"),
            Self::SetIfAbsent => ("SET", ""),
            Self::CompareAndSet => ("EVAL", "GET, SET"),
            Self::CompareAndDelete => ("EVAL", "GET, DEL"),
            Self::Shorten => ("EVAL", "PTTL, PEXPIRE"),
            Self::Increment => ("EVAL", "INCR, PEXPIRE"),
            Self::Append => ("XADD", ""),
            Self::Newest => ("EVAL", "XREVRANGE"),
            Self::Diagnose => ("PING or INFO", ""),
        }
    }

    /// True if it is a single command: once that has run, nothing else can be refused.
    pub(super) fn is_one_command(self) -> bool {
        let (_, in_script) = self.commands();
        !in_script.contains(',')
    }
}

/// Where texts are cut: one byte beyond [`MAX_VALUE`].
macro_rules! cut {
    () => {
        "8193"
    };
}

const _: () = assert!(MAX_VALUE + 1 == 8193, "MAX_VALUE is in the scripts too");

/// Reads the value, cut.
macro_rules! read {
    () => {
        concat!(
            "local function read() \
               local value = redis.call('GET', KEYS[1]) \
               return value and string.sub(value, 1, ",
            cut!(),
            ") \
             end "
        )
    };
}

pub(super) const GET: &str = concat!(read!(), "return {read(), redis.call('PTTL', KEYS[1])}");

/// The type, then what [`GET`] returns. `TYPE` runs only if another program wrote the value, so the user need not have
/// permission to run it.
pub(super) const INSPECT: &str = concat!(
    "local value = redis.pcall('GET', KEYS[1]) \
     if type(value) == 'table' then \
       if not string.find(value.err, 'WRONGTYPE', 1, true) then return value end \
       local kind = redis.pcall('TYPE', KEYS[1]) \
       return {kind.ok or 'other', false, -1} \
     end \
     return {'string', value and string.sub(value, 1, ",
    cut!(),
    "), redis.call('PTTL', KEYS[1])}"
);

pub(super) const SHORTEN: &str = "\
    local left = redis.call('PTTL', KEYS[1]) \
    if left == -1 or left > tonumber(ARGV[2]) then return redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
    return 0";

pub(super) const COMPARE_AND_SET: &str = concat!(
    read!(),
    "local now = read() \
     if (ARGV[1] == 'absent' and not now) or (ARGV[1] == 'equals' and now == ARGV[2]) then \
       redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) \
       return 1 \
     end \
     return 0"
);

pub(super) const COMPARE_AND_DELETE: &str = concat!(
    read!(),
    "if read() == ARGV[1] then return redis.call('DEL', KEYS[1]) end \
     return 0"
);

pub(super) const INCREMENT: &str = "\
    local count = redis.call('INCR', KEYS[1]) \
    if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
    return count";

/// The newest entries of a stream, with their texts cut in the same way.
pub(super) const NEWEST: &str = concat!(
    "local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1]) \
     for _, entry in ipairs(entries) do \
       for i, text in ipairs(entry[2]) do entry[2][i] = string.sub(text, 1, ",
    cut!(),
    ") end \
     end \
     return entries"
);
