//! A scenario comes in; what all virtual clients of one process share goes out.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    ops::Bound::{Excluded, Unbounded},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    books::{ClientNo, Place, Seq},
    diary::Diary,
    echo::{self, Echo},
    opening::Opening,
    payload::{Body, Ids, Known, Row, Template},
    scenario::{Behaviour, Message, Protocol, Scenario, Step, Tokens},
};

/// Most rows of a data file.
const ROWS_MAX: usize = 1_000_000;
/// Messages of the schedule that wait for one client's turn.
pub(crate) const ORDERS_MAX: usize = 1024;

/// Stands for a server that is not known yet.
const ANY: &str = "ws://localhost";

/// Claims of a token to mint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The tenant.
    pub tenant: String,
    /// What it may be used for; everything but grants if absent.
    pub permissions: Option<Vec<String>>,
    /// How long it is valid.
    pub expires_in: Duration,
}

/// Makes a token, or says why it cannot.
pub type Mint = Arc<dyn Fn(&Claims) -> Result<String, String> + Send + Sync>;

/// What all virtual clients of one process share.
pub(crate) struct World {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) connect_within: Duration,
    pub(crate) answer_within: Duration,
    rows: Vec<Row>,
    tokens: Option<Minting>,
    pub(crate) diary: Diary,
    /// Clients with a connection.
    pub(crate) connected: Present,
    /// Clients that send what the schedule asks for.
    pub(crate) senders: Present,
    /// One for each client.
    pub(crate) tasks: TaskTracker,
    /// One for each connection to a plain server.
    pub(crate) readers: TaskTracker,
    /// The last phase is over: no message is due any more.
    pub(crate) over: CancellationToken,
    /// Nothing more is waited for.
    pub(crate) stop: CancellationToken,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// One behaviour, ready to be done.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) opening: Opening,
    pub(crate) speaks: Protocol,
    pub(crate) in_flight: usize,
    pub(crate) messages: Vec<Ready>,
    pub(crate) steps: Vec<Act>,
}

/// One message, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) message: Message,
    pub(crate) body: Body,
}

/// One step, ready to be done.
#[derive(Debug)]
pub(crate) enum Act {
    Send(Box<Ready>),
    Repeat {
        times: u32,
        every: Option<Duration>,
        acts: Vec<Self>,
    },
    Other(Step),
}

struct Minting {
    sub: Template,
    tenant: Template,
    permissions: Option<Vec<String>>,
    expires_in: Duration,
    mint: Mint,
}

/// What the schedule asks of a client that stays.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// To send the behaviour's message of this place, due at this time.
    Send {
        message: u16,
        due: Instant,
        place: Place,
    },
    /// To lose its connection and come back later.
    Cut { offline: Duration },
}

/// Clients that take orders, by behaviour, in turn.
#[derive(Debug)]
pub(crate) struct Present(Vec<Mutex<Turns>>);

/// By their numbers, not in the order in which they came: that is another one in every run.
#[derive(Debug, Default)]
struct Turns {
    clients: BTreeMap<ClientNo, mpsc::Sender<Order>>,
    /// Who was asked last.
    last: Option<ClientNo>,
}

impl World {
    /// Whether some of its clients are for the generator's own server.
    pub(crate) fn wants_echo(scenario: &Scenario) -> bool {
        let mut targets = scenario
            .behaviours
            .values()
            .filter_map(|behaviour| behaviour.target.as_deref());
        targets.any(|target| target == echo::NAME)
    }

    /// Tries all templates of a scenario.
    ///
    /// # Errors
    /// One of them, or its data file, cannot be used.
    pub(crate) fn check(scenario: &Scenario) -> Result<(), String> {
        let mint: Mint = Arc::new(|_claims| Ok(String::new()));
        let target = scenario.target.as_deref().unwrap_or(ANY);
        Self::ready(scenario, (Some(target), None), Some(mint)).map(|_ready| ())
    }

