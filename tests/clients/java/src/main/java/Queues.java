import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.sqs.model.*;

/** Checks of SQS. */
final class Queues {
    private final Desk desk;

    Queues(Desk desk) {
        this.desk = desk;
    }

    void urls() {
        var url = desk.queue("urls");
        var name = desk.prefix + "urls";
        Desk.is(desk.queue("urls"), url);
        Desk.is(desk.sqs.getQueueUrl(to -> to.queueName(name)).queueUrl(), url);
        Desk.is(desk.sqs.listQueues(to -> to.queueNamePrefix(name)).queueUrls(), List.of(url));
        desk.sqs.deleteQueue(to -> to.queueUrl(url));
        Desk.refused(QueueDoesNotExistException.class, "NonExistentQueue", () -> desk.sqs.getQueueUrl(to -> to.queueName(name)));
    }

    void round() {
        var url = desk.queue("round");
        var body = "{\"id\": \"ключ 日本 \uD83D\uDE00\", \"tab\": \"\t\"}";
        var sent = desk.send(url, body);
        var got = Desk.one(desk.receive(url));
        Desk.is(List.of(got.messageId(), got.body()), List.of(sent.messageId(), body));
        Desk.is(desk.counts(url), List.of("0", "1"));
        desk.delete(url, got);
        Desk.is(desk.counts(url), List.of("0", "0"));
        Desk.is(desk.receive(url), List.of());
    }

    void messageAttributes() {
        var url = desk.queue("attributes");
        var raw = SdkBytes.fromByteArray(new byte[] {0, -1});
        var given = Map.of(
            "text", MessageAttributeValue.builder().dataType("String").stringValue("ключ").build(),
            "number", MessageAttributeValue.builder().dataType("Number.float").stringValue("1.5").build(),
            "raw", MessageAttributeValue.builder().dataType("Binary").binaryValue(raw).build());
        desk.sqs.sendMessage(to -> to.queueUrl(url).messageBody("x").messageAttributes(given));
        Desk.is(Desk.one(desk.receive(url)).messageAttributes(), given);
    }

