//! In: parameters, conditions and functions. Out: the values that they give.

use super::{check, check_with};
use lift_dev::template::Settings;

/// A function whose environment has these variables.
fn with_variables(sections: &str, variables: &str) -> String {
    let sections = super::dedented(sections);
    let variables = super::dedented(variables).replace('\n', "\n          ");
    format!(
        "{sections}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{{AttributeName: id, AttributeType: S}}]
      KeySchema: [{{AttributeName: id, KeyType: HASH}}]
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src
      Environment:
        Variables:
          {variables}
"
    )
}

#[test]
fn functions_are_resolved_in_both_forms() {
    let text = with_variables(
        "
        Parameters:
          Names: {Type: CommaDelimitedList, Default: 'a, b'}
        Mappings:
          Sizes: {us-east-1: {small: 1}, eu-west-1: {small: 2}}
        ",
        "
        JOIN: !Join ['-', [a, !Ref AWS::Region, {Ref: 'AWS::AccountId'}]]
        LIST: !Join ['|', !Ref Names]
        SUB: !Sub '${AWS::Partition} ${Table} ${Table.Arn} ${!literal} $x'
        SUB_MAP: !Sub ['${A}/${B}', {A: !Ref Table, B: {'Fn::Select': [1, [x, y]]}}]
        MAP: !FindInMap [Sizes, !Ref AWS::Region, small]
        SPLIT: !Select [2, !Split [':', !GetAtt Table.Arn]]
        LONG: {'Fn::GetAtt': [Fn, Arn]}
        BASE64: !Base64 hello
        JSON: !ToJsonString {a: 1, b: ['x', true]}
        STACK: !Ref AWS::StackName
        GONE: !Ref AWS::NoValue
        IMPORTED: !ImportValue shared-url
        EMPTY:
        ",
    );
    check(
        "template.yaml",
        &text,
        r#"
        function Fn python3.12 app.handler src 128MB 3s
          BASE64=aGVsbG8=
          EMPTY=
          IMPORTED=shared-url
          JOIN=a-us-east-1-000000000000
          JSON={"a":1,"b":["x",true]}
          LIST=a|b
          LONG=arn:aws:lambda:us-east-1:000000000000:function:Fn
          MAP=1
          SPLIT=dynamodb
          STACK=lift-dev
          SUB=aws Table arn:aws:dynamodb:us-east-1:000000000000:table/Table ${literal} $x
          SUB_MAP=Table/y
        table Table
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"Table"}
        ! line 31: the export `shared-url` is unknown here; its name stands for it
        "#,
    );
}

#[test]
fn parameters_come_from_flags_and_decide_conditions() {
    let text = with_variables(
        "
        Parameters:
          Env: {Type: String, Default: dev, AllowedValues: [dev, prod]}
          Name: {Type: String}
        Conditions:
          IsProd: !Equals [!Ref Env, prod]
          IsDev: !Not [Condition: IsProd]
          Both: !And [!Condition IsProd, !Equals [a, a]]
          Either: !Or [!Condition IsDev, !Condition Both]
        ",
        "
        NAME: !Ref Name
        IF: !If [IsProd, !Ref Name, small]
        NESTED: !If [Both, !If [Either, both, none], other]
        ABSENT: !If [IsDev, !Ref AWS::NoValue, here]
        ",
    );
    let mut settings = Settings::default();
    settings
        .parameters
        .insert("Name".to_owned(), "big".to_owned());
    check_with(
        "template.yaml",
        &text,
        &settings,
        r#"
        function Fn python3.12 app.handler src 128MB 3s
          IF=small
          NAME=big
          NESTED=other
        table Table
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"Table"}
        "#,
    );
    settings
        .parameters
        .insert("Env".to_owned(), "prod".to_owned());
    check_with(
        "template.yaml",
        &text,
        &settings,
        r#"
        function Fn python3.12 app.handler src 128MB 3s
          ABSENT=here
          IF=big
          NAME=big
          NESTED=both
        table Table
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"Table"}
        "#,
    );
    settings
        .parameters
        .insert("Env".to_owned(), "prd".to_owned());
    settings
        .parameters
        .insert("Nane".to_owned(), "x".to_owned());
    settings.parameters.remove("Name");
    check_with("template.yaml", &text, &settings, "
        template.yaml:2:3: parameter `Env` is `prd`, which is none of dev, prod; did you mean `prod`?
          2 |   Env: {Type: String, Default: dev, AllowedValues: [dev, prod]}
            |   ^
        template.yaml:2:3: no parameter is named `Nane`, which --parameter sets; did you mean `Name`?
          2 |   Env: {Type: String, Default: dev, AllowedValues: [dev, prod]}
            |   ^
        template.yaml:3:3: parameter `Name` has no value: give --parameter Name=VALUE
          3 |   Name: {Type: String}
            |   ^
        ");
}

#[test]
fn a_resource_whose_condition_is_false_is_left_out() {
    check(
        "template.yaml",
        "
        Conditions: {No: !Equals [a, b]}
        Resources:
          Table: {Type: AWS::Serverless::SimpleTable, Condition: No}
          Other: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !If [No, !Ref Table, here]}}
        Outputs:
          T: {Condition: No, Value: !Ref Table}
        ",
        r#"
        table here
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"here"}
        "#,
    );
}

#[test]
fn json_is_read_like_yaml() {
    check(
        "template.json",
        "{\n\t\"Resources\": {\n\t\t\"T\": {\"Type\": \"AWS::Serverless::SimpleTable\",\n\t\t\t\"Properties\": {\"TableName\": {\"Fn::Sub\": \"a\\u00e9\\ud83d\\ude00\\/${AWS::Region}\"}}}\n\t}\n}",
        r#"
        table aé😀/us-east-1
          {"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"TableName":"aé😀/us-east-1"}
        "#,
    );
}

#[test]
fn what_does_not_run_here_is_named() {
    check(
        "template.yaml",
        "
        Resources:
          Bucket: {Type: AWS::S3::Bucket}
          Alarm: {Type: AWS::CloudWatch::Alarm, Properties: {AlarmName: !Sub '${Bucket}-x'}}
          T: {Type: AWS::Serverless::SimpleTable, Properties: {PrimryKey: {}}}
          Typo: {Type: AWS::Serverless::Fucntion}
        ",
        "
        template.yaml:5:16: `Typo` has an unknown type `AWS::Serverless::Fucntion`; did you mean `AWS::Serverless::Function`?
          5 |   Typo: {Type: AWS::Serverless::Fucntion}
            |                ^
        ",
    );
}
