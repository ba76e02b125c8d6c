//! In: code within a template, and commands as text. Out: what is written and what is run.

use lift_dev::build::build_all;
use lift_dev::feed::Feed;
use lift_dev::template::{Settings, read};

use super::{check, dedented};

#[test]
fn a_commands_words_are_divided_as_a_shell_does() {
    check(
        "template.yaml",
        r#"
        Globals: {Function: {Runtime: provided.al2023, CodeUri: src}}
        Resources:
          One: {Type: AWS::Serverless::Function, Metadata: {Lift: {Command: "run 'a b' \"c d\" e\\ f"}}}
          List: {Type: AWS::Serverless::Function, Metadata: {Lift: {Command: [my program]}}}
        "#,
        r#"
        function One provided.al2023 bootstrap src 128MB 3s
          command ["run", "a b", "c d", "e f"]
        function List provided.al2023 bootstrap src 128MB 3s
          command ["my program"]
        "#,
    );
    check(
        "template.yaml",
        "
        Globals: {Function: {Runtime: provided.al2023, CodeUri: src}}
        Resources:
          Open: {Type: AWS::Serverless::Function, Metadata: {Lift: {Command: run 'a b}}}
        ",
        "
        template.yaml:3:70: a quote in `Command` has no end
          3 |   Open: {Type: AWS::Serverless::Function, Metadata: {Lift: {Command: run 'a b}}}
            |                                                                      ^
        ",
    );
}

#[tokio::test]
async fn inline_code_is_written_as_the_file_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template.yaml");
    let text = "
        Resources:
          Sam:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: index.handler
              InlineCode: |
                def handler(event, context):
                    return 'sam'
          Raw:
            Type: AWS::Lambda::Function
            Properties:
              Runtime: nodejs20.x
              Handler: index.handler
              Role: x
              Code: {ZipFile: 'exports.handler = async () => 1;'}
        ";
    std::fs::write(&path, dedented(text)).unwrap();
    let plan = read(&path, &Settings::default()).unwrap_or_else(|error| panic!("{error}"));
    let (feed, _entries) = Feed::new();
    build_all(&plan, directory.path(), &feed).await.unwrap();
    let cases = [
        (
            "Sam",
            "index.py",
            "def handler(event, context):\n    return 'sam'\n",
        ),
        ("Raw", "index.js", "exports.handler = async () => 1;"),
    ];
    for (function, (id, file, text)) in plan.functions.iter().zip(cases) {
        let code = directory.path().join(".lift/build").join(id);
        assert_eq!(function.code, code);
        assert_eq!(std::fs::read_to_string(code.join(file)).unwrap(), text);
    }
}

#[test]
fn inline_code_that_lambda_would_not_run_is_a_problem() {
    check(
        "template.yaml",
        "
        Resources:
          Fn:
            Type: AWS::Serverless::Function
            Properties: {Runtime: python3.12, Handler: app.handler, InlineCode: x}
          Own:
            Type: AWS::Serverless::Function
            Properties: {Runtime: provided.al2023, InlineCode: x}
        ",
        "
        template.yaml:4:48: `InlineCode` becomes the file `index`: `Handler` must begin with `index.`
          4 |     Properties: {Runtime: python3.12, Handler: app.handler, InlineCode: x}
            |                                                ^
        template.yaml:7:56: `InlineCode` is for Python and Node only
          7 |     Properties: {Runtime: provided.al2023, InlineCode: x}
            |                                                        ^
        ",
    );
}
