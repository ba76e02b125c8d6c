//! In: functions, and what invokes them. Out: how they run.

use super::{check, check_with, dedented, read_in};
use lift_dev::template::{Authorities, Settings};

#[test]
fn globals_are_merged_into_functions_and_apis() {
    check(
        "template.yaml",
        "
        Globals:
          Function:
            Runtime: nodejs20.x
            CodeUri: src
            Timeout: 10
            Environment: {Variables: {A1: global, B1: global}}
            Policies: [DynamoDBReadPolicy: {TableName: t}]
          WebSocketApi: {StageName: shared}
          Api: {Cors: x}
        Resources:
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              Handler: index.handler
              Timeout: 20
              Environment: {Variables: {B1: own}}
              Policies: [LambdaInvokePolicy: {FunctionName: f}]
          Raw:
            Type: AWS::Lambda::Function
            Properties: {Runtime: python3.12, Handler: a.b, Code: a, Role: !GetAtt Role.Arn}
          Role:
            Type: AWS::IAM::Role
            Properties:
              AssumeRolePolicyDocument: {}
              ManagedPolicyArns: [arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]
              Policies:
                - PolicyName: p
                  PolicyDocument: {Statement: {Effect: Deny, Action: s3:*, Resource: '*'}}
          More:
            Type: AWS::IAM::Policy
            Properties:
              PolicyName: more
              Roles: [!Ref Role]
              PolicyDocument: {Statement: [{Effect: Allow, Action: [a:b, a:c], Resource: x, Condition: {}}]}
          Api:
            Type: AWS::Serverless::WebSocketApi
            Properties:
              RouteSelectionExpression: $request.body.action
              Routes: {$default: {FunctionArn: !GetAtt Fn.Arn}}
        ",
        "
        api Api /shared $request.body.action
          $default -> Fn
        function Fn nodejs20.x index.handler src 128MB 20s
          A1=global
          B1=own
          Allow dynamodb:GetItem dynamodb:Scan dynamodb:Query dynamodb:BatchGetItem dynamodb:DescribeTable on arn:aws:dynamodb:us-east-1:000000000000:table/t arn:aws:dynamodb:us-east-1:000000000000:table/t/index/*
          Allow lambda:InvokeFunction on arn:aws:lambda:us-east-1:000000000000:function:f*
        function Raw python3.12 a.b a 128MB 3s
          Deny s3:* on *
          Allow a:b a:c on x
        ! line 34: a statement's `Condition` is not checked here: it counts as met
        ",
    );
}

#[test]
fn an_endpoint_in_the_environment_is_the_local_one() {
    let mut settings = Settings::default();
    settings.authorities = Authorities {
        host: "localhost".to_owned(),
        first_port: 3001,
    };
    check_with(
        "template.yaml",
        "
        Resources:
          First:
            Type: AWS::Serverless::WebSocketApi
            Properties: &api
              RouteSelectionExpression: $request.body.action
              Routes: {$default: {FunctionArn: !GetAtt Fn.Arn}}
          Second: {Type: AWS::Serverless::WebSocketApi, Properties: *api}
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src
              Environment:
                Variables:
                  HTTPS: !Sub https://${First}.execute-api.${AWS::Region}.${AWS::URLSuffix}/default
                  WSS: !Sub '${Second.ApiEndpoint}/${SecondDefaultStage}'
        ",
        &settings,
        "
        api First /default $request.body.action
          $default -> Fn
        api Second /default $request.body.action
          $default -> Fn
        function Fn python3.12 app.handler src 128MB 3s
          HTTPS=https://localhost:3001/default
          WSS=wss://localhost:3002/default
        ",
    );
}

#[test]
fn go_cargo_and_make_are_built_by_default_and_metadata_says_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ("go/go.mod", "module x"),
        ("rust/Cargo.toml", "[package]\nname = \"app\""),
        (
            "many/Cargo.toml",
            "[[bin]]\nname = \"a\"\n[[bin]]\nname = \"b\"",
        ),
        ("built/bootstrap", ""),
        ("a b/go.mod", "module y"),
    ];
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let template = "
        Globals: {Function: {Runtime: provided.al2023, Handler: bootstrap}}
        Resources:
          Go: {Type: AWS::Serverless::Function, Properties: {CodeUri: ./go/}}
          Spaced: {Type: AWS::Serverless::Function, Properties: {CodeUri: a b}}
          Cargo: {Type: AWS::Serverless::Function, Properties: {CodeUri: rust}}
          One:
            Type: AWS::Serverless::Function
            Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: b}}
            Properties: {CodeUri: many}
          Make:
            Type: AWS::Serverless::Function
            Metadata: {BuildMethod: makefile}
            Properties: {CodeUri: go}
          Built: {Type: AWS::Serverless::Function, Properties: {CodeUri: built}}
          Own:
            Type: AWS::Serverless::Function
            Metadata:
              Lift: {Build: cargo x package, Bootstrap: target/package/streamer.zip, Watch: [crates, Cargo.toml]}
            Properties: {CodeUri: s3://bucket/key}
          Command:
            Type: AWS::Serverless::Function
            Metadata: {Lift: {Command: [deno, run, main.ts]}}
            Properties: {CodeUri: ., Handler: x}
        ";
    let found = read_in(
        directory.path(),
        "template.yaml",
        template,
        &Settings::default(),
    );
    let expected = r#"
        function Go provided.al2023 bootstrap .lift/build/Go/bootstrap 128MB 3s
          build cd go && go build -o .lift/build/Go/bootstrap .
          watch ["go"]
        function Spaced provided.al2023 bootstrap .lift/build/Spaced/bootstrap 128MB 3s
          build cd 'a b' && go build -o .lift/build/Spaced/bootstrap .
          watch ["a b"]
        function Cargo provided.al2023 bootstrap .lift/build/target/debug/app 128MB 3s
          build cargo build --manifest-path rust/Cargo.toml --bin app --target-dir .lift/build/target
          watch ["rust"]
        function One provided.al2023 bootstrap .lift/build/target/debug/b 128MB 3s
          build cargo build --manifest-path many/Cargo.toml --bin b --target-dir .lift/build/target
          watch ["many"]
        function Make provided.al2023 bootstrap .lift/build/Make 128MB 3s
          build mkdir -p .lift/build/Make && make -C go ARTIFACTS_DIR=.lift/build/Make build-Make
          watch ["go"]
        function Built provided.al2023 bootstrap built 128MB 3s
        function Own provided.al2023 bootstrap target/package/streamer.zip 128MB 3s
          build cargo x package
          watch ["crates", "Cargo.toml"]
        function Command provided.al2023 x . 128MB 3s
          command ["deno", "run", "main.ts"]
        "#;
    let expected = dedented(expected);
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

#[test]
fn code_that_is_not_there_is_a_problem() {
    check(
        "template.yaml",
        "
        Resources:
          A: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: nowhere}}
          B: {Type: AWS::Serverless::Function, Properties: {Runtime: provided.al2023, CodeUri: src}}
          C: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: s3://x/y}}
          D: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, ImageUri: x}}
          E: {Type: AWS::Serverless::Function, Properties: {CodeUri: src, Timeout: 901, MemorySize: lots}}
        ",
        "
        template.yaml:2:97: there is no `nowhere`
          2 |   A: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: nowhere}}
            |                                                                                                 ^
        template.yaml:3:88: `src` has no `bootstrap`, `go.mod` or `Cargo.toml`
          3 |   B: {Type: AWS::Serverless::Function, Properties: {Runtime: provided.al2023, CodeUri: src}}
            |                                                                                        ^
        template.yaml:4:97: the code must be a directory or file here; `Metadata: Lift: Bootstrap` names one
          4 |   C: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: s3://x/y}}
            |                                                                                                 ^
        template.yaml:5:98: `ImageUri` does not run here: `CodeUri` names a directory
          5 |   D: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, ImageUri: x}}
            |                                                                                                  ^
        template.yaml:6:3: Function `E` needs `Runtime`
          6 |   E: {Type: AWS::Serverless::Function, Properties: {CodeUri: src, Timeout: 901, MemorySize: lots}}
            |   ^
        template.yaml:6:3: Function `E` needs `Handler`
          6 |   E: {Type: AWS::Serverless::Function, Properties: {CodeUri: src, Timeout: 901, MemorySize: lots}}
            |   ^
        template.yaml:6:76: `Timeout` of Function `E` must be a number from 1 to 900
          6 |   E: {Type: AWS::Serverless::Function, Properties: {CodeUri: src, Timeout: 901, MemorySize: lots}}
            |                                                                            ^
        template.yaml:6:93: `MemorySize` of Function `E` must be a number from 128 to 10240
          6 |   E: {Type: AWS::Serverless::Function, Properties: {CodeUri: src, Timeout: 901, MemorySize: lots}}
            |                                                                                             ^
        ",
    );
}

#[test]
fn streams_and_schedules_invoke_functions() {
    check(
        "template.yaml",
        r#"
        Resources:
          Table:
            Type: AWS::DynamoDB::Table
            Properties:
              TableName: tasks
              BillingMode: PAY_PER_REQUEST
              AttributeDefinitions:
                - {AttributeName: pk, AttributeType: S}
                - {AttributeName: sk, AttributeType: N}
              KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
              GlobalSecondaryIndexes:
                - IndexName: by_sk
                  KeySchema: [{AttributeName: sk, KeyType: HASH}]
                  Projection: {ProjectionType: ALL}
                  ContributorInsightsSpecification: {Enabled: true}
              StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
              TimeToLiveSpecification: {AttributeName: expires, Enabled: true}
          Simple: {Type: AWS::Serverless::SimpleTable}
          Queue: {Type: AWS::SQS::Queue}
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src
              ReservedConcurrentExecutions: 5
              EventInvokeConfig:
                MaximumRetryAttempts: 0
                MaximumEventAgeInSeconds: 60
                DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Queue.Arn}}
              Events:
                Stream:
                  Type: DynamoDB
                  Properties:
                    Stream: !GetAtt Table.StreamArn
                    StartingPosition: LATEST
                    BatchSize: 10
                    MaximumBatchingWindowInSeconds: 1
                    ParallelizationFactor: 2
                    BisectBatchOnFunctionError: true
                    MaximumRetryAttempts: 3
                    MaximumRecordAgeInSeconds: -1
                    TumblingWindowInSeconds: 30
                    FunctionResponseTypes: [ReportBatchItemFailures]
                    FilterCriteria: {Filters: [{Pattern: '{"eventName":["INSERT"]}'}]}
                    DestinationConfig: {OnFailure: {Destination: !GetAtt Queue.Arn}}
                Sweep: {Type: Schedule, Properties: {Schedule: rate(1 minute), Input: '{"a":1}'}}
                Off: {Type: Schedule, Properties: {Schedule: rate(1 minute), Enabled: false}}
                Nightly: {Type: ScheduleV2, Properties: {ScheduleExpression: cron(0 0 * * ? *)}}
                Http: {Type: HttpApi}
          Source:
            Type: AWS::Lambda::EventSourceMapping
            Properties:
              FunctionName: !Ref Fn
              EventSourceArn: !GetAtt Table.StreamArn
              StartingPosition: TRIM_HORIZON
          Rule:
            Type: AWS::Events::Rule
            Properties:
              ScheduleExpression: rate(2 hours)
              Targets: [{Arn: !GetAtt Fn.Arn, Id: x, Input: '{"b":2}'}, {Arn: !GetAtt Queue.Arn, Id: y}]
          Scheduled:
            Type: AWS::Scheduler::Schedule
            Properties:
              ScheduleExpression: rate(1 days)
              FlexibleTimeWindow: {Mode: "OFF"}
              Target: {Arn: !GetAtt Fn.Arn, RoleArn: x}
        "#,
        r#"
        function Fn python3.12 app.handler src 128MB 3s at most 5
          asynchronous Asynchronous { retries_max: 0, age_max: 60s, on_failure: Some(Destination { arn: "arn:aws:sqs:us-east-1:000000000000:Queue" }) }
        table tasks ttl expires
          {"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"by_sk","KeySchema":[{"AttributeName":"sk","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},"TableName":"tasks"}
        table Simple
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"Simple"}
        stream tasks -> Fn 10 in 1s Latest x2 bisect On partial Reported retries 3 window 30s else arn:aws:sqs:us-east-1:000000000000:Queue {"eventName":["INSERT"]}
        stream tasks -> Fn 100 in 0ns TrimHorizon x1 bisect Off partial Ignored
        schedule Fn every 60s {"a":1}
        schedule Fn every 7200s {"b":2}
        schedule Fn every 86400s
        ! line 19: `Queue` (AWS::SQS::Queue) does not run here, skipped
        ! line 48: event `Off` of `Fn` is not enabled, skipped
        ! line 49: `cron(0 0 * * ? *)` does not run here: `rate(…)` does, skipped
        ! line 50: event `Http` of `Fn`: `HttpApi` does not invoke functions here, skipped
        ! line 61: the target of Rule `Rule` is no function, skipped
        "#,
    );
}

#[test]
fn a_source_that_is_no_stream_is_a_problem() {
    check(
        "template.yaml",
        "
        Resources:
          Queue: {Type: AWS::SQS::Queue}
          Table:
            Type: AWS::DynamoDB::Table
            Properties:
              AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
              KeySchema: [{AttributeName: ids, KeyType: HASH}]
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src
              Events:
                Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}
                Stream: {Type: DynamoDB, Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: LAST}}
                Rate: {Type: Schedule, Properties: {Schedule: rate(5)}}
          Mapping:
            Type: AWS::Lambda::EventSourceMapping
            Properties: {FunctionName: Fm, EventSourceArn: !GetAtt Queue.Arn, BatchSize: 0}
        ",
        "
        template.yaml:3:3: Table `Table` needs `BillingMode: PAY_PER_REQUEST`, or `ProvisionedThroughput`
          3 |   Table:
            |   ^
        template.yaml:7:35: `AttributeDefinitions` has no `ids`; did you mean `id`?
          7 |       KeySchema: [{AttributeName: ids, KeyType: HASH}]
            |                                   ^
        template.yaml:15:23: event `Queue` of `Fn`: `SQS` does not invoke functions here
          15 |         Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}
             |                       ^
        template.yaml:16:55: Table `Table` has no `StreamSpecification`
          16 |         Stream: {Type: DynamoDB, Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: LAST}}
             |                                                       ^
        template.yaml:16:98: `StartingPosition` of event `Stream` of `Fn` is one of TRIM_HORIZON, LATEST; did you mean `LATEST`?
          16 |         Stream: {Type: DynamoDB, Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: LAST}}
             |                                                                                                  ^
        template.yaml:17:55: `rate(5)` is no schedule such as `rate(5 minutes)`
          17 |         Rate: {Type: Schedule, Properties: {Schedule: rate(5)}}
             |                                                       ^
        template.yaml:20:32: `Fm` is no function of this template; did you mean `Fn`?
          20 |     Properties: {FunctionName: Fm, EventSourceArn: !GetAtt Queue.Arn, BatchSize: 0}
             |                                ^
        ",
    );
}

#[test]
fn a_runtime_that_nothing_here_runs_is_a_problem() {
    check(
        "template.yaml",
        r"
        Globals: {Function: {Handler: a.b, CodeUri: src}}
        Resources:
          A: {Type: AWS::Serverless::Function, Properties: {Runtime: pyton3.12}}
          B: {Type: AWS::Serverless::Function, Properties: {Runtime: java21}}
          C: {Type: AWS::Serverless::Function, Properties: {Runtime: java21}, Metadata: {Lift: {Command: java -jar a.jar}}}
        ",
        "
        template.yaml:3:62: `pyton3.12` does not run here: Python, Node and `provided` runtimes do, and commands; did you mean `python3.12`?
          3 |   A: {Type: AWS::Serverless::Function, Properties: {Runtime: pyton3.12}}
            |                                                              ^
        template.yaml:4:62: `java21` does not run here: Python, Node and `provided` runtimes do, and commands
          4 |   B: {Type: AWS::Serverless::Function, Properties: {Runtime: java21}}
            |                                                              ^
        ",
    );
}

#[test]
fn what_an_account_resolves_stays_and_is_named() {
    check(
        "template.yaml",
        r"
        Resources:
          A:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: a.b
              CodeUri: src
              Environment: {Variables: {KEY: '{{resolve:ssm:/key:1}}'}}
        ",
        "
        function A python3.12 a.b src 128MB 3s
          KEY={{resolve:ssm:/key:1}}
        ! line 8: `KEY` is what an account resolves: it stays `{{resolve:ssm:/key:1}}`
        ",
    );
}

#[test]
fn a_file_that_is_not_there_or_too_large_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template.yaml");
    let missing = lift_dev::template::read(&path, &Settings::default()).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("it cannot be read: No such file"),
        "{missing}"
    );
    let large = "#".repeat(5 * 1024 * 1024);
    let found = read_in(
        directory.path(),
        "template.yaml",
        &large,
        &Settings::default(),
    );
    assert_eq!(
        found,
        "template.yaml: the template is larger than 4194304 bytes"
    );
}

#[test]
fn a_logging_config_is_read() {
    check(
        "template.yaml",
        "
        Globals: {Function: {Runtime: python3.12, Handler: a.b, CodeUri: src}}
        Resources:
          A: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: JSON, LogGroup: x}}}
          B: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: DEBUG, SystemLogLevel: WARN}}}
          C: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: Text}}}
        ",
        r#"
        function A python3.12 a.b src 128MB 3s
          logging Json("INFO")
        function B python3.12 a.b src 128MB 3s
          logging Json("DEBUG")
        function C python3.12 a.b src 128MB 3s
        "#,
    );
    check(
        "template.yaml",
        "
        Globals: {Function: {Runtime: python3.12, Handler: a.b, CodeUri: src}}
        Resources:
          A: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: Jason, ApplicationLogLevel: INFO}}}
        ",
        "
        template.yaml:3:80: `LogFormat` of `LoggingConfig` of Function `A` is one of Text, JSON; did you mean `JSON`?
          3 |   A: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: Jason, ApplicationLogLevel: INFO}}}
            |                                                                                ^
        template.yaml:3:108: `ApplicationLogLevel` needs `LogFormat: JSON`
          3 |   A: {Type: AWS::Serverless::Function, Properties: {LoggingConfig: {LogFormat: Jason, ApplicationLogLevel: INFO}}}
            |                                                                                                            ^
        ",
    );
}

#[test]
fn aliases_and_versions_are_those_of_the_template() {
    check(
        "template.yaml",
        "
        Globals: {Function: {Runtime: python3.12, Handler: a.b, CodeUri: src}}
        Resources:
          A: {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live}}
          B: {Type: AWS::Serverless::Function}
          Version: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref B}}
          Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref B, FunctionVersion: '1', Name: beta}}
        ",
        r#"
        function A python3.12 a.b src 128MB 3s
          qualifiers ["1", "live"]
        function B python3.12 a.b src 128MB 3s
          qualifiers ["1", "beta"]
        "#,
    );
}
