//! The plain HTTP routes beside the WebSocket: health, metrics, a request by id, a result by token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use lift::app::Runtime;
use lift::error::Code;
use lift::identity::{Denied, Handshake};
use lift_gateway::Gateway;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::results::{FileResults, ResultError};

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) runtime: Runtime,
    pub(crate) gateway: Gateway,
    pub(crate) results: Option<Arc<FileResults>>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) draining: CancellationToken,
    /// Whether requests can be accepted: false once the store has stopped writing.
    pub(crate) writable: Arc<dyn Fn() -> bool + Send + Sync>,
}

pub(crate) fn router(site: Site) -> Router {
    let schemas = schemas(&site.runtime);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/requests/{id}", get(request))
        .route("/results/{token}", get(result))
        .route("/schemas", get(async move || json(StatusCode::OK, schemas)))
        .fallback(upgrade)
        .with_state(site)
}

fn message(status: StatusCode, text: &str) -> Response {
    json(status, format!(r#"{{"message":"{text}"}}"#))
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

async fn ready(State(site): State<Site>) -> Response {
    if site.draining.is_cancelled() {
        return message(StatusCode::SERVICE_UNAVAILABLE, "Draining");
    }
    if !(site.writable)() {
        return message(StatusCode::SERVICE_UNAVAILABLE, "Store not writable");
    }
    (StatusCode::OK, "ready\n").into_response()
}

async fn metrics(State(site): State<Site>) -> Response {
    let Some(metrics) = site.metrics else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    metrics::gauge!("lift_connections_open").set(f64::from(
        u32::try_from(site.gateway.connections().len()).unwrap_or(u32::MAX),
    ));
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        metrics.render(),
    )
        .into_response()
}

/// The schema of every action's payload, by name; rendered once, since anybody may ask.
fn schemas(runtime: &Runtime) -> Bytes {
    let schemas: serde_json::Map<String, serde_json::Value> = runtime
        .actions()
        .iter()
        .filter_map(|(name, action)| Some((name.clone(), action.schema()?.clone())))
        .collect();
    serde_json::Value::Object(schemas).to_string().into()
}

/// `GET /requests/{id}`: the request as `request.get` shows it, with the token of the WebSocket.
async fn request(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let headers = headers.iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let handshake = Handshake {
        headers: headers.collect(),
        query: Vec::new(),
        source_ip: peer.ip().to_canonical().to_string(),
    };
    let identity = match site.runtime.authenticate(&handshake).await {
        Ok(identity) => identity,
        Err(Denied::Unauthorized(_)) => return message(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Err(Denied::Forbidden(_)) => return message(StatusCode::FORBIDDEN, "Forbidden"),
        Err(Denied::Unavailable(_)) => {
            return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        }
    };
    match site.runtime.request(&identity.owner, &id).await {
        Ok(view) => json(StatusCode::OK, view.get().to_owned()),
        Err(error) if error.body().code == Code::NotFound => {
            message(StatusCode::NOT_FOUND, "Not Found")
        }
        Err(error) => {
            tracing::warn!(error = lift::error::chain(&error), "request not read");
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
    }
}

/// `GET /results/{token}`: the token is all that is needed.
async fn result(State(site): State<Site>, Path(token): Path<String>) -> Response {
    let Some(results) = &site.results else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    match results
        .read(&token, site.runtime.backends().clock.now())
        .await
    {
        Ok(bytes) => json(StatusCode::OK, bytes),
        Err(ResultError::Expired) => message(StatusCode::GONE, "Gone"),
        Err(ResultError::Invalid) => message(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn upgrade(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    site.gateway.handle(request, peer).await.map(Body::new)
}
