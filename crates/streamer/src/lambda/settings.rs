//! In: an environment. Out: the settings of a function, or what is wrong with it, each variable by name.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use lift::clock::Clock;
use lift::limits::Limits;
use lift::rate::Rate;
use lift::registry::Room;
use lift_aws::host::Role;
use lift_aws::telemetry;
use lift_aws::telemetry::logs::{self, Form};
use lift_aws_client::client::{Roots, url_suffix};
use lift_aws_client::sigv4::Credentials;
use tracing::level_filters::LevelFilter;

use super::variables::VARIABLES;
use crate::TokenRules;
use crate::auth::{KeySource, QueryToken, Tenants, VerifierConfig};

/// What a function runs with.
#[derive(Debug)]
pub struct Settings {
    /// What it is for.
    pub role: Role,
    /// Where it runs, and as whom.
    pub aws: Aws,
    /// Where what lasts is kept.
    pub places: Places,
    /// What tokens are verified with.
    pub verifier: VerifierConfig,
    /// Where tokens may be.
    pub token_rules: TokenRules,
    /// The limits in force.
    pub limits: Limits,
    /// How it is seen from outside.
    pub telemetry: telemetry::Config,
}

/// Where a function runs, and as whom.
#[derive(Debug)]
pub struct Aws {
    /// `eu-west-1`.
    pub region: String,
    /// Those of the function's role.
    pub credentials: Credentials,
    /// Whom TLS servers' certificates must come from.
    pub roots: Roots,
    /// DynamoDB's URL.
    pub dynamodb: String,
    /// Lambda's URL.
    pub lambda: String,
    /// S3's URL, where it is not AWS's.
    pub s3: Option<String>,
    /// The URL that every post goes to, where it is not that of the connection's API.
    pub management: Option<String>,
    /// The URL that posts will most likely go to.
    pub management_expected: Option<String>,
}

/// Names of tables and the like; empty where the role does without.
#[derive(Debug)]
pub struct Places {
    /// The table of requests.
    pub requests: String,
    /// The table of large payloads and results.
    pub bodies: String,
    /// The table of collections.
    pub collections: String,
    /// The table of connections.
    pub connections: String,
    /// The table of rates.
    pub rates: String,
    /// The bucket.
    pub bucket: String,
    /// The processor's function.
    pub processor: String,
}

/// An environment that a function cannot run in.
#[derive(Debug, thiserror::Error)]
#[error("the environment is wrong: {}", .0.join("; "))]
pub struct Wrong(pub Vec<String>);

/// Reads variables and collects what is wrong with them.
struct Reader<'a> {
    variables: &'a [(String, String)],
    wrong: Vec<String>,
}

impl Reader<'_> {
    /// The value, where the variable is set to something.
    fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.variables.iter();
        let found = all.find(|(known, _)| known == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn required(&mut self, name: &str) -> String {
        self.owned(name).unwrap_or_else(|| {
            self.wrong.push(format!("`{name}` is not set"));
            String::new()
        })
    }

    fn read<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.get(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong.push(format!("`{name}`: {error}"));
                None
            }
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        self.read(name, str::parse).unwrap_or(default)
    }

    fn span(&mut self, name: &str, default: Duration) -> Duration {
        self.read(name, humantime::parse_duration)
            .unwrap_or(default)
    }

    fn rate(&mut self, name: &str) -> Option<Rate> {
        let read = |text: &str| match text {
            "off" => Ok(None),
            rate => rate.parse().map(Some),
        };
        self.read(name, read).flatten()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let listed = self.get(name).unwrap_or_default().split(',');
        let named = listed.map(str::trim).filter(|item| !item.is_empty());
        named.map(str::to_owned).collect()
    }
}

