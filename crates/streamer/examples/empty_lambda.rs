//! The floor of `bench_lambda`: any event comes in, `null` goes out; `lambda_runtime` and nothing else.

use std::convert::Infallible;

use lambda_runtime::{LambdaEvent, run, service_fn};
use serde_json::value::RawValue;

/// As in `bootstrap`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), lambda_runtime::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let nothing = service_fn(async |_: LambdaEvent<Box<RawValue>>| Ok::<_, Infallible>(()));
    runtime.block_on(run(nothing))
}