    /// `targets` are the server's URL, and the generator's own server.
    ///
    /// # Errors
    /// A template or a data file that cannot be used, a server that is not named.
    pub(crate) fn ready(
        scenario: &Scenario,
        targets: (Option<&str>, Option<&Echo>),
        mint: Option<Mint>,
    ) -> Result<impl FnOnce(Diary) -> Self + use<>, String> {
        let rows = match &scenario.data {
            Some(file) => rows_of(file)?,
            None => Vec::new(),
        };
        let example = example(scenario, rows.first());
        let kinds = scenario.behaviours.iter().map(|(name, behaviour)| {
            Kind::new(behaviour, scenario, targets, example)
                .map_err(|problem| format!("behaviour `{name}`: {problem}"))
        });
        let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        let tokens = match (&scenario.tokens, mint) {
            (Some(tokens), Some(mint)) => Some(Minting::new(tokens, mint, example)?),
            (Some(_), None) => {
                return Err("it has `tokens`, and there is no key to sign them with".to_owned());
            }
            (None, _) => None,
        };
        let (sources, subprotocols) = (scenario.sources.clone(), scenario.subprotocols.clone());
        let (seed, limits) = (scenario.seed, scenario.limits.clone());
        Ok(move |diary| Self {
            connected: Present::of_kinds(kinds.len()),
            senders: Present::of_kinds(kinds.len()),
            tasks: TaskTracker::new(),
            readers: TaskTracker::new(),
            kinds,
            sources,
            subprotocols,
            seed,
            connect_within: limits.connect_within,
            answer_within: limits.late_after + limits.drain,
            rows,
            tokens,
            diary,
            over: CancellationToken::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Clients that have begun and not ended.
    pub(crate) fn alive(&self) -> usize {
        self.tasks.len()
    }

    /// The row of a client: the file's rows in turn.
    fn row(&self, client: ClientNo) -> Option<&Row> {
        let rows = u64::try_from(self.rows.len())
            .ok()
            .filter(|rows| *rows > 0)?;
        usize::try_from(client % rows)
            .ok()
            .and_then(|place| self.rows.get(place))
    }

    /// What a template of a client's message knows.
    pub(crate) fn known(&self, client: ClientNo, seq: Seq) -> Known<'_> {
        Known {
            client,
            seq,
            seed: self.seed,
            row: self.row(client),
        }
    }

    /// Whether a token that was minted then should be replaced.
    pub(crate) fn is_stale(&self, minted: Instant) -> bool {
        let lasts = self.tokens.as_ref().map(|tokens| tokens.expires_in);
        lasts.is_some_and(|lasts| minted.elapsed() > lasts / 2)
    }

    /// A client's token, where the scenario has tokens.
    pub(crate) fn token(&self, client: ClientNo) -> Option<Result<String, String>> {
        let minting = self.tokens.as_ref()?;
        Some(minting.token(self.known(client, 0)))
    }
}

impl Kind {
    fn new(
        behaviour: &Behaviour,
        scenario: &Scenario,
        (target, echo): (Option<&str>, Option<&Echo>),
        example: Known<'_>,
    ) -> Result<Self, String> {
        let target = match (behaviour.target.as_deref(), echo) {
            (Some(echo::NAME), Some(echo)) => Some(echo.url()),
            // It is started when there is a run.
            (Some(echo::NAME), None) => Some(ANY.to_owned()),
            (own, _) => own
                .or(target)
                .or(scenario.target.as_deref())
                .map(str::to_owned),
        };
        let target = target.ok_or("no server is named: give `target`")?;
        let ready = |message: &Message| Ready::new(message, example);
        Ok(Self {
            opening: Opening::new(&target, scenario, behaviour, example)?,
            speaks: behaviour.speaks.unwrap_or(scenario.speaks),
            in_flight: usize::try_from(behaviour.in_flight.get()).unwrap_or(usize::MAX),
            messages: behaviour
                .messages
                .iter()
                .map(ready)
                .collect::<Result<_, _>>()?,
            steps: acts(&behaviour.steps, example)?,
        })
    }
}

impl Ready {
    fn new(message: &Message, example: Known<'_>) -> Result<Self, String> {
        let body = Body::new(message, example)?;
        Ok(Self {
            message: message.clone(),
            body,
        })
    }
}

fn acts(steps: &[Step], example: Known<'_>) -> Result<Vec<Act>, String> {
    let act = |step: &Step| {
        Ok(match step {
            Step::Send(message) => Act::Send(Box::new(Ready::new(message, example)?)),
            Step::Repeat(repeat) => Act::Repeat {
                times: repeat.times,
                every: repeat.every,
                acts: acts(&repeat.steps, example)?,
            },
            other => Act::Other(other.clone()),
        })
    };
    steps.iter().map(act).collect()
}

impl Minting {
    fn new(tokens: &Tokens, mint: Mint, example: Known<'_>) -> Result<Self, String> {
        let minting = Self {
            sub: Template::new(&tokens.sub, Ids::Bare, example)?,
            tenant: Template::new(&tokens.tenant, Ids::Bare, example)?,
            permissions: tokens.permissions.clone(),
            expires_in: tokens.expires_in,
            mint,
        };
        minting.token(example)?;
        Ok(minting)
    }

    fn token(&self, known: Known<'_>) -> Result<String, String> {
        let claims = Claims {
            sub: self.sub.render(known)?,
            tenant: self.tenant.render(known)?,
            permissions: self.permissions.clone(),
            expires_in: self.expires_in,
        };
        (self.mint)(&claims)
    }
}

impl Present {
    fn of_kinds(kinds: usize) -> Self {
        Self((0..kinds).map(|_| Mutex::default()).collect())
    }

    /// A client that takes orders from now on.
    pub(crate) fn come(&self, behaviour: u16, client: ClientNo, orders: mpsc::Sender<Order>) {
        if let Some(clients) = self.of(behaviour) {
            clients
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clients
                .insert(client, orders);
        }
    }

    /// It takes none any more.
    pub(crate) fn leave(&self, behaviour: u16, client: ClientNo) {
        if let Some(clients) = self.of(behaviour) {
            let mut turns = clients.lock().unwrap_or_else(PoisonError::into_inner);
            turns.clients.remove(&client);
        }
    }

    /// Gives an order to the client whose turn it is; `false` if none can take it.
    pub(crate) fn send(&self, behaviour: u16, order: Order) -> bool {
        /// Clients that are asked: where so many are full, the others are.
        const ASKED_MAX: usize = 8;
        let Some(clients) = self.of(behaviour) else {
            return false;
        };
        let mut turns = clients.lock().unwrap_or_else(PoisonError::into_inner);
        (0..turns.clients.len().min(ASKED_MAX)).any(|_| {
            let orders = turns.next();
            orders.is_some_and(|orders| orders.try_send(order).is_ok())
        })
    }

    /// All of them, by their number.
    pub(crate) fn all(&self) -> Vec<(ClientNo, mpsc::Sender<Order>)> {
        let locked = self
            .0
            .iter()
            .map(|clients| clients.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all: Vec<_> = locked.flat_map(|turns| turns.clients.clone()).collect();
        all.sort_by_key(|(client, _)| *client);
        all
    }

    fn of(&self, behaviour: u16) -> Option<&Mutex<Turns>> {
        self.0.get(usize::from(behaviour))
    }
}

impl Turns {
    /// Whose turn it is.
    fn next(&mut self) -> Option<&mpsc::Sender<Order>> {
        let after = self.last.map_or(Unbounded, Excluded);
        let mut later = self.clients.range((after, Unbounded));
        let (client, orders) = later.next().or_else(|| self.clients.iter().next())?;
        self.last = Some(*client);
        Some(orders)
    }
}

/// What the first message of the first client knows.
pub(crate) fn example<'a>(scenario: &Scenario, row: Option<&'a Row>) -> Known<'a> {
    Known {
        client: 0,
        seq: 1,
        seed: scenario.seed,
        row,
    }
}

/// The row of the first client.
pub(crate) fn first_row(scenario: &Scenario) -> Result<Option<Row>, String> {
    match &scenario.data {
        Some(file) => rows(file)?.next().transpose(),
        None => Ok(None),
    }
}

fn rows(file: &Path) -> Result<impl Iterator<Item = Result<Row, String>>, String> {
    let unusable = move |error: csv::Error| format!("the data file `{}`: {error}", file.display());
    let mut reader = csv::Reader::from_path(file).map_err(unusable)?;
    let names = reader.headers().map_err(unusable)?.clone();
    Ok(reader.into_records().map(move |record| {
        let record = record.map_err(unusable)?;
        let row = names
            .iter()
            .zip(record.iter())
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(row.collect())
    }))
}

fn rows_of(file: &Path) -> Result<Vec<Row>, String> {
    let rows: Vec<Row> = rows(file)?.take(ROWS_MAX + 1).collect::<Result<_, _>>()?;
    if rows.len() > ROWS_MAX {
        return Err(format!(
            "the data file `{}` has more than {ROWS_MAX} rows",
            file.display()
        ));
    }
    if rows.is_empty() {
        return Err(format!("the data file `{}` has no rows", file.display()));
    }
    Ok(rows)
}
