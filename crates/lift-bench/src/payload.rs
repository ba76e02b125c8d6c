//! A message's templates come in, its text for one client goes out.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde_json::value::RawValue;

use crate::{
    books::{ClientNo, Seq},
    scenario::Message,
};

/// What begins and ends an id in a text, so that it is found in whatever a server makes of it.
const ID_BEGINS: &str = "lift:";
const ID_ENDS: char = ';';

/// A row of the scenario's data file, by column.
pub(crate) type Row = BTreeMap<String, String>;

/// What a template knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) client: ClientNo,
    pub(crate) seq: Seq,
    pub(crate) seed: u64,
    pub(crate) row: Option<&'a Row>,
}

/// A template that was tried once, or a text that is none.
#[derive(Debug)]
pub(crate) enum Template {
    Fixed(String),
    Varied(Box<Environment<'static>>, Ids),
}

/// What a template's `id` looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// So that it is found in whatever text a server answers.
    Marked,
    /// As the `id` of a message of Streamer's protocol.
    Bare,
}

const NAME: &str = "it";

impl Template {
    /// # Errors
    /// The text is no template, or uses a name that is not known.
    pub(crate) fn new(source: &str, ids: Ids, example: Known<'_>) -> Result<Self, String> {
        if !is_template(source) {
            return Ok(Self::Fixed(source.to_owned()));
        }
        let refused = |error: minijinja::Error| refused(source, &error, example);
        let environment = compiled(source).map_err(refused)?;
        rendered(&environment, ids, example).map_err(refused)?;
        Ok(Self::Varied(Box::new(environment), ids))
    }

    pub(crate) fn render(&self, known: Known<'_>) -> Result<String, String> {
        match self {
            Self::Fixed(text) => Ok(text.clone()),
            Self::Varied(environment, ids) => {
                rendered(environment, *ids, known).map_err(|error| without_place(&error))
            }
        }
    }
}

/// Whether there is anything to render in a text.
pub(crate) fn is_template(source: &str) -> bool {
    source.contains("{{") || source.contains("{%")
}

/// Whether a text can be rendered by one who knows these names, as far as that is seen before.
pub(crate) fn check_names(source: &str, known: &[&str]) -> Result<(), String> {
    if !is_template(source) {
        return Ok(());
    }
    let environment = compiled(source).map_err(|error| unusable(source, &error))?;
    let used = environment
        .get_template(NAME)
        .map_err(|error| error.to_string())?
        .undeclared_variables(false);
    let unknown = used.iter().filter(|name| !known.contains(&name.as_str()));
    match unknown.min() {
        None => Ok(()),
        Some(name) => Err(format!(
            "unknown name `{name}` in the template `{source}`, expected one of {}",
            known.join(", ")
        )),
    }
}

fn compiled(source: &str) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("tojson", minijinja::filters::tojson);
    environment.add_filter("known", known_value);
    environment.add_template_owned(NAME, source.to_owned())?;
    Ok(environment)
}

fn rendered(
    environment: &Environment<'_>,
    ids: Ids,
    known: Known<'_>,
) -> Result<String, minijinja::Error> {
    environment.get_template(NAME)?.render(context! {
        client => known.client,
        seq => known.seq,
        id => match ids {
            Ids::Marked => id(known.client, known.seq),
            Ids::Bare => streamer_id(known.client, known.seq),
        },
        data => known.row,
        seed => known.seed,
        random => random(known),
    })
}

/// Why a template cannot be used, as it was written.
fn refused(source: &str, error: &minijinja::Error, example: Known<'_>) -> String {
    /// Columns of a data file that are named.
    const COLUMNS_MAX: usize = 20;
    if error.kind() != minijinja::ErrorKind::UndefinedError {
        return unusable(source, error);
    }
    let names = ["client", "seq", "id", "seed", "random(from, to)"].map(str::to_owned);
    let columns = example.row.into_iter().flat_map(BTreeMap::keys);
    let columns = columns
        .take(COLUMNS_MAX)
        .map(|column| format!("data.{column}"));
    let names: Vec<String> = names
        .into_iter()
        .chain(columns)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = match example.row {
        Some(row) if row.len() > COLUMNS_MAX => " and the data file's other columns",
        Some(_) => "",
        None => "; the columns of a file that `data` names are `data.COLUMN`",
    };
    format!(
        "the template `{source}` uses a name that there is not: there are {}{more}",
        names.join(", ")
    )
}

