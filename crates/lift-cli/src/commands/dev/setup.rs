//! In: what was typed, and the developer's own settings. Out: a plan, and how it runs.

use std::{
    io,
    path::{Path, PathBuf},
};

use lift_dev::{
    access::Signatures,
    dynamodb::{
        self, Credentials,
        local::{self, Local},
    },
    faults::Faults,
    lambda::{ACCESS_KEY_ID, Freeze, SECRET_ACCESS_KEY},
    plan::Plan,
    ports::Ports,
    server::Settings,
    template,
};

use super::failed;
use crate::{
    args::dev::{self, DevArgs, Switch},
    config::Aws,
    failure::{Exit, Failure, chain},
};

/// The templates that are looked for.
const TEMPLATES: &[&str] = &[
    "template.yaml",
    "template.yml",
    "template.json",
    "lift.toml",
];

/// Free ports that are tried, until as many as there are APIs follow each other.
const TRIES: usize = 20;

/// The template that was named, or the first that is here.
pub(super) fn template(args: &DevArgs) -> Result<PathBuf, Failure> {
    let here = || {
        TEMPLATES
            .iter()
            .map(PathBuf::from)
            .find(|template| template.exists())
    };
    args.template.clone().or_else(here).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "nothing to run",
            format!("there is none of {} here", TEMPLATES.join(", ")),
            "name one with `--template FILE`",
        )
    })
}

/// The template, read, and the ports of its APIs.
pub(super) fn plan(template: &Path, args: &DevArgs) -> Result<(Plan, Ports), Failure> {
    let mut tries = 0;
    loop {
        let mut ports = Ports::bind(args.listen).map_err(|error| taken(args, &error))?;
        let plan = read(template, args, &ports)?;
        tries += 1;
        match ports.extend(plan.apis.len()) {
            Ok(()) => return Ok((plan, ports)),
            // What follows a free port may be taken.
            Err(_) if args.listen.port() == 0 && tries < TRIES => {}
            Err(error) => return Err(taken(args, &error)),
        }
    }
}

fn taken(args: &DevArgs, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot listen on {}", args.listen),
        chain(error),
        "end what uses the port, or choose another with `--listen`; port 0 takes a free one",
    )
}

fn read(template: &Path, args: &DevArgs, ports: &Ports) -> Result<Plan, Failure> {
    let mut reading = template::Settings::default();
    reading.parameters = args.parameters.iter().cloned().collect();
    reading.region.clone_from(&args.region);
    reading.authorities = ports.authorities();
    template::read(template, &reading).map_err(|problems| {
        Failure::new(
            Exit::Usage,
            format!("`{}` cannot be run", template.display()),
            problems.to_string(),
            "correct the template; what it may hold is in docs/dev-templates.md",
        )
    })
}

/// How it runs, with the endpoint of a DynamoDB Local that was started for it.
pub(super) fn settings(
    args: &DevArgs,
    directory: &Path,
    local: Option<&Local>,
    aws: Aws,
) -> Result<Settings, Failure> {
    let mut settings = Settings::new(directory);
    settings.relaxed.clone_from(&args.relax);
    settings.speed = args.time_scale;
    settings.faults = Faults::new(args.seed, args.faults.iter().copied());
    settings.signatures = match args.signatures {
        dev::Signatures::Unchecked => Signatures::Unchecked,
        dev::Signatures::Checked => Signatures::Checked,
    };
    settings.freeze = match args.freeze {
        Switch::On => Freeze::On,
        Switch::Off => Freeze::Off,
    };
    if let Some(environments) = args.environments {
        settings.environments_max = environments;
    }
    if let Some(url) = local.map(Local::endpoint).or(args.dynamodb.as_deref()) {
        let credentials = credentials(url, aws, &mut settings);
        let client = dynamodb::Client::new(url, &args.region, credentials);
        let client =
            client.map_err(|error| failed("the DynamoDB endpoint cannot be used", &error))?;
        settings.dynamodb = Some(client);
    }
    Ok(settings)
}

/// DynamoDB Local, started.
pub(super) async fn dynamodb_local(aws: &Aws) -> Result<Local, Failure> {
    let jars = local::find(aws.dynamodb_local.as_deref(), &aws.cache);
    let jars = jars.map_err(|error| failed("DynamoDB Local is not here", &error))?;
    let started = Local::start(&jars).await;
    started.map_err(|error| failed("DynamoDB Local does not run", &error))
}

/// The developer's own for AWS, which functions then have, too; any will do elsewhere.
fn credentials(url: &str, aws: Aws, settings: &mut Settings) -> Credentials {
    if let (true, Some((access_key, secret_key))) = (url.starts_with("https:"), aws.keys) {
        let session_token = aws.session_token;
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", Some(&access_key)),
            ("AWS_SECRET_ACCESS_KEY", Some(&secret_key)),
            ("AWS_SESSION_TOKEN", session_token.as_ref()),
        ] {
            let value = value.cloned().unwrap_or_default();
            settings.environment.insert(name.to_owned(), value);
        }
        return Credentials {
            access_key,
            secret_key,
            session_token,
        };
    }
    Credentials {
        access_key: ACCESS_KEY_ID.to_owned(),
        secret_key: SECRET_ACCESS_KEY.to_owned(),
        session_token: None,
    }
}

/// The template's directory.
pub(super) fn home(template: &Path) -> Result<PathBuf, Failure> {
    let parent = template
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent
        .unwrap_or(Path::new("."))
        .canonicalize()
        .map_err(|error| failed("the template's directory cannot be used", &error))
}
