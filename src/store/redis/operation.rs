//! The operations of the store, and the Redis commands that they need.

/// All commands that the store needs. A user's ACL has to allow them; a test compares them with the documents and with
/// what a server has run. None is newer than Redis 5.0.
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
    /// What only `wxgate check` asks.
    Diagnose,
}

impl Operation {
    /// The command that is sent.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::SetIfAbsent => "SET",
            Self::Append => "XADD",
            Self::Diagnose => "PING or INFO",
            Self::Get
            | Self::CompareAndSet
            | Self::CompareAndDelete
            | Self::Shorten
            | Self::Increment
            | Self::Newest => "EVAL",
        }
    }

    /// The commands in its script, if it has one.
    pub(super) fn in_script(self) -> &'static str {
        match self {
            Self::Get => "GET, PTTL",
            Self::CompareAndSet => "GET, SET",
            Self::CompareAndDelete => "GET, DEL",
            Self::Shorten => "PTTL, PEXPIRE",
            Self::Increment => "INCR, PEXPIRE",
            Self::Newest => "XREVRANGE",
            Self::SetIfAbsent | Self::Append | Self::Diagnose => "",
        }
    }

    /// True if nothing is left to be refused once a command was run.
    pub(super) fn is_one_command(self) -> bool {
        !self.in_script().contains(',')
    }
}
