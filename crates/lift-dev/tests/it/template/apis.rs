//! In: SAM's and API Gateway's own WebSocket APIs. Out: their routes.

use super::check;

#[test]
fn a_small_sam_template_is_an_api_and_a_function() {
    check(
        "template.yaml",
        "
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

/// A function that all these APIs ask.
const FUNCTION: &str = r"
  Fn:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.12, Handler: app.handler, CodeUri: src/}
";

#[track_caller]
fn check_resources(resources: &str, expected: &str) {
    let resources = super::dedented(resources).replace('\n', "\n  ");
    let text = format!("Resources:\n  {resources}{FUNCTION}");
    check("template.yaml", &text, expected);
}

#[test]
fn a_sam_api_has_all_that_its_properties_say() {
    check_resources(
        "
        Chat:
          Type: AWS::Serverless::WebSocketApi
          Properties:
            RouteSelectionExpression: ${request.body.kind}
            StageName: prod
            StageVariables: {table: messages, limit: 5}
            DefaultRouteSettings: {ThrottlingRateLimit: 100, ThrottlingBurstLimit: 20}
            RouteSettings:
              send: {ThrottlingRateLimit: 2.5}
            Auth:
              AuthType: CUSTOM
              AuthArn: !GetAtt Fn.Arn
              IdentitySource: [route.request.querystring.token]
            Routes:
              $connect: {FunctionArn: !GetAtt Fn.Arn}
              send: {FunctionArn: !Ref Fn, IntegrationTimeout: 50}
        ",
        "
        api Chat /prod ${request.body.kind} 100/s, burst 20 table=messages limit=5
          $connect -> Fn
          send -> Fn in 50ms 2/s, burst 5000
          authorizer Fn route.request.querystring.token
        function Fn python3.12 app.handler src 128MB 3s
        ! line 10: `ThrottlingRateLimit` is rounded to a whole number from 1
        ",
    );
}

#[test]
fn a_sam_route_is_two_way_only_with_a_route_response_resource() {
    check_resources(
        "
        Chat:
          Type: AWS::Serverless::WebSocketApi
          Properties:
            RouteSelectionExpression: $request.body.action
            Routes:
              sendMessage: {FunctionArn: !GetAtt Fn.Arn, RouteResponseSelectionExpression: $default}
              $default: {FunctionArn: !GetAtt Fn.Arn, RouteResponseSelectionExpression: $default}
              other: {FunctionArn: !GetAtt Fn.Arn}
        Answer:
          Type: AWS::ApiGatewayV2::RouteResponse
          Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatSendmessageRoute, RouteResponseKey: $default}
        Wrong:
          Type: AWS::ApiGatewayV2::RouteResponse
          Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatOtherRoute, RouteResponseKey: $default}
        ",
        "
        api Chat /default $request.body.action
          sendMessage <-> Fn
          $default -> Fn
          other -> Fn
        function Fn python3.12 app.handler src 128MB 3s
        ! line 8: route `$default` is one-way: `RouteResponseSelectionExpression` takes effect only with an `AWS::ApiGatewayV2::RouteResponse` whose `RouteId` is `!Ref ChatDefaultRoute`
        ! line 15: route `other` is one-way: its response takes effect only with `RouteResponseSelectionExpression: $default`
        ",
    );
}

#[test]
fn a_route_of_an_alias_asks_the_function() {
    check(
        "template.yaml",
        "
        Resources:
          Chat:
            Type: AWS::Serverless::WebSocketApi
            Properties:
              RouteSelectionExpression: $request.body.action
              Routes: {$default: {FunctionArn: !Ref Fn.Alias}}
          Fn:
            Type: AWS::Serverless::Function
            Properties:
              FunctionName: echo
              Runtime: python3.12
              Handler: app.handler
              CodeUri: src
              AutoPublishAlias: live
              Environment: {Variables: {SELF: !Ref Fn.Alias, VERSION: !Ref Fn.Version}}
        ",
        r#"
        api Chat /default $request.body.action
          $default -> echo
        function echo python3.12 app.handler src 128MB 3s
          qualifiers ["1", "live"]
          SELF=arn:aws:lambda:us-east-1:000000000000:function:echo:live
          VERSION=arn:aws:lambda:us-east-1:000000000000:function:echo:1
        "#,
    );
}

