package main

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// withDeadLetters makes a queue whose messages go to a second one after one receive; both URLs.
func withDeadLetters(name string) (source, dead *string) {
	dead = queue(name+"-dead", nil)
	policy := fmt.Sprintf(`{"deadLetterTargetArn": %q, "maxReceiveCount": 1}`, arn(dead))
	return queue(name, map[string]string{"RedrivePolicy": policy}), dead
}

// show ends a message's visibility timeout: the SDK leaves a timeout of 0 out of a receive.
func show(url *string, message types.Message) {
	must(queues.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: url, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 0,
	}))
}

var redriveChecks = []check{
	{"dead-letters", func() {
		source, dead := withDeadLetters("source")
		sent := send(source, "poison")
		show(source, one(receive(source)))
		is(len(receive(source)), 0)
		got := one(receive(dead))
		is([]string{*got.MessageId, got.Attributes["DeadLetterQueueSourceArn"]}, []string{*sent.MessageId, arn(source)})
		is(must(queues.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})).QueueUrls, []string{*source})
	}},
	{"redrive", func() {
		source, dead := withDeadLetters("redrive")
		send(source, "back")
		show(source, one(receive(source)))
		is(len(receive(source)), 0)
		from := aws.String(arn(dead))
		started := must(queues.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: from}))
		is(*started.TaskHandle != "", true)
		var task types.ListMessageMoveTasksResultEntry
		for tries := 0; tries < 100 && aws.ToString(task.Status) != "COMPLETED"; tries++ {
			time.Sleep(100 * time.Millisecond)
			task = must(queues.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: from})).Results[0]
		}
		is([]any{*task.Status, task.ApproximateNumberOfMessagesMoved}, []any{"COMPLETED", int64(1)})
		is(bodies(receive(source)), []string{"back"})
		_, err := queues.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn(source))})
		refused(err, "InvalidParameterValue")
	}},
}
