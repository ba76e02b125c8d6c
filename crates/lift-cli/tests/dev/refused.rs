//! Projects that cannot be run where they are. Out: what is said, and what to do about it.

use std::process::Stdio;

use tokio::process::Command;

use crate::running::{project, within};

const TEMPLATE: &str = r#"
[function.work]
runtime = "python3.12"
handler = "app.handler"
code = "code"
"#;

/// The exit status, and what is said on stderr.
async fn refused(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let home = project(files);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
    command
        .args(["dev", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within("the end", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// A file in the place of the directory: it stops even those whom no mode stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_takes_no_state_is_named_with_a_way_out() {
    let built = format!("{TEMPLATE}build = \"true\"\n");
    for template in [TEMPLATE, &built] {
        let files = [("lift.toml", template), ("code/app.py", ""), (".lift", "")];
        let (status, said) = refused(&files).await;
        assert_eq!(status, Some(1), "{said}");
        let expected = [
            "error: the template's directory takes no `.lift`",
            "/.lift` cannot be written: ",
            "make the directory writable, or run a copy of the project that is",
        ];
        for expected in expected {
            assert!(said.contains(expected), "{said}");
        }
    }
}
