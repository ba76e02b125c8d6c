//! In: a request to run. Out: an invocation of the processor that Lambda has taken, asynchronous.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use lift_aws_client::client::{Client, Endpoint, EndpointError, SendError};
use lift_aws_client::retry;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep_until};

use super::Work;
use crate::event::Failure;

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Starts processors: Lambda's `Invoke` with the type `Event` (Lambda API Reference, "Invoke").
#[derive(Clone, Debug)]
pub struct Starts {
    lambda: Endpoint,
    path: String,
}

/// Why Lambda has not taken an invocation.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("Lambda answered {0} {1}")]
    Status(StatusCode, String),
    #[error("Lambda was not reached")]
    Unanswered(#[from] SendError),
    #[error("the request is malformed")]
    Malformed(#[from] http::Error),
    #[error("the work has no JSON form")]
    Json(#[from] serde_json::Error),
}

impl NotTaken {
    fn is_passing(&self) -> bool {
        match self {
            Self::Status(status, _) => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Unanswered(error) => !matches!(error, SendError::Malformed(_)),
            Self::Malformed(_) | Self::Json(_) => false,
        }
    }
}

impl Starts {
    /// Starts the function of this name, or this ARN, by way of Lambda at `url`.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(client: &Client, url: &str, function: &str) -> Result<Self, EndpointError> {
        let function = utf8_percent_encode(function, SEGMENT);
        Ok(Self {
            lambda: client.endpoint("lambda", url)?,
            path: format!("/2015-03-31/functions/{function}/invocations"),
        })
    }

    /// Opens a connection before the first start needs it.
    ///
    /// # Errors
    /// If there is none within three seconds.
    pub async fn open(&self) -> Result<(), SendError> {
        self.lambda.open().await
    }

    /// Has Lambda take an invocation; what it is throttled or fails at is tried again.
    pub(crate) async fn start(&self, work: &Work) -> Result<(), Failure> {
        let mut failed = 0;
        loop {
            let error = match self.try_once(work).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            failed += 1;
            let random = getrandom::u32().unwrap_or_default();
            match retry::delay(failed, random).filter(|_| error.is_passing()) {
                Some(pause) => sleep_until(Instant::now() + pause).await,
                None => return Err(Failure::Backend(error.into())),
            }
        }
    }

    async fn try_once(&self, work: &Work) -> Result<(), NotTaken> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("x-amz-invocation-type", "Event")
            .body(Bytes::from(serde_json::to_vec(work)?))?;
        let answer = self.lambda.send(request).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(answer.body())
            .chars()
            .take(200)
            .collect();
        Err(NotTaken::Status(answer.status(), said))
    }
}
