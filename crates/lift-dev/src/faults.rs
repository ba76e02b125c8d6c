//! In: which faults a developer asks for, how often, and a seed. Out: which of them strikes this time.
//!
//! Each fault draws from a sequence of its own, so that a run with one seed has the same faults at the
//! same places, whatever other faults there are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Something that AWS does now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// An invocation finds no capacity.
    Throttle,
    /// The environment dies under an invocation.
    Kill,
    /// A new environment takes this much longer to start.
    ColdStart,
    /// `$disconnect` never comes.
    LoseDisconnect,
    /// `$disconnect` comes this much later.
    LateDisconnect,
    /// A post meets 410 though the client is there, and is not delivered.
    Gone,
    /// A post meets 410 though it is delivered.
    GoneDelivered,
    /// The answer to a message waits this long, so that posts come before it.
    PostFirst,
    /// Posts wait this long, so that the answer comes before them.
    AnswerFirst,
    /// A record of a stream comes twice.
    DuplicateRecords,
    /// Records of different items change places.
    ReorderRecords,
}

/// What a fault is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    /// How many times of 1,000 it strikes.
    PerMille(u16),
    /// How long it takes; it strikes each time.
    Time(Duration),
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Throttle,
        Self::Kill,
        Self::ColdStart,
        Self::LoseDisconnect,
        Self::LateDisconnect,
        Self::Gone,
        Self::GoneDelivered,
        Self::PostFirst,
        Self::AnswerFirst,
        Self::DuplicateRecords,
        Self::ReorderRecords,
    ];

    /// The name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Kill => "kill",
            Self::ColdStart => "cold-start",
            Self::LoseDisconnect => "lose-disconnect",
            Self::LateDisconnect => "late-disconnect",
            Self::Gone => "gone",
            Self::GoneDelivered => "gone-delivered",
            Self::PostFirst => "post-first",
            Self::AnswerFirst => "answer-first",
            Self::DuplicateRecords => "duplicate-records",
            Self::ReorderRecords => "reorder-records",
        }
    }

    /// Whether it strikes records of streams, which are read as they were at the start.
    pub(crate) fn is_of_streams(self) -> bool {
        matches!(self, Self::DuplicateRecords | Self::ReorderRecords)
    }

    fn takes_time(self) -> bool {
        matches!(
            self,
            Self::ColdStart | Self::LateDisconnect | Self::PostFirst | Self::AnswerFirst
        )
    }

    /// Longest time: with it, `$disconnect` and answers still come before the integration's 29 s.
    const TIME_MAX: Duration = Duration::from_secs(20);

    fn amount(self, text: &str) -> Option<Amount> {
        if self.takes_time() {
            let (number, unit_ms) = match text.strip_suffix("ms") {
                Some(number) => (number, 1),
                None => (text.strip_suffix('s')?, 1_000),
            };
            let time = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(unit_ms)?);
            return (time <= Self::TIME_MAX).then_some(Amount::Time(time));
        }
        let percent = text.strip_suffix('%')?;
        let (whole, tenth) = percent.split_once('.').unwrap_or((percent, "0"));
        let (whole, tenth): (u16, u16) = (whole.parse().ok()?, tenth.parse().ok()?);
        let per_mille = whole.checked_mul(10)?.checked_add(tenth)?;
        (tenth < 10 && per_mille <= 1_000).then_some(Amount::PerMille(per_mille))
    }
}

/// A fault and how much of it: `throttle=5%`, `cold-start=280ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    fault: Fault,
    amount: Amount,
}

impl Wanted {
    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }
}

/// Why a text asks for no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// No fault has this name.
    #[error("no fault is named `{name}`{}", suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// The nearest one.
        suggestion: Option<&'static str>,
    },
    /// The amount cannot be read.
    #[error("`{name}` takes {expected}, not `{text}`")]
    Amount {
        /// The fault.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        text: String,
    },
}

impl FromStr for Wanted {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Self, WantedError> {
        let (name, amount) = text.split_once('=').unwrap_or((text, ""));
        let found = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        let fault = found.ok_or_else(|| {
            let near = Fault::ALL.map(Fault::name).into_iter();
            WantedError::Unknown {
                name: name.to_owned(),
                suggestion: near
                    .map(|near| (strsim::jaro_winkler(near, name), near))
                    .filter(|(likeness, _)| *likeness > 0.8)
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .map(|(_, near)| near),
            }
        })?;
        let read = fault.amount(amount).ok_or_else(|| WantedError::Amount {
            name: fault.name(),
            expected: if fault.takes_time() {
                "a time up to 20 s, like `280ms` or `2s`"
            } else {
                "a share, like `5%` or `0.5%`"
            },
            text: amount.to_owned(),
        });
        Ok(Self {
            fault,
            amount: read?,
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.fault.name();
        match self.amount {
            Amount::PerMille(n) if n % 10 == 0 => write!(f, "{name}={}%", n / 10),
            Amount::PerMille(n) => write!(f, "{name}={}.{}%", n / 10, n % 10),
            Amount::Time(time) => write!(f, "{name}={}ms", time.as_millis()),
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The faults in force, and where each is in its sequence.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    seed: u64,
    wanted: BTreeMap<Fault, (Amount, u64)>,
}

impl Faults {
    /// These faults, and no other, from this seed.
    #[must_use]
    pub fn new(seed: u64, wanted: impl IntoIterator<Item = Wanted>) -> Self {
        let wanted = wanted.into_iter();
        Self {
            seed,
            wanted: wanted.map(|w| (w.fault, (w.amount, 0))).collect(),
        }
    }

    /// These faults from now on; what strikes streams stays as it is.
    pub(crate) fn replace(&mut self, others: Self) {
        let of_streams = self
            .wanted
            .iter()
            .filter(|(fault, _)| fault.is_of_streams());
        let of_streams: Vec<_> = of_streams
            .map(|(fault, amount)| (*fault, *amount))
            .collect();
        *self = others;
        self.wanted.extend(of_streams);
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is in force.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        let wanted = self.wanted.iter();
        wanted
            .map(|(fault, (amount, _))| Wanted {
                fault: *fault,
                amount: *amount,
            })
            .collect()
    }

    /// Whether this fault strikes now.
    ///
    /// ```
    /// use lift_dev::faults::{Fault, Faults};
    ///
    /// let mut faults = Faults::new(7, ["throttle=100%".parse()?]);
    /// assert!(faults.strikes(Fault::Throttle));
    /// assert!(!faults.strikes(Fault::Gone));
    /// # Ok::<(), lift_dev::faults::WantedError>(())
    /// ```
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let Some((Amount::PerMille(per_mille), drawn)) = self.wanted.get_mut(&fault) else {
            return false;
        };
        *drawn += 1;
        let name = fault.name().bytes();
        let sequence = name.fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        mix(sequence ^ *drawn) % 1_000 < u64::from(*per_mille)
    }

    /// How many of 1,000 this fault strikes.
    #[must_use]
    pub fn per_mille(&self, fault: Fault) -> u16 {
        match self.wanted.get(&fault) {
            Some((Amount::PerMille(per_mille), _)) => *per_mille,
            Some((Amount::Time(_), _)) | None => 0,
        }
    }

    /// How long this fault takes.
    #[must_use]
    pub fn time(&self, fault: Fault) -> Option<Duration> {
        match self.wanted.get(&fault) {
            Some((Amount::Time(time), _)) => Some(*time),
            Some((Amount::PerMille(_), _)) | None => None,
        }
    }
}

/// What SplitMix64 goes on by.
pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's step (Steele, Lea and Flood, 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
