//! Facts about the servers, for `wxgate check`.

use redis::Value;

use super::RedisStore;
use super::operation::Operation;
use crate::store::StoreError;

/// What one server reports about itself; `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `redis_version`.
    pub version: Option<String>,
    /// Which keys it evicts if its memory is full.
    pub maxmemory_policy: Option<String>,
    /// The limit of its memory in bytes; 0 means none.
    pub maxmemory: Option<u64>,
}

impl RedisStore {
    /// Facts about the server, or about the masters of a cluster. The user may lack the right to run `INFO`.
    pub async fn servers(&self) -> Result<Vec<ServerFacts>, StoreError> {
        let answer: Value = self.run(Operation::Diagnose, "", redis::cmd("INFO")).await?;
        let mut texts = Vec::new();
        gather_texts(answer, &mut texts);
        let facts = texts.iter().map(|text| ServerFacts::read(text));
        Ok(facts.filter(|facts| *facts != ServerFacts::default()).collect())
    }

    /// Checks that the server replies.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _pong: String = self.run(Operation::Diagnose, "", redis::cmd("PING")).await?;
        Ok(())
    }
}

impl ServerFacts {
    fn read(info: &str) -> Self {
        let field = |name: &str| {
            let lines = info.lines().filter_map(|line| line.split_once(':'));
            let found = lines.into_iter().find(|(field, _)| *field == name);
            found.map(|(_, value)| value.trim().to_owned())
        };
        Self {
            version: field("redis_version"),
            maxmemory_policy: field("maxmemory_policy"),
            maxmemory: field("maxmemory").and_then(|bytes| bytes.parse().ok()),
        }
    }
}

/// The texts in `value`: in a cluster there is one per node.
fn gather_texts(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => texts.push(text),
        Value::Array(list) => list.into_iter().for_each(|value| gather_texts(value, texts)),
        Value::Map(map) => map.into_iter().for_each(|(_, value)| gather_texts(value, texts)),
        _ => {}
    }
}
