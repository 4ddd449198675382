package shop;

import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.BackOff;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.annotation.RetryableTopic;
import org.springframework.kafka.core.KafkaOperations;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.util.backoff.FixedBackOff;

/**
 * Lets a listener with a DeadLetterPublishingRecoverer and @RetryableTopic (both Spring Kafka 4.0.6) and the Kafka binder of Spring Cloud
 * Stream (5.0.1) fail with records, and prints what they wrote into their dead-letter topics, a line each. The address of an empty broker is the argument. It is run by hand:
 *
 *   mvn -q dependency:copy-dependencies -DoutputDirectory=lib && javac -parameters -proc:none -cp 'lib/*' -d out src/main/java/shop/Record.java
 *   java -cp 'out:lib/*' shop.Record 127.0.0.1:9092
 */
@SpringBootApplication
public class Record {
    @RetryableTopic(attempts = "3", backOff = @BackOff(delay = 200))
    @KafkaListener(topics = "retried", groupId = "billing")
    void retried(ConsumerRecord<byte[], byte[]> r) {
        throw new IllegalArgumentException("no such shop: 17");
    }

    @KafkaListener(topics = "blocked", groupId = "billing")
    void blocked(ConsumerRecord<byte[], byte[]> r) {
        throw new IllegalArgumentException("no such shop: 17");
    }

    @Bean
    static DefaultErrorHandler blocking(KafkaOperations<byte[], byte[]> letters) {
        return new DefaultErrorHandler(new DeadLetterPublishingRecoverer(letters), new FixedBackOff(200, 1));
    }

    @Bean
    Consumer<byte[]> bound() {
        return value -> {
            throw new IllegalArgumentException("no such shop: 17");
        };
    }

    public static void main(String[] args) throws Exception {
        String broker = args[0];
        try (AdminClient admin = AdminClient.create(Map.of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(new NewTopic("retried", 3, (short) 1), new NewTopic("blocked", 3, (short) 1), new NewTopic("blocked-dlt", 3, (short) 1),
                    new NewTopic("bound", 3, (short) 1), new NewTopic("bound-dead", 3, (short) 1))).all().get();
        }
        produce(broker);
        var app = new SpringApplication(Record.class);
        app.setDefaultProperties(Map.ofEntries(Map.entry("spring.kafka.bootstrap-servers", broker),
                Map.entry("spring.cloud.stream.kafka.binder.brokers", broker),
                Map.entry("spring.kafka.consumer.auto-offset-reset", "earliest"),
                Map.entry("spring.kafka.consumer.key-deserializer", ByteArrayDeserializer.class.getName()),
                Map.entry("spring.kafka.consumer.value-deserializer", ByteArrayDeserializer.class.getName()),
                Map.entry("spring.kafka.producer.key-serializer", ByteArraySerializer.class.getName()),
                Map.entry("spring.kafka.producer.value-serializer", ByteArraySerializer.class.getName()),
                Map.entry("spring.cloud.function.definition", "bound"),
                Map.entry("spring.cloud.stream.bindings.bound-in-0.destination", "bound"),
                Map.entry("spring.cloud.stream.bindings.bound-in-0.group", "billing"),
                Map.entry("spring.cloud.stream.bindings.bound-in-0.consumer.max-attempts", "2"),
                Map.entry("spring.cloud.stream.bindings.bound-in-0.consumer.back-off-initial-interval", "200"),
                Map.entry("spring.cloud.stream.kafka.bindings.bound-in-0.consumer.enable-dlq", "true"),
                Map.entry("spring.cloud.stream.kafka.bindings.bound-in-0.consumer.start-offset", "earliest"),
                Map.entry("spring.cloud.stream.kafka.bindings.bound-in-0.consumer.dlq-name", "bound-dead")));
        try (var context = app.run()) {
            print(broker, "blocked-dlt", 3);
            print(broker, "retried-dlt", 3);
            print(broker, "bound-dead", 2);
        }
        System.exit(0);
    }

    static void produce(String broker) throws Exception {
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", broker), new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String topic : List.of("blocked", "retried", "bound")) {
                List<Header> headers = List.of(new RecordHeader("x-shop", "17".getBytes()), new RecordHeader("trace", new byte[] {0, -1, 7}),
                        new RecordHeader("twice", "a".getBytes()), new RecordHeader("twice", "b".getBytes()));
                producer.send(new ProducerRecord<>(topic, null, "k3".getBytes(), "{\"order\": 3, \"n\": 1.50, \"n\": 2}".getBytes(), headers)).get();
                producer.send(new ProducerRecord<>(topic, null, new byte[0], "{}".getBytes(), headers)).get();
                if (!topic.equals("bound")) {
                    producer.send(new ProducerRecord<>(topic, null, "gone".getBytes(), null, List.of())).get();
                }
            }
        }
    }

    static void print(String broker, String topic, int n) {
        try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", broker, "group.id", "record", "auto.offset.reset", "earliest"),
                new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (n > 0) {
                for (var r : consumer.poll(Duration.ofSeconds(1))) {
                    n--;
                    var text = new StringBuilder("LETTER {\"topic\": \"" + topic + "\", \"key\": " + bytes(r.key()) + ", \"value\": " + bytes(r.value()) + ", \"headers\": [");
                    String comma = "";
                    for (Header h : r.headers()) {
                        text.append(comma).append("[\"").append(h.key()).append("\", ").append(bytes(h.value())).append("]");
                        comma = ", ";
                    }
                    System.out.println(text.append("]}"));
                }
            }
        }
    }

    static String bytes(byte[] raw) {
        return raw == null ? "null" : "\"" + Base64.getEncoder().encodeToString(raw) + "\"";
    }
}
