import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import software.amazon.awssdk.services.cloudwatch.model.CloudWatchException;
import software.amazon.awssdk.services.cloudwatch.model.ComparisonOperator;
import software.amazon.awssdk.services.cloudwatch.model.Dimension;
import software.amazon.awssdk.services.cloudwatch.model.InvalidParameterCombinationException;
import software.amazon.awssdk.services.cloudwatch.model.Metric;
import software.amazon.awssdk.services.cloudwatch.model.MetricDataQuery;
import software.amazon.awssdk.services.cloudwatch.model.MetricDatum;
import software.amazon.awssdk.services.cloudwatch.model.StandardUnit;
import software.amazon.awssdk.services.cloudwatch.model.StateValue;
import software.amazon.awssdk.services.cloudwatch.model.Statistic;
import software.amazon.awssdk.services.sns.model.MessageAttributeValue;
import software.amazon.awssdk.services.sns.model.NotFoundException;
import software.amazon.awssdk.services.sns.model.PublishBatchRequestEntry;
import software.amazon.awssdk.services.sns.model.PublishBatchResultEntry;
import software.amazon.awssdk.services.sqs.model.Message;

/** Checks of SNS, CloudWatch and the control API. */
final class Services {
    private final Desk desk;

    Services(Desk desk) {
        this.desk = desk;
    }

    private String topic(String name) {
        return desk.sns.createTopic(to -> to.name(desk.prefix + name)).topicArn();
    }

    private void subscribe(String topic, String url, Map<String, String> attributes) {
        var arn = desk.arn(url);
        desk.sns.subscribe(to -> to.topicArn(topic).protocol("sqs").endpoint(arn).attributes(attributes));
    }

    void snsToSqs() {
        var raw = desk.queue("raw");
        var wrapped = desk.queue("wrapped");
        var topic = topic("topic");
        subscribe(topic, raw, Map.of("RawMessageDelivery", "true", "FilterPolicy", "{\"kind\": [\"paid\"]}"));
        subscribe(topic, wrapped, Map.of());
        for (var kind : List.of("paid", "open")) {
            var attribute = MessageAttributeValue.builder().dataType("String").stringValue(kind).build();
            desk.sns.publish(to -> to.topicArn(topic).message(kind + " é").subject("s").messageAttributes(Map.of("kind", attribute)));
        }
        var got = Desk.one(desk.receive(raw, to -> to.waitTimeSeconds(5)));
        Desk.is(List.of(got.body(), got.messageAttributes().get("kind").stringValue()), List.of("paid é", "paid"));
        var found = new ArrayList<String>();
        for (Message message : desk.receive(wrapped, to -> to.waitTimeSeconds(5))) {
            var envelope = Desk.json(message.body()).asObject();
            Desk.is(envelope.get("Type").asString() + envelope.get("Subject").asString(), "Notifications");
            Desk.is(envelope.get("TopicArn").asString(), topic);
            found.add(envelope.get("Message").asString());
        }
        Desk.is(found.stream().sorted().toList(), List.of("open é", "paid é"));
        Desk.refused(NotFoundException.class, "NotFound", () -> desk.sns.publish(to -> to.topicArn(topic + "-none").message("x")));
    }

    void snsBatch() {
        var url = desk.queue("fan");
        var topic = topic("fan");
        subscribe(topic, url, Map.of("RawMessageDelivery", "true"));
        var sent = desk.sns.publishBatch(to -> to.topicArn(topic).publishBatchRequestEntries(
            PublishBatchRequestEntry.builder().id("a").message("1").build(),
            PublishBatchRequestEntry.builder().id("b").message("2").build()));
        Desk.is(sent.successful().stream().map(PublishBatchResultEntry::id).toList(), List.of("a", "b"));
        Desk.is(Desk.bodies(desk.receive(url, to -> to.waitTimeSeconds(5))), List.of("1", "2"));
        var subscriptions = desk.sns.listSubscriptionsByTopic(to -> to.topicArn(topic)).subscriptions();
        Desk.is(subscriptions.stream().map(one -> one.protocol()).toList(), List.of("sqs"));
    }

