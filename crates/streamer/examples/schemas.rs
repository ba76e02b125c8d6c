//! The folder `docs` comes in; `asyncapi.json` and `schemas/` in it are written anew (`cargo x schemas`).

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let schemas = docs.join("schemas");
    if schemas.exists() {
        std::fs::remove_dir_all(&schemas)?;
    }
    std::fs::create_dir_all(&schemas)?;
    for (name, value) in streamer::schemas::files() {
        let text = serde_json::to_string_pretty(&value)?;
        std::fs::write(docs.join(name), format!("{text}\n"))?;
    }
    Ok(())
}
