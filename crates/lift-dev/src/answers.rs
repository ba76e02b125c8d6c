//! In: what functions returned, and what clients asked for. Out: a line for who wrote the code, where the gateway takes it not.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use lift_gateway::{Function, Returned, Rules, Taken, Untaken};

use crate::feed::Feed;
use crate::lambda::Routes;
use crate::traffic::preview;

/// The answers of one API's functions, as its gateway reads them.
#[derive(Debug)]
pub(crate) struct Answers {
    rules: Rules,
    feed: Feed,
    /// Routes of which it was said that their bodies go nowhere.
    told: Mutex<BTreeSet<String>>,
}

impl Answers {
    pub(crate) fn new(rules: &Rules, feed: &Feed) -> Self {
        Self {
            rules: rules.clone(),
            feed: feed.clone(),
            told: Mutex::default(),
        }
    }

    /// Says what the gateway does not take of an answer of the function with this name.
    pub(crate) fn check(&self, function: &Function, name: &str, answer: &Returned) {
        let at = Of { function, name };
        match self.rules.take(function, answer) {
            // A denial is what an authorizer is for.
            Ok(Taken::Whole) | Err(Untaken::Denied { .. }) => {}
            Ok(Taken::WithoutBody) => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.insert(Routes::cause(function).to_owned()) {
                    self.feed.notice(format!(
                        "{at}: its `body` goes nowhere, because the route has no route response; with one, or by `@connections`, it reaches the client"
                    ));
                }
            }
            Err(untaken) => self.feed.problem(format!("{at}: {untaken}")),
        }
    }
}

/// An event and the function that it goes to.
struct Of<'a> {
    function: &'a Function,
    name: &'a str,
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            Function::Authorizer => write!(f, "authorizer {}", self.name),
            asked => write!(f, "`{}` of {}", Routes::cause(asked), self.name),
        }
    }
}

/// What is said of a message that no route takes.
pub(crate) fn unrouted(api: &str, rules: &Rules, message: &str) -> String {
    let selection = &rules.route_selection;
    let key = selection.evaluate(message).unwrap_or_default();
    let key = preview(&key);
    format!(
        "API {api}: no route takes a message whose `{selection}` is `{key}`, and there is no `$default`: the client gets `Forbidden`"
    )
}

/// What is said of a path that is not the API's, if it is not.
pub(crate) fn wrong_path(api: &str, rules: &Rules, path: &str) -> Option<String> {
    if rules.paths.accepted.iter().any(|known| known == path) {
        return None;
    }
    let domain = rules.api.domain_name.as_deref().unwrap_or_default();
    let (path, stage) = (preview(path), &rules.api.stage);
    Some(format!(
        "API {api} is not at `{path}`: it is at ws://{domain}/{stage}"
    ))
}
