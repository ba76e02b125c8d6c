//! In: an event's context. Out: the connection's address, which posts can be made to.

use std::borrow::Cow;
use std::sync::Arc;

use lift::id::ConnectionId;
use lift_apigw::event::RequestContext;
use lift_aws_client::client::url_suffix;

use super::Naming;
use crate::address;

/// Names connections by their address. A custom domain has no `@connections` of its own at the path of
/// the stage, so that the API's own name stands for it.
#[must_use]
pub fn by_address(region: &str) -> Naming {
    let own = format!("execute-api.{region}.{}", url_suffix(region));
    Arc::new(move |context: &RequestContext<'_>| {
        let (id, stage) = (&context.connection_id, &context.stage);
        let domain = &context.domain_name;
        let is_custom = !domain.starts_with(context.api_id.as_ref()) && !domain.contains(':');
        let host = match is_custom {
            true => Cow::Owned(format!("{}.{own}", context.api_id)),
            false => Cow::Borrowed(domain.as_ref()),
        };
        address::make(id, &host, stage).unwrap_or_else(|error| {
            tracing::error!(%error, "a connection that cannot be posted to");
            ConnectionId::new(id.as_ref())
        })
    })
}
