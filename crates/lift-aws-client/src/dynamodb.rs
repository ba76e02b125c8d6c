//! In: calls of DynamoDB and its streams as JSON. Out: the answers of any endpoint, or typed errors.
//!
//! The protocol is AWS's JSON 1.0: `POST /`, the operation in `X-Amz-Target`, the error's type in
//! `__type`. Operations are named as there: `DynamoDB_20120810.PutItem`.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use serde::{Deserialize, Serialize};

use crate::client::{Endpoint, EndpointError, Roots, SendError};
use crate::clock::ServerClock;
use crate::sigv4::Credentials;
use crate::tries::Tries;
use crate::{client, retry};

/// How long a call may take with its retries.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Calls one DynamoDB endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Endpoint);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// DynamoDB refused.
    #[error("{target}: {}: {}", .refusal.kind, .refusal.message)]
    Refused {
        /// The operation.
        target: String,
        /// What it said.
        refusal: Box<Refusal>,
    },
    /// No answer came.
    #[error("{target} has no answer")]
    Unanswered {
        /// The operation.
        target: String,
        /// Why.
        #[source]
        source: SendError,
    },
    /// The request cannot be made, or the answer is not of its form.
    #[error("{target}: the request or its answer is malformed")]
    Malformed {
        /// The operation.
        target: String,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What DynamoDB says of a call that it refuses.
#[derive(Debug)]
pub struct Refusal {
    /// The error's type without its namespace: `ResourceNotFoundException` and the like.
    pub kind: String,
    /// Its sentence.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// The whole answer: the item that failed a condition is in it where the call asked for it.
    pub body: Bytes,
}

impl Error {
    /// What DynamoDB said, if it refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::Unanswered { .. } | Self::Malformed { .. } => None,
        }
    }

    /// Whether DynamoDB refused with this type of error.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.kind == wanted)
    }

    /// An answer that is not of its form.
    pub fn malformed(
        target: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Malformed {
            target: target.to_owned(),
            source: source.into(),
        }
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => {
                let kind = refusal.kind.as_str();
                refusal.status >= 500
                    || retry::THROTTLES.contains(&kind)
                    || (kind == "TransactionCanceledException" && retry::conflicts(&refusal.body))
            }
            Self::Unanswered { source, .. } => !matches!(source, SendError::Malformed(_)),
            Self::Malformed { .. } => false,
        }
    }
}

impl Client {
    /// A client of its own for `http://127.0.0.1:8000`, or `https://dynamodb.eu-west-1.amazonaws.com`.
    ///
    /// # Errors
    /// If the endpoint is no URL, or TLS cannot be set up.
    pub fn new(
        endpoint: &str,
        region: impl Into<String>,
        credentials: Credentials,
    ) -> Result<Self, EndpointError> {
        let (roots, clock) = (Roots::Public, ServerClock::default());
        let client = client::Client::new(region, credentials, &roots, clock)?;
        Self::over(&client, endpoint)
    }

    /// The same over connections that other services share.
    ///
    /// # Errors
    /// If the endpoint is no URL.
    pub fn over(client: &client::Client, endpoint: &str) -> Result<Self, EndpointError> {
        Ok(Self(client.endpoint("dynamodb", endpoint)?))
    }

    /// The endpoint as it was given, without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.url()
    }

    /// The region that calls are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.client().region()
    }

    /// The time as the service has it.
    #[must_use]
    pub fn clock(&self) -> &ServerClock {
        self.0.client().clock()
    }

    /// Opens a connection before the first call needs it.
    ///
    /// # Errors
    /// If there is none within three seconds.
    pub async fn open(&self) -> Result<(), SendError> {
        self.0.open().await
    }

    /// Calls an operation such as `DynamoDB_20120810.PutItem`; throttled and failed tries are
    /// repeated within 30 s, or within the [deadline](mod@crate::deadline) around it. May be dropped half-way.
    ///
    /// # Errors
    /// An [`Error`] once a retry does not help or the time is over.
    pub async fn call(&self, target: &str, body: &impl Serialize) -> Result<Bytes, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::malformed(target, error))?;
        let body = Bytes::from(body);
        let mut tries = Tries::within(CALL_DEADLINE);
        loop {
            let error = match self.try_once(target, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_passing() || !tries.again().await {
                return Err(error);
            }
            tracing::debug!(%error, "called again");
        }
    }

    async fn try_once(&self, target: &str, body: Bytes) -> Result<Bytes, Error> {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body);
        let request = request.map_err(|error| Error::malformed(target, error))?;
        let answer = self.0.send(request).await;
        let answer = answer.map_err(|source| Error::Unanswered {
            target: target.to_owned(),
            source,
        })?;
        if answer.status().is_success() {
            Ok(answer.into_body())
        } else {
            Err(refused(target, answer))
        }
    }
}

/// The typed error in an answer such as
/// `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceInUseException","Message":"…"}`.
fn refused(target: &str, response: Response<Bytes>) -> Error {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let status = response.status().as_u16();
    let body: Body = serde_json::from_slice(response.body()).unwrap_or_default();
    let kind = body.kind.rsplit('#').next().unwrap_or_default();
    let refusal = Refusal {
        kind: kind.to_owned(),
        message: body.message,
        status,
        body: response.into_body(),
    };
    Error::Refused {
        target: target.to_owned(),
        refusal: Box::new(refusal),
    }
}
