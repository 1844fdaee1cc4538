package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var queueChecks = []check{
	{"queue-urls", func() {
		url := queue("urls", nil)
		is(*queue("urls", nil), *url)
		is(*must(queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(prefix + "urls")})).QueueUrl, *url)
		listed := must(queues.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String(prefix + "urls")}))
		is(listed.QueueUrls, []string{*url})
		must(queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
		_, err := queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(prefix + "urls")})
		typed[*types.QueueDoesNotExist](err)
	}},
	{"send-receive-delete", func() {
		url := queue("round", nil)
		body := "{\"id\": \"ключ 日本 \U0001F600\", \"tab\": \"\t\"}"
		sent := send(url, body)
		got := one(receive(url))
		is([]string{*got.MessageId, *got.Body}, []string{*sent.MessageId, body})
		is(counts(url), [2]string{"0", "1"})
		remove(url, got)
		is(counts(url), [2]string{"0", "0"})
		is(len(receive(url)), 0)
	}},
	{"message-attributes", func() {
		url := queue("attributes", nil)
		must(queues.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("x"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"text":   {DataType: aws.String("String"), StringValue: aws.String("ключ")},
				"number": {DataType: aws.String("Number.float"), StringValue: aws.String("1.5")},
				"raw":    {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
			},
		}))
		got := one(receive(url)).MessageAttributes
		is(*got["text"].StringValue, "ключ")
		is([]string{*got["number"].DataType, *got["number"].StringValue}, []string{"Number.float", "1.5"})
		is(got["raw"].BinaryValue, []byte{0, 255})
	}},
	{"system-attributes", func() {
		url := queue("system", nil)
		trace := "Root=1-5759e988-bd862e3fe1be46a994272793"
		must(queues.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("x"),
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: &trace},
			},
		}))
		got := one(receive(url)).Attributes
		is([]string{got["ApproximateReceiveCount"], got["AWSTraceHeader"]}, []string{"1", trace})
		is(got["SenderId"] != "", true)
		at := must(strconv.ParseInt(got["SentTimestamp"], 10, 64))
		is(math.Abs(float64(time.Now().UnixMilli()-at)) < 600_000, true)
	}},
	{"batches", func() {
		url := queue("batches", nil)
		sent := must(queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
			QueueUrl: url,
			Entries: []types.SendMessageBatchRequestEntry{
				{Id: aws.String("a"), MessageBody: aws.String("1")},
				{Id: aws.String("b"), MessageBody: aws.String("2"), DelaySeconds: 901},
				{Id: aws.String("c"), MessageBody: aws.String("3")},
			},
		}))
		is([]string{*sent.Successful[0].Id, *sent.Successful[1].Id}, []string{"a", "c"})
		is(fmt.Sprint(*sent.Failed[0].Id, sent.Failed[0].SenderFault, *sent.Failed[0].Code), "btrueInvalidParameterValue")
		got := receive(url)
		is(bodies(got), []string{"1", "3"})
		changes := []types.ChangeMessageVisibilityBatchRequestEntry{}
		deletes := []types.DeleteMessageBatchRequestEntry{{Id: aws.String("bad"), ReceiptHandle: aws.String("none")}}
		for at, message := range got {
			id := aws.String(fmt.Sprint("d", at))
			changes = append(changes, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: id, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 60,
			})
			deletes = append(deletes, types.DeleteMessageBatchRequestEntry{Id: id, ReceiptHandle: message.ReceiptHandle})
		}
		changed := must(queues.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: changes}))
		is(len(changed.Successful), 2)
		gone := must(queues.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: deletes}))
		is([]any{len(gone.Successful), *gone.Failed[0].Id, *gone.Failed[0].Code}, []any{2, "bad", "ReceiptHandleIsInvalid"})
		is(counts(url), [2]string{"0", "0"})
	}},
	{"visibility", func() {
		url := queue("visibility", nil)
		send(url, "x")
		first := one(receive(url))
		is(len(receive(url)), 0)
		must(queues.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0,
		}))
		again := one(receive(url))
		is([]string{*again.MessageId, again.Attributes["ApproximateReceiveCount"]}, []string{*first.MessageId, "2"})
		is(*again.ReceiptHandle != *first.ReceiptHandle, true)
	}},
	{"long-poll", func() {
		url := queue("poll", nil)
		began := time.Now()
		go func() {
			time.Sleep(300 * time.Millisecond)
			send(url, "late")
		}()
		is(bodies(receive(url, waiting(20))), []string{"late"})
		is(time.Since(began) < 15*time.Second, true)
	}},
	{"queue-attributes-and-tags", func() {
		url := queue("tags", nil)
		must(queues.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl: url, Attributes: map[string]string{"VisibilityTimeout": "7"},
		}))
		is(attribute(url, "VisibilityTimeout"), "7")
		is(attribute(url, "DelaySeconds"), "0")
		must(queues.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"team": "a&b", "empty": ""}}))
		must(queues.UntagQueue(ctx, &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"empty"}}))
		is(must(queues.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: url})).Tags, map[string]string{"team": "a&b"})
	}},
	{"pages", func() {
		for at := 1; at <= 3; at++ {
			queue(fmt.Sprint("page-", at), nil)
		}
		pages := sqs.NewListQueuesPaginator(queues, &sqs.ListQueuesInput{
			QueueNamePrefix: aws.String(prefix + "page-"), MaxResults: aws.Int32(2),
		})
		found, asked := 0, 0
		for pages.HasMorePages() {
			found += len(must(pages.NextPage(ctx)).QueueUrls)
			asked++
		}
		is([2]int{found, asked}, [2]int{3, 2})
	}},
	{"fifo", func() {
		url := queue("order.fifo", map[string]string{"FifoQueue": "true"})
		put := func(body, dedup string) string {
			return *must(queues.SendMessage(ctx, &sqs.SendMessageInput{
				QueueUrl: url, MessageBody: &body, MessageGroupId: aws.String("g"), MessageDeduplicationId: &dedup,
			})).SequenceNumber
		}
		first, second := put("1", "a"), put("2", "b")
		is(len(first) < len(second) || first < second, true)
		put("again", "a")
		got := one(receive(url, func(input *sqs.ReceiveMessageInput) { input.MaxNumberOfMessages = 1 }))
		is([]string{*got.Body, got.Attributes["MessageGroupId"], got.Attributes["MessageDeduplicationId"]}, []string{"1", "g", "a"})
		is(len(receive(url)), 0)
		remove(url, got)
		is(bodies(receive(url)), []string{"2"})
		_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
		refused(err, "MissingParameter")
	}},
	{"errors", func() {
		url := queue("errors", nil)
		none := (*url)[:strings.LastIndex(*url, "/")+1] + prefix + "none"
		_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &none, MessageBody: aws.String("x")})
		typed[*types.QueueDoesNotExist](err)
		_, err = queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("none")})
		typed[*types.ReceiptHandleIsInvalid](err)
		_, err = queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}})
		typed[*types.EmptyBatchRequest](err)
		many := []types.SendMessageBatchRequestEntry{}
		for at := range 11 {
			many = append(many, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(at)), MessageBody: aws.String("x")})
		}
		_, err = queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: many})
		typed[*types.TooManyEntriesInBatchRequest](err)
		_, err = queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: url, AttributeNames: []types.QueueAttributeName{"None"},
		})
		typed[*types.InvalidAttributeName](err)
		_, err = queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 11})
		refused(err, "InvalidParameterValue")
		_, err = queues.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String(prefix + "errors"), Attributes: map[string]string{"DelaySeconds": "9"},
		})
		typed[*types.QueueNameExists](err)
	}},
	{"purge", func() {
		url := queue("purge", nil)
		send(url, "x")
		must(queues.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url}))
		is(counts(url), [2]string{"0", "0"})
		_, err := queues.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url})
		typed[*types.PurgeQueueInProgress](err)
	}},
	{"largest-message", func() {
		url := queue("large", nil)
		body := strings.Repeat("x", 1_048_576)
		send(url, body)
		is(len(*one(receive(url)).Body), 1_048_576)
		_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(body + "x")})
		refused(err, "InvalidParameterValue")
	}},
}
