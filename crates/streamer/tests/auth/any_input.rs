//! Arbitrary text comes in at every edge; nothing panics, and nothing that was not signed is
//! accepted.

use std::sync::LazyLock;

use proptest::{prelude::any, prop_assert, proptest};
use streamer::auth::{Algorithm, Handshake, QueryToken, Verifier, inspect, presented_token};

use crate::support::{Files, NOW_MS, Pair, claims, encode, verifier};

struct Fixture {
    pair: Pair,
    verifier: Verifier,
    runtime: tokio::runtime::Runtime,
    _files: Files,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let pair = Pair::new(Algorithm::ES256);
    let (verifier, files) = verifier(&[&pair]);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    Fixture {
        pair,
        verifier,
        runtime,
        _files: files,
    }
});

fn accepted(token: &str) -> bool {
    FIXTURE
        .runtime
        .block_on(FIXTURE.verifier.verify(token, NOW_MS))
        .is_ok()
}

proptest! {
    #[test]
    fn any_text_is_refused(text in any::<String>(), now_ms in any::<u64>()) {
        prop_assert!(!accepted(&text));
        let _shown = inspect(&text, None, now_ms);
    }

    #[test]
    fn any_parts_are_refused(
        header in ".{0,40}",
        body in any::<Vec<u8>>(),
        signature in any::<Vec<u8>>(),
    ) {
        let header = format!(r#"{{"alg":"ES256","kid":{header:?}}}"#);
        let token = format!("{}.{}.{}", encode(header), encode(body), encode(signature));
        prop_assert!(!accepted(&token));
    }

    #[test]
    fn any_signed_claims_are_judged_without_a_panic(
        claim in "(exp|nbf|iat|sub|tenant_id|iss|aud|permissions)",
        number in any::<f64>(),
        text in any::<String>(),
        now_ms in any::<u64>(),
    ) {
        let text = serde_json::to_string(&text).unwrap();
        for value in [number.to_string(), text.clone(), format!("[{text}]")] {
            let token = FIXTURE.pair.token(None, &claims(&[(&claim, &value)]));
            let _judged = FIXTURE.runtime.block_on(FIXTURE.verifier.verify(&token, now_ms));
            if let Ok(shown) = inspect(&token, None, now_ms) {
                let _text = shown.to_string();
            }
        }
    }

    #[test]
    fn any_handshake_is_read(name in any::<String>(), value in any::<String>()) {
        let pair = [(name.as_str(), value.as_str())];
        let authorization = [("authorization", value.as_str())];
        let entries = [value.as_str(), "streamer.v1"];
        for headers in [&pair, &authorization] {
            let handshake = Handshake { headers, query: &pair, subprotocols: &entries };
            let _token = presented_token(&handshake, QueryToken::On);
        }
    }
}
