//! What an error from Redis or its client means to an operator, and what to do about it.

use std::error::Error;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use super::operation::{COMMANDS, Operation};
use crate::http_client::{cause, certificate_problem};
use crate::settings::RedisMode;
use crate::store::{StoreError, StoreFault};

/// The maximum number of characters of a server's text that are shown.
const MAX_SHOWN: usize = 200;

/// The failure of a command on `key`.
pub(super) fn refusal(operation: Operation, key: &str, error: &RedisError) -> StoreError {
    let (command, _) = operation.commands();
    let Some(text) = reply(error) else {
        if error.kind() == ErrorKind::Io {
            let message = format!("the connection broke during {command}: {}", root_cause(error));
            let cure = format!(
                "check that Redis is up and has fewer connections than its maxclients, and that redis.url begins with \
                 rediss:// if it requires TLS; if so and this persists, a proxy in front probably closes the connection \
                 because it does not support {command}"
            );
            return StoreError::new(StoreFault::Unreachable, message, cure);
        }
        // The client's text for such an error quotes the reply, which may be a token.
        let message = format!("{command} failed: {}", error.category());
        return StoreError::new(StoreFault::Other, message, NO_REDIS_CURE);
    };
    let (fault, cure) = meaning(operation, error, &text);
    let message = match fault {
        StoreFault::WrongType => format!("{key} is of another type: {text}"),
        _ => format!("Redis refused {command}: {text}"),
    };
    StoreError::new(fault, message, cure)
}

/// Why no connection could be made.
pub(super) fn no_connection(error: &RedisError, mode: RedisMode) -> StoreError {
    if let Some((wrong, cure)) = certificate_problem(error) {
        return StoreError::new(StoreFault::Unreachable, format!("no connection: {wrong}"), cure);
    }
    let text = reply(error).unwrap_or_else(|| root_cause(error));
    if is_login(error) {
        let message = format!("Redis refused the login: {text}");
        return StoreError::new(StoreFault::Login, message, LOGIN_CURE);
    }
    let message = format!("no connection: {text}");
    let cure = connection_right_cure(&text)
        .unwrap_or_else(|| cure_of_answer(&text).unwrap_or(unreachable_cure(mode)).to_owned());
    StoreError::new(StoreFault::Unreachable, message, cure)
}

/// There was no reply within `redis.response_timeout`, or no connection within `redis.connect_timeout`.
pub(super) fn timed_out(what: &str, mode: RedisMode) -> StoreError {
    StoreError::new(StoreFault::Unreachable, what, unreachable_cure(mode))
}

/// The sentinels' own login failed.
pub(super) fn sentinel_login(error: &RedisError) -> StoreError {
    let text = reply(error).unwrap_or_else(|| root_cause(error));
    let message = format!("the sentinels refused the login: {text}");
    StoreError::new(StoreFault::Login, message, SENTINEL_LOGIN_CURE)
}

/// True if a wrong or missing login caused the failure. Before login, Redis answers a long command with a protocol error,
/// and closes the connection.
pub(super) fn is_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        || reply(error).is_some_and(|text| text.contains("unauthenticated"))
}

const LOGIN_CURE: &str = "correct redis.username and redis.password, or the ones in redis.url";
const SENTINEL_LOGIN_CURE: &str = "correct redis.sentinel_username and redis.sentinel_password: the sentinels have a \
                                   login of their own";
const WRONG_MODE_CURE: &str = "redis.mode does not fit this server";
const NO_REDIS_CURE: &str =
    "check that redis.url points to a Redis server, and not to a proxy that changes its replies";

/// Texts in error replies that point to none of our settings, or to only one, and what to do about each.
const ANSWERS: [(&str, &str); 10] = [
    ("MOVED", WRONG_MODE_CURE),
    ("Moved", WRONG_MODE_CURE),
    ("cluster support disabled", WRONG_MODE_CURE),
    ("CROSSSLOT", WRONG_MODE_CURE),
    (
        "DB index is out of range",
        "redis.url ends with a database that this Redis does not have",
    ),
    (
        "SELECT is not allowed",
        "this Redis has one database only: remove the number at the end of redis.url",
    ),
    (
        "MISCONF",
        "Redis can't write its data to disk: look at its disk and its log",
    ),
    (
        "NOREPLICAS",
        "too few of its replicas are connected (min-replicas-to-write): look at the replicas",
    ),
    (
        "BUSY",
        "another program's script blocks it: look at its log, and end the script (SCRIPT KILL)",
    ),
    (
        "max number of clients",
        "it has too many connections: raise maxclients, or close those of other programs",
    ),
];

/// What to do if Redis, or a proxy in front of it, replied `text`.
fn cure_of_answer(text: &str) -> Option<&'static str> {
    let (_, cure) = ANSWERS.iter().find(|(words, _)| text.contains(words))?;
    Some(cure)
}

