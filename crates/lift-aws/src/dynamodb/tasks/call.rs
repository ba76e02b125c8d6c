//! In: the parts of a call. Out: the call's JSON, and what its answer or its refusal says.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::dynamodb::item::Item;

/// What a write answers of an item: all of it, as it is then or was before.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Image {
    #[serde(rename = "ALL_NEW")]
    New,
    #[serde(rename = "ALL_OLD")]
    Old,
}

/// Whether items come back, or only how many there are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Select {
    #[serde(rename = "COUNT")]
    Count,
}

/// The parts of a call of one table; those that the operation does not have stay empty.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Call {
    pub(super) table_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) update_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) condition_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_condition_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) projection_expression: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) expression_attribute_names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Item::is_empty")]
    pub(super) expression_attribute_values: Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) return_values: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) return_values_on_condition_check_failure: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scan_index_forward: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) select: Option<Select>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exclusive_start_key: Option<Item>,
}

/// Puts that happen together or not at all.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transaction {
    pub(super) transact_items: Vec<TransactItem>,
}

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransactItem {
    pub(super) put: Call,
}

/// What an answer may hold; a refusal for a failed condition holds the item too.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Answer {
    pub(super) item: Option<Item>,
    pub(super) attributes: Option<Item>,
    pub(super) items: Vec<Item>,
    pub(super) count: usize,
    pub(super) last_evaluated_key: Option<Item>,
    pub(super) cancellation_reasons: Vec<Reason>,
}

/// Why an item of a transaction was not written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) item: Option<Item>,
}
