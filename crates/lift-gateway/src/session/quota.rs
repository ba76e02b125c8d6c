//! In: the limits in force. Out: which of API Gateway's quotas they keep, and which they relax, by name.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use lift_apigw::limits as aws;

use super::rules::Limits;

/// Longest time that a Lambda function may run at all.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// How often something may happen: a token bucket (developer guide, "Throttle requests").
///
/// ```
/// use std::num::NonZeroU32;
/// use lift_gateway::Rate;
///
/// let rate = Rate { per_second: NonZeroU32::new(500).unwrap(), burst: NonZeroU32::MIN };
/// assert_eq!(rate.to_string(), "500/s, burst 1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in a second.
    pub per_second: NonZeroU32,
    /// Tokens that the bucket holds.
    pub burst: NonZeroU32,
}

impl Rate {
    /// New connections of an account and region; that the burst is one second's worth is *unverified*.
    pub const CONNECTIONS: Self =
        Self::of(aws::CONNECTIONS_PER_SECOND, aws::CONNECTIONS_PER_SECOND);
    /// Requests of an account and region.
    pub const REQUESTS: Self = Self::of(aws::REQUESTS_PER_SECOND, aws::REQUESTS_BURST);
    /// Messages of one client: API Gateway has such a limit and does not publish it (*unverified*).
    pub const CLIENT_MESSAGES: Self = Self::of(1000, 1000);

    const fn of(per_second: u32, burst: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).expect("quotas are not zero");
        let burst = NonZeroU32::new(burst).expect("quotas are not zero");
        Self { per_second, burst }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s, burst {}", self.per_second, self.burst)
    }
}

/// A quota of API Gateway that a host may relax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Quota {
    /// 32 KiB a frame.
    FrameSize,
    /// 128 KiB a message.
    MessageSize,
    /// 6 MiB that a function may return.
    ResponseSize,
    /// 29 s for an integration.
    IntegrationTimeout,
    /// 10 minutes without a message.
    Idle,
    /// 2 hours in all.
    Lifetime,
    /// 500 new connections a second.
    ConnectionRate,
    /// 10,000 messages and `@connections` calls a second.
    MessageRate,
    /// What one client may send before 1008.
    ClientRate,
}

/// A name that no quota has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no quota is named `{name}`")]
pub struct UnknownQuota {
    name: String,
}

impl Quota {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::FrameSize,
        Self::MessageSize,
        Self::ResponseSize,
        Self::IntegrationTimeout,
        Self::Idle,
        Self::Lifetime,
        Self::ConnectionRate,
        Self::MessageRate,
        Self::ClientRate,
    ];

    /// The name for command lines and banners.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FrameSize => "frame-size",
            Self::MessageSize => "message-size",
            Self::ResponseSize => "response-size",
            Self::IntegrationTimeout => "integration-timeout",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::ConnectionRate => "connection-rate",
            Self::MessageRate => "message-rate",
            Self::ClientRate => "client-rate",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quota {
    type Err = UnknownQuota;

    fn from_str(name: &str) -> Result<Self, UnknownQuota> {
        let found = Self::ALL.into_iter().find(|quota| quota.name() == name);
        found.ok_or_else(|| UnknownQuota {
            name: name.to_owned(),
        })
    }
}

impl Limits {
    /// API Gateway's limits in full, the account's rates included.
    #[must_use]
    pub fn api_gateway() -> Self {
        Self {
            connection_rate: Some(Rate::CONNECTIONS),
            message_rate: Some(Rate::REQUESTS),
            client_rate: Some(Rate::CLIENT_MESSAGES),
            ..Self::default()
        }
    }

    /// Lifts one quota: times and rates away, sizes to what a function may return.
    ///
    /// ```
    /// use lift_gateway::{Limits, Quota};
    ///
    /// let limits = Limits::api_gateway().relax("lifetime".parse()?);
    /// assert_eq!(limits.relaxed(), [Quota::Lifetime]);
    /// # Ok::<(), lift_gateway::UnknownQuota>(())
    /// ```
    #[must_use]
    pub fn relax(mut self, quota: Quota) -> Self {
        match quota {
            Quota::FrameSize => self.frame_bytes_max = aws::FUNCTION_RESPONSE_BYTES_MAX,
            Quota::MessageSize => self.message_bytes_max = aws::FUNCTION_RESPONSE_BYTES_MAX,
            Quota::ResponseSize => self.response_bytes_max = 10 * aws::FUNCTION_RESPONSE_BYTES_MAX,
            Quota::IntegrationTimeout => self.integration_timeout = FUNCTION_TIMEOUT,
            Quota::Idle => self.idle = None,
            Quota::Lifetime => self.lifetime = None,
            Quota::ConnectionRate => self.connection_rate = None,
            Quota::MessageRate => self.message_rate = None,
            Quota::ClientRate => self.client_rate = None,
        }
        self
    }

    /// The quotas that these limits do not keep, for a start banner.
    #[must_use]
    pub fn relaxed(&self) -> Vec<Quota> {
        let longer = |time: Option<Duration>, max| time.is_none_or(|time| time > max);
        let more = |rate: Option<Rate>, max: Rate| {
            rate.is_none_or(|rate| rate.per_second > max.per_second || rate.burst > max.burst)
        };
        let is_relaxed = |quota: &Quota| match quota {
            Quota::FrameSize => self.frame_bytes_max > aws::FRAME_BYTES_MAX,
            Quota::MessageSize => self.message_bytes_max > aws::MESSAGE_BYTES_MAX,
            Quota::ResponseSize => self.response_bytes_max > aws::FUNCTION_RESPONSE_BYTES_MAX,
            Quota::IntegrationTimeout => self.integration_timeout > aws::INTEGRATION_TIMEOUT,
            Quota::Idle => longer(self.idle, aws::IDLE),
            Quota::Lifetime => longer(self.lifetime, aws::LIFETIME),
            Quota::ConnectionRate => more(self.connection_rate, Rate::CONNECTIONS),
            Quota::MessageRate => more(self.message_rate, Rate::REQUESTS),
            Quota::ClientRate => more(self.client_rate, Rate::CLIENT_MESSAGES),
        };
        Quota::ALL.into_iter().filter(is_relaxed).collect()
    }
}
