// The JavaScript SDK v3 against an SQS server: node round.mjs URL PREFIX. A line for each check; exit 1 if one fails.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const need = createRequire(process.cwd() + "/");
const S = need("@aws-sdk/client-sqs");
const N = need("@aws-sdk/client-sns");
const C = need("@aws-sdk/client-cloudwatch");
const { Consumer } = await import(need.resolve("sqs-consumer"));

const [endpoint, prefix] = process.argv.slice(2);
const common = { endpoint, region: "us-east-1", credentials: { accessKeyId: "x", secretAccessKey: "x" } };
const sqs = new S.SQSClient(common);
const sns = new N.SNSClient(common);
const cloudwatch = new C.CloudWatchClient(common);
const call = (name, input) => sqs.send(new S[`${name}Command`](input));
const notify = (name, input) => sns.send(new N[`${name}Command`](input));
const watch = (name, input) => cloudwatch.send(new C[`${name}Command`](input));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function queue(name, Attributes = {}) {
  return (await call("CreateQueue", { QueueName: `${prefix}${name}`, Attributes })).QueueUrl;
}
async function arn(QueueUrl) {
  return (await call("GetQueueAttributes", { QueueUrl, AttributeNames: ["QueueArn"] })).Attributes.QueueArn;
}
async function counts(QueueUrl) {
  const names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
  const { Attributes } = await call("GetQueueAttributes", { QueueUrl, AttributeNames: names });
  return names.map((name) => Number(Attributes[name]));
}
async function receive(QueueUrl, input = {}) {
  const all = { MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"], MaxNumberOfMessages: 10 };
  return (await call("ReceiveMessage", { QueueUrl, ...all, ...input })).Messages ?? [];
}
async function control(method, path, document) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  const answer = await fetch(`${endpoint}/_harness/${path}`, { method, body });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  const text = await answer.text();
  return text === "" ? null : JSON.parse(text);
}
async function refused(promise, kind, code) {
  const error = await promise.then(() => assert.fail(`accepted, not ${code}`), (error) => error);
  if (kind) assert.ok(error instanceof kind, `${error.name}: ${error.message}`);
  assert.ok(error.name === code || error.Code === code, `${error.name}/${error.Code}, not ${code}`);
  assert.equal(error.$metadata.httpStatusCode >= 400 && error.$metadata.httpStatusCode < 500, true);
}

