package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// must gives the answer of a call that has to succeed.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// is fails unless both are equal.
func is(got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("%v, not %v", got, wanted))
	}
}

// refused fails unless the call was refused with this code.
func refused(err error, code string) {
	var refusal smithy.APIError
	if err == nil {
		panic("accepted, not " + code)
	}
	if !errors.As(err, &refusal) || refusal.ErrorCode() != code {
		panic(fmt.Sprintf("%v, not %s", err, code))
	}
}

// typed fails unless the SDK made an error of this type of the refusal.
func typed[T error](err error) {
	var wanted T
	if !errors.As(err, &wanted) {
		panic(fmt.Sprintf("%T %v, not %T", err, err, wanted))
	}
}

func queue(name string, attributes map[string]string) *string {
	return must(queues.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String(prefix + name), Attributes: attributes,
	})).QueueUrl
}

func attribute(url *string, name types.QueueAttributeName) string {
	return must(queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{name},
	})).Attributes[string(name)]
}

func arn(url *string) string { return attribute(url, types.QueueAttributeNameQueueArn) }

// counts: how many messages are visible, and how many in flight.
func counts(url *string) [2]string {
	return [2]string{
		attribute(url, types.QueueAttributeNameApproximateNumberOfMessages),
		attribute(url, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
	}
}

func send(url *string, body string) *sqs.SendMessageOutput {
	return must(queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body}))
}

// receive takes up to ten messages with everything that they have.
func receive(url *string, more ...func(*sqs.ReceiveMessageInput)) []types.Message {
	input := &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	for _, change := range more {
		change(input)
	}
	return must(queues.ReceiveMessage(ctx, input)).Messages
}

func waiting(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(input *sqs.ReceiveMessageInput) { input.WaitTimeSeconds = seconds }
}

func one(messages []types.Message) types.Message {
	is(len(messages), 1)
	return messages[0]
}

func bodies(messages []types.Message) []string {
	found := []string{}
	for _, message := range messages {
		found = append(found, *message.Body)
	}
	sort.Strings(found)
	return found
}

func remove(url *string, message types.Message) {
	must(queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: message.ReceiptHandle}))
}

// control asks the server's control API.
func control(method, path, document string) map[string]any {
	request := must(http.NewRequest(method, endpoint+"/_harness/"+path, strings.NewReader(document)))
	answer := must(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	text := must(io.ReadAll(answer.Body))
	if answer.StatusCode >= 300 {
		panic(fmt.Sprintf("%s %s: %s %s", method, path, answer.Status, text))
	}
	found := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &found); err != nil {
			panic(err)
		}
	}
	return found
}
