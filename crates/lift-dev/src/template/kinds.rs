//! In: resources. Out: a note for each that does not run here.

use super::scope::Scope;

/// Types that are read.
const READ: [&str; 26] = [
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::IntegrationResponse",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::RouteResponse",
    "AWS::ApiGatewayV2::Stage",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Scheduler::Schedule",
    "AWS::Serverless::Function",
    "AWS::Serverless::SimpleTable",
    "AWS::Serverless::WebSocketApi",
    "AWS::CloudFormation::WaitConditionHandle",
];

/// Notes the resources of other types; one that is nearly a type that is read is a problem.
pub(super) fn note(scope: &mut Scope<'_>) {
    for resource in scope.resources.clone() {
        let kind = resource.kind;
        if READ.contains(&kind) {
            continue;
        }
        let at = resource
            .node
            .get("Type")
            .map_or(resource.at, |node| node.at);
        let typo = |other: &&&str| strsim::damerau_levenshtein(kind, other) <= 2;
        if let Some(read) = READ.iter().find(typo) {
            let text = format!("`{}` has an unknown type `{kind}`", resource.id);
            scope.log.misspelt(at, text, kind, [*read]);
            continue;
        }
        let text = format!("`{}` ({kind}) does not run here, skipped", resource.id);
        scope.log.note(resource.at, text);
    }
}