const checks = {
  async "queue-urls"() {
    const url = await queue("urls");
    assert.equal(url, await queue("urls"));
    assert.equal((await call("GetQueueUrl", { QueueName: `${prefix}urls` })).QueueUrl, url);
    assert.deepEqual((await call("ListQueues", { QueueNamePrefix: `${prefix}urls` })).QueueUrls, [url]);
    await call("DeleteQueue", { QueueUrl: url });
    await refused(call("GetQueueUrl", { QueueName: `${prefix}urls` }), S.QueueDoesNotExist, "QueueDoesNotExist");
  },
  async "send-receive-delete"() {
    const url = await queue("round");
    const MessageBody = '{"id": "ключ 日本 \u{1F600}", "tab": "\t"}';
    const { MessageId } = await call("SendMessage", { QueueUrl: url, MessageBody });
    const [got] = await receive(url);
    assert.deepEqual([got.MessageId, got.Body], [MessageId, MessageBody]);
    assert.deepEqual(await counts(url), [0, 1]);
    await call("DeleteMessage", { QueueUrl: url, ReceiptHandle: got.ReceiptHandle });
    assert.deepEqual(await counts(url), [0, 0]);
    assert.deepEqual(await receive(url), []);
  },
  async "message-attributes"() {
    const url = await queue("attributes");
    const MessageAttributes = {
      text: { DataType: "String", StringValue: "ключ" },
      number: { DataType: "Number.float", StringValue: "1.5" },
      raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) },
    };
    await call("SendMessage", { QueueUrl: url, MessageBody: "x", MessageAttributes });
    const [{ MessageAttributes: got }] = await receive(url);
    assert.equal(got.text.StringValue, "ключ");
    assert.deepEqual([got.number.DataType, got.number.StringValue], ["Number.float", "1.5"]);
    assert.deepEqual([...got.raw.BinaryValue], [0, 255]);
  },
  async "system-attributes"() {
    const url = await queue("system");
    const MessageSystemAttributes = { AWSTraceHeader: { DataType: "String", StringValue: "Root=1-5759e988-bd862e3fe1be46a994272793" } };
    await call("SendMessage", { QueueUrl: url, MessageBody: "x", MessageSystemAttributes });
    const [{ Attributes }] = await receive(url);
    assert.equal(Attributes.ApproximateReceiveCount, "1");
    assert.equal(Attributes.AWSTraceHeader, MessageSystemAttributes.AWSTraceHeader.StringValue);
    assert.ok(Attributes.SenderId);
    assert.ok(Math.abs(Number(Attributes.SentTimestamp) - Date.now()) < 600_000);
  },
  async "batches"() {
    const url = await queue("batches");
    const Entries = [{ Id: "a", MessageBody: "1" }, { Id: "b", MessageBody: "2", DelaySeconds: 901 }, { Id: "c", MessageBody: "3" }];
    const sent = await call("SendMessageBatch", { QueueUrl: url, Entries });
    assert.deepEqual(sent.Successful.map((one) => one.Id), ["a", "c"]);
    assert.deepEqual(sent.Failed.map((one) => [one.Id, one.SenderFault, one.Code]), [["b", true, "InvalidParameterValue"]]);
    const got = await receive(url);
    assert.deepEqual(got.map((one) => one.Body).sort(), ["1", "3"]);
    const handles = got.map((one, at) => ({ Id: `d${at}`, ReceiptHandle: one.ReceiptHandle }));
    const changed = await call("ChangeMessageVisibilityBatch", { QueueUrl: url, Entries: handles.map((one) => ({ ...one, VisibilityTimeout: 60 })) });
    assert.equal(changed.Successful.length, 2);
    const gone = await call("DeleteMessageBatch", { QueueUrl: url, Entries: [...handles, { Id: "bad", ReceiptHandle: "none" }] });
    assert.deepEqual([gone.Successful.length, gone.Failed.map((one) => [one.Id, one.Code])], [2, [["bad", "ReceiptHandleIsInvalid"]]]);
    assert.deepEqual(await counts(url), [0, 0]);
  },
  async "visibility"() {
    const url = await queue("visibility");
    await call("SendMessage", { QueueUrl: url, MessageBody: "x" });
    const [first] = await receive(url);
    assert.deepEqual(await receive(url), []);
    await call("ChangeMessageVisibility", { QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0 });
    const [again] = await receive(url);
    assert.deepEqual([again.MessageId, again.Attributes.ApproximateReceiveCount], [first.MessageId, "2"]);
    assert.notEqual(again.ReceiptHandle, first.ReceiptHandle);
  },
  async "long-poll"() {
    const url = await queue("poll");
    const began = performance.now();
    const polled = receive(url, { WaitTimeSeconds: 20 });
    await sleep(300);
    await call("SendMessage", { QueueUrl: url, MessageBody: "late" });
    assert.deepEqual((await polled).map((one) => one.Body), ["late"]);
    assert.ok(performance.now() - began < 15_000);
  },
  async "queue-attributes-and-tags"() {
    const url = await queue("tags");
    await call("SetQueueAttributes", { QueueUrl: url, Attributes: { VisibilityTimeout: "7" } });
    const { Attributes } = await call("GetQueueAttributes", { QueueUrl: url, AttributeNames: ["All"] });
    assert.deepEqual([Attributes.VisibilityTimeout, Attributes.DelaySeconds], ["7", "0"]);
    await call("TagQueue", { QueueUrl: url, Tags: { team: "a&b", empty: "" } });
    await call("UntagQueue", { QueueUrl: url, TagKeys: ["empty"] });
    assert.deepEqual((await call("ListQueueTags", { QueueUrl: url })).Tags, { team: "a&b" });
  },
  async "pages"() {
    for (const name of ["page-1", "page-2", "page-3"]) await queue(name);
    const found = [];
    for await (const page of S.paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: `${prefix}page-` })) {
      found.push(...(page.QueueUrls ?? []));
    }
    assert.deepEqual(found.map((url) => url.slice(-6)).sort(), ["page-1", "page-2", "page-3"]);
  },
  async "fifo"() {
    const url = await queue("order.fifo", { FifoQueue: "true" });
    const send = (body, dedup) => call("SendMessage", { QueueUrl: url, MessageBody: body, MessageGroupId: "g", MessageDeduplicationId: dedup });
    const numbers = [await send("1", "a"), await send("2", "b")].map((one) => BigInt(one.SequenceNumber));
    assert.ok(numbers[0] < numbers[1]);
    await send("again", "a");
    const [first] = await receive(url, { MaxNumberOfMessages: 1 });
    assert.deepEqual([first.Body, first.Attributes.MessageGroupId, first.Attributes.MessageDeduplicationId], ["1", "g", "a"]);
    assert.deepEqual(await receive(url), []);
    await call("DeleteMessage", { QueueUrl: url, ReceiptHandle: first.ReceiptHandle });
    assert.deepEqual((await receive(url)).map((one) => one.Body), ["2"]);
    await refused(call("SendMessage", { QueueUrl: url, MessageBody: "x" }), null, "MissingParameter");
  },
  async "dead-letters"() {
    const dead = await queue("dead");
    const source = await queue("source", { RedrivePolicy: JSON.stringify({ deadLetterTargetArn: await arn(dead), maxReceiveCount: 1 }) });
    const { MessageId } = await call("SendMessage", { QueueUrl: source, MessageBody: "poison" });
    assert.equal((await receive(source, { VisibilityTimeout: 0 })).length, 1);
    assert.deepEqual(await receive(source), []);
    const [found] = await receive(dead, { VisibilityTimeout: 0 });
    assert.deepEqual([found.MessageId, found.Attributes.DeadLetterQueueSourceArn], [MessageId, await arn(source)]);
    assert.deepEqual((await call("ListDeadLetterSourceQueues", { QueueUrl: dead })).queueUrls, [source]);
  },
  async "redrive"() {
    const dead = await queue("redrive-dead");
    const source = await queue("redrive", { RedrivePolicy: JSON.stringify({ deadLetterTargetArn: await arn(dead), maxReceiveCount: 1 }) });
    await call("SendMessage", { QueueUrl: source, MessageBody: "back" });
    await receive(source, { VisibilityTimeout: 0 });
    await receive(source);
    const SourceArn = await arn(dead);
    assert.ok((await call("StartMessageMoveTask", { SourceArn })).TaskHandle);
    let task;
    for (let tries = 0; tries < 100 && task?.Status !== "COMPLETED"; tries += 1) {
      await sleep(100);
      [task] = (await call("ListMessageMoveTasks", { SourceArn })).Results;
    }
    assert.deepEqual([task.Status, Number(task.ApproximateNumberOfMessagesMoved)], ["COMPLETED", 1]);
    assert.deepEqual((await receive(source)).map((one) => one.Body), ["back"]);
    await refused(call("StartMessageMoveTask", { SourceArn: await arn(source) }), null, "InvalidParameterValue");
  },
  async "errors"() {
    const url = await queue("errors");
    const none = url.replace(/[^/]*$/, `${prefix}none`);
    await refused(call("SendMessage", { QueueUrl: none, MessageBody: "x" }), S.QueueDoesNotExist, "QueueDoesNotExist");
    await refused(call("DeleteMessage", { QueueUrl: url, ReceiptHandle: "none" }), S.ReceiptHandleIsInvalid, "ReceiptHandleIsInvalid");
    await refused(call("SendMessageBatch", { QueueUrl: url, Entries: [] }), S.EmptyBatchRequest, "EmptyBatchRequest");
    const many = Array.from({ length: 11 }, (_, at) => ({ Id: `${at}`, MessageBody: "x" }));
    await refused(call("SendMessageBatch", { QueueUrl: url, Entries: many }), S.TooManyEntriesInBatchRequest, "TooManyEntriesInBatchRequest");
    await refused(call("GetQueueAttributes", { QueueUrl: url, AttributeNames: ["None"] }), S.InvalidAttributeName, "InvalidAttributeName");
    await refused(call("ReceiveMessage", { QueueUrl: url, MaxNumberOfMessages: 11 }), null, "InvalidParameterValue");
    await refused(call("CreateQueue", { QueueName: `${prefix}errors`, Attributes: { DelaySeconds: "9" } }), S.QueueNameExists, "QueueNameExists");
  },
  async "purge"() {
    const url = await queue("purge");
    await call("SendMessage", { QueueUrl: url, MessageBody: "x" });
    await call("PurgeQueue", { QueueUrl: url });
    assert.deepEqual(await counts(url), [0, 0]);
    await refused(call("PurgeQueue", { QueueUrl: url }), S.PurgeQueueInProgress, "PurgeQueueInProgress");
  },
  async "largest-message"() {
    const url = await queue("large");
    const MessageBody = "x".repeat(1_048_576);
    await call("SendMessage", { QueueUrl: url, MessageBody });
    assert.equal((await receive(url))[0].Body.length, 1_048_576);
    await refused(call("SendMessage", { QueueUrl: url, MessageBody: `${MessageBody}x` }), null, "InvalidParameterValue");
  },
  async "sns-to-sqs"() {
    const [raw, wrapped] = [await queue("raw"), await queue("wrapped")];
    const { TopicArn } = await notify("CreateTopic", { Name: `${prefix}topic` });
    const subscribe = async (url, Attributes) => notify("Subscribe", { TopicArn, Protocol: "sqs", Endpoint: await arn(url), Attributes });
    await subscribe(raw, { RawMessageDelivery: "true", FilterPolicy: '{"kind": ["paid"]}' });
    await subscribe(wrapped, {});
    for (const kind of ["paid", "open"]) {
      await notify("Publish", { TopicArn, Message: `${kind} é`, Subject: "s", MessageAttributes: { kind: { DataType: "String", StringValue: kind } } });
    }
    const got = await receive(raw, { WaitTimeSeconds: 5 });
    assert.deepEqual(got.map((one) => [one.Body, one.MessageAttributes.kind.StringValue]), [["paid é", "paid"]]);
    const envelopes = (await receive(wrapped, { WaitTimeSeconds: 5 })).map((one) => JSON.parse(one.Body));
    assert.deepEqual(envelopes.map((one) => [one.Type, one.TopicArn, one.Subject]), Array(2).fill(["Notification", TopicArn, "s"]));
    assert.deepEqual(envelopes.map((one) => one.Message).sort(), ["open é", "paid é"]);
    await refused(notify("Publish", { TopicArn: `${TopicArn}-none`, Message: "x" }), N.NotFoundException, "NotFound");
  },
  async "sns-batch"() {
    const url = await queue("fan");
    const { TopicArn } = await notify("CreateTopic", { Name: `${prefix}fan` });
    await notify("Subscribe", { TopicArn, Protocol: "sqs", Endpoint: await arn(url), Attributes: { RawMessageDelivery: "true" } });
    const PublishBatchRequestEntries = [{ Id: "a", Message: "1" }, { Id: "b", Message: "2" }];
    const sent = await notify("PublishBatch", { TopicArn, PublishBatchRequestEntries });
    assert.deepEqual(sent.Successful.map((one) => one.Id), ["a", "b"]);
    assert.deepEqual((await receive(url, { WaitTimeSeconds: 5 })).map((one) => one.Body).sort(), ["1", "2"]);
    assert.deepEqual((await notify("ListSubscriptionsByTopic", { TopicArn })).Subscriptions.map((one) => one.Protocol), ["sqs"]);
  },
  async "metrics"() {
    const Namespace = `${prefix}metrics`;
    const Timestamp = new Date(Date.now() - 60_000);
    const Dimensions = [{ Name: "Queue", Value: "orders" }];
    await watch("PutMetricData", { Namespace, MetricData: [
      { MetricName: "Age", Value: 1.5, Dimensions, Timestamp },
      { MetricName: "Age", Dimensions, Timestamp, StatisticValues: { SampleCount: 2, Sum: 4.5, Minimum: 1, Maximum: 3.5 } },
    ] });
    const { Metrics } = await watch("ListMetrics", { Namespace });
    assert.deepEqual(Metrics, [{ Namespace, MetricName: "Age", Dimensions }]);
    const StartTime = new Date(Date.now() - 600_000);
    const EndTime = new Date(Date.now() + 60_000);
    const Statistics = ["Sum", "Maximum", "SampleCount"];
    const { Datapoints } = await watch("GetMetricStatistics", { Namespace, MetricName: "Age", Dimensions, StartTime, EndTime, Period: 60, Statistics });
    assert.deepEqual(Datapoints.map((one) => [one.Sum, one.Maximum, one.SampleCount]), [[6, 3.5, 3]]);
    const MetricStat = { Metric: { Namespace, MetricName: "Age", Dimensions }, Period: 60, Stat: "Sum" };
    const MetricDataQueries = [{ Id: "m", MetricStat, ReturnData: false }, { Id: "twice", Expression: "m * 2" }];
    const { MetricDataResults } = await watch("GetMetricData", { StartTime, EndTime, MetricDataQueries });
    assert.deepEqual(MetricDataResults.map((one) => [one.Id, one.Values]), [["twice", [12]]]);
    const both = { MetricName: "Age", Value: 1, Values: [1] };
    await refused(watch("PutMetricData", { Namespace, MetricData: [both] }), C.InvalidParameterCombinationException, "InvalidParameterCombination");
  },
  async "metrics-compressed"() {
    const Namespace = `${prefix}many`;
    const MetricData = Array.from({ length: 200 }, (_, at) => ({ MetricName: `metric-with-a-long-name-${at}`, Value: at, Unit: "Count" }));
    await watch("PutMetricData", { Namespace, MetricData });
    const { Metrics } = await watch("ListMetrics", { Namespace });
    assert.equal(new Set(Metrics.map((one) => one.MetricName)).size, 200);
  },
  async "alarms"() {
    const AlarmName = `${prefix}alarm`;
    await watch("PutMetricAlarm", { AlarmName, Namespace: "AWS/SQS", MetricName: "ApproximateAgeOfOldestMessage", Statistic: "Maximum",
      Dimensions: [{ Name: "QueueName", Value: `${prefix}age` }], Period: 60, EvaluationPeriods: 1, Threshold: 300, ComparisonOperator: "GreaterThanThreshold" });
    const state = async () => (await watch("DescribeAlarms", { AlarmNames: [AlarmName] })).MetricAlarms.map((one) => [one.StateValue, one.Threshold]);
    assert.deepEqual(await state(), [["INSUFFICIENT_DATA", 300]]);
    await watch("SetAlarmState", { AlarmName, StateValue: "ALARM", StateReason: "tried" });
    assert.deepEqual(await state(), [["ALARM", 300]]);
    await refused(watch("SetAlarmState", { AlarmName: `${AlarmName}-none`, StateValue: "OK", StateReason: "x" }), null, "ResourceNotFound");
    await watch("DeleteAlarms", { AlarmNames: [AlarmName] });
    assert.deepEqual(await state(), []);
  },
  async "faults-are-retried"() {
    const url = await queue("faults");
    const faults = [
      { target: "aws.sqs.SendMessage", kind: "throttled", nth: 1 },
      { target: "aws.sqs.SendMessage", kind: "unavailable", nth: 2 },
    ];
    await control("PUT", "faults", { version: 1, faults });
    await call("SendMessage", { QueueUrl: url, MessageBody: "x" });
    assert.deepEqual((await control("GET", "faults")).struck, [1, 1]);
    await control("DELETE", "faults");
    assert.deepEqual(await counts(url), [1, 0]);
  },
  async "a-consumer-is-judged"() {
    await control("POST", "reset");
    await control("PUT", "settings", { key: "$.id" });
    const url = await queue("judged");
    for (const id of [1, 2, 3]) await call("SendMessage", { QueueUrl: url, MessageBody: JSON.stringify({ id }) });
    let left = 3;
    const done = new Promise((resolve, reject) => {
      const handleMessage = async (message) => {
        await control("POST", "effects", { name: "charged", key: JSON.parse(message.Body).id });
        return message;
      };
      const consumer = Consumer.create({ queueUrl: url, sqs, handleMessage, waitTimeSeconds: 1 });
      consumer.on("error", reject);
      consumer.on("message_processed", () => { if (--left === 0) { consumer.stop(); resolve(); } });
      consumer.start();
    });
    await done;
    const passed = await control("POST", "check", { final: true });
    assert.equal(passed.verdict, "passed", JSON.stringify(passed.invariants));
    await call("SendMessage", { QueueUrl: url, MessageBody: '{"id": 4}' });
    const [lost] = await receive(url);
    await call("DeleteMessage", { QueueUrl: url, ReceiptHandle: lost.ReceiptHandle });
    assert.equal((await control("POST", "check", { final: true })).verdict, "failed");
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${String(error.message ?? error).replaceAll(/\s+/g, " ").slice(0, 300)}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
