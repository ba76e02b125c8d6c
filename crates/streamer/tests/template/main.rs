//! The template of `deploy/` comes in, by way of AWS's own translator and linter; what it makes must be what was meant.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

/// Actions that have no resource but `*`: AWS Service Authorization Reference, "AWS X-Ray".
const OF_NO_RESOURCE: [&str; 2] = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A tool of the test's Python environment; none where it is not installed, which is said.
fn tool(name: &str) -> Option<Command> {
    let path = root().join("tests/foreign/.venv/bin").join(name);
    if !path.exists() {
        println!("skipped: the template ({name} is not installed)");
        return None;
    }
    let mut command = Command::new(path);
    command.current_dir(root());
    Some(command)
}

/// What CloudFormation gets.
struct Stack(Map<String, Value>);

impl Stack {
    fn translated() -> Option<Self> {
        let mut python = tool("python")?;
        python.args(["tests/foreign/translated.py", "deploy/template.yaml"]);
        let output = python.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let template: Value = serde_json::from_slice(&output.stdout).unwrap();
        Some(Self(template["Resources"].as_object().unwrap().clone()))
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.0.iter();
        resources
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
    }

    fn properties(&self, reference: &Value) -> &Value {
        let name = reference["Ref"].as_str();
        let name = name.or_else(|| reference["Fn::GetAtt"][0].as_str());
        &self.0[name.unwrap_or_else(|| panic!("{reference} is no reference"))]["Properties"]
    }

    /// The name of the function whose alias is referred to.
    fn through_alias(&self, reference: &Value) -> &str {
        let alias = self.properties(reference);
        assert_eq!(alias["Name"], "live", "{reference} is no alias");
        alias["FunctionName"]["Ref"].as_str().unwrap()
    }
}

fn texts(value: &Value) -> Vec<&str> {
    let one = value.as_str().map(|text| vec![text]);
    one.unwrap_or_else(|| {
        let all = value.as_array().unwrap().iter();
        all.map(|text| text.as_str().unwrap()).collect()
    })
}

