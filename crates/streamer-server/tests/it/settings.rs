//! The command line, the environment and the file: what is refused, and in which words.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::home::Home;
use crate::support::within;

/// Runs the binary, which must refuse, and gives what it says.
async fn refused(home: &Home, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = home.command(&[], args);
    command.envs(env.iter().copied());
    let output = within("a refusal", command.output()).await.unwrap();
    assert!(!output.status.success(), "{args:?} {env:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name() {
    let home = Home::new();
    let file = home.path().join("streamer.toml");
    std::fs::write(&file, "running_max = 3\nrunning_maxx = 4\n").unwrap();
    let file = file.to_str().unwrap();
    let number = home.path().join("number.toml");
    std::fs::write(&number, "keep = 7\n").unwrap();
    let number = number.to_str().unwrap();
    let no_port = home.path().join("address.toml");
    std::fs::write(&no_port, "listen = 7070\n").unwrap();
    let no_port = no_port.to_str().unwrap();
    let cases: [(&[&str], &[(&str, &str)], &[&str]); 12] = [
        (&["--config", file], &[], &["running_maxx", "streamer.toml"]),
        (
            &[],
            &[("STREAMER_RUNING_MAX", "3")],
            &["STREAMER_RUNING_MAX"],
        ),
        (&[], &[("STREAMER_RUNNING_MAX", "many")], &["many"]),
        (
            &["--listen", "0.0.0.0:0"],
            &[],
            &["--tls-cert", "--insecure"],
        ),
        (&["--tls-cert", "cert.pem"], &[], &["--tls-key"]),
        (
            &["--request-timeout", "2d"],
            &[],
            &["--request-timeout-max"],
        ),
        (&["--no-such-flag"], &[], &["--no-such-flag"]),
        (&["--listen", "7070"], &[], &["`IP:PORT`", "127.0.0.1:7070"]),
        (&["--config", no_port], &[], &["listen", "127.0.0.1:7070"]),
        (
            &["--config", number],
            &[],
            &["keep", "a time like", "\"7d\""],
        ),
        (&["salvage"], &[], &["holds no store", "--data-dir"]),
        (
            &["--config", "/no/such/file.toml"],
            &[],
            &["/no/such/file.toml"],
        ),
    ];
    for (args, env, words) in cases {
        let said = refused(&home, args, env).await;
        for word in words {
            assert!(said.contains(word), "{args:?} {env:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_file_and_variables_set_what_flags_do_not() {
    let home = Home::new();
    let file = home.path().join("streamer.toml");
    std::fs::write(
        &file,
        "allow_origin = [\"https://a.example\"]\nidle_timeout = \"5m\"\n",
    )
    .unwrap();
    let server = home.start(&["--config", file.to_str().unwrap()]).await;
    let bearer = format!("Bearer {}", home.token("ada", "acme"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("origin", "https://b.example"),
    ];
    assert_eq!(server.upgrade("/", &headers).await.status, 403);
}

#[tokio::test]
async fn another_address_is_served_where_insecure_is_said() {
    let home = Home::new();
    let server = home.start_at("0.0.0.0:0", &[], &["--insecure"]).await;
    assert!(server.url.starts_with("ws://0.0.0.0:"), "{}", server.url);
}

#[tokio::test]
async fn a_data_directory_serves_one_process() {
    let home = Home::new();
    let mut first = home.start(&[]).await;
    let said = refused(&home, &["--listen", "127.0.0.1:0"], &[]).await;
    assert!(
        said.contains("in use") || said.contains("another process"),
        "{said}"
    );
    assert!(said.contains(home.data().to_str().unwrap()), "{said}");
    assert_eq!(first.get("/readyz", &[]).await.status, 200);
    first.kill().await;
    home.start(&[]).await;
}

#[tokio::test]
async fn keys_are_made_once_for_the_owner_alone() {
    let home = Home::new();
    let keys = || -> Vec<(String, u32, String)> {
        let files = std::fs::read_dir(home.data().join("keys")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
            .map(|path| {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let text = std::fs::read_to_string(&path).unwrap();
                (path.display().to_string(), mode, text)
            })
            .collect()
    };
    let mut server = home.start(&[]).await;
    let made = keys();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].1, 0o600);
    assert!(
        made[0].2.starts_with("-----BEGIN PRIVATE KEY-----"),
        "PKCS#8"
    );
    let token = home.token("ada", "acme");
    server.kill().await;
    let server = home.start(&[]).await;
    assert_eq!(keys(), made);
    server.connect(&token).await;
}

#[tokio::test]
async fn rates_and_numbers_of_connections_are_what_was_set() {
    let home = Home::new();
    let args = [
        "--user-rate",
        "1/s:2",
        "--connections-per-user-max=1",
        "--tenant-rate=off",
    ];
    let server = home.start(&args).await;
    let ada = home.token("ada", "acme");
    let mut connection = server.connect(&ada).await;
    let mut codes = Vec::new();
    for id in ["1", "2", "3"] {
        let answer = connection.ask(json!({"id": id, "action": "echo"})).await;
        codes.push(answer["error"]["code"].as_str().map(str::to_owned));
    }
    assert_eq!(codes, [None, None, Some("RATE_LIMITED".to_owned())]);
    let bearer = format!("Bearer {ada}");
    let refused = server.upgrade("/", &[("authorization", &bearer)]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body, r#"{"message":"Too Many Requests"}"#);
    server.connect(&home.token("bob", "acme")).await;
    let said = home.output(&["--user-rate", "5/m"]).await;
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("`N/s:BURST`"), "{said}");
}
