//! In: messages for connections. Out: signed calls of `@connections`, and their outcomes.
//!
//! Source: API Gateway developer guide, "Use @connections commands in your backend service".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use lift::id::ConnectionId;
use lift::outbound::{Post, PostError};
use lift_apigw::limits::MESSAGE_BYTES_MAX;
use lift_apigw::management::ERROR_TYPE_HEADER;
use lift_aws_client::client::{Client, Endpoint, EndpointError, SendError};
use lift_aws_client::sigv4;
use lift_aws_client::tries::Tries;

use crate::address;

const SERVICE: &str = "execute-api";
/// How long refusals that may pass are answered by another try: within `lift`'s `POST_TIMEOUT`.
const RETRY_FOR: Duration = Duration::from_secs(3);
/// Endpoints that are kept: an app has one for each of its APIs' stages.
const ENDPOINTS_MAX: usize = 64;

/// Posts to connections by way of API Gateway, at the endpoint that each connection's
/// [address] names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ManagementPosts {
    client: Client,
    to: To,
}

#[derive(Clone, Debug)]
enum To {
    /// Where the address says.
    Addressed(Arc<Mutex<HashMap<String, Endpoint>>>),
    /// One URL for all.
    One(Endpoint),
}

/// The gateway refused.
#[derive(Debug, thiserror::Error)]
#[error("the gateway answered {status} `{error_type}`")]
struct Refused {
    status: StatusCode,
    error_type: String,
}

impl ManagementPosts {
    /// Posts over `https` to the endpoint of each connection's address.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            to: To::Addressed(Arc::default()),
        }
    }

    /// Posts to `url` instead, whatever host and stage an address has: a custom domain, whose path
    /// has no stage, or a gateway on this machine.
    ///
    /// # Errors
    /// It is no `http` or `https` URL with a host.
    pub fn through(self, url: &str) -> Result<Self, EndpointError> {
        let to = To::One(self.client.endpoint(SERVICE, url)?);
        Ok(Self { to, ..self })
    }

    fn endpoint(&self, host: &str, stage: &str) -> Result<Endpoint, EndpointError> {
        let endpoints = match &self.to {
            To::One(endpoint) => return Ok(endpoint.clone()),
            To::Addressed(endpoints) => endpoints,
        };
        let url = format!("https://{host}/{stage}");
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoints.get(&url) {
            return Ok(endpoint.clone());
        }
        let endpoint = self.client.endpoint(SERVICE, &url)?;
        if endpoints.len() >= ENDPOINTS_MAX {
            endpoints.clear();
        }
        endpoints.insert(url, endpoint.clone());
        Ok(endpoint)
    }

    async fn call(
        &self,
        method: Method,
        connection: &ConnectionId,
        message: Bytes,
    ) -> Result<(), PostError> {
        let address = address::split(connection).map_err(unavailable)?;
        let endpoint = self.endpoint(address.host, address.stage);
        let endpoint = endpoint.map_err(unavailable)?;
        let id = sigv4::encode_segment(address.connection_id);
        let path = format!("/@connections/{id}");
        let mut tries = Tries::within(RETRY_FOR);
        loop {
            let request = request(&method, &path, message.clone())?;
            let answer = endpoint.send(request).await;
            let refusal = match Outcome::of(answer)? {
                Outcome::Done => return Ok(()),
                Outcome::Passing(refusal) => refusal,
            };
            if !tries.again().await {
                return Err(refusal);
            }
        }
    }
}

#[async_trait]
impl Post for ManagementPosts {
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(PostError::TooLarge);
        }
        self.call(Method::POST, connection, message).await
    }

    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        self.call(Method::DELETE, connection, Bytes::new()).await
    }
}

/// What an answer means for the call.
enum Outcome {
    Done,
    /// The same may succeed a little later.
    Passing(PostError),
}

impl Outcome {
    fn of(answer: Result<Response<Bytes>, SendError>) -> Result<Self, PostError> {
        // Whether it arrived nobody knows: only who sent it knows whether twice is right.
        let answer = answer.map_err(unavailable)?;
        let status = answer.status();
        let error_type = error_type(&answer);
        if status.is_success() {
            return Ok(Self::Done);
        }
        if status == StatusCode::GONE {
            return Err(PostError::Gone);
        }
        if status == StatusCode::TOO_MANY_REQUESTS || error_type == "LimitExceededException" {
            return Ok(Self::Passing(PostError::Throttled));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE
            || (status == StatusCode::BAD_REQUEST && says_too_large(answer.body()))
        {
            return Err(PostError::TooLarge);
        }
        let refused = Refused { status, error_type };
        if status.is_server_error() {
            return Ok(Self::Passing(unavailable(refused)));
        }
        Err(unavailable(refused))
    }
}

fn request(method: &Method, path: &str, message: Bytes) -> Result<Request<Bytes>, PostError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(message);
    request.map_err(unavailable)
}

/// The error's name, without the address of its documentation that may follow a colon.
fn error_type(answer: &Response<Bytes>) -> String {
    let named = answer.headers().get(ERROR_TYPE_HEADER);
    let named = named
        .and_then(|name| name.to_str().ok())
        .unwrap_or_default();
    named.split(':').next().unwrap_or_default().to_owned()
}

/// A `BadRequestException` may be about the size; its text alone says so.
fn says_too_large(body: &[u8]) -> bool {
    String::from_utf8_lossy(body)
        .to_ascii_lowercase()
        .contains("too large")
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PostError {
    PostError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use lift_aws_client::client::Roots;
    use lift_aws_client::clock::ServerClock;
    use lift_aws_client::sigv4::Credentials;

    use super::*;

    #[test]
    fn endpoints_are_kept_up_to_a_limit() {
        let credentials = Credentials {
            access_key: String::new(),
            secret_key: String::new(),
            session_token: None,
        };
        let clock = ServerClock::default();
        let client = Client::new("eu-west-1", credentials, &Roots::Public, clock).unwrap();
        let posts = ManagementPosts::new(client);
        let To::Addressed(kept) = &posts.to else {
            panic!("it was told no URL");
        };
        let kept = || kept.lock().unwrap().len();
        for _ in 0..3 {
            let endpoint = posts.endpoint("h.example", "prod").unwrap();
            assert_eq!(endpoint.url(), "https://h.example/prod");
            assert_eq!(kept(), 1);
        }
        for n in 0..1_000 {
            posts.endpoint(&format!("h{n}.example"), "prod").unwrap();
            assert!(kept() <= ENDPOINTS_MAX);
        }
    }
}
