package shop;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.connect.cli.ConnectStandalone;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.LogAndContinueProcessingExceptionHandler;

/**
 * Lets Kafka Streams, Kafka Connect and a share group (all of 4.4.0) fail with records, and prints what stands in their dead-letter topics
 * then, a line each. The address of an empty broker is the argument. It is run by hand:
 *
 *   mvn -q dependency:copy-dependencies -DoutputDirectory=lib && javac -cp 'lib/*' -d out src/main/java/shop/Record.java
 *   mkdir -p plugins/sink && jar cf plugins/sink/sink.jar -C out shop && java -cp 'out:lib/*' shop.Record 127.0.0.1:9092
 */
public class Record {
    static String broker;

    public static void main(String[] args) throws Exception {
        broker = args[0];
        try (AdminClient admin = admin()) {
            admin.createTopics(List.of(topic("streamed"), topic("streamed-dead"), topic("connected"), topic("connected-dead"), topic("shared"),
                    topic("dlq.shared").configs(Map.of("errors.deadletterqueue.group.enable", "true")))).all().get();
        }
        streams();
        connect();
        share();
        System.exit(0);
    }

    static AdminClient admin() {
        return AdminClient.create(Map.of("bootstrap.servers", broker));
    }

    static NewTopic topic(String name) {
        return new NewTopic(name, 3, (short) 1);
    }

    static List<Header> headers() {
        return List.of(new RecordHeader("x-shop", "17".getBytes()), new RecordHeader("trace", new byte[] {0, -1, 7}),
                new RecordHeader("twice", "a".getBytes()), new RecordHeader("twice", "b".getBytes()));
    }

    static final byte[] ORDER = "{\"order\": 1, \"n\": 12345678901234567890123, \"n\": 1.50}".getBytes();

    /** Streams has a processor that throws, and a handler that puts what it threw with into the dead-letter topic. */
    static void streams() throws Exception {
        produce("streamed", "k1", ORDER, headers());
        produce("streamed", "", new byte[0], headers());
        produce("streamed", "gone", null, List.of());
        var settings = new Properties();
        settings.put("application.id", "billing");
        settings.put("bootstrap.servers", broker);
        settings.put("default.key.serde", Serdes.ByteArraySerde.class);
        settings.put("default.value.serde", Serdes.ByteArraySerde.class);
        settings.put("auto.offset.reset", "earliest");
        settings.put("state.dir", Files.createTempDirectory("record").toString());
        settings.put("errors.dead.letter.queue.topic.name", "streamed-dead");
        settings.put("processing.exception.handler", LogAndContinueProcessingExceptionHandler.class);
        var builder = new StreamsBuilder();
        builder.stream("streamed").foreach((key, value) -> {
            throw new IllegalStateException("no such shop: 17");
        });
        try (var streams = new KafkaStreams(builder.build(), settings)) {
            streams.start();
            print("streamed-dead", 3);
        }
    }

    /** Connect has a sink whose converter wants JSON. */
    static void connect() throws Exception {
        produce("connected", "c1", "{not json 1".getBytes(), headers());
        produce("connected", "", "{".getBytes(), headers());
        var dir = Files.createTempDirectory("record");
        var worker = write(dir, "worker", Map.of("bootstrap.servers", broker, "offset.storage.file.filename", dir.resolve("offsets").toString(),
                "plugin.path", Path.of("plugins").toAbsolutePath().toString(), "listeners", "http://127.0.0.1:0",
                "key.converter", "org.apache.kafka.connect.storage.StringConverter", "value.converter", "org.apache.kafka.connect.json.JsonConverter",
                "value.converter.schemas.enable", "false"));
        var sink = write(dir, "sink", Map.of("name", "to-file", "connector.class", Sink.class.getName(), "topics", "connected",
                "errors.tolerance", "all", "errors.deadletterqueue.topic.name", "connected-dead",
                "errors.deadletterqueue.topic.replication.factor", "1", "errors.deadletterqueue.context.headers.enable", "true",
                "consumer.override.auto.offset.reset", "earliest"));
        new Thread(() -> ConnectStandalone.main(new String[] {worker, sink})).start();
        print("connected-dead", 2);
    }

    /** Sink takes everything and keeps nothing. */
    public static class Sink extends SinkConnector {
        @Override
        public void start(Map<String, String> settings) {}

        @Override
        public void stop() {}

        @Override
        public Class<? extends Task> taskClass() {
            return Nothing.class;
        }

        @Override
        public List<Map<String, String>> taskConfigs(int most) {
            return List.of(Map.of());
        }

        @Override
        public ConfigDef config() {
            return new ConfigDef();
        }

        @Override
        public String version() {
            return "1";
        }
    }

    public static class Nothing extends SinkTask {
        @Override
        public void start(Map<String, String> settings) {}

        @Override
        public void put(Collection<SinkRecord> records) {}

        @Override
        public void stop() {}

        @Override
        public String version() {
            return "1";
        }
    }

    static String write(Path dir, String name, Map<String, String> settings) throws Exception {
        var lines = settings.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).toList();
        return Files.write(dir.resolve(name + ".properties"), lines).toString();
    }

    /** A share group rejects a record, and releases another one until the broker has enough; with the record copied, and without. */
    static void share() throws Exception {
        produce("shared", "rejected", ORDER, headers());
        produce("shared", "released", ORDER, headers());
        produce("shared", "gone", null, List.of());
        for (boolean copied : new boolean[] {true, false}) {
            String group = copied ? "sg" : "sg-bare";
            try (AdminClient admin = admin()) {
                var of = new ConfigResource(ConfigResource.Type.GROUP, group);
                var settings = Map.of("errors.deadletterqueue.topic.name", "dlq.shared", "errors.deadletterqueue.copy.record.enable", "" + copied,
                        "share.auto.offset.reset", "earliest");
                admin.incrementalAlterConfigs(Map.of(of, settings.entrySet().stream()
                        .map(e -> new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue()), AlterConfigOp.OpType.SET)).toList())).all().get();
            }
            try (var consumer = new KafkaShareConsumer<>(Map.<String, Object>of("bootstrap.servers", broker, "group.id", group, "share.acknowledgement.mode", "explicit"),
                    new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.subscribe(List.of("shared"));
                for (int left = 2 + 5; left > 0;) {
                    for (var r : consumer.poll(Duration.ofSeconds(1))) {
                        consumer.acknowledge(r, Arrays.equals(r.key(), "released".getBytes()) ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT);
                        left--;
                    }
                }
                consumer.commitSync();
            }
            print("dlq.shared", 3);
        }
    }

    static void produce(String topic, String key, byte[] value, List<Header> headers) throws Exception {
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", broker), new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(topic, null, key.getBytes(), value, headers)).get();
        }
    }

    static void print(String topic, int n) {
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", broker, "group.id", "record", "auto.offset.reset", "earliest"));
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
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
            consumer.commitSync();
        }
    }

    static String bytes(byte[] raw) {
        return raw == null ? "null" : "\"" + Base64.getEncoder().encodeToString(raw) + "\"";
    }
}
