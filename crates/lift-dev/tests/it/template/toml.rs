//! In: `lift.toml`. Out: the same plans, and problems, as from a template.

use super::check;

#[test]
fn a_lift_toml_says_all_that_a_small_project_needs() {
    check(
        "lift.toml",
        r#"
        [api.chat]
        stage = "prod"
        route_selection = "$request.body.kind"
        authorizer = { function = "echo", identity_sources = ["route.request.querystring.token"] }

        [api.chat.routes]
        "$connect" = "echo"
        send = { function = "echo", two_way = true, timeout_ms = 1_000 }
        ping = { mock = "pong", two_way = true }

        [function.echo]
        runtime = "python3.12"
        handler = "app.handler"
        code = "src"
        timeout_s = 10
        environment = { URL = "https://{api.chat}/prod", N3 = 3 }

        [function.other]
        command = "deno run main.ts"
        build = "deno check main.ts"
        watch = ["a"]
        policies = [{ actions = ["dynamodb:*"] }]

        [table.tasks]
        key = "id"
        sort_key = "n:N"
        stream = "NEW_IMAGE"
        ttl = "expires"
        indexes.by_n = { key = "n:N" }

        [stream.tasks]
        function = "other"
        batch_size = 5
        filters = ['{"eventName":["INSERT"]}']

        [schedule.sweep]
        function = "other"
        rate = "5 minutes"
        "#,
        r#"
        api chat /prod $request.body.kind
          $connect -> echo
          send <-> echo in 1s
          ping <-> mock "pong"
          authorizer echo route.request.querystring.token
        function echo python3.12 app.handler src 128MB 10s
          N3=3
          URL=https://127.0.0.1:8080/prod
          Allow * on *
        function other  bootstrap . 128MB 3s
          command ["deno", "run", "main.ts"]
          build deno check main.ts
          watch ["a"]
          Allow dynamodb:* on *
        table tasks ttl expires
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"by_n","KeySchema":[{"AttributeName":"n","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},"TableName":"tasks"}
        stream tasks -> other 5 in 0ns TrimHorizon x1 bisect Off partial Ignored {"eventName":["INSERT"]}
        schedule other every 300s
        "#,
    );
}

#[test]
fn what_is_wrong_with_a_lift_toml_is_told_at_once() {
    check(
        "lift.toml",
        r#"
        [api.chat.routes]
        "$conect" = "echo"
        send = "ecko"

        [function.echo]
        runtime = "python3.12"
        code = "src"
        timeout = 3
        timeout_s = "long"

        [functions.x]

        [stream.task]
        function = "echo"

        [table.tasks]
        "#,
        r#"
        lift.toml:2:1: a route's key cannot be `$conect`; did you mean `$connect`?
          2 | "$conect" = "echo"
            | ^
        lift.toml:3:8: no function is named `ecko`; did you mean `echo`?
          3 | send = "ecko"
            |        ^
        lift.toml:5:1: function `echo` needs `handler`
          5 | [function.echo]
            | ^
        lift.toml:9:13: `timeout_s` of function `echo` must be a number from 1 to 900
          9 | timeout_s = "long"
            |             ^
        lift.toml:11:2: `lift.toml` knows no `functions`; did you mean `function`?
          11 | [functions.x]
             |  ^
        lift.toml:13:9: no table is named `task`, whose stream this is; did you mean `tasks`?
          13 | [stream.task]
             |         ^
        lift.toml:16:8: table `tasks` needs `key`
          16 | [table.tasks]
             |        ^
        "#,
    );
    check(
        "lift.toml",
        "[api.x\nroutes = 1\n",
        "
        lift.toml:1:7: this is no TOML: unclosed table, expected `]`
          1 | [api.x
            |       ^
        ",
    );
}

#[test]
fn the_example_of_the_documentation_is_a_plan() {
    let page = include_str!("../../../../../docs/dev-templates.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("src")).unwrap();
    let found = super::read_in(directory.path(), "lift.toml", example, &Default::default());
    assert!(
        found.starts_with("api chat /prod $request.body.action table=tasks\n"),
        "{found}"
    );
    assert!(!found.contains("! "), "{found}");
}
