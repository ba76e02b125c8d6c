//! In: scripts and what came of them. Out: sentences for whoever looks at them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::shape::{Script, Unfit};

/// What came of a script: a line, and for a row that nobody has settled what to look at.
pub(crate) fn told(script: &Script, outcome: &Result<(), String>) -> String {
    let Script { name, mark, .. } = script;
    match outcome {
        Ok(()) => format!("as written  {name} [{mark}]"),
        Err(what) => {
            let mut line = format!("OTHERWISE   {name} [{mark}] {what}");
            if let Some(settle) = &script.settle {
                _ = write!(line, "\n            to settle it: {settle}");
            }
            line
        }
    }
}

/// Which scripts cannot be run, by the reason.
pub(crate) fn unfit(
    scripts: &[Script],
    why: impl Fn(&Script) -> Option<Unfit>,
) -> BTreeMap<Unfit, Vec<&str>> {
    let mut unfit: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for script in scripts {
        if let Some(why) = why(script) {
            unfit.entry(why).or_default().push(script.name.as_str());
        }
    }
    unfit
}