#[test]
fn the_linter_finds_nothing() {
    let Some(mut linter) = tool("cfn-lint") else {
        return;
    };
    let output = linter.arg("deploy/template.yaml").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn whatever_invokes_a_function_does_so_through_its_alias() {
    let Some(stack) = Stack::translated() else {
        return;
    };
    let mut invoked = BTreeSet::new();
    for (_, integration) in stack.of("AWS::ApiGatewayV2::Integration") {
        if integration["IntegrationType"] == "AWS_PROXY" {
            let uri = &integration["IntegrationUri"]["Fn::Sub"][1];
            invoked.insert(stack.through_alias(&uri["FunctionArn"]));
        }
    }
    for (_, authorizer) in stack.of("AWS::ApiGatewayV2::Authorizer") {
        let uri = &authorizer["AuthorizerUri"]["Fn::Sub"][1];
        invoked.insert(stack.through_alias(&uri["AuthArn"]));
    }
    for (_, mapping) in stack.of("AWS::Lambda::EventSourceMapping") {
        invoked.insert(stack.through_alias(&mapping["FunctionName"]));
    }
    for (_, rule) in stack.of("AWS::Events::Rule") {
        for target in rule["Targets"].as_array().unwrap() {
            invoked.insert(stack.through_alias(&target["Arn"]));
        }
    }
    for (_, permission) in stack.of("AWS::Lambda::Permission") {
        stack.through_alias(&permission["FunctionName"]);
    }
    for (_, function) in stack.of("AWS::Lambda::Function") {
        let variables = &function["Environment"]["Variables"];
        if let Some(processor) = variables.get("STREAMER_PROCESSOR") {
            invoked.insert(stack.through_alias(processor));
        }
    }
    let functions: BTreeSet<_> = stack
        .of("AWS::Lambda::Function")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(functions.len(), 7);
    assert_eq!(invoked, functions, "each is invoked by something");
}

#[test]
fn each_function_is_traced_and_keeps_its_lines_in_a_group_that_forgets() {
    let Some(stack) = Stack::translated() else {
        return;
    };
    let (mut roles, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for (name, function) in stack.of("AWS::Lambda::Function") {
        assert_eq!(function["TracingConfig"]["Mode"], "Active", "{name}");
        assert_eq!(function["LoggingConfig"]["LogFormat"], "JSON", "{name}");
        let group = &function["LoggingConfig"]["LogGroup"];
        let retention = &stack.properties(group)["RetentionInDays"];
        assert_eq!(retention["Ref"], "RetentionDays", "{name}");
        assert!(groups.insert(group.to_string()), "{name} has its own group");
        assert!(
            roles.insert(function["Role"].to_string()),
            "{name} has its own role"
        );
    }
}

#[test]
fn no_role_allows_more_than_named_actions_on_named_resources() {
    let Some(stack) = Stack::translated() else {
        return;
    };
    for (name, role) in stack.of("AWS::IAM::Role") {
        assert_eq!(role.get("ManagedPolicyArns"), None, "{name}");
        let policies = role["Policies"].as_array().unwrap().iter();
        let statements = policies.flat_map(|policy| {
            let statements = &policy["PolicyDocument"]["Statement"];
            statements.as_array().unwrap()
        });
        for statement in statements {
            assert_eq!(statement["Effect"], "Allow", "{name}");
            let actions = texts(&statement["Action"]);
            assert!(
                !actions.iter().any(|it| it.contains('*')),
                "{name}: {actions:?}"
            );
            if statement["Resource"] == "*" {
                assert_eq!(actions, OF_NO_RESOURCE, "{name}");
            }
            if actions.contains(&"execute-api:ManageConnections") {
                let arn = statement["Resource"]["Fn::Sub"].as_str().unwrap();
                assert!(
                    arn.ends_with("${Api}/${StageName}/POST/@connections/*"),
                    "{arn}"
                );
            }
        }
    }
}

#[test]
fn clients_are_known_and_answered() {
    let Some(stack) = Stack::translated() else {
        return;
    };
    let mut answered: Vec<_> = stack
        .of("AWS::ApiGatewayV2::RouteResponse")
        .map(|(_, response)| response["RouteId"]["Ref"].as_str().unwrap())
        .collect();
    answered.sort_unstable();
    let routes: Vec<_> = stack.of("AWS::ApiGatewayV2::Route").collect();
    let mut talking: Vec<_> = routes
        .iter()
        .filter(|(_, route)| route.get("RouteResponseSelectionExpression").is_some())
        .map(|(name, _)| *name)
        .collect();
    talking.sort_unstable();
    assert_eq!(
        answered, talking,
        "without a RouteResponse no answer reaches a client"
    );
    assert_eq!(answered, ["ApiDefaultRoute", "PingRoute"]);

    let connect = routes.iter().find(|(_, it)| it["RouteKey"] == "$connect");
    let connect = connect.unwrap().1;
    assert_eq!(connect["AuthorizationType"], "CUSTOM");
    let authorizer = stack.properties(&connect["AuthorizerId"]);
    // One that names a source refuses a client without it before the function is asked, which also
    // takes the token from the subprotocol and the query.
    assert_eq!(authorizer.get("IdentitySource"), None);
    assert_eq!(authorizer["AuthorizerType"], "REQUEST");
}

#[test]
fn what_cannot_be_handed_on_is_kept() {
    let Some(stack) = Stack::translated() else {
        return;
    };
    let queue = json!({"Fn::GetAtt": ["FailedQueue", "Arn"]});
    let (_, mapping) = stack.of("AWS::Lambda::EventSourceMapping").next().unwrap();
    assert_eq!(
        mapping["FunctionResponseTypes"],
        json!(["ReportBatchItemFailures"])
    );
    assert_eq!(
        mapping["DestinationConfig"]["OnFailure"]["Destination"],
        queue
    );
    assert_eq!(
        mapping["FilterCriteria"]["Filters"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let (_, invoking) = stack.of("AWS::Lambda::EventInvokeConfig").next().unwrap();
    assert_eq!(
        invoking["DestinationConfig"]["OnFailure"]["Destination"],
        queue
    );
    assert_eq!(
        stack.through_alias(&json!({"Ref": "ProcessorFunctionAliaslive"})),
        invoking["FunctionName"]["Ref"]
    );
}
