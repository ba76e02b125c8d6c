//! Every environment variable of the Lambda functions, once: what reads them and what documents them.

use lift_aws::host::Role;

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The roles that cannot do without it.
    pub needed_by: &'static [Role],
    /// What counts where it is not set.
    pub default: &'static str,
    /// What it says.
    pub what: &'static str,
}

const fn needed(name: &'static str, needed_by: &'static [Role], what: &'static str) -> Variable {
    Variable {
        name,
        needed_by,
        default: "",
        what,
    }
}

const fn optional(name: &'static str, default: &'static str, what: &'static str) -> Variable {
    Variable {
        name,
        needed_by: &[],
        default,
        what,
    }
}

const STORES: &[Role] = &[Role::Message, Role::Processor, Role::Sweeper];

/// Of the service; AWS's own come after.
pub const VARIABLES: &[Variable] = &[
    needed("STREAMER_REQUESTS_TABLE", STORES, "table of requests"),
    needed(
        "STREAMER_BODIES_TABLE",
        STORES,
        "table of large payloads and results",
    ),
    needed("STREAMER_COLLECTIONS_TABLE", STORES, "table of collections"),
    needed(
        "STREAMER_CONNECTIONS_TABLE",
        &[
            Role::Connect,
            Role::Disconnect,
            Role::Message,
            Role::Processor,
            Role::Sweeper,
        ],
        "table of connections",
    ),
    needed(
        "STREAMER_RATES_TABLE",
        &[],
        "table of rates; needed where a rate is set",
    ),
    needed(
        "STREAMER_BUCKET",
        STORES,
        "bucket of data sets, outputs and large results",
    ),
    needed(
        "STREAMER_PROCESSOR",
        &[Role::Dispatch, Role::Sweeper],
        "name or ARN of the processor's function, with its alias",
    ),
    optional(
        "STREAMER_JWT_KEY",
        "none",
        "public key that signs tokens: PEM, or its base64 alone",
    ),
    optional(
        "STREAMER_JWKS_URL",
        "none",
        "where the keys that sign tokens are fetched",
    ),
    optional(
        "STREAMER_JWT_ALGORITHM",
        "all of public keys",
        "algorithms allowed, with commas between",
    ),
    optional("STREAMER_JWT_ISSUER", "any", "`iss` that tokens must have"),
    optional(
        "STREAMER_JWT_AUDIENCE",
        "any",
        "`aud` that tokens must name",
    ),
    optional(
        "STREAMER_SINGLE_TENANT",
        "none",
        "tenant of tokens that name none",
    ),
    optional(
        "STREAMER_REQUIRE_PERMISSIONS",
        "false",
        "refuses tokens without `permissions`",
    ),
    optional(
        "STREAMER_QUERY_TOKEN",
        "false",
        "takes tokens from `?token=`",
    ),
    optional(
        "STREAMER_ALLOW_ORIGIN",
        "any",
        "origins of browsers let in, with commas between",
    ),
    optional(
        "STREAMER_REQUEST_TIMEOUT",
        "1h",
        "from acceptance to the deadline",
    ),
    optional(
        "STREAMER_REQUEST_TIMEOUT_MAX",
        "24h",
        "longest `timeout_ms`",
    ),
    optional("STREAMER_KEEP", "7d", "how long a request can be asked for"),
    optional(
        "STREAMER_RESULT_URL_FOR",
        "1h",
        "how long a `result_url` works; at most the credentials' hours",
    ),
    optional(
        "STREAMER_QUEUED_PER_USER_MAX",
        "1000",
        "requests of one user that wait",
    ),
    optional(
        "STREAMER_CONNECTION_RATE",
        "off",
        "messages of one connection",
    ),
    optional("STREAMER_USER_RATE", "off", "messages of one user"),
    optional("STREAMER_TENANT_RATE", "off", "messages of one tenant"),
    optional(
        "STREAMER_USER_CONNECT_RATE",
        "off",
        "new connections of one user",
    ),
    optional(
        "STREAMER_TENANT_CONNECT_RATE",
        "off",
        "new connections of one tenant",
    ),
    optional(
        "STREAMER_CONNECTIONS_PER_USER_MAX",
        "off",
        "connections of one user at once",
    ),
    optional(
        "STREAMER_CONNECTIONS_PER_TENANT_MAX",
        "off",
        "connections of one tenant at once",
    ),
    optional(
        "STREAMER_MANAGEMENT_ENDPOINT",
        "of the event",
        "opened at the start, so that the first post need not",
    ),
    optional("STREAMER_LOG_FORMAT", "json", "`json` or `text`"),
];

/// The page that documents them.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Environment of the Lambda functions\n\n\
         Generated from the program: `cargo x environment`. A variable that is not here and begins with `STREAMER_` \
         stops a function at its start, as a value that cannot be read does; the log names it.\n\n\
         | variable | needed by | default | what |\n|---|---|---|---|\n",
    );
    for variable in VARIABLES {
        let roles: Vec<_> = variable.needed_by.iter().map(|role| role.name()).collect();
        let row = [
            format!("`{}`", variable.name),
            roles.join(", "),
            variable.default.to_owned(),
            variable.what.to_owned(),
        ];
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page.push_str(AWS);
    page
}

/// AWS's own, which SDKs read, too.
const AWS: &str = "\n\
Of AWS's own: `AWS_REGION`, the credentials (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), `_HANDLER`, which is the role, and `AWS_LAMBDA_MAX_CONCURRENCY` are Lambda's; \
`AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_LAMBDA`, `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI` name other endpoints, `AWS_CA_BUNDLE` a PEM file of the only \
authorities to trust, `AWS_XRAY_DAEMON_ADDRESS` where traces go. `POWERTOOLS_SERVICE_NAME`, `POWERTOOLS_METRICS_NAMESPACE` and `POWERTOOLS_LOG_LEVEL` mean what they mean to Powertools.\n";

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/lambda-environment.md"
        );
        if std::env::var_os("ENVIRONMENT").is_some_and(|what| what == "write") {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, page(), "stale: `cargo x environment`");
    }
}
