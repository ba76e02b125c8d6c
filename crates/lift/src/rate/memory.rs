//! Buckets kept in this process: scopes come in, room or a wait goes out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{FullAt, Rate, Rates, Scope, take};
use crate::clock::Timestamp;
use crate::error::StoreError;

/// Buckets looked at before full ones are forgotten: a full bucket and none are the same.
const SWEEP_MIN: usize = 1_024;

/// [`Rates`] in memory; clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct MemoryRates(Arc<Mutex<Buckets>>);

#[derive(Debug, Default)]
struct Buckets {
    full_at: HashMap<Scope, FullAt>,
    /// Sweep when there are so many.
    sweep_at: usize,
}

impl Buckets {
    fn take(&mut self, scope: &Scope, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        if let Some(full_at) = self.full_at.get_mut(scope) {
            *full_at = take(*full_at, rate, now)?;
            return Ok(());
        }
        let full_at = take(FullAt::default(), rate, now)?;
        if self.full_at.len() >= self.sweep_at.max(SWEEP_MIN) {
            let now = FullAt(now.as_millis().saturating_mul(1_000_000));
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = self.full_at.len().saturating_mul(2);
        }
        self.full_at.insert(scope.clone(), full_at);
        Ok(())
    }
}

#[async_trait]
impl Rates for MemoryRates {
    async fn take(
        &self,
        scopes: &[(Scope, Rate)],
        now: Timestamp,
    ) -> Result<Result<(), Duration>, StoreError> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = scopes
            .iter()
            .try_for_each(|(scope, rate)| buckets.take(scope, *rate, now));
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConnectionId;

    #[tokio::test]
    async fn buckets_that_are_full_again_are_forgotten() {
        let rates = MemoryRates::default();
        let rate: Rate = "1000/s:1".parse().unwrap();
        for n in 0..50_000_u64 {
            let scope = Scope::Connection(ConnectionId::new(format!("c{n}=")));
            let now = Timestamp::from_millis(1_750_000_000_000 + n);
            rates.take(&[(scope, rate)], now).await.unwrap().unwrap();
        }
        assert!(rates.0.lock().unwrap().full_at.len() <= 2 * SWEEP_MIN);
    }
}