impl Settings {
    /// Reads an environment.
    ///
    /// # Errors
    /// [`Wrong`], naming every variable that is missing, unknown or cannot be read.
    pub fn read(variables: &[(String, String)]) -> Result<Self, Wrong> {
        let mut from = Reader {
            variables,
            wrong: Vec::new(),
        };
        for (name, _) in variables {
            let known = VARIABLES.iter().any(|variable| variable.name == name);
            if name.starts_with("STREAMER_") && !known {
                from.wrong.push(format!("`{name}` is no setting"));
            }
        }
        let handler = from.required("_HANDLER");
        let role: Role = match handler.parse() {
            Ok(role) => role,
            Err(error) => {
                from.wrong.push(format!("`_HANDLER`: {error}"));
                return Err(Wrong(from.wrong));
            }
        };
        for variable in VARIABLES {
            if variable.needed_by.contains(&role) {
                from.required(variable.name);
            }
        }
        let settings = Self {
            role,
            aws: aws(&mut from),
            places: places(&from),
            verifier: verifier(&mut from, role),
            token_rules: token_rules(&mut from),
            limits: limits(&mut from),
            telemetry: telemetry(&mut from),
        };
        let rates = [
            settings.limits.connection_rate,
            settings.limits.user_rate,
            settings.limits.tenant_rate,
            settings.limits.user_connect_rate,
            settings.limits.tenant_connect_rate,
        ];
        if settings.places.rates.is_empty() && rates.iter().any(Option::is_some) {
            from.wrong
                .push("a rate is set, and `STREAMER_RATES_TABLE` is not".to_owned());
        }
        if from.wrong.is_empty() {
            Ok(settings)
        } else {
            Err(Wrong(from.wrong))
        }
    }
}