    void metrics() {
        var space = desk.prefix + "metrics";
        var at = Instant.now().minusSeconds(60);
        var queue = Dimension.builder().name("Queue").value("orders").build();
        var datum = MetricDatum.builder().metricName("Age").dimensions(queue).timestamp(at);
        var one = datum.copy().value(1.5).build();
        var several = datum.copy()
            .statisticValues(set -> set.sampleCount(2.0).sum(4.5).minimum(1.0).maximum(3.5)).build();
        desk.cloudwatch.putMetricData(to -> to.namespace(space).metricData(one, several));
        var metric = Metric.builder().namespace(space).metricName("Age").dimensions(queue).build();
        Desk.is(desk.cloudwatch.listMetrics(to -> to.namespace(space)).metrics(), List.of(metric));
        var from = Instant.now().minusSeconds(600);
        var until = Instant.now().plusSeconds(60);
        var points = desk.cloudwatch.getMetricStatistics(to -> to.namespace(space).metricName("Age").dimensions(queue)
            .startTime(from).endTime(until).period(60)
            .statistics(Statistic.SUM, Statistic.MAXIMUM, Statistic.SAMPLE_COUNT)).datapoints();
        Desk.is(points.stream().map(point -> List.of(point.sum(), point.maximum(), point.sampleCount())).toList(),
            List.of(List.of(6.0, 3.5, 3.0)));
        var results = desk.cloudwatch.getMetricData(to -> to.startTime(from).endTime(until).metricDataQueries(
            MetricDataQuery.builder().id("m").returnData(false).metricStat(stat -> stat.metric(metric).period(60).stat("Sum")).build(),
            MetricDataQuery.builder().id("twice").expression("m * 2").build())).metricDataResults();
        Desk.is(results.stream().map(result -> result.id() + result.values()).toList(), List.of("twice[12.0]"));
        var both = datum.copy().value(1.0).values(1.0).build();
        Desk.refused(InvalidParameterCombinationException.class, "InvalidParameterCombination",
            () -> desk.cloudwatch.putMetricData(to -> to.namespace(space).metricData(both)));
    }

    void metricsCompressed() {
        var space = desk.prefix + "many";
        var data = IntStream.range(0, 200).mapToObj(at -> MetricDatum.builder().metricName("metric-with-a-long-name-" + at)
            .value((double) at).unit(StandardUnit.COUNT).build()).toList();
        desk.cloudwatch.putMetricData(to -> to.namespace(space).metricData(data));
        Desk.is(desk.cloudwatch.listMetrics(to -> to.namespace(space)).metrics().size(), 200);
    }

    void alarms() {
        var name = desk.prefix + "alarm";
        desk.cloudwatch.putMetricAlarm(to -> to.alarmName(name).namespace("AWS/SQS").metricName("ApproximateAgeOfOldestMessage")
            .dimensions(Dimension.builder().name("QueueName").value(desk.prefix + "age").build()).statistic(Statistic.MAXIMUM)
            .period(60).evaluationPeriods(1).threshold(300.0).comparisonOperator(ComparisonOperator.GREATER_THAN_THRESHOLD));
        Desk.is(states(name), List.of("INSUFFICIENT_DATA 300.0"));
        desk.cloudwatch.setAlarmState(to -> to.alarmName(name).stateValue(StateValue.ALARM).stateReason("tried"));
        Desk.is(states(name), List.of("ALARM 300.0"));
        // AWS's model has two shapes, and the SDK a class for the other one.
        Desk.refused(CloudWatchException.class, "ResourceNotFound", () -> desk.cloudwatch.setAlarmState(
            to -> to.alarmName(name + "-none").stateValue(StateValue.OK).stateReason("x")));
        desk.cloudwatch.deleteAlarms(to -> to.alarmNames(name));
        Desk.is(states(name), List.of());
    }

    private List<String> states(String name) {
        return desk.cloudwatch.describeAlarms(to -> to.alarmNames(name)).metricAlarms().stream()
            .map(alarm -> alarm.stateValueAsString() + " " + alarm.threshold()).toList();
    }

    void faults() {
        var url = desk.queue("faults");
        desk.control("PUT", "faults", """
            {"version": 1, "faults": [{"target": "aws.sqs.SendMessage", "kind": "throttled", "nth": 1},
                                      {"target": "aws.sqs.SendMessage", "kind": "unavailable", "nth": 2}]}""");
        desk.send(url, "x");
        var struck = desk.control("GET", "faults", "").asObject().get("struck").asArray();
        Desk.is(struck.stream().map(one -> one.asNumber()).toList(), List.of("1", "1"));
        desk.control("DELETE", "faults", "");
        Desk.is(desk.counts(url), List.of("1", "0"));
    }

    void judged() {
        desk.control("POST", "reset", "");
        desk.control("PUT", "settings", "{\"key\": \"$.id\"}");
        var url = desk.queue("judged");
        IntStream.rangeClosed(1, 3).forEach(id -> desk.send(url, "{\"id\": %d}".formatted(id)));
        for (var got = desk.receive(url); !got.isEmpty(); got = desk.receive(url, to -> to.waitTimeSeconds(1))) {
            for (Message message : got) {
                var id = Desk.json(message.body()).asObject().get("id").asNumber();
                desk.control("POST", "effects", "{\"name\": \"charged\", \"key\": %s}".formatted(id));
                desk.delete(url, message);
            }
        }
        Desk.is(verdict(), "passed");
        desk.send(url, "{\"id\": 4}");
        desk.delete(url, Desk.one(desk.receive(url)));
        Desk.is(verdict(), "failed");
    }

    private String verdict() {
        return desk.control("POST", "check", "{\"final\": true}").asObject().get("verdict").asString();
    }
}
