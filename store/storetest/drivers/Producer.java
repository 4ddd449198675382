import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.postgresql.util.PGobject;

/** Hands over each text of standard input (Base64, a line each) by each mode, and prints: mode, number, message id or error. */
public class Producer {
    interface Value {
        void set(PreparedStatement statement, String text) throws SQLException;
    }

    static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        List<String> texts = new ArrayList<>();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line; (line = in.readLine()) != null; ) {
                texts.add(new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8));
            }
        }
        for (String options : new String[] {"", "&stringtype=unspecified", "&preferQueryMode=simple", "&preferQueryMode=simple&stringtype=unspecified",
                "&prepareThreshold=-1", "&preferQueryMode=extendedCacheEverything"}) {
            try (Connection connection = DriverManager.getConnection(args[0] + options, args[1], args[2])) {
                all("jdbc " + options, connection, texts);
            }
        }
    }

    static void all(String mode, Connection connection, List<String> texts) throws SQLException {
        String call = "SELECT redrive.enqueue('push', 't', ?)::text";
        for (String cast : new String[] {"", "::text", "::varchar", "::json", "::jsonb"}) {
            each(mode + " setString" + cast, connection, call.replace("?", "?" + cast), texts, (s, text) -> s.setString(1, text));
        }
        each(mode + " setObject", connection, call, texts, (s, text) -> s.setObject(1, text));
        each(mode + " setBytes", connection, call, texts, (s, text) -> s.setBytes(1, text.getBytes(StandardCharsets.UTF_8)));
        each(mode + " setBytes::bytea", connection, call.replace("?", "?::bytea"), texts, (s, text) -> s.setBytes(1, text.getBytes(StandardCharsets.UTF_8)));
        for (String type : new String[] {"json", "jsonb", "text"}) {
            // in the simple mode this driver writes a literal without its type
            each(mode + (mode.contains("simple") ? " object untyped " : " object ") + type, connection, call, texts, (s, text) -> {
                PGobject object = new PGobject();
                object.setType(type);
                object.setValue(text);
                s.setObject(1, object);
            });
        }
        String publish = "SELECT redrive.publish('order.placed', ?, headers => ?)::text";
        each(mode + " headers", connection, publish, texts, (s, text) -> {
            s.setString(1, text);
            s.setString(2, "{\"a\": \"b\"}");
        });
        each(mode + " bytes with headers", connection, publish, texts, (s, text) -> {
            s.setBytes(1, text.getBytes(StandardCharsets.UTF_8));
            s.setString(2, "{\"a\": \"b\"}");
        });
    }

    static void each(String mode, Connection connection, String call, List<String> texts, Value value) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(call)) {
            for (int n = 0; n < texts.size(); n++) {
                String answer;
                try {
                    value.set(statement, texts.get(n));
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        answer = rows.getString(1);
                    }
                } catch (SQLException error) {
                    answer = "error: " + error.getMessage().replaceAll("\\s", " ");
                }
                out.println(mode + "\t" + n + "\t" + answer);
            }
        }
    }
}
