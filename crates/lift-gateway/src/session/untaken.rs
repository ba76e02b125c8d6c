//! In: what a function returned, and for what. Out: whether the gateway can use it, and why not, for who wrote it.
//!
//! Sessions read answers by the same functions, so that what is said here is what happens there.

use lift_apigw::malformed::Malformed;

use super::rules::{RouteResponse, Rules};
use super::{Function, Returned, answer, authorizer, handshake};

/// Why an answer is not taken, in a sentence that says what to return instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untaken {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More than a function or an authorizer may return.
    #[error("the answer has {bytes} bytes, and it may have {max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A status that no handshake is answered with.
    #[error("`statusCode` must be from 200 to 599, and it is {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The body is no base64, and is said to be.
    #[error("`body` must be base64 where `isBase64Encoded` is true, and it is not")]
    NotBase64,
    /// The body is more than a message may be.
    #[error(
        "`body` has {bytes} bytes, and a message has at most {max}: send it in parts, by `@connections`"
    )]
    BodyTooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The policy denies this connection, as is its right.
    #[error("the policy denies {arn}")]
    Denied {
        /// The connection's ARN.
        arn: String,
    },
    /// The policy allows something, and it is not this connection.
    #[error("the policy allows {allowed}, and this connection is `execute-api:Invoke` on `{arn}`")]
    AllowsOther {
        /// What its statements allow.
        allowed: String,
        /// The connection's ARN.
        arn: String,
    },
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of it has its effect.
    Whole,
    /// Its body goes nowhere: the route has no route response.
    WithoutBody,
}

impl Rules {
    /// What a session makes of this answer of a function.
    ///
    /// # Errors
    /// The gateway answers the client with an error instead: [`Untaken`] says why.
    pub fn take(&self, function: &Function, answer: &Returned) -> Result<Taken, Untaken> {
        match function {
            Function::Authorizer => {
                authorizer::read(&self.connect_arn(), &answer.json()).map(drop)?
            }
            Function::Connect => handshake::read(&self.limits, &answer.json()).map(drop)?,
            Function::Message { route } => {
                let response = self.routes.get(route).map(|route| route.response);
                let response = response.unwrap_or_default();
                answer::read(response, answer, &self.limits)?;
                if response == RouteResponse::OneWay && answer::has_body(answer) {
                    return Ok(Taken::WithoutBody);
                }
            }
            // What it answers changes nothing.
            Function::Disconnect => {}
        }
        Ok(Taken::Whole)
    }
}
