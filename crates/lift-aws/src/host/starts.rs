//! In: a request to run. Out: an invocation of the processor that Lambda has taken, asynchronous.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use lift_aws_client::client::{Client, Endpoint, EndpointError, SendError};
use lift_aws_client::sigv4;
use lift_aws_client::tries::Tries;

use super::Work;
use crate::event::Failure;

/// How long an invocation that Lambda does not take is tried again.
const RETRY_FOR: Duration = Duration::from_secs(30);

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
        let function = sigv4::encode_segment(function);
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
        let mut tries = Tries::within(RETRY_FOR);
        loop {
            let error = match self.try_once(work).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_passing() || !tries.again().await {
                return Err(Failure::Backend(error.into()));
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
