//! In: the parts of a call. Out: the call's JSON, and what its answer or its refusal says.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::item::Item;

/// What a write answers of an item: all of it, as it is then or was before.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Image {
    #[serde(rename = "ALL_NEW")]
    New,
    #[serde(rename = "ALL_OLD")]
    Old,
}

/// Whether items come back, or only how many there are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Select {
    #[serde(rename = "COUNT")]
    Count,
}

/// The parts of a call of one table; those that the operation does not have stay empty.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Call {
    pub(crate) table_name: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_condition_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) projection_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) expression_attribute_names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Item::is_empty")]
    pub(crate) expression_attribute_values: Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_values: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_values_on_condition_check_failure: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scan_index_forward: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) select: Option<Select>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclusive_start_key: Option<Item>,
}

/// Puts that happen together or not at all.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Transaction {
    pub(crate) transact_items: Vec<TransactItem>,
}

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TransactItem {
    pub(crate) put: Call,
}

/// What an answer may hold; a refusal for a failed condition holds the item too.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Answer {
    pub(crate) item: Option<Item>,
    pub(crate) attributes: Option<Item>,
    pub(crate) items: Vec<Item>,
    pub(crate) count: usize,
    pub(crate) last_evaluated_key: Option<Item>,
    pub(crate) cancellation_reasons: Vec<Reason>,
}

/// Why an item of a transaction was not written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) item: Option<Item>,
}