fn aws(from: &mut Reader<'_>) -> Aws {
    let region = from.required("AWS_REGION");
    let credentials = Credentials {
        access_key: from.required("AWS_ACCESS_KEY_ID"),
        secret_key: from.required("AWS_SECRET_ACCESS_KEY"),
        session_token: from.owned("AWS_SESSION_TOKEN"),
    };
    let suffix = url_suffix(&region);
    let url = |service: &str, variable: &str| {
        let given = from.owned(variable);
        given.unwrap_or_else(|| format!("https://{service}.{region}.{suffix}"))
    };
    let roots = from.get("AWS_CA_BUNDLE");
    Aws {
        dynamodb: url("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
        lambda: url("lambda", "AWS_ENDPOINT_URL_LAMBDA"),
        s3: from.owned("AWS_ENDPOINT_URL_S3"),
        management: from.owned("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
        management_expected: from.owned("STREAMER_MANAGEMENT_ENDPOINT"),
        roots: roots.map_or(Roots::Public, |path| Roots::File(path.into())),
        credentials,
        region,
    }
}

fn places(from: &Reader<'_>) -> Places {
    let named = |name| from.owned(name).unwrap_or_default();
    Places {
        requests: named("STREAMER_REQUESTS_TABLE"),
        bodies: named("STREAMER_BODIES_TABLE"),
        collections: named("STREAMER_COLLECTIONS_TABLE"),
        connections: named("STREAMER_CONNECTIONS_TABLE"),
        rates: named("STREAMER_RATES_TABLE"),
        bucket: named("STREAMER_BUCKET"),
        processor: named("STREAMER_PROCESSOR"),
    }
}

fn verifier(from: &mut Reader<'_>, role: Role) -> VerifierConfig {
    let mut keys: Vec<KeySource> = Vec::new();
    keys.extend(
        from.get("STREAMER_JWT_KEY")
            .map(|key| KeySource::PemText(pem(key))),
    );
    keys.extend(from.owned("STREAMER_JWKS_URL").map(KeySource::JwksUrl));
    if keys.is_empty() && role == Role::Authorizer {
        let none = "neither `STREAMER_JWT_KEY` nor `STREAMER_JWKS_URL` is set";
        from.wrong.push(none.to_owned());
    }
    let named = from.list("STREAMER_JWT_ALGORITHM");
    let algorithms: Result<_, _> = named.iter().map(|name| name.parse()).collect();
    let algorithms = algorithms.unwrap_or_else(|error| {
        from.wrong
            .push(format!("`STREAMER_JWT_ALGORITHM`: {error}"));
        Vec::new()
    });
    VerifierConfig {
        keys,
        algorithms,
        issuer: from.owned("STREAMER_JWT_ISSUER"),
        audience: from.owned("STREAMER_JWT_AUDIENCE"),
        tenants: from
            .owned("STREAMER_SINGLE_TENANT")
            .map_or(Tenants::Any, Tenants::Single),
        require_permissions: from.parsed("STREAMER_REQUIRE_PERMISSIONS", false),
    }
}

/// A key's PEM, which a template's parameter may hold without its first and last line.
fn pem(key: &str) -> String {
    let key = key.replace("\\n", "\n");
    match key.contains("-----BEGIN") {
        true => key,
        false => format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            key.trim()
        ),
    }
}

fn token_rules(from: &mut Reader<'_>) -> TokenRules {
    let query = match from.parsed("STREAMER_QUERY_TOKEN", false) {
        true => QueryToken::On,
        false => QueryToken::Off,
    };
    TokenRules {
        query,
        origins: from.list("STREAMER_ALLOW_ORIGIN"),
    }
}

fn limits(from: &mut Reader<'_>) -> Limits {
    let mut limits = Limits::default();
    limits.request_timeout = from.span("STREAMER_REQUEST_TIMEOUT", limits.request_timeout);
    limits.request_timeout_max =
        from.span("STREAMER_REQUEST_TIMEOUT_MAX", limits.request_timeout_max);
    limits.keep = from.span("STREAMER_KEEP", limits.keep);
    limits.result_url_for = from.span("STREAMER_RESULT_URL_FOR", limits.result_url_for);
    limits.queued_per_owner_max =
        from.parsed("STREAMER_QUEUED_PER_USER_MAX", limits.queued_per_owner_max);
    limits.connection_rate = from.rate("STREAMER_CONNECTION_RATE");
    limits.user_rate = from.rate("STREAMER_USER_RATE");
    limits.tenant_rate = from.rate("STREAMER_TENANT_RATE");
    limits.user_connect_rate = from.rate("STREAMER_USER_CONNECT_RATE");
    limits.tenant_connect_rate = from.rate("STREAMER_TENANT_CONNECT_RATE");
    let mut most = |name| match from.get(name) {
        None | Some("off") => usize::MAX,
        Some(_) => from.parsed(name, usize::MAX),
    };
    limits.connections = Room {
        per_user: most("STREAMER_CONNECTIONS_PER_USER_MAX"),
        per_tenant: most("STREAMER_CONNECTIONS_PER_TENANT_MAX"),
    };
    let least = limits.keep.min(limits.request_timeout_max);
    if limits.request_timeout > least {
        let longer =
            "`STREAMER_REQUEST_TIMEOUT` is above `STREAMER_REQUEST_TIMEOUT_MAX` or `STREAMER_KEEP`";
        from.wrong.push(longer.to_owned());
    }
    limits
}

fn telemetry(from: &mut Reader<'_>) -> telemetry::Config {
    let format = from.owned("STREAMER_LOG_FORMAT");
    let form = match format.as_deref() {
        None | Some("json") => Form::Json,
        Some("text") => Form::Text,
        Some(other) => {
            from.wrong.push(format!(
                "`STREAMER_LOG_FORMAT`: `{other}` is neither `json` nor `text`"
            ));
            Form::Json
        }
    };
    let named = ["POWERTOOLS_LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL"];
    let named = named.into_iter().find(|name| from.get(name).is_some());
    let level = named.and_then(|name| {
        let level = logs::level(from.get(name)?);
        if level.is_none() {
            from.wrong.push(format!("`{name}` is no level"));
        }
        level
    });
    let or = |name: &str, default: &str| from.owned(name).unwrap_or_else(|| default.to_owned());
    telemetry::Config {
        service: or("POWERTOOLS_SERVICE_NAME", "streamer"),
        namespace: or("POWERTOOLS_METRICS_NAMESPACE", "Streamer"),
        function: or("AWS_LAMBDA_FUNCTION_NAME", ""),
        level: level.unwrap_or(LevelFilter::INFO),
        form,
        daemon: from.owned("AWS_XRAY_DAEMON_ADDRESS"),
        clock: Clock::system(),
    }
}
