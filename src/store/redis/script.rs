//! Lua scripts, because reading and writing must be one step on the server, and because a value that is far too long
//! must not come over the wire. A value is compared as [`GET`] returns it.

use crate::store::MAX_VALUE;

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

/// The type, then what [`GET`] returns. `TYPE` is asked only of another program's value, so a user need not have the
/// right to it.
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

/// The newest entries of a stream, their texts cut likewise.
pub(super) const NEWEST: &str = concat!(
    "local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1]) \
     for _, entry in ipairs(entries) do \
       for i, text in ipairs(entry[2]) do entry[2][i] = string.sub(text, 1, ",
    cut!(),
    ") end \
     end \
     return entries"
);
