//! What the servers report about themselves, for `wxgate check`.

use redis::{FromRedisValue, InfoDict, Value};

use super::RedisStore;
use super::operation::Operation;
use crate::store::StoreError;

impl RedisStore {
    /// What the server, or each master of a cluster, reports. The user may lack permission to run `INFO`.
    pub async fn servers(&self) -> Result<Vec<InfoDict>, StoreError> {
        let answer: Value = self.run(Operation::Diagnose, "", redis::cmd("INFO")).await?;
        let reports = match answer {
            Value::Map(by_node) => by_node.into_iter().map(|(_, report)| report).collect(),
            one => vec![one],
        };
        let reports = reports.into_iter();
        let reports = reports.filter_map(|report| InfoDict::from_redis_value(report).ok());
        Ok(reports.filter(|report| !report.is_empty()).collect())
    }

    /// Checks that the server replies.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _pong: String = self.run(Operation::Diagnose, "", redis::cmd("PING")).await?;
        Ok(())
    }
}
