// The baseline of bench_lambda: `$connect` comes in, one PutItem by the official SDK, 200 goes out.
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const keptFor = 2*time.Hour + 5*time.Minute

func main() {
	// What SDKs are set up with in Init, so that each event finds it done.
	loaded, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	client := dynamodb.NewFromConfig(loaded)
	table := os.Getenv("STREAMER_CONNECTIONS_TABLE")
	lambda.Start(func(ctx context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		of := event.RequestContext
		authorizer, _ := of.Authorizer.(map[string]any)
		text := func(name string) types.AttributeValue {
			value, _ := authorizer[name].(string)
			return &types.AttributeValueMemberS{Value: value}
		}
		number := func(value int64) types.AttributeValue {
			return &types.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
		}
		_, err := client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &table,
			Item: map[string]types.AttributeValue{
				"pk":          &types.AttributeValueMemberS{Value: of.ConnectionID},
				"us":          text("user"),
				"ts":          text("tenant"),
				"permissions": text("permissions"),
				"at":          number(of.ConnectedAt),
				"ttl":         number(time.Now().Add(keptFor).Unix()),
			},
		})
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		return events.APIGatewayProxyResponse{StatusCode: 200}, nil
	})
}
