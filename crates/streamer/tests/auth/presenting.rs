//! Handshakes come in; the token that decides, or the refusal, is checked.

use streamer::auth::{Handshake, QueryToken, check_origin, presented_token};

struct Case {
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    query: &'static [(&'static str, &'static str)],
    subprotocols: &'static [&'static str],
    policy: QueryToken,
    /// The token, or a part of the reason in the log.
    expected: Result<&'static str, &'static str>,
}

const CASES: &[Case] = &[
    Case {
        name: "a bearer header",
        headers: &[("Authorization", "Bearer a.b.c")],
        expected: Ok("a.b.c"),
        ..NONE
    },
    Case {
        name: "name and scheme in any case, more than one space",
        headers: &[("AUTHORIZATION", "  bEARER   a.b.c ")],
        expected: Ok("a.b.c"),
        ..NONE
    },
    Case {
        name: "two bearer headers",
        headers: &[
            ("authorization", "Bearer a.b.c"),
            ("Authorization", "Bearer a.b.c"),
        ],
        expected: Err("more than one Authorization"),
        ..NONE
    },
    Case {
        name: "two Authorization headers, one for somebody else",
        headers: &[
            ("authorization", "Basic x"),
            ("Authorization", "Bearer a.b.c"),
        ],
        expected: Err("more than one Authorization"),
        ..NONE
    },
    Case {
        name: "a bearer header without a token, a good subprotocol behind it",
        headers: &[("authorization", "Bearer")],
        subprotocols: &["streamer.v1", "bearer.a.b.c"],
        expected: Err("holds no token"),
        ..NONE
    },
    Case {
        name: "the header decides, though a subprotocol is there too",
        headers: &[("authorization", "Bearer bad")],
        subprotocols: &["streamer.v1", "bearer.a.b.c"],
        query: &[("token", "q")],
        policy: QueryToken::On,
        expected: Ok("bad"),
    },
    Case {
        name: "Basic credentials are a proxy's, the next place decides",
        headers: &[("authorization", "Basic dTpw")],
        subprotocols: &["streamer.v1", "bearer.a.b.c"],
        expected: Ok("a.b.c"),
        ..NONE
    },
    Case {
        name: "a bearer subprotocol, in any order",
        subprotocols: &["bearer.a.b.c", "other", "streamer.v1"],
        expected: Ok("a.b.c"),
        ..NONE
    },
    Case {
        name: "a bearer subprotocol without streamer.v1",
        subprotocols: &["bearer.a.b.c", "streamer.v2"],
        expected: Err("without `streamer.v1`"),
        ..NONE
    },
    Case {
        name: "two bearer subprotocols",
        subprotocols: &["streamer.v1", "bearer.a.b.c", "bearer.d.e.f"],
        expected: Err("more than one bearer subprotocol"),
        ..NONE
    },
    Case {
        name: "an empty bearer subprotocol",
        subprotocols: &["streamer.v1", "bearer."],
        expected: Err("holds no token"),
        ..NONE
    },
    Case {
        name: "a token in the query where that is off",
        query: &[("token", "a.b.c")],
        expected: Err("not allowed"),
        ..NONE
    },
    Case {
        name: "a token in the query where that is on",
        query: &[("x", "1"), ("token", "a.b.c")],
        policy: QueryToken::On,
        expected: Ok("a.b.c"),
        ..NONE
    },
    Case {
        name: "two tokens in the query",
        query: &[("token", "a.b.c"), ("token", "a.b.c")],
        policy: QueryToken::On,
        expected: Err("more than one `token`"),
        ..NONE
    },
    Case {
        name: "an empty token in the query",
        query: &[("token", "")],
        policy: QueryToken::On,
        expected: Err("empty"),
        ..NONE
    },
    Case {
        name: "the name of the query's parameter in another case",
        query: &[("Token", "x")],
        policy: QueryToken::On,
        ..NONE
    },
    Case {
        name: "nothing",
        ..NONE
    },
];

const NONE: Case = Case {
    name: "",
    headers: &[],
    query: &[],
    subprotocols: &[],
    policy: QueryToken::Off,
    expected: Err("no token"),
};

#[test]
fn the_first_place_that_holds_a_token_decides_alone() {
    for case in CASES {
        let handshake = Handshake {
            headers: case.headers,
            query: case.query,
            subprotocols: case.subprotocols,
        };
        match (presented_token(&handshake, case.policy), case.expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{}", case.name),
            (Err(rejection), Err(reason)) => {
                assert_eq!(
                    (rejection.status(), rejection.to_string().as_str()),
                    (401, "Unauthorized"),
                    "{}",
                    case.name
                );
                assert!(
                    rejection.reason().contains(reason),
                    "{}: {}",
                    case.name,
                    rejection.reason()
                );
            }
            (found, expected) => panic!("{}: {found:?}, expected {expected:?}", case.name),
        }
    }
}

#[test]
fn a_browser_of_another_origin_is_forbidden() {
    let check = |headers: &[(&str, &str)], allowed: &[&str]| {
        check_origin(headers, allowed).map_err(|rejection| rejection.status())
    };
    let ours = &["https://app.example.com"];
    assert_eq!(
        check(&[("Origin", "https://app.example.com")], ours),
        Ok(())
    );
    assert_eq!(
        check(&[("origin", "https://APP.example.com")], ours),
        Ok(())
    );
    assert_eq!(check(&[], ours), Ok(()));
    assert_eq!(check(&[("Origin", "https://evil.example")], &[]), Ok(()));
    for bad in [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "null",
        "",
    ] {
        assert_eq!(check(&[("Origin", bad)], ours), Err(403), "{bad}");
    }
    let twice = [
        ("Origin", "https://app.example.com"),
        ("ORIGIN", "https://app.example.com"),
    ];
    assert_eq!(check(&twice, ours), Err(403));
}
