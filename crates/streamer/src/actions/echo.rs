//! `echo`: the payload comes in, the same text goes out.

use std::convert::Infallible;

use lift::json::Json;

pub(crate) async fn echo(payload: Json) -> Result<Json, Infallible> {
    Ok(payload)
}
