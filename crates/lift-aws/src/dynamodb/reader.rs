//! In: an item. Out: its attributes, each by name and kind, or which cannot be read.

use std::str::FromStr;

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::ConnectionId;
use lift::json::Json;
use lift::task::record::State;
use serde::de::DeserializeOwned;

use super::item::{Item, Value};

/// An item that is not of its form.
#[derive(Debug, thiserror::Error)]
#[error("attribute `{attribute}` of the item `{pk}` / `{sk}` {wrong}")]
pub(crate) struct Undecodable {
    pk: String,
    sk: String,
    attribute: &'static str,
    wrong: &'static str,
}

pub(crate) const MISSING: &str = "is missing";
const MISSHAPEN: &str = "cannot be read";

/// Reads attributes of an item, or says which it cannot read.
pub(crate) struct Reader<'a>(pub(crate) &'a Item);

impl<'a> Reader<'a> {
    /// What is wrong with an attribute.
    pub(crate) fn wrong(&self, attribute: &'static str, wrong: &'static str) -> Undecodable {
        let shown = |name: &str| match self.0.get(name) {
            Some(Value::S(text)) => text.clone(),
            _ => "?".to_owned(),
        };
        Undecodable {
            pk: shown("pk"),
            sk: shown("sk"),
            attribute,
            wrong,
        }
    }

    fn text_if_there(&self, name: &'static str) -> Result<Option<&'a str>, Undecodable> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, MISSHAPEN)),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<&'a str, Undecodable> {
        let text = self.text_if_there(name)?;
        text.ok_or_else(|| self.wrong(name, MISSING))
    }

    fn number_if_there<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Undecodable> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::N(digits)) => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_misshapen) => Err(self.wrong(name, MISSHAPEN)),
            },
            Some(_) => Err(self.wrong(name, MISSHAPEN)),
        }
    }

    /// A number.
    pub(crate) fn number<T: FromStr>(&self, name: &'static str) -> Result<T, Undecodable> {
        let number = self.number_if_there(name)?;
        number.ok_or_else(|| self.wrong(name, MISSING))
    }

    /// A moment that may be absent.
    pub(crate) fn moment_if_there(
        &self,
        name: &'static str,
    ) -> Result<Option<Timestamp>, Undecodable> {
        Ok(self.number_if_there(name)?.map(Timestamp::from_millis))
    }

    /// A moment.
    pub(crate) fn moment(&self, name: &'static str) -> Result<Timestamp, Undecodable> {
        self.number(name).map(Timestamp::from_millis)
    }

    /// What is written only where it is true.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Undecodable> {
        match self.0.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, MISSHAPEN)),
        }
    }

    /// The state.
    pub(crate) fn state(&self) -> Result<State, Undecodable> {
        self.named("st")?.ok_or_else(|| self.wrong("st", MISSING))
    }

    /// A value that is one of a closed set of names.
    pub(crate) fn named<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Undecodable> {
        let Some(text) = self.text_if_there(name)? else {
            return Ok(None);
        };
        let text = serde_json::Value::String(text.to_owned());
        let named = serde_json::from_value(text);
        named.map_err(|_unknown| self.wrong(name, "is no name that is known"))
    }

    /// A value that was written as JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Undecodable> {
        let Some(text) = self.text_if_there(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_str(text);
        value
            .map(Some)
            .map_err(|_misshapen| self.wrong(name, MISSHAPEN))
    }

    /// JSON as it was given.
    pub(crate) fn raw(&self, name: &'static str) -> Result<Option<Json>, Undecodable> {
        let Some(text) = self.text_if_there(name)? else {
            return Ok(None);
        };
        let json = Json::parse(text.to_owned());
        json.map(Some)
            .map_err(|_misshapen| self.wrong(name, MISSHAPEN))
    }

    /// The connections that want to hear of a request.
    pub(crate) fn connections(&self) -> Result<Vec<ConnectionId>, Undecodable> {
        let Some(Value::L(ids)) = self.0.get("att") else {
            return Err(self.wrong("att", MISSHAPEN));
        };
        let id = |value: &Value| match value {
            Value::S(id) => Ok(ConnectionId::new(id.as_str())),
            _ => Err(self.wrong("att", MISSHAPEN)),
        };
        ids.iter().map(id).collect()
    }
}

impl From<Undecodable> for StoreError {
    fn from(error: Undecodable) -> Self {
        Self::corrupt(error)
    }
}
