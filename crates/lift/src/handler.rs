//! Async functions as handlers: a context comes in, the arguments are taken out, JSON goes out.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::Schema;
use serde::Serialize;

use crate::error::Error;
use crate::extract::state::States;
use crate::extract::{Context, FromContext};
use crate::json::Json;

/// An async function of up to six arguments that can be told from the message alone, returning
/// `Result<R, E>` where `R` has a JSON form and `E` becomes an [`Error`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an `async fn` with up to six extractor arguments that returns `Result<impl Serialize, impl Into<Error>>`"
)]
pub trait Handler<A>: Send + Sync + 'static {
    /// Runs the function.
    fn call(&self, context: Context) -> BoxFuture<'static, Result<Json, Error>>;

    /// Whether the arguments can be taken from the context, without running the function.
    ///
    /// # Errors
    /// What the client would be answered with.
    fn accepts(context: &Context) -> Result<(), Error>;

    /// The JSON Schema of its payload, if it takes one.
    fn schema() -> Option<Schema>;

    /// Whether an app with these states can call it.
    ///
    /// # Errors
    /// The name of what is missing.
    fn check(states: &States) -> Result<(), &'static str>;
}

macro_rules! handlers {
    ($([$($arg:ident),*])*) => {$(
        #[allow(non_snake_case, reason = "an argument is named by its type parameter; there may be none")]
        impl<F, Fut, R, E, $($arg,)*> Handler<($($arg,)*)> for F
        where
            F: Fn($($arg,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, E>> + Send + 'static,
            R: Serialize,
            E: Into<Error>,
            $($arg: FromContext + Send,)*
        {
            fn call(&self, context: Context) -> BoxFuture<'static, Result<Json, Error>> {
                let _ = &context;
                $(let $arg = match $arg::from_context(&context) {
                    Ok(argument) => argument,
                    Err(error) => return Box::pin(async move { Err(error) }),
                };)*
                let running = self($($arg,)*);
                Box::pin(async move {
                    let done = running.await.map_err(Into::into)?;
                    Json::of(&done).map_err(Error::internal)
                })
            }

            fn accepts(context: &Context) -> Result<(), Error> {
                let _ = context;
                $($arg::from_context(context)?;)*
                Ok(())
            }

            fn schema() -> Option<Schema> {
                None::<Schema>$(.or_else($arg::schema))*
            }

            fn check(states: &States) -> Result<(), &'static str> {
                let _ = states;
                $($arg::check(states)?;)*
                Ok(())
            }
        }
    )*};
}

handlers! { [] [A1] [A1, A2] [A1, A2, A3] [A1, A2, A3, A4] [A1, A2, A3, A4, A5] [A1, A2, A3, A4, A5, A6] }

/// A handler with its argument types forgotten.
#[derive(Clone)]
pub(crate) struct Erased {
    pub(crate) call: Arc<dyn Fn(Context) -> BoxFuture<'static, Result<Json, Error>> + Send + Sync>,
    pub(crate) accepts: fn(&Context) -> Result<(), Error>,
    pub(crate) schema: Option<Schema>,
    pub(crate) check: fn(&States) -> Result<(), &'static str>,
}

impl Erased {
    pub(crate) fn new<A: 'static, H: Handler<A>>(handler: H) -> Self {
        Self {
            call: Arc::new(move |context| handler.call(context)),
            accepts: H::accepts,
            schema: H::schema(),
            check: H::check,
        }
    }
}