    void systemAttributes() {
        var url = desk.queue("system");
        var trace = "Root=1-5759e988-bd862e3fe1be46a994272793";
        var header = MessageSystemAttributeValue.builder().dataType("String").stringValue(trace).build();
        desk.sqs.sendMessage(to -> to.queueUrl(url).messageBody("x")
            .messageSystemAttributes(Map.of(MessageSystemAttributeNameForSends.AWS_TRACE_HEADER, header)));
        var got = Desk.one(desk.receive(url)).attributes();
        Desk.is(got.get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT), "1");
        Desk.is(got.get(MessageSystemAttributeName.AWS_TRACE_HEADER), trace);
        Desk.holds(!got.get(MessageSystemAttributeName.SENDER_ID).isEmpty());
        var at = Long.parseLong(got.get(MessageSystemAttributeName.SENT_TIMESTAMP));
        Desk.holds(Math.abs(Instant.now().toEpochMilli() - at) < 600_000);
    }

    void batches() {
        var url = desk.queue("batches");
        var sent = desk.sqs.sendMessageBatch(to -> to.queueUrl(url).entries(
            SendMessageBatchRequestEntry.builder().id("a").messageBody("1").build(),
            SendMessageBatchRequestEntry.builder().id("b").messageBody("2").delaySeconds(901).build(),
            SendMessageBatchRequestEntry.builder().id("c").messageBody("3").build()));
        Desk.is(sent.successful().stream().map(SendMessageBatchResultEntry::id).toList(), List.of("a", "c"));
        Desk.is(sent.failed().stream().map(one -> one.id() + one.senderFault() + one.code()).toList(),
            List.of("btrueInvalidParameterValue"));
        var got = desk.receive(url);
        Desk.is(Desk.bodies(got), List.of("1", "3"));
        var changes = new ArrayList<ChangeMessageVisibilityBatchRequestEntry>();
        var deletes = new ArrayList<DeleteMessageBatchRequestEntry>();
        for (var message : got) {
            var id = "d" + changes.size();
            changes.add(ChangeMessageVisibilityBatchRequestEntry.builder().id(id).receiptHandle(message.receiptHandle())
                .visibilityTimeout(60).build());
            deletes.add(DeleteMessageBatchRequestEntry.builder().id(id).receiptHandle(message.receiptHandle()).build());
        }
        Desk.is(desk.sqs.changeMessageVisibilityBatch(to -> to.queueUrl(url).entries(changes)).successful().size(), 2);
        deletes.add(DeleteMessageBatchRequestEntry.builder().id("bad").receiptHandle("none").build());
        var gone = desk.sqs.deleteMessageBatch(to -> to.queueUrl(url).entries(deletes));
        Desk.is(gone.successful().size(), 2);
        Desk.is(gone.failed().stream().map(one -> one.id() + one.code()).toList(), List.of("badReceiptHandleIsInvalid"));
        Desk.is(desk.counts(url), List.of("0", "0"));
    }

    void visibility() {
        var url = desk.queue("visibility");
        desk.send(url, "x");
        var first = Desk.one(desk.receive(url));
        Desk.is(desk.receive(url), List.of());
        desk.sqs.changeMessageVisibility(to -> to.queueUrl(url).receiptHandle(first.receiptHandle()).visibilityTimeout(0));
        var again = Desk.one(desk.receive(url));
        Desk.is(again.messageId(), first.messageId());
        Desk.is(again.attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT), "2");
        Desk.holds(!again.receiptHandle().equals(first.receiptHandle()));
    }

    void longPoll() {
        var url = desk.queue("poll");
        var began = System.nanoTime();
        var later = CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS);
        var sending = CompletableFuture.runAsync(() -> desk.send(url, "late"), later);
        Desk.is(Desk.bodies(desk.receive(url, to -> to.waitTimeSeconds(20))), List.of("late"));
        sending.join();
        Desk.holds(System.nanoTime() - began < TimeUnit.SECONDS.toNanos(15));
    }

    void attributesAndTags() {
        var url = desk.queue("tags");
        desk.sqs.setQueueAttributes(to -> to.queueUrl(url).attributes(Map.of(QueueAttributeName.VISIBILITY_TIMEOUT, "7")));
        Desk.is(desk.attribute(url, QueueAttributeName.VISIBILITY_TIMEOUT), "7");
        Desk.is(desk.attribute(url, QueueAttributeName.DELAY_SECONDS), "0");
        desk.sqs.tagQueue(to -> to.queueUrl(url).tags(Map.of("team", "a&b", "empty", "")));
        desk.sqs.untagQueue(to -> to.queueUrl(url).tagKeys("empty"));
        Desk.is(desk.sqs.listQueueTags(to -> to.queueUrl(url)).tags(), Map.of("team", "a&b"));
    }

    void pages() {
        IntStream.rangeClosed(1, 3).forEach(at -> desk.queue("page-" + at));
        var pages = desk.sqs.listQueuesPaginator(to -> to.queueNamePrefix(desk.prefix + "page-").maxResults(2));
        Desk.is(pages.stream().map(page -> page.queueUrls().size()).toList(), List.of(2, 1));
    }

    void fifo() {
        var url = desk.queue("order.fifo", Map.of(QueueAttributeName.FIFO_QUEUE, "true"));
        var first = inOrder(url, "1", "a");
        var second = inOrder(url, "2", "b");
        Desk.holds(new java.math.BigInteger(first).compareTo(new java.math.BigInteger(second)) < 0);
        inOrder(url, "again", "a");
        var got = Desk.one(desk.receive(url, to -> to.maxNumberOfMessages(1)));
        Desk.is(List.of(got.body(), got.attributes().get(MessageSystemAttributeName.MESSAGE_GROUP_ID),
            got.attributes().get(MessageSystemAttributeName.MESSAGE_DEDUPLICATION_ID)), List.of("1", "g", "a"));
        Desk.is(desk.receive(url), List.of());
        desk.delete(url, got);
        Desk.is(Desk.bodies(desk.receive(url)), List.of("2"));
        Desk.refused(SqsException.class, "MissingParameter", () -> desk.send(url, "x"));
    }

    private String inOrder(String url, String body, String deduplication) {
        return desk.sqs.sendMessage(to -> to.queueUrl(url).messageBody(body).messageGroupId("g")
            .messageDeduplicationId(deduplication)).sequenceNumber();
    }

    private String withDeadLetters(String name, String dead) {
        var policy = "{\"deadLetterTargetArn\": \"%s\", \"maxReceiveCount\": 1}".formatted(desk.arn(dead));
        return desk.queue(name, Map.of(QueueAttributeName.REDRIVE_POLICY, policy));
    }

    void deadLetters() {
        var dead = desk.queue("dead");
        var source = withDeadLetters("source", dead);
        var sent = desk.send(source, "poison");
        Desk.one(desk.receive(source, to -> to.visibilityTimeout(0)));
        Desk.is(desk.receive(source), List.of());
        var got = Desk.one(desk.receive(dead));
        Desk.is(got.messageId(), sent.messageId());
        Desk.is(got.attributes().get(MessageSystemAttributeName.DEAD_LETTER_QUEUE_SOURCE_ARN), desk.arn(source));
        Desk.is(desk.sqs.listDeadLetterSourceQueues(to -> to.queueUrl(dead)).queueUrls(), List.of(source));
    }

    void redrive() throws InterruptedException {
        var dead = desk.queue("redrive-dead");
        var source = withDeadLetters("redrive", dead);
        desk.send(source, "back");
        Desk.one(desk.receive(source, to -> to.visibilityTimeout(0)));
        Desk.is(desk.receive(source), List.of());
        var from = desk.arn(dead);
        Desk.holds(!desk.sqs.startMessageMoveTask(to -> to.sourceArn(from)).taskHandle().isEmpty());
        var status = "";
        for (int tries = 0; tries < 100 && !"COMPLETED".equals(status); tries++) {
            Thread.sleep(100);
            status = desk.sqs.listMessageMoveTasks(to -> to.sourceArn(from)).results().get(0).status();
        }
        Desk.is(status, "COMPLETED");
        Desk.is(Desk.bodies(desk.receive(source)), List.of("back"));
        var nobodys = desk.arn(source);
        Desk.refused(SqsException.class, "InvalidParameterValue", () -> desk.sqs.startMessageMoveTask(to -> to.sourceArn(nobodys)));
    }

    void errors() {
        var url = desk.queue("errors");
        var none = url.substring(0, url.lastIndexOf('/') + 1) + desk.prefix + "none";
        Desk.refused(QueueDoesNotExistException.class, "NonExistentQueue", () -> desk.send(none, "x"));
        Desk.refused(ReceiptHandleIsInvalidException.class, "ReceiptHandleIsInvalid",
            () -> desk.sqs.deleteMessage(to -> to.queueUrl(url).receiptHandle("none")));
        Desk.refused(EmptyBatchRequestException.class, "EmptyBatchRequest",
            () -> desk.sqs.sendMessageBatch(to -> to.queueUrl(url).entries(List.of())));
        var many = IntStream.range(0, 11)
            .mapToObj(at -> SendMessageBatchRequestEntry.builder().id("" + at).messageBody("x").build()).toList();
        Desk.refused(TooManyEntriesInBatchRequestException.class, "TooManyEntriesInBatchRequest",
            () -> desk.sqs.sendMessageBatch(to -> to.queueUrl(url).entries(many)));
        Desk.refused(InvalidAttributeNameException.class, "InvalidAttributeName",
            () -> desk.sqs.getQueueAttributes(to -> to.queueUrl(url).attributeNamesWithStrings("None")));
        Desk.refused(SqsException.class, "InvalidParameterValue", () -> desk.receive(url, to -> to.maxNumberOfMessages(11)));
        Desk.refused(QueueNameExistsException.class, "QueueAlreadyExists",
            () -> desk.queue("errors", Map.of(QueueAttributeName.DELAY_SECONDS, "9")));
    }

    void purge() {
        var url = desk.queue("purge");
        desk.send(url, "x");
        desk.sqs.purgeQueue(to -> to.queueUrl(url));
        Desk.is(desk.counts(url), List.of("0", "0"));
        Desk.refused(PurgeQueueInProgressException.class, "PurgeQueueInProgress", () -> desk.sqs.purgeQueue(to -> to.queueUrl(url)));
    }

    void largest() {
        var url = desk.queue("large");
        var body = "x".repeat(1_048_576);
        desk.send(url, body);
        Desk.is(Desk.one(desk.receive(url)).body().length(), 1_048_576);
        Desk.refused(SqsException.class, "InvalidParameterValue", () -> desk.send(url, body + "x"));
    }
}
