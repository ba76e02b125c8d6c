// What the three functions of the template do: messages, who may connect, and what becomes of notes.
import {
  ApiGatewayManagementApiClient,
  GoneException,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const dynamodb = new DynamoDBClient({});
const clients = new Map();

// Posts to a connection, through the stage that its events name.
function post({ domainName, stage }, ConnectionId, Data) {
  const endpoint = `https://${domainName}/${stage}`;
  if (!clients.has(endpoint)) clients.set(endpoint, new ApiGatewayManagementApiClient({ endpoint }));
  return clients.get(endpoint).send(new PostToConnectionCommand({ ConnectionId, Data }));
}

export async function messages(event) {
  const { requestContext: context, body } = event;
  if (context.eventType !== "MESSAGE") return { statusCode: 200 };
  if (context.routeKey === "echo") return { statusCode: 200, body };
  const message = JSON.parse(body);
  const me = context.connectionId;
  switch (message.action) {
    case "post":
      await post(context, me, message.text);
      break;
    case "gone":
      try {
        await post(context, "AAAAAAAAAAAAAAA=", "nobody");
      } catch (error) {
        if (!(error instanceof GoneException)) throw error;
        await post(context, me, "GoneException");
      }
      break;
    case "note": {
      const { domainName, stage } = context;
      const item = { id: message.id, text: message.text, connection: me, domainName, stage };
      const Item = Object.fromEntries(Object.entries(item).map(([name, S]) => [name, { S }]));
      await dynamodb.send(new PutItemCommand({ TableName: process.env.NOTES, Item }));
      break;
    }
    default:
      await post(context, me, `no action ${message.action}`);
  }
  return { statusCode: 200 };
}

export async function authorize(event) {
  if (event.queryStringParameters.token !== "let-me-in") throw new Error("Unauthorized");
  const allow = { Effect: "Allow", Action: "execute-api:Invoke", Resource: event.methodArn };
  return {
    principalId: "ann",
    policyDocument: { Version: "2012-10-17", Statement: [allow] },
    context: { user: "ann" },
  };
}

export async function kept(event) {
  const batchItemFailures = [];
  for (const { dynamodb: change } of event.Records) {
    const note = Object.fromEntries(Object.entries(change.NewImage).map(([name, { S }]) => [name, S]));
    try {
      await post(note, note.connection, `kept ${note.text}`);
    } catch (error) {
      if (!(error instanceof GoneException)) batchItemFailures.push({ itemIdentifier: change.SequenceNumber });
    }
  }
  return { batchItemFailures };
}
