package shop;

import java.util.Date;
import java.util.Map;

import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageProperties;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.retry.MessageRecoverer;
import org.springframework.amqp.rabbit.retry.RepublishMessageRecoverer;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

/**
 * Lets a listener with a RepublishMessageRecoverer (Spring AMQP 4.0.4) fail with a message from the default exchange and one from another,
 * and prints what stands in the queue of dead letters then, a line each. The arguments are the address of a broker without these queues, a
 * user and a password. It is run by hand:
 *
 *   mvn -q dependency:copy-dependencies -DoutputDirectory=lib && javac -parameters -proc:none -cp 'lib/*' -d out src/main/java/shop/Record.java
 *   java -cp 'out:lib/*' shop.Record 127.0.0.1:5672 guest guest
 */
@SpringBootApplication
public class Record {
    @Bean
    Queue orders() {
        return new Queue("orders");
    }

    @Bean
    Queue dead() {
        return new Queue("orders.dead");
    }

    @Bean
    DirectExchange events() {
        return new DirectExchange("shop.events");
    }

    @Bean
    Binding bound() {
        return new Binding("orders", Binding.DestinationType.QUEUE, "shop.events", "order.placed", null);
    }

    @Bean
    MessageRecoverer recoverer(RabbitTemplate template) {
        return new RepublishMessageRecoverer(template, "", "orders.dead");
    }

    @RabbitListener(queues = "orders")
    void on(Message message) {
        throw new IllegalArgumentException("no such shop: 17");
    }

    public static void main(String[] args) {
        var app = new SpringApplication(Record.class);
        app.setDefaultProperties(Map.of("spring.rabbitmq.addresses", args[0], "spring.rabbitmq.username", args[1],
                "spring.rabbitmq.password", args[2], "spring.rabbitmq.listener.simple.retry.enabled", "true",
                "spring.rabbitmq.listener.simple.retry.max-retries", "1", "spring.rabbitmq.listener.simple.retry.initial-interval", "200ms"));
        try (var context = app.run()) {
            var template = context.getBean(RabbitTemplate.class);
            for (String[] to : new String[][] {{"", "orders"}, {"shop.events", "order.placed"}}) {
                var properties = new MessageProperties();
                properties.setCorrelationId("c1");
                properties.setMessageId("m1");
                properties.setType("order.placed");
                properties.setAppId("shop");
                properties.setTimestamp(new Date(1795000000000L));
                properties.setHeader("x-shop", "17");
                template.send(to[0], to[1], new Message("{\"order\": 1, \"n\": 1.50}".getBytes(), properties));
                Message letter;
                do {
                    letter = template.receive("orders.dead", 1000);
                } while (letter == null);
                System.out.println("LETTER " + letter.getMessageProperties() + " " + new String(letter.getBody()));
            }
        }
        System.exit(0);
    }
}
