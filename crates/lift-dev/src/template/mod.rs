//! In: a SAM or CloudFormation template, or a `lift.toml`. Out: the plan of what runs here, or all that is wrong with it.
//!
//! Sources: SAM developer guide, "AWS SAM resource and property reference"; CloudFormation user guide,
//! "Template anatomy" and "Intrinsic function reference".

mod problem;
mod tree;
mod json;
mod globals;
mod scope;
mod evaluate;
mod names;
mod check;
mod fields;
mod spelling;
mod api;
mod raw;
mod mock;
mod function;
mod code;
mod policy;
mod table;
mod mapping;
mod kinds;
mod toml_tree;
mod lift_toml;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use crate::plan::Plan;
use problem::Log;
pub use problem::{Problem, Problems};
use scope::Scope;

/// Bytes of a template; CloudFormation takes 1 MB.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a template is read with.
///
/// ```
/// let settings = lift_dev::template::Settings::default();
/// assert_eq!((&*settings.region, &*settings.account), ("us-east-1", "000000000000"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Values of the template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account: String,
    /// Where the APIs listen.
    pub authorities: Authorities,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameters: BTreeMap::new(),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            authorities: Authorities::default(),
        }
    }
}

/// Where the APIs listen: number i at `host` and the first port plus i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// A host name or address, as a URL has it.
    pub host: String,
    /// The port of the first API.
    pub first_port: u16,
}

impl Default for Authorities {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            first_port: 8080,
        }
    }
}

impl Authorities {
    /// The authority of API number `n`.
    #[must_use]
    pub fn of(&self, n: usize) -> String {
        let port = usize::from(self.first_port).saturating_add(n);
        format!("{}:{port}", self.host)
    }
}

/// Reads a template: `.toml` is a `lift.toml`, all else YAML or JSON.
///
/// ```no_run
/// use lift_dev::template::{Settings, read};
///
/// let plan = read("template.yaml".as_ref(), &Settings::default())?;
/// println!("{} functions", plan.functions.len());
/// # Ok::<(), lift_dev::template::Problems>(())
/// ```
///
/// # Errors
/// The file cannot be read, or the template has problems: all of them are told at once.
pub fn read(path: &Path, settings: &Settings) -> Result<Plan, Problems> {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = match bounded(path) {
        Ok(bytes) if bytes.len() > BYTES_MAX => {
            let text = format!("the template is larger than {BYTES_MAX} bytes");
            return Err(Problems::file(path, text));
        }
        Ok(bytes) => String::from_utf8(bytes),
        Err(error) => return Err(Problems::file(path, format!("it cannot be read: {error}"))),
    };
    let Ok(text) = text else {
        return Err(Problems::file(path, "it is no UTF-8".to_owned()));
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let (plan, log) = match is_toml {
        true => lift_toml::read(&text, directory, settings),
        false => cloud_formation(&text, directory, settings),
    };
    if log.has_problems() {
        return Err(log.into_problems(path, &text));
    }
    let skipped = log.into_notes();
    Ok(Plan { skipped, ..plan })
}

/// The file's bytes, at most one more than a template may have.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX);
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn cloud_formation(text: &str, directory: &Path, settings: &Settings) -> (Plan, Log) {
    let mut log = Log::default();
    let mut plan = Plan {
        account: settings.account.clone(),
        region: settings.region.clone(),
        ..Plan::default()
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = match text.trim_start().starts_with('{') {
        true => &tree::without_surrogates(text),
        false => text,
    };
    let Some(mut root) = tree::yaml(text, &mut log) else {
        return (plan, log);
    };
    if root.get("Resources").is_none() {
        let existing: Vec<_> = root.entries().iter().map(|e| e.key.clone()).collect();
        let existing = existing.iter().map(String::as_str);
        let text = "a template needs `Resources`";
        match problem::nearest("Resources", existing) {
            Some(name) => log.problem(root.at, format!("{text}; `{name}` is none")),
            None => log.problem(root.at, text),
        }
        return (plan, log);
    }
    globals::merge(&mut root, &mut log);
    let mut scope = Scope::new(&root, settings, log);
    check::names(&mut scope, &root);
    kinds::note(&mut scope);
    plan.apis = api::all(&mut scope);
    plan.functions = function::all(&mut scope, directory);
    plan.tables = table::all(&mut scope);
    let sources = mapping::all(&mut scope);
    plan.mappings = sources.mappings;
    plan.schedules = sources.schedules;
    localize(&mut plan, settings, scope.url_suffix());
    (plan, scope.log)
}

/// Puts the local authority where a function's environment names an API's endpoint.
///
/// Code that is given the endpoint (`https://${Api}.execute-api.${AWS::Region}.amazonaws.com/…`) then
/// posts to the API that runs here.
fn localize(plan: &mut Plan, settings: &Settings, suffix: &str) {
    for (n, api) in plan.apis.iter().enumerate() {
        let endpoint = format!("{}.execute-api.{}.{suffix}", api.api_id, settings.region);
        let authority = settings.authorities.of(n);
        for function in &mut plan.functions {
            for value in function.environment.values_mut() {
                *value = value.replace(&endpoint, &authority);
            }
        }
    }
}
