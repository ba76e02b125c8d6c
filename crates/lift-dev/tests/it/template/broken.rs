//! In: templates that are wrong. Out: every problem, with its line and the nearest name.

use super::check;

#[test]
fn a_reference_to_nothing_names_the_nearest() {
    check(
        "template.yaml",
        "
        Resources:
          Chat:
            Type: AWS::Serverless::WebSocketApi
            Properties:
              RouteSelectionExpression: $request.body.action
              Routes:
                $default:
                  FunctionArn: !GetAtt EchFn.Arn
                other: {FunctionArn: !GetAtt EchoFn.Ann}
          EchoFn:
            Type: AWS::Serverless::Function
            DependsOn: Cht
            Properties:
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src
              Environment: {Variables: {AB: !Sub '${Chatt} ${EchoFn.Arm}'}}
        Outputs:
          Url: {Value: !Sub 'wss://${Chet}'}
        ",
        "
        template.yaml:8:24: no resource or parameter is named `EchFn`; did you mean `EchoFn`?
          8 |           FunctionArn: !GetAtt EchFn.Arn
            |                        ^
        template.yaml:9:30: Function `EchoFn` has no attribute `Ann`; did you mean `Arn`?
          9 |         other: {FunctionArn: !GetAtt EchoFn.Ann}
            |                              ^
        template.yaml:12:16: no resource or parameter is named `Cht`; did you mean `Chat`?
          12 |     DependsOn: Cht
             |                ^
        template.yaml:17:37: no resource or parameter is named `Chatt`; did you mean `Chat`?
          17 |       Environment: {Variables: {AB: !Sub '${Chatt} ${EchoFn.Arm}'}}
             |                                     ^
        template.yaml:17:37: Function `EchoFn` has no attribute `Arm`; did you mean `Arn`?
          17 |       Environment: {Variables: {AB: !Sub '${Chatt} ${EchoFn.Arm}'}}
             |                                     ^
        template.yaml:19:16: no resource or parameter is named `Chet`; did you mean `Chat`?
          19 |   Url: {Value: !Sub 'wss://${Chet}'}
             |                ^
        ",
    );
}

#[test]
fn a_circle_of_references_is_a_problem() {
    check(
        "template.yaml",
        "
        Conditions:
          A: !Not [!Condition B]
          B: !Not [!Condition A]
        Resources:
          One: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Sub '${Two}x'}}
          Two: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Sub '${One}x'}}
          Three: {Type: AWS::Serverless::SimpleTable, Condition: A}
        ",
        "
        template.yaml:3:12: a circle of references: condition `A` → condition `B` → condition `A`
          3 |   B: !Not [!Condition A]
            |            ^
        template.yaml:5:69: a circle of references: `Two` → `One` → `Two`
          5 |   One: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Sub '${Two}x'}}
            |                                                                     ^
        ",
    );
}

#[test]
fn a_function_that_does_not_exist_names_the_nearest() {
    check(
        "template.yaml",
        "
        Resources:
          One: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Subs x}}
          Two: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: {'Fn::Jion': [a, [b]]}}}
          Three: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Select [5, [a]]}}
          Four: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !If [Nope, a, b]}}
        ",
        "
        template.yaml:2:69: there is no function `!Subs`; did you mean `!Sub`?
          2 |   One: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Subs x}}
            |                                                                     ^
        template.yaml:3:70: there is no function `Fn::Jion`; did you mean `Fn::Join`?
          3 |   Two: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: {'Fn::Jion': [a, [b]]}}}
            |                                                                      ^
        template.yaml:4:71: `Fn::Select` needs a list of an index and a list that is long enough
          4 |   Three: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Select [5, [a]]}}
            |                                                                       ^
        template.yaml:5:75: no condition is named `Nope`
          5 |   Four: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !If [Nope, a, b]}}
            |                                                                           ^
        ",
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    check(
        "template.yaml",
        "Resources:\n  A: [1, 2\nB: }\n",
        "
        template.yaml:3:2: this is no YAML: invalid indentation
          3 | B: }
            |  ^
        ",
    );
    check(
        "template.yaml",
        "Resources:\n  A: {Type: x}\n  A: {Type: y}\n",
        "
        template.yaml:3:3: `A` is here a second time
          3 |   A: {Type: y}
            |   ^
        ",
    );
    check(
        "template.yaml",
        "Resource:\n  A: {Type: x}\n",
        "
        template.yaml:1:1: a template needs `Resources`; `Resource` is none
          1 | Resource:
            | ^
        ",
    );
    check(
        "template.yaml",
        "",
        "
        template.yaml:1:1: a template needs `Resources`
        ",
    );
}

#[test]
fn nesting_and_aliases_have_bounds() {
    let deep = format!("Resources: {}", "[".repeat(10_000));
    check(
        "template.yaml",
        &deep,
        "template.yaml:1:267: this is no YAML: recursion limit exceeded",
    );
    let deep = format!("Resources:\n  {}", "- ".repeat(10_000));
    check(
        "template.yaml",
        &deep,
        "template.yaml:2:201: this is nested more than 100 deep",
    );
    let deep = format!("{{\"Resources\": {}", "{\"A\":".repeat(10_000));
    check(
        "template.json",
        &deep,
        "template.json:1:1285: this is no YAML: recursion limit exceeded",
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let of = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![of; 10].join(", "));
    }
    check(
        "template.yaml",
        &bomb,
        "
        template.yaml:6:10: this has more than 200000 values
          6 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]
            |          ^
        ",
    );
}

#[test]
fn names_that_stand_on_names_have_bounds() {
    check("template.yaml", &chain(|next| format!("!Sub '${{{next}}}${{{next}}}'")), "
        template.yaml:17:69: this becomes longer than 65536 bytes
          17 |   T15: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Sub '${T16}${T16}'}}
             |                                                                     ^
        ");
    check(
        "template.yaml",
        &chain(|next| {
            let (open, close) = ("!Join ['', [".repeat(18), "]]".repeat(18));
            format!("{open}!Ref {next}, x{close}")
        }),
        "
        template.yaml:6:207: this is more than 200 values deep, through the names in it
        template.yaml:6:211: this is more than 200 values deep, through the names in it
        template.yaml:10:207: this is more than 200 values deep, through the names in it
        template.yaml:10:211: this is more than 200 values deep, through the names in it
        template.yaml:14:208: this is more than 200 values deep, through the names in it
        template.yaml:14:212: this is more than 200 values deep, through the names in it
        template.yaml:18:208: this is more than 200 values deep, through the names in it
        template.yaml:18:212: this is more than 200 values deep, through the names in it
        template.yaml:22:208: this is more than 200 values deep, through the names in it
        template.yaml:22:212: this is more than 200 values deep, through the names in it
        template.yaml:26:208: this is more than 200 values deep, through the names in it
        template.yaml:26:212: this is more than 200 values deep, through the names in it
        template.yaml:30:208: this is more than 200 values deep, through the names in it
        template.yaml:30:212: this is more than 200 values deep, through the names in it
        ",
    );
}

/// Thirty tables, each named after the next.
fn chain(name: impl Fn(&str) -> String) -> String {
    let mut text = "Resources:\n".to_owned();
    for n in 0..30 {
        let name = name(&format!("T{}", n + 1));
        text += &format!(
            "  T{n}: {{Type: AWS::Serverless::SimpleTable, Properties: {{TableName: {name}}}}}\n"
        );
    }
    text + "  T30: {Type: AWS::Serverless::SimpleTable}\n"
}
