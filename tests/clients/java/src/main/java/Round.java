import java.util.LinkedHashMap;

/** The Java SDK v2 against an SQS server: Round URL PREFIX. A line for each check; exit 1 if one fails. */
public final class Round {
    private Round() {
    }

    interface Check {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        var desk = new Desk(arguments[0], arguments[1]);
        var queues = new Queues(desk);
        var services = new Services(desk);
        var checks = new LinkedHashMap<String, Check>();
        checks.put("queue-urls", queues::urls);
        checks.put("send-receive-delete", queues::round);
        checks.put("message-attributes", queues::messageAttributes);
        checks.put("system-attributes", queues::systemAttributes);
        checks.put("batches", queues::batches);
        checks.put("visibility", queues::visibility);
        checks.put("long-poll", queues::longPoll);
        checks.put("queue-attributes-and-tags", queues::attributesAndTags);
        checks.put("pages", queues::pages);
        checks.put("fifo", queues::fifo);
        checks.put("dead-letters", queues::deadLetters);
        checks.put("redrive", queues::redrive);
        checks.put("errors", queues::errors);
        checks.put("purge", queues::purge);
        checks.put("largest-message", queues::largest);
        checks.put("sns-to-sqs", services::snsToSqs);
        checks.put("sns-batch", services::snsBatch);
        checks.put("metrics", services::metrics);
        checks.put("metrics-compressed", services::metricsCompressed);
        checks.put("alarms", services::alarms);
        checks.put("faults-are-retried", services::faults);
        checks.put("a-consumer-is-judged", services::judged);
        var failed = false;
        for (var check : checks.entrySet()) {
            try {
                check.getValue().run();
                System.out.println("ok " + check.getKey());
            } catch (Exception | AssertionError problem) {
                failed = true;
                var text = problem.toString().replaceAll("\\s+", " ");
                System.out.println("not ok " + check.getKey() + ": " + text.substring(0, Math.min(300, text.length())));
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
