// What the three functions of the template do: messages, who may connect, and what becomes of notes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	gone "github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var (
	settings aws.Config
	notes    *dynamodb.Client
	ok       = events.APIGatewayProxyResponse{StatusCode: 200}
)

// post sends text to a connection, through the stage that its events name.
func post(ctx context.Context, domain, stage, connection, text string) error {
	client := apigatewaymanagementapi.NewFromConfig(settings, func(o *apigatewaymanagementapi.Options) {
		o.BaseEndpoint = aws.String(fmt.Sprintf("https://%s/%s", domain, stage))
	})
	_, err := client.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{
		ConnectionId: &connection, Data: []byte(text),
	})
	return err
}

func messages(ctx context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	at := event.RequestContext
	if at.EventType != "MESSAGE" {
		return ok, nil
	}
	if at.RouteKey == "echo" {
		return events.APIGatewayProxyResponse{StatusCode: 200, Body: event.Body}, nil
	}
	var message struct{ Action, ID, Text string }
	if err := json.Unmarshal([]byte(event.Body), &message); err != nil {
		return ok, err
	}
	say := func(text string) error { return post(ctx, at.DomainName, at.Stage, at.ConnectionID, text) }
	switch message.Action {
	case "post":
		return ok, say(message.Text)
	case "gone":
		err := post(ctx, at.DomainName, at.Stage, "AAAAAAAAAAAAAAA=", "nobody")
		var is *gone.GoneException
		if errors.As(err, &is) {
			return ok, say("GoneException")
		}
		return ok, fmt.Errorf("not gone: %w", err)
	case "note":
		item := map[string]types.AttributeValue{}
		for name, value := range map[string]string{
			"id": message.ID, "text": message.Text,
			"connection": at.ConnectionID, "domainName": at.DomainName, "stage": at.Stage,
		} {
			item[name] = &types.AttributeValueMemberS{Value: value}
		}
		_, err := notes.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(os.Getenv("NOTES")), Item: item})
		return ok, err
	}
	return ok, say("no action " + message.Action)
}

func authorize(_ context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
	if event.QueryStringParameters["token"] != "let-me-in" {
		return events.APIGatewayCustomAuthorizerResponse{}, errors.New("Unauthorized")
	}
	at := event.RequestContext
	arn := fmt.Sprintf("arn:aws:execute-api:*:*:%s/%s/$connect", at.APIID, at.Stage)
	allow := events.IAMPolicyStatement{Effect: "Allow", Action: []string{"execute-api:Invoke"}, Resource: []string{arn}}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID:    "ann",
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{Version: "2012-10-17", Statement: []events.IAMPolicyStatement{allow}},
		Context:        map[string]any{"user": "ann"},
	}, nil
}

func kept(ctx context.Context, event events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	var out events.DynamoDBEventResponse
	for _, record := range event.Records {
		note := record.Change.NewImage
		err := post(ctx, note["domainName"].String(), note["stage"].String(),
			note["connection"].String(), "kept "+note["text"].String())
		var is *gone.GoneException
		if err != nil && !errors.As(err, &is) {
			failed := events.DynamoDBBatchItemFailure{ItemIdentifier: record.Change.SequenceNumber}
			out.BatchItemFailures = append(out.BatchItemFailures, failed)
		}
	}
	return out, nil
}

func main() {
	var err error
	if settings, err = config.LoadDefaultConfig(context.Background()); err != nil {
		panic(err)
	}
	notes = dynamodb.NewFromConfig(settings)
	switch os.Getenv("_HANDLER") {
	case "authorize":
		lambda.Start(authorize)
	case "kept":
		lambda.Start(kept)
	default:
		lambda.Start(messages)
	}
}
