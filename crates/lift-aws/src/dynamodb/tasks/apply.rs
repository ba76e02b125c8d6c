//! In: transitions. Out: what became of them, each in one write where its condition holds.

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::json::Json;
use lift::task::record::{Key, Record};
use lift::task::transition::{self, Applied, Refusal, Transition};

use super::head;
use super::put::is_ours;
use super::{DynamoTasks, Input, change, layout};
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::Reader;
use crate::dynamodb::table::Written;

/// Writes of a whole item that may meet another's before this one gives up.
const ROUNDS_MAX: usize = 24;

/// What became of a write.
enum Moved {
    To(Item),
    Refused(Refusal, Box<Record>),
    Missing,
}

impl DynamoTasks {
    pub(super) async fn transit(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        if let Transition::Finish {
            claim,
            result: Some(result),
            ..
        } = &transition
        {
            let (claim, result) = (*claim, result.clone());
            return self.finish(key, &transition, now, (claim, result)).await;
        }
        let moved = self.moved(key, &transition, now).await?;
        if let (Transition::Claim { .. }, Moved::To(image)) = (&transition, &moved) {
            let claimed = Reader(image);
            let input = claimed.raw("in")?.map_or(Input::Beside, Input::Inline);
            self.inputs.keep(key, input);
            self.expiries.keep(key, claimed.moment("exp")?);
        }
        applied(moved)
    }

    /// Ends a request whose result lies beside it. The result is written first, under the claim's
    /// number: no other claim can end the request, and later claims sort later.
    async fn finish(
        &self,
        key: &Key,
        transition: &Transition,
        now: Timestamp,
        (claim, result): (u64, Json),
    ) -> Result<Applied, StoreError> {
        let Some(until) = self.expiry(key).await? else {
            return Ok(Applied::Missing);
        };
        self.bodies.put_result(key, claim, &result, until).await?;
        let applied = applied(self.moved(key, transition, now).await?)?;
        match &applied {
            Applied::Done(_) => self.results.keep(key, result),
            Applied::Refused(Refusal::Ended, record) if record.claim == claim => {}
            Applied::Refused(..) | Applied::Missing => {
                self.bodies.remove_result(key, claim).await?;
            }
        }
        Ok(applied)
    }

    /// When a request's record may be purged: known where it was claimed here.
    async fn expiry(&self, key: &Key) -> Result<Option<Timestamp>, StoreError> {
        if let Some(known) = self.expiries.take(key) {
            return Ok(Some(known));
        }
        let image = self.image(key, Some("pk, sk, exp")).await?;
        let expiry = image.map(|image| Reader(&image).moment("exp"));
        Ok(expiry.transpose()?)
    }

    async fn moved(
        &self,
        key: &Key,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Moved, StoreError> {
        let token = self.tokens.next();
        let now = self.heads.moment(now);
        let change = change::of(key, transition, now.get(), &token)?;
        let call = change.call(Call {
            key: Some(layout::head(key)),
            ..self.heads.call()
        });
        let mut written = self.heads.write("UpdateItem", call).await?;
        for _ in 0..ROUNDS_MAX {
            let image = match written {
                Written::Done(Some(image)) => return Ok(Moved::To(image)),
                Written::Done(None) => return Err(StoreError::corrupt("an update has no image")),
                Written::Failed(None) => return Ok(Moved::Missing),
                Written::Failed(Some(image)) if is_ours(Some(&image), &token) => {
                    return Ok(Moved::To(image));
                }
                Written::Failed(Some(image)) => image,
            };
            let record = head::decode(&image)?;
            let next = match transition::apply(&record, transition, now.get()) {
                Ok(next) => next,
                Err(refusal) => return Ok(Moved::Refused(refusal, Box::new(record))),
            };
            let mut head = head::following(&image, &next)?;
            head.insert("w".to_owned(), Value::text(&token));
            written = match self.replace(&image, head.clone()).await? {
                Written::Done(_) => Written::Done(Some(head)),
                failed @ Written::Failed(_) => failed,
            };
        }
        Err(StoreError::unavailable(
            "a request changed again and again while it was written",
        ))
    }

    async fn replace(&self, image: &Item, head: Item) -> Result<Written, StoreError> {
        let seen = head::version(image)?;
        let call = Call {
            item: Some(head),
            condition_expression: Some("v = :seen".to_owned()),
            expression_attribute_values: item([(":seen", Some(Value::number(seen)))]),
            ..self.heads.call()
        };
        self.heads.write("PutItem", call).await
    }
}

fn applied(moved: Moved) -> Result<Applied, StoreError> {
    Ok(match moved {
        Moved::To(image) => Applied::Done(Box::new(head::decode(&image)?)),
        Moved::Refused(refusal, record) => Applied::Refused(refusal, record),
        Moved::Missing => Applied::Missing,
    })
}
