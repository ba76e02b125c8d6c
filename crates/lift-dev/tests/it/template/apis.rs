//! In: SAM's and API Gateway's own WebSocket APIs. Out: their routes.

use super::check;

#[test]
fn a_small_sam_template_is_an_api_and_a_function() {
    check(
        "template.yaml",
        r"
        Transform: AWS::Serverless-2016-10-31
        Resources:
          Chat:
            Type: AWS::Serverless::WebSocketApi
            Properties:
              RouteSelectionExpression: $request.body.action
              Routes:
                $connect: {FunctionArn: !GetAtt EchoFn.Arn}
                $default:
                  FunctionArn: !GetAtt EchoFn.Arn
                  IntegrationTimeout: 5000
          EchoFn:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src/
        ",
        "
        api Chat /default $request.body.action
          $connect -> EchoFn
          $default -> EchoFn in 5s
        function EchoFn python3.12 app.handler src 128MB 3s
        ",
    );
}
