// The JavaScript SDK (v3) against `harness sqs-server`: node sqs_v3.mjs URL. Ends with an error if anything differs.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const need = createRequire(process.cwd() + "/");
const sqs = need("@aws-sdk/client-sqs");
const cloudwatch = need("@aws-sdk/client-cloudwatch");

const endpoint = process.argv[2];
const common = { endpoint, region: "us-east-1", credentials: { accessKeyId: "x", secretAccessKey: "x" } };
const client = new sqs.SQSClient(common);
const send = (command) => client.send(command);

const { QueueUrl } = await send(new sqs.CreateQueueCommand({ QueueName: "from-node" }));
assert.ok(QueueUrl.startsWith(endpoint), QueueUrl);
const sent = await send(
  new sqs.SendMessageCommand({
    QueueUrl,
    MessageBody: '{"id": "ключ"}',
    MessageAttributes: { raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) } },
  }),
);
const got = await send(
  new sqs.ReceiveMessageCommand({ QueueUrl, MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"] }),
);
assert.equal(got.Messages.length, 1);
assert.equal(got.Messages[0].MessageId, sent.MessageId);
assert.equal(got.Messages[0].Body, '{"id": "ключ"}');
assert.deepEqual([...got.Messages[0].MessageAttributes.raw.BinaryValue], [0, 255]);
assert.equal(got.Messages[0].Attributes.ApproximateReceiveCount, "1");
await send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: got.Messages[0].ReceiptHandle }));

const batch = await send(
  new sqs.SendMessageBatchCommand({
    QueueUrl,
    Entries: [
      { Id: "a", MessageBody: "1" },
      { Id: "b", MessageBody: "2", DelaySeconds: 901 },
    ],
  }),
);
assert.deepEqual(batch.Successful.map((one) => one.Id), ["a"]);
assert.deepEqual(batch.Failed.map((one) => [one.Id, one.SenderFault]), [["b", true]]);
await assert.rejects(send(new sqs.GetQueueUrlCommand({ QueueName: "none" })), sqs.QueueDoesNotExist);
await assert.rejects(
  send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "no handle" })),
  sqs.ReceiptHandleIsInvalid,
);

await send(new sqs.ReceiveMessageCommand({ QueueUrl }));
const began = performance.now();
const polled = send(new sqs.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 10 }));
setTimeout(() => send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "late" })), 300);
assert.equal((await polled).Messages[0].Body, "late");
assert.ok(performance.now() - began < 9000);

const watch = new cloudwatch.CloudWatchClient(common);
const Dimensions = [{ Name: "Queue", Value: "from-node" }];
const MetricData = [{ MetricName: "Age", Value: 1.5, Dimensions, Timestamp: new Date() }];
await watch.send(new cloudwatch.PutMetricDataCommand({ Namespace: "Node", MetricData }));
const listed = await watch.send(new cloudwatch.ListMetricsCommand({ Namespace: "Node" }));
assert.deepEqual(listed.Metrics.map((one) => one.MetricName), ["Age"]);
await send(new sqs.DeleteQueueCommand({ QueueUrl }));
console.log("JavaScript SDK v3: all checks passed");