#[test]
fn a_mock_route_is_added_to_a_sam_api() {
    check_resources(
        r#"
        Chat:
          Type: AWS::Serverless::WebSocketApi
          Properties:
            RouteSelectionExpression: $request.body.action
            Routes: {$default: {FunctionArn: !GetAtt Fn.Arn}}
        PingIntegration:
          Type: AWS::ApiGatewayV2::Integration
          Properties:
            ApiId: !Ref Chat
            IntegrationType: MOCK
            RequestTemplates: {"200": '{"statusCode":200}'}
            TemplateSelectionExpression: "200"
        PingRoute:
          Type: AWS::ApiGatewayV2::Route
          Properties:
            ApiId: !Ref Chat
            RouteKey: ping
            RouteResponseSelectionExpression: $default
            Target: !Join [/, [integrations, !Ref PingIntegration]]
        PingIntegrationResponse:
          Type: AWS::ApiGatewayV2::IntegrationResponse
          Properties:
            ApiId: !Ref Chat
            IntegrationId: !Ref PingIntegration
            IntegrationResponseKey: /200/
            TemplateSelectionExpression: "200"
            ResponseTemplates: {"200": '{"type":"pong"}'}
        PingRouteResponse:
          Type: AWS::ApiGatewayV2::RouteResponse
          Properties: {ApiId: !Ref Chat, RouteId: !Ref PingRoute, RouteResponseKey: $default}
        "#,
        r#"
        api Chat /default $request.body.action
          $default -> Fn
          ping <-> mock "{\"type\":\"pong\"}"
        function Fn python3.12 app.handler src 128MB 3s
        "#,
    );
}