fn unusable(source: &str, error: &minijinja::Error) -> String {
    format!("the template `{source}`: {}", without_place(error))
}

/// Without the name that the template has in here.
fn without_place(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// A value as it is; `tojson` makes `null` of a name that is not there.
fn known_value(value: Value) -> Result<Value, minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::ErrorKind::UndefinedError.into());
    }
    Ok(value)
}

/// `random(from, to)`: whole numbers, both ends included, the same for the same seed, client and message.
fn random(known: Known<'_>) -> Value {
    let start = known.seed ^ known.client.rotate_left(32) ^ u64::from(known.seq).rotate_left(17);
    let state = AtomicU64::new(start);
    Value::from_function(move |from: i64, to: i64| -> Result<i64, minijinja::Error> {
        let width = u64::try_from(i128::from(to) - i128::from(from) + 1).unwrap_or_default();
        if width == 0 {
            let kind = minijinja::ErrorKind::InvalidOperation;
            return Err(minijinja::Error::new(
                kind,
                format!("random({from}, {to}) has nothing to choose from"),
            ));
        }
        // SplitMix64 (Steele, Lea, Flood 2014): one step for each call.
        let mut mixed = state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let chosen = i64::try_from((mixed ^ (mixed >> 31)) % width).unwrap_or_default();
        Ok(from.saturating_add(chosen))
    })
}

/// What a message sends.
#[derive(Debug)]
pub(crate) enum Body {
    /// An action and the JSON of its payload.
    Action { action: String, payload: Template },
    /// A text, and whether it has its message's id.
    Text { text: Template, has_id: bool },
}

impl Body {
    /// # Errors
    /// A template that cannot be rendered.
    pub(crate) fn new(message: &Message, example: Known<'_>) -> Result<Self, String> {
        if let Some(action) = &message.action {
            let mut source = String::new();
            match &message.payload {
                Some(payload) => json_template(payload, &mut source),
                None => source.push_str("null"),
            }
            let payload = Template::new(&source, Ids::Bare, example).map_err(|refused| {
                // The one template of all strings is not what was written.
                let strings = message.payload.as_ref();
                let own = strings.and_then(|strings| first_refused(strings, example));
                own.unwrap_or(refused)
            })?;
            let body = Self::Action {
                action: action.clone(),
                payload,
            };
            body.payload(example)?;
            return Ok(body);
        }
        let source = message.text.as_deref().unwrap_or_default();
        let with_id = Template::new(source, Ids::Marked, example)?;
        let has_id = with_id
            .render(example)?
            .contains(&id(example.client, example.seq));
        Ok(Self::Text {
            text: with_id,
            has_id,
        })
    }

    /// The JSON of an action's payload.
    pub(crate) fn payload(&self, known: Known<'_>) -> Result<Box<RawValue>, String> {
        let text = match self {
            Self::Action { payload, .. } => payload.render(known)?,
            Self::Text { .. } => "null".to_owned(),
        };
        RawValue::from_string(text).map_err(|error| format!("the payload is no JSON: {error}"))
    }
}

/// What is wrong with the first string of `value` that is no template.
fn first_refused(value: &serde_json::Value, example: Known<'_>) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Template::new(text, Ids::Bare, example).err(),
        serde_json::Value::Array(items) => {
            items.iter().find_map(|item| first_refused(item, example))
        }
        serde_json::Value::Object(members) => members
            .values()
            .find_map(|member| first_refused(member, example)),
        _ => None,
    }
}

