package sluice.connect;

import io.apicurio.registry.utils.converter.AvroConverter;
import java.io.IOException;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.Map;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Apicurio's Avro converter, asked once for each schema instead of for every record.
 *
 * <p>The stock converter writes the schema out as JSON for every record to look its id up, and builds an Avro object of every
 * value. Here the first record of a topic and Connect schema goes to it: it registers the schema and its answer holds
 * the id. Those after it are written straight from the Connect value behind that id.
 *
 * <p>Invariant: the bytes are the stock converter's. Each answer of the stock converter is compared with what this one
 * would have written, and a difference fails the task. After the check period, in which the stock converter too trusts its cache,
 * the next record asks again: a registry that lost its data gets the schema back.
 *
 * <p>Not safe for threads: Connect gives each task its own.
 */
public final class CachingAvroConverter implements Converter {
  private static final String CHECK_PERIOD = "apicurio.registry.check-period-ms";
  private static final long DEFAULT_CHECK_PERIOD_MS = 30_000;
  /** More than any connector has at a time; old versions of altered tables go when it is full. */
  private static final int MAX_SCHEMAS = 1_000;

  /** A schema of a topic: what writes its records (null: the stock converter), and what stands in front of them. */
  private static final class Known {
    private final String topic;
    private final ValueWriter writer;
    private byte[] prefix;
    private long askedAt;

    private Known(String topic, ValueWriter writer) {
      this.topic = topic;
      this.writer = writer;
    }
  }

  private final Converter stock;
  /** By identity: comparing two equal schemas costs more than writing a record, and Debezium keeps the object while the table does not change. */
  private final Map<Schema, Known> schemas = new IdentityHashMap<>();
  private final AvroBuffer buffer = new AvroBuffer();
  private long checkPeriodNanos;

  public CachingAvroConverter() {
    this(new AvroConverter<>());
  }

  CachingAvroConverter(Converter stock) {
    this.stock = stock;
  }

  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    stock.configure(configs, isKey);
    Object period = configs.get(CHECK_PERIOD);
    checkPeriodNanos = 1_000_000 * (period == null ? DEFAULT_CHECK_PERIOD_MS : Long.parseLong(period.toString()));
  }

  @Override
  public byte[] fromConnectData(String topic, Schema schema, Object value) {
    return fromConnectData(topic, null, schema, value);
  }

  @Override
  public byte[] fromConnectData(String topic, Headers headers, Schema schema, Object value) {
    if (schema == null || value == null) return stock.fromConnectData(topic, headers, schema, value);
    Known known = knownOf(topic, schema);
    if (known.writer == null) return stock.fromConnectData(topic, headers, schema, value);
    if (known.prefix != null && System.nanoTime() - known.askedAt < checkPeriodNanos) return write(known, value);
    return ask(known, topic, headers, schema, value);
  }

  private Known knownOf(String topic, Schema schema) {
    Known known = schemas.get(schema);
    if (known != null && known.topic.equals(topic)) return known;
    if (schemas.size() >= MAX_SCHEMAS) schemas.clear();
    known = new Known(topic, schema.type() == Schema.Type.STRUCT ? ValueWriter.compile(schema) : null);
    schemas.put(schema, known);
    return known;
  }

  private byte[] ask(Known known, String topic, Headers headers, Schema schema, Object value) {
    byte[] answer = stock.fromConnectData(topic, headers, schema, value);
    known.askedAt = System.nanoTime();
    // Confluent's framing: a zero, and the id in four bytes.
    known.prefix = Arrays.copyOf(answer, 5);
    if (Arrays.equals(answer, write(known, value))) return answer;
    throw new DataException(
        "The record of " + topic + " is not written as " + AvroConverter.class.getName() + " writes it. Nothing is lost: register"
            + " the connector with that converter, and report the columns of the table.");
  }

  private byte[] write(Known known, Object value) {
    buffer.restart();
    buffer.raw(known.prefix);
    try {
      known.writer.write(buffer, value);
    } catch (ClassCastException cause) {
      throw new DataException("A value is not of the type that its schema says", cause);
    }
    return buffer.toBytes();
  }

  @Override
  public SchemaAndValue toConnectData(String topic, byte[] value) {
    return stock.toConnectData(topic, value);
  }

  @Override
  public SchemaAndValue toConnectData(String topic, Headers headers, byte[] value) {
    return stock.toConnectData(topic, headers, value);
  }

  @Override
  public void close() throws IOException {
    stock.close();
  }
}