fn meaning(operation: Operation, error: &RedisError, text: &str) -> (StoreFault, String) {
    // Before version 7, Redis puts a text before the error of a command in a script, so `code` is not enough.
    let code = error.code().unwrap_or_default();
    let has = |codes: &[&str]| codes.iter().any(|word| code == *word || text.contains(word));
    if has(&["WRONGTYPE", "not an integer"]) {
        let cure = "another program's value is at this key: remove or rename it";
        return (StoreFault::WrongType, cure.to_owned());
    }
    if is_login(error) {
        return (StoreFault::Login, LOGIN_CURE.to_owned());
    }
    if has(&["READONLY"]) {
        let cure = "this is a replica: name its master, or use redis.mode = \"sentinel\"";
        return (StoreFault::ReadOnly, cure.to_owned());
    }
    if has(&["OOM"]) {
        let cure = "its memory is full: raise maxmemory, or remove what fills it";
        return (StoreFault::Full, cure.to_owned());
    }
    if has(&["LOADING", "MASTERDOWN", "CLUSTERDOWN"]) {
        let cure = "no action needed if Redis has just started; otherwise look at its log";
        return (StoreFault::Unreachable, cure.to_owned());
    }
    if let Some(cure) = cure_of_answer(text) {
        return (StoreFault::Other, cure.to_owned());
    }
    if has(&["one of the keys", "access a key"]) {
        return (StoreFault::Other, acl_cure("the keys that it lacks"));
    }
    let refused = || StoreFault::Refused(refused_command(operation, text));
    if has(&["NOPERM", "can't run this command"]) {
        return (refused(), acl_cure(&refused_command(operation, text)));
    }
    let lower = text.to_lowercase();
    let unknown = [
        "unknown command",
        "unknown redis command",
        "not support",
        "unsupported",
        "not allowed",
    ];
    if unknown.iter().any(|words| lower.contains(words)) {
        let cure = format!(
            "this Redis, or the proxy in front, has no {}: allow it there (renamed and disabled commands too), or reach \
             Redis without the proxy; docs/reference/redis.md lists what is needed",
            refused_command(operation, text)
        );
        return (refused(), cure);
    }
    let cure = "this is the reply of Redis, or of a proxy in front of it: look at its log and its documentation";
    (StoreFault::Other, cure.to_owned())
}

/// The command that Redis names in quotes, or else the one that was sent, with those in its script.
fn refused_command(operation: Operation, text: &str) -> String {
    let quoted = text.split(['\'', '`']).nth(1).map(str::to_uppercase);
    let known = quoted.filter(|quoted| COMMANDS.contains(&quoted.to_lowercase().as_str()));
    known.unwrap_or_else(|| match operation.commands() {
        (command, "") => command.to_owned(),
        (command, inner) => format!("{command} ({inner})"),
    })
}

/// What to grant our user in the ACL.
fn acl_cure(missing: &str) -> String {
    let all = COMMANDS.map(|command| format!("+{command}")).join(" ");
    format!(
        "ACL SETUSER <user>: give it {missing}; in all the Redis user needs the keys wxgate:* and those of \
         credentials.token_key, ticket_key and lock_key, and {all}"
    )
}

/// What to grant our user in the ACL if it forbids a command needed only for connecting: SELECT, ROLE, CLUSTER SLOTS. The
/// client omits the code NOPERM of a refused SELECT, so the text is searched.
fn connection_right_cure(text: &str) -> Option<String> {
    let (_, forbidden) = text.split_once("no permissions to run the '")?;
    let (command, _) = forbidden.split_once('\'')?;
    Some(format!(
        "ACL SETUSER <user> +{command}; docs/reference/redis.md lists all that the user needs"
    ))
}

fn unreachable_cure(mode: RedisMode) -> &'static str {
    match mode {
        RedisMode::Standalone => "check that Redis is up and reachable from this host at redis.url (rediss:// for TLS)",
        RedisMode::Sentinel => "check that the sentinels are up and know redis.sentinel_service",
        RedisMode::Cluster => "check that the nodes are up and all reachable from this host",
    }
}

/// The server's own text, if it replied, without the arguments of an unknown command, which may be secret, and without
/// the name of a script.
fn reply(error: &RedisError) -> Option<String> {
    error.code()?;
    let text = error.to_string();
    let text = text.split(", with args").next().unwrap_or_default();
    let text = text.split(" script: ").next().unwrap_or_default();
    Some(clean(text.trim_end_matches('.')))
}

/// The root cause, for an error that is not the server's reply.
fn root_cause(error: &RedisError) -> String {
    // The client keeps the connection's error in an `Arc`, whose `source` skips it.
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    clean(&source.map_or_else(|| error.to_string(), |source| cause(source.as_ref())))
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use redis::{FromRedisValue, ServerErrorKind, Value};

    use super::*;

    /// The client puts its own text before the refusal of a SELECT, and omits the code `NOPERM`.
    #[test]
    fn forbidden_command_of_a_connection_is_named_with_the_right_that_is_missing() {
        let select = "User wxgate has no permissions to run the 'select' command";
        let select = RedisError::from((
            ErrorKind::Server(ServerErrorKind::ResponseError),
            "Redis server refused to switch database",
            select.to_owned(),
        ));
        let slots = b"-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n";
        let slots = redis::parse_redis_value(slots).unwrap().extract_error().unwrap_err();
        for (error, right) in [(select, "+select;"), (slots, "+cluster|slots;")] {
            let explained = no_connection(&error, RedisMode::Standalone);
            assert!(explained.message.contains("no permissions to run"), "{explained:?}");
            assert!(
                explained.cure.contains("ACL SETUSER") && explained.cure.contains(right),
                "{explained:?}"
            );
        }
    }

    #[test]
    fn reply_of_another_type_is_not_quoted() {
        let reply = Value::BulkString(b"85_a-token".to_vec());
        let error = RedisError::from(i64::from_redis_value(reply).unwrap_err());
        let message = refusal(Operation::Get, "key", &error).to_string();
        assert!(
            message.contains("failed") && !message.contains("85_a-token"),
            "{message}"
        );
    }

    #[test]
    fn server_that_answers_is_not_called_unreachable() {
        let answers = ANSWERS.map(|(words, _)| format!("-ERR {words} in the text\r\n"));
        for answer in answers.iter().map(String::as_str).chain(["-TRYAGAIN later\r\n"]) {
            let error = redis::parse_redis_value(answer.as_bytes()).unwrap();
            let error = error.extract_error().unwrap_err();
            let explained = format!("{:?}", refusal(Operation::Get, "key", &error));
            assert!(!explained.contains("reachable"), "{explained}");
        }
    }
}
