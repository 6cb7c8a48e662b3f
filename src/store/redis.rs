//! The store in Redis.

/// A shared store in Redis.
pub struct RedisStore {}
