package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	watch "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	notify "github.com/aws/aws-sdk-go-v2/service/sns/types"
)

func topic(name string) *string {
	return must(topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(prefix + name)})).TopicArn
}

func subscribe(topic, url *string, attributes map[string]string) {
	must(topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(arn(url)), Attributes: attributes,
	}))
}

func alarmStates(name string) string {
	found := must(metrics.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}}))
	text := ""
	for _, alarm := range found.MetricAlarms {
		text += fmt.Sprint(alarm.StateValue, " ", *alarm.Threshold)
	}
	return text
}

var serviceChecks = []check{
	{"sns-to-sqs", func() {
		raw, wrapped, to := queue("raw", nil), queue("wrapped", nil), topic("topic")
		subscribe(to, raw, map[string]string{"RawMessageDelivery": "true", "FilterPolicy": `{"kind": ["paid"]}`})
		subscribe(to, wrapped, nil)
		for _, kind := range []string{"paid", "open"} {
			must(topics.Publish(ctx, &sns.PublishInput{
				TopicArn: to, Message: aws.String(kind + " é"), Subject: aws.String("s"),
				MessageAttributes: map[string]notify.MessageAttributeValue{
					"kind": {DataType: aws.String("String"), StringValue: aws.String(kind)},
				},
			}))
		}
		got := one(receive(raw, waiting(5)))
		is([]string{*got.Body, *got.MessageAttributes["kind"].StringValue}, []string{"paid é", "paid"})
		found := []string{}
		for _, body := range bodies(receive(wrapped, waiting(5))) {
			var envelope struct{ Type, TopicArn, Subject, Message string }
			if err := json.Unmarshal([]byte(body), &envelope); err != nil {
				panic(err)
			}
			is([]string{envelope.Type, envelope.TopicArn, envelope.Subject}, []string{"Notification", *to, "s"})
			found = append(found, envelope.Message)
		}
		sort.Strings(found)
		is(found, []string{"open é", "paid é"})
		_, err := topics.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(*to + "-none"), Message: aws.String("x")})
		typed[*notify.NotFoundException](err)
	}},
	{"sns-batch", func() {
		url, to := queue("fan", nil), topic("fan")
		subscribe(to, url, map[string]string{"RawMessageDelivery": "true"})
		sent := must(topics.PublishBatch(ctx, &sns.PublishBatchInput{
			TopicArn: to,
			PublishBatchRequestEntries: []notify.PublishBatchRequestEntry{
				{Id: aws.String("a"), Message: aws.String("1")}, {Id: aws.String("b"), Message: aws.String("2")},
			},
		}))
		is([]string{*sent.Successful[0].Id, *sent.Successful[1].Id}, []string{"a", "b"})
		is(bodies(receive(url, waiting(5))), []string{"1", "2"})
		listed := must(topics.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: to}))
		is([]string{*listed.Subscriptions[0].Protocol}, []string{"sqs"})
	}},
	{"metrics", func() {
		space, at := aws.String(prefix+"metrics"), aws.Time(time.Now().Add(-time.Minute))
		dimensions := []watch.Dimension{{Name: aws.String("Queue"), Value: aws.String("orders")}}
		age := aws.String("Age")
		must(metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
			Namespace: space,
			MetricData: []watch.MetricDatum{
				{MetricName: age, Value: aws.Float64(1.5), Dimensions: dimensions, Timestamp: at},
				{MetricName: age, Dimensions: dimensions, Timestamp: at, StatisticValues: &watch.StatisticSet{
					SampleCount: aws.Float64(2), Sum: aws.Float64(4.5), Minimum: aws.Float64(1), Maximum: aws.Float64(3.5),
				}},
			},
		}))
		listed := must(metrics.ListMetrics(ctx, &cloudwatch.ListMetricsInput{Namespace: space})).Metrics
		is([]any{len(listed), *listed[0].MetricName, *listed[0].Dimensions[0].Value}, []any{1, "Age", "orders"})
		from, to := aws.Time(time.Now().Add(-10*time.Minute)), aws.Time(time.Now().Add(time.Minute))
		points := must(metrics.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: space, MetricName: age, Dimensions: dimensions, StartTime: from, EndTime: to,
			Period: aws.Int32(60), Statistics: []watch.Statistic{"Sum", "Maximum", "SampleCount"},
		})).Datapoints
		is(len(points), 1)
		is([]float64{*points[0].Sum, *points[0].Maximum, *points[0].SampleCount}, []float64{6, 3.5, 3})
		metric := watch.Metric{Namespace: space, MetricName: age, Dimensions: dimensions}
		results := must(metrics.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
			StartTime: from, EndTime: to,
			MetricDataQueries: []watch.MetricDataQuery{
				{Id: aws.String("m"), ReturnData: aws.Bool(false), MetricStat: &watch.MetricStat{
					Metric: &metric, Period: aws.Int32(60), Stat: aws.String("Sum"),
				}},
				{Id: aws.String("twice"), Expression: aws.String("m * 2")},
			},
		})).MetricDataResults
		is([]any{len(results), *results[0].Id, results[0].Values}, []any{1, "twice", []float64{12}})
		_, err := metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
			Namespace: space, MetricData: []watch.MetricDatum{{MetricName: age, Value: aws.Float64(1), Values: []float64{1}}},
		})
		typed[*watch.InvalidParameterCombinationException](err)
	}},
	{"metrics-compressed", func() {
		space, data := aws.String(prefix+"many"), []watch.MetricDatum{}
		for at := range 200 {
			data = append(data, watch.MetricDatum{
				MetricName: aws.String(fmt.Sprint("metric-with-a-long-name-", at)), Value: aws.Float64(float64(at)), Unit: "Count",
			})
		}
		must(metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: space, MetricData: data}))
		is(len(must(metrics.ListMetrics(ctx, &cloudwatch.ListMetricsInput{Namespace: space})).Metrics), 200)
	}},
	{"alarms", func() {
		name := prefix + "alarm"
		must(metrics.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
			AlarmName: &name, Namespace: aws.String("AWS/SQS"), MetricName: aws.String("ApproximateAgeOfOldestMessage"),
			Dimensions: []watch.Dimension{{Name: aws.String("QueueName"), Value: aws.String(prefix + "age")}},
			Statistic:  "Maximum", Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(300),
			ComparisonOperator: "GreaterThanThreshold",
		}))
		is(alarmStates(name), "INSUFFICIENT_DATA 300")
		must(metrics.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{
			AlarmName: &name, StateValue: "ALARM", StateReason: aws.String("tried"),
		}))
		is(alarmStates(name), "ALARM 300")
		_, err := metrics.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{
			AlarmName: aws.String(name + "-none"), StateValue: "OK", StateReason: aws.String("x"),
		})
		typed[*watch.ResourceNotFound](err)
		must(metrics.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}}))
		is(alarmStates(name), "")
	}},
	{"faults-are-retried", func() {
		url := queue("faults", nil)
		control("PUT", "faults", `{"version": 1, "faults": [
			{"target": "aws.sqs.SendMessage", "kind": "throttled", "nth": 1},
			{"target": "aws.sqs.SendMessage", "kind": "unavailable", "nth": 2}]}`)
		send(url, "x")
		is(control("GET", "faults", "")["struck"], []any{1.0, 1.0})
		control("DELETE", "faults", "")
		is(counts(url), [2]string{"1", "0"})
	}},
	{"a-consumer-is-judged", func() {
		control("POST", "reset", "")
		control("PUT", "settings", `{"key": "$.id"}`)
		url := queue("judged", nil)
		for at := 1; at <= 3; at++ {
			send(url, fmt.Sprintf(`{"id": %d}`, at))
		}
		for messages := receive(url); len(messages) > 0; messages = receive(url, waiting(1)) {
			for _, message := range messages {
				var order struct{ Id int }
				if err := json.Unmarshal([]byte(*message.Body), &order); err != nil {
					panic(err)
				}
				control("POST", "effects", fmt.Sprintf(`{"name": "charged", "key": %d}`, order.Id))
				remove(url, message)
			}
		}
		is(control("POST", "check", `{"final": true}`)["verdict"], "passed")
		send(url, `{"id": 4}`)
		remove(url, one(receive(url)))
		is(control("POST", "check", `{"final": true}`)["verdict"], "failed")
	}},
}