#[test]
fn the_chat_sample_of_api_gateway_s_own_resources_is_read() {
    check(
        "template.yaml",
        r#"
        AWSTemplateFormatVersion: '2010-09-09'
        Transform: AWS::Serverless-2016-10-31
        Parameters:
          TableName:
            Type: String
            Default: simplechat_connections
        Resources:
          ChatSocket:
            Type: AWS::ApiGatewayV2::Api
            Properties:
              Name: ChatSocket
              ProtocolType: WEBSOCKET
              RouteSelectionExpression: "$request.body.message"
          ConnectRoute:
            Type: AWS::ApiGatewayV2::Route
            Properties:
              ApiId: !Ref ChatSocket
              RouteKey: $connect
              AuthorizationType: NONE
              OperationName: ConnectRoute
              Target: !Join
                - '/'
                - - 'integrations'
                  - !Ref ConnectInteg
          ConnectInteg:
            Type: AWS::ApiGatewayV2::Integration
            Properties:
              ApiId: !Ref ChatSocket
              IntegrationType: AWS_PROXY
              IntegrationUri:
                Fn::Sub:
                  arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${OnConnect.Arn}/invocations
          SendRoute:
            Type: AWS::ApiGatewayV2::Route
            Properties:
              ApiId: !Ref ChatSocket
              RouteKey: sendmessage
              Target: !Sub integrations/${SendInteg}
          SendInteg:
            Type: AWS::ApiGatewayV2::Integration
            Properties:
              ApiId: !Ref ChatSocket
              IntegrationType: AWS_PROXY
              TimeoutInMillis: 10000
              IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${OnConnect.Arn}/invocations
          Deployment:
            Type: AWS::ApiGatewayV2::Deployment
            DependsOn: [ConnectRoute, SendRoute]
            Properties: {ApiId: !Ref ChatSocket}
          Stage:
            Type: AWS::ApiGatewayV2::Stage
            Properties:
              StageName: Prod
              DeploymentId: !Ref Deployment
              ApiId: !Ref ChatSocket
              DefaultRouteSettings: {ThrottlingBurstLimit: 7}
          ConnectionsTable:
            Type: AWS::DynamoDB::Table
            Properties:
              AttributeDefinitions: [{AttributeName: connectionId, AttributeType: S}]
              KeySchema: [{AttributeName: connectionId, KeyType: HASH}]
              ProvisionedThroughput: {ReadCapacityUnits: 5, WriteCapacityUnits: "5"}
              SSESpecification: {SSEEnabled: true}
              TableName: !Ref TableName
          OnConnect:
            Type: AWS::Serverless::Function
            Properties:
              CodeUri: src/
              Handler: app.handler
              MemorySize: 256
              Runtime: nodejs20.x
              Environment: {Variables: {TABLE_NAME: !Ref TableName}}
              Policies:
                - DynamoDBCrudPolicy: {TableName: !Ref TableName}
                - Statement:
                    - Effect: Allow
                      Action: ['execute-api:ManageConnections']
                      Resource: [!Sub 'arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${ChatSocket}/*']
          OnConnectPermission:
            Type: AWS::Lambda::Permission
            DependsOn: ChatSocket
            Properties: {Action: lambda:InvokeFunction, FunctionName: !Ref OnConnect, Principal: apigateway.amazonaws.com}
        Outputs:
          WebSocketURI:
            Value: !Join ['', ['wss://', !Ref ChatSocket, '.execute-api.', !Ref 'AWS::Region', '.amazonaws.com/', !Ref Stage]]
        "#,
        r#"
        api ChatSocket /Prod $request.body.message 10000/s, burst 7
          $connect -> OnConnect
          sendmessage -> OnConnect in 10s
        function OnConnect nodejs20.x app.handler src 256MB 3s
          TABLE_NAME=simplechat_connections
          Allow dynamodb:GetItem dynamodb:DeleteItem dynamodb:PutItem dynamodb:Scan dynamodb:Query dynamodb:UpdateItem dynamodb:BatchWriteItem dynamodb:BatchGetItem dynamodb:DescribeTable dynamodb:ConditionCheckItem on arn:aws:dynamodb:us-east-1:000000000000:table/simplechat_connections arn:aws:dynamodb:us-east-1:000000000000:table/simplechat_connections/index/*
          Allow execute-api:ManageConnections on arn:aws:execute-api:us-east-1:000000000000:nsuyc4pk42/*
        table simplechat_connections
          {"AttributeDefinitions":[{"AttributeName":"connectionId","AttributeType":"S"}],"KeySchema":[{"AttributeName":"connectionId","KeyType":"HASH"}],"ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":5},"TableName":"simplechat_connections"}
        "#,
    );
}

#[test]
fn an_authorizer_of_api_gateway_s_own_resources_is_read() {
    check_resources(
        "
        Chat:
          Type: AWS::ApiGatewayV2::Api
          Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}
        Integration:
          Type: AWS::ApiGatewayV2::Integration
          Properties: {ApiId: !Ref Chat, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Fn.Arn}
        Connect:
          Type: AWS::ApiGatewayV2::Route
          Properties:
            ApiId: !Ref Chat
            RouteKey: $connect
            AuthorizationType: CUSTOM
            AuthorizerId: !Ref Auth
            Target: !Sub integrations/${Integration}
        Auth:
          Type: AWS::ApiGatewayV2::Authorizer
          Properties:
            ApiId: !Ref Chat
            AuthorizerType: REQUEST
            Name: auth
            AuthorizerUri: !Sub arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Fn.Arn}/invocations
            IdentitySource: [route.request.header.Authorization, stageVariables.x]
        Live:
          Type: AWS::ApiGatewayV2::Stage
          Properties: {ApiId: !Ref Chat, StageName: live, AutoDeploy: true}
        Second:
          Type: AWS::ApiGatewayV2::Stage
          Properties: {ApiId: !Ref Chat, StageName: other}
        Rest:
          Type: AWS::ApiGatewayV2::Api
          Properties: {ProtocolType: HTTP, Name: rest}
        RestRoute:
          Type: AWS::ApiGatewayV2::Route
          Properties: {ApiId: !Ref Rest, RouteKey: GET /}
        ",
        "
        api Chat /live $request.body.action
          $connect -> Fn
          authorizer Fn route.request.header.Authorization stageVariables.x
        function Fn python3.12 app.handler src 128MB 3s
        ! line 27: stage `other` of Api `Chat` does not run here beside `live`, skipped
        ! line 30: Api `Rest` is an HTTP API and does not run here, skipped
        ",
    );
}

#[test]
fn what_would_behave_otherwise_than_on_aws_is_a_problem() {
    check_resources(
        r#"
        Chat:
          Type: AWS::Serverless::WebSocketApi
          Properties:
            RouteSelectionExpression: request.body.action
            StageName: $default
            Auth: {AuthType: AWS_IAM}
            Routes:
              $conect: {FunctionArn: !GetAtt Fn.Arn}
              send-it: {FunctionArn: !GetAtt Fn.Arn}
              slow: {FunctionArn: !GetAtt Fn.Arn, IntegrationTimeout: 30000}
              none: {}
        Bare:
          Type: AWS::ApiGatewayV2::Api
          Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}
        Http:
          Type: AWS::ApiGatewayV2::Integration
          Properties: {ApiId: !Ref Bare, IntegrationType: HTTP_PROXY, IntegrationUri: https://example.com}
        Vtl:
          Type: AWS::ApiGatewayV2::Integration
          Properties: {ApiId: !Ref Bare, IntegrationType: MOCK}
        VtlResponse:
          Type: AWS::ApiGatewayV2::IntegrationResponse
          Properties:
            ApiId: !Ref Bare
            IntegrationId: !Ref Vtl
            IntegrationResponseKey: $default
            ResponseTemplates: {x: '{"id":"$context.connectionId"}'}
        Route:
          Type: AWS::ApiGatewayV2::Route
          Properties: {ApiId: !Ref Bare, RouteKey: a, Target: !Sub "integrations/${Http}"}
        Elsewhere:
          Type: AWS::ApiGatewayV2::Route
          Properties: {ApiId: Bar, RouteKey: a, Target: integrations/Http}
        "#,
        r#"
        template.yaml:6:18: the stage of a WebSocket API cannot be `$default`
          6 |       StageName: $default
            |                  ^
        template.yaml:7:13: `Auth` needs a `$connect` route
          7 |       Auth: {AuthType: AWS_IAM}
            |             ^
        template.yaml:7:24: `AWS_IAM` is not checked here: no client could connect as on AWS
          7 |       Auth: {AuthType: AWS_IAM}
            |                        ^
        template.yaml:9:9: SAM takes only letters and digits in a route key, not `$conect`; did you mean `$connect`?
          9 |         $conect: {FunctionArn: !GetAtt Fn.Arn}
            |         ^
        template.yaml:10:9: SAM takes only letters and digits in a route key, not `send-it`
          10 |         send-it: {FunctionArn: !GetAtt Fn.Arn}
             |         ^
        template.yaml:11:65: `IntegrationTimeout` of route `slow` must be a number from 50 to 29000
          11 |         slow: {FunctionArn: !GetAtt Fn.Arn, IntegrationTimeout: 30000}
             |                                                                 ^
        template.yaml:12:15: route `none` needs `FunctionArn`
          12 |         none: {}
             |               ^
        template.yaml:13:3: Api `Bare` has no stage: it needs an `AWS::ApiGatewayV2::Stage`
          13 |   Bare:
             |   ^
        template.yaml:18:53: `HTTP_PROXY` integrations do not run here: `AWS_PROXY` and `MOCK` do
          18 |     Properties: {ApiId: !Ref Bare, IntegrationType: HTTP_PROXY, IntegrationUri: https://example.com}
             |                                                     ^
        template.yaml:28:30: mapping templates run here only as fixed text; this has `$context.connectionId`
          28 |       ResponseTemplates: {x: '{"id":"$context.connectionId"}'}
             |                              ^
        template.yaml:34:25: `Bar` is no API of this template; did you mean `Bare`?
          34 |     Properties: {ApiId: Bar, RouteKey: a, Target: integrations/Http}
             |                         ^
        "#,
    );
}
