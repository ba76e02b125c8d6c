//! What the caller's tenant asked for: one tenant's requests of a time go out, no other's.

use std::sync::Arc;

use super::{Context, FromContext, State};
use crate::error::{Error, StoreError};
use crate::id::TenantId;
use crate::task::store::{ActivityPage, ActivityQuery, TaskStore};

/// The requests of one tenant, of all its users and without payloads. An action that takes it should
/// need a grant: [`Action::needs`](crate::action::Action::needs).
#[derive(Debug, Clone)]
pub struct TenantActivity {
    tenant: TenantId,
    store: Arc<dyn TaskStore>,
}

impl TenantActivity {
    /// The requests of `tenant` in `store`.
    pub fn new(tenant: TenantId, store: Arc<dyn TaskStore>) -> Self {
        Self { tenant, store }
    }

    /// Some of them; see [`TaskStore::activity`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn page(&self, query: &ActivityQuery) -> Result<ActivityPage, StoreError> {
        self.store.activity(&self.tenant, query).await
    }
}

impl FromContext for TenantActivity {
    fn from_context(context: &Context) -> Result<Self, Error> {
        // Binding an app puts its store there.
        let State(store) = State::<Arc<dyn TaskStore>>::from_context(context)?;
        Ok(Self::new(context.owner.tenant.clone(), store))
    }
}