/// One template whose rendering is the JSON of `value` with its strings rendered.
fn json_template(value: &serde_json::Value, source: &mut String) {
    match value {
        serde_json::Value::String(text) if text.contains("{{") || text.contains("{%") => {
            let inner = text
                .trim()
                .strip_prefix("{{")
                .and_then(|rest| rest.strip_suffix("}}"));
            match inner.filter(|inner| !inner.contains("}}")) {
                // One expression alone keeps its type.
                Some(expression) => {
                    source.push_str(&format!("{{{{ ({expression})|known|tojson }}}}"))
                }
                None => source.push_str(&format!(
                    "{{% set it %}}{text}{{% endset %}}{{{{ it|tojson }}}}"
                )),
            }
        }
        serde_json::Value::Array(items) => {
            source.push('[');
            for (place, item) in items.iter().enumerate() {
                source.push_str(if place == 0 { "" } else { "," });
                json_template(item, source);
            }
            source.push(']');
        }
        serde_json::Value::Object(members) => {
            // With a space, for `{` and `{` would begin an expression.
            source.push_str("{ ");
            for (place, (name, member)) in members.iter().enumerate() {
                source.push_str(if place == 0 { "" } else { "," });
                source.push_str(&serde_json::Value::from(name.as_str()).to_string());
                source.push(':');
                json_template(member, source);
            }
            source.push_str(" }");
        }
        fixed => source.push_str(&fixed.to_string()),
    }
}

/// The id of a message in a plain text.
fn id(client: ClientNo, seq: Seq) -> String {
    format!("{ID_BEGINS}{client}.{seq}{ID_ENDS}")
}

/// The message that a plain text is about, if it has an id.
pub(crate) fn find_id(text: &str) -> Option<(ClientNo, Seq)> {
    let (_, rest) = text.split_once(ID_BEGINS)?;
    let (id, _) = rest.split_once(ID_ENDS)?;
    read_id(id)
}

/// The `id` of a message of Streamer's protocol.
pub(crate) fn streamer_id(client: ClientNo, seq: Seq) -> String {
    format!("{client}.{seq}")
}

/// Reads what [`streamer_id`] wrote.
pub(crate) fn read_id(id: &str) -> Option<(ClientNo, Seq)> {
    let (client, seq) = id.split_once('.')?;
    Some((client.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(row: Option<&Row>) -> Known<'_> {
        Known {
            client: 7,
            seq: 3,
            seed: 1,
            row,
        }
    }

    #[test]
    fn a_payload_keeps_types_and_escapes_texts() {
        let row = Row::from([("zip".to_owned(), "01\"2".to_owned())]);
        let message: Message = serde_json::from_value(json!({
            "action": "echo",
            "payload": {"n": "{{ seq }}", "s": "to {{ data.zip }}!", "d": [{"a": {"b": "{{ data.zip }}"}}], "x": "é\\"},
        }))
        .unwrap();
        let body = Body::new(&message, known(Some(&row))).unwrap();
        let payload = body.payload(known(Some(&row))).unwrap();
        let payload: serde_json::Value = serde_json::from_str(payload.get()).unwrap();
        assert_eq!(
            payload,
            json!({"n": 3, "s": "to 01\"2!", "d": [{"a": {"b": "01\"2"}}], "x": "é\\"})
        );
    }

    #[test]
    fn a_name_that_is_not_known_is_refused_at_once() {
        let message: Message = serde_json::from_value(json!({"text": "{{ clinet }}"})).unwrap();
        let refused = Body::new(&message, known(None)).unwrap_err();
        assert_eq!(
            refused,
            "the template `{{ clinet }}` uses a name that there is not: there are `client`, `seq`, `id`, `seed`, \
             `random(from, to)`; the columns of a file that `data` names are `data.COLUMN`"
        );
    }

    #[test]
    fn random_is_the_same_for_the_same_message_and_in_its_range() {
        let template = Template::new(
            "{{ random(5, 9) }} {{ random(5, 9) }} {{ random(-1, -1) }}",
            Ids::Bare,
            known(None),
        )
        .unwrap();
        let first = template.render(known(None)).unwrap();
        assert_eq!(first, template.render(known(None)).unwrap());
        let numbers: Vec<i64> = first.split(' ').map(|n| n.parse().unwrap()).collect();
        assert!(
            numbers[..2].iter().all(|n| (5..=9).contains(n)) && numbers[2] == -1,
            "{first}"
        );
        assert!(Template::new("{{ random(2, 1) }}", Ids::Bare, known(None)).is_err());
    }

    #[test]
    fn an_id_is_found_in_whatever_a_server_makes_of_it() {
        assert_eq!(
            find_id(&format!("you said {} at 5", id(12, 345))),
            Some((12, 345))
        );
        for none in ["", "lift:", "lift:1;", "lift:1.2", "lift:x.1;"] {
            assert_eq!(find_id(none), None, "{none}");
        }
    }
}
