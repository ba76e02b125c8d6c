//! In: names that AWS refuses. Out: each is a problem, with its line.

use super::check;

#[test]
fn names_that_aws_refuses_are_problems() {
    check(
        "template.yaml",
        "
        Globals: {Function: {Runtime: python3.12, Handler: a.b, CodeUri: src}}
        Resources:
          Chat:
            Type: AWS::Serverless::WebSocketApi
            Properties:
              StageName: a b/c
              RouteSelectionExpression: $request.body.action
              Routes: {$default: {FunctionArn: !GetAtt Fn.Arn}}
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              FunctionName: ../../x y
              Environment:
                Variables:
                  A=B: x
                  '': x
                  AWS_REGION: x
                  N: x
                  1N: x
                  URL_2: x
        ",
        "
        template.yaml:6:18: `a b/c` is no stage's name: it has 1 to 128 letters, digits, `-` and `_`
          6 |       StageName: a b/c
            |                  ^
        template.yaml:12:21: `../../x y` is no function's name: it has 1 to 64 letters, digits, `-` and `_`
          12 |       FunctionName: ../../x y
             |                     ^
        template.yaml:15:11: `A=B` is no variable's name: it begins with a letter and has at least two letters, digits and `_`
          15 |           A=B: x
             |           ^
        template.yaml:16:11: `` is no variable's name: it begins with a letter and has at least two letters, digits and `_`
          16 |           '': x
             |           ^
        template.yaml:17:11: `AWS_REGION` is a variable that Lambda itself sets
          17 |           AWS_REGION: x
             |           ^
        template.yaml:18:11: `N` is no variable's name: it begins with a letter and has at least two letters, digits and `_`
          18 |           N: x
             |           ^
        template.yaml:19:11: `1N` is no variable's name: it begins with a letter and has at least two letters, digits and `_`
          19 |           1N: x
             |           ^
        ",
    );
}

#[test]
fn a_lift_tomls_names_have_the_same_rules() {
    check(
        "lift.toml",
        r#"
        [api.chat]
        stage = "a/b"
        [api.chat.routes]
        "$default" = "x y"
        [function."x y"]
        command = "run"
        environment = { AWS_REGION = "x" }
        "#,
        r#"
        lift.toml:2:9: `a/b` is no stage's name: it has 1 to 128 letters, digits, `-` and `_`
          2 | stage = "a/b"
            |         ^
        lift.toml:5:11: `x y` is no function's name: it has 1 to 64 letters, digits, `-` and `_`
          5 | [function."x y"]
            |           ^
        lift.toml:7:17: `AWS_REGION` is a variable that Lambda itself sets
          7 | environment = { AWS_REGION = "x" }
            |                 ^
        "#,
    );
}

#[test]
fn a_needed_property_that_is_misspelt_is_named_with_its_line() {
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
                  FunctonArn: !GetAtt Fn.Arn
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handlr: app.handler
              CodeUr: src
        ",
        "
        template.yaml:8:11: route `$default` needs `FunctionArn` and knows no `FunctonArn`; did you mean `FunctionArn`?
          8 |           FunctonArn: !GetAtt Fn.Arn
            |           ^
        template.yaml:13:7: Function `Fn` needs `Handler` and knows no `Handlr`; did you mean `Handler`?
          13 |       Handlr: app.handler
             |       ^
        template.yaml:14:7: Function `Fn` needs `CodeUri` and knows no `CodeUr`; did you mean `CodeUri`?
          14 |       CodeUr: src
             |       ^
        ",
    );
}

#[test]
fn a_parameter_that_ssm_would_resolve_says_so() {
    check(
        "template.yaml",
        "
        Parameters:
          Image: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /images/latest}
        Resources:
          Table: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Ref Image}}
        ",
        "
        template.yaml:2:3: parameter `Image` has the value of `/images/latest` in SSM, which is not here: give --parameter Image=VALUE
          2 |   Image: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /images/latest}
            |   ^
        ",
    );
}
