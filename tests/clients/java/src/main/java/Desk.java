import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchClient;
import software.amazon.awssdk.services.sns.SnsClient;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.ReceiveMessageRequest;
import software.amazon.awssdk.services.sqs.model.SendMessageResponse;

/** What the checks work with: clients, queues, comparisons that fail. */
final class Desk {
    final String endpoint;
    final String prefix;
    final SqsClient sqs;
    final SnsClient sns;
    final CloudWatchClient cloudwatch;
    private final HttpClient http = HttpClient.newHttpClient();

    Desk(String endpoint, String prefix) {
        this.endpoint = endpoint;
        this.prefix = prefix;
        sqs = led(SqsClient.builder()).build();
        sns = led(SnsClient.builder()).build();
        cloudwatch = led(CloudWatchClient.builder()).build();
    }

    private <B extends AwsClientBuilder<B, C>, C> B led(B builder) {
        return builder.endpointOverride(URI.create(endpoint)).region(Region.US_EAST_1)
            .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("x", "x")));
    }

    static void is(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError(got + ", not " + wanted);
        }
    }

    static void holds(boolean fact) {
        is(fact, true);
    }

    /** Fails unless the call is refused with this class of exception and this code. */
    static void refused(Class<? extends AwsServiceException> kind, String code, Runnable call) {
        try {
            call.run();
        } catch (AwsServiceException refusal) {
            if (!kind.isInstance(refusal) || !refusal.awsErrorDetails().errorCode().endsWith(code)) {
                throw new AssertionError(refusal + ", not " + code);
            }
            return;
        }
        throw new AssertionError("accepted, not " + code);
    }

    String queue(String name) {
        return queue(name, Map.of());
    }

    String queue(String name, Map<QueueAttributeName, String> attributes) {
        return sqs.createQueue(to -> to.queueName(prefix + name).attributes(attributes)).queueUrl();
    }

    String attribute(String url, QueueAttributeName name) {
        return sqs.getQueueAttributes(to -> to.queueUrl(url).attributeNames(name)).attributes().get(name);
    }

    String arn(String url) {
        return attribute(url, QueueAttributeName.QUEUE_ARN);
    }

    /** How many messages are visible, and how many in flight. */
    List<String> counts(String url) {
        return List.of(attribute(url, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES),
            attribute(url, QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE));
    }

    SendMessageResponse send(String url, String body) {
        return sqs.sendMessage(to -> to.queueUrl(url).messageBody(body));
    }

    List<Message> receive(String url) {
        return receive(url, to -> { });
    }

    /** Up to ten messages with everything that they have. */
    List<Message> receive(String url, Consumer<ReceiveMessageRequest.Builder> more) {
        return sqs.receiveMessage(to -> {
            to.queueUrl(url).maxNumberOfMessages(10).messageAttributeNames("All")
                .messageSystemAttributeNames(MessageSystemAttributeName.ALL);
            more.accept(to);
        }).messages();
    }

    static Message one(List<Message> messages) {
        is(messages.size(), 1);
        return messages.get(0);
    }

    static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::body).sorted().toList();
    }

    void delete(String url, Message message) {
        sqs.deleteMessage(to -> to.queueUrl(url).receiptHandle(message.receiptHandle()));
    }

    static JsonNode json(String text) {
        return JsonNode.parser().parse(text);
    }

    /** What the server's control API answers. */
    JsonNode control(String method, String path, String document) {
        var request = HttpRequest.newBuilder(URI.create(endpoint + "/_harness/" + path))
            .method(method, HttpRequest.BodyPublishers.ofString(document)).build();
        try {
            var answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            holds(answer.statusCode() < 300);
            return json(answer.body().isEmpty() ? "{}" : answer.body());
        } catch (java.io.IOException | InterruptedException error) {
            throw new AssertionError(method + " " + path + ": " + error);
        }
    }
}
