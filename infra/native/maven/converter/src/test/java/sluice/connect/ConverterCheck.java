package sluice.connect;

import io.apicurio.registry.utils.converter.AvroConverter;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Writes the same records with Apicurio's converter and with ours, against a real registry, and prints one line of figures per case.
 * Run by tests/integration/debezium/converter.test.ts with the registry's address and a seed.
 */
public final class ConverterCheck {
  private static final Schema ROW = row(false);
  private static final Schema ALTERED = row(true);

  private final Map<String, ?> configs;
  private final Random random;

  private ConverterCheck(String registryUrl, long seed) {
    configs =
        Map.of(
            "apicurio.registry.url", registryUrl,
            "apicurio.registry.auto-register", "true",
            "apicurio.registry.find-latest", "true",
            "apicurio.registry.as-confluent", "true",
            "apicurio.registry.use-id", "contentId",
            "apicurio.registry.headers.enabled", "false",
            "apicurio.registry.id-handler", "io.apicurio.registry.serde.Legacy4ByteIdHandler",
            "connect.meta.data", "false");
    random = new Random(seed);
  }

  public static void main(String[] args) throws Exception {
    ConverterCheck check = new ConverterCheck(args[0], Long.parseLong(args[1]));
    check.compare("rows", 5_000, Map.of(), List.of(envelope("rows", ROW)));
    check.compare("altered", 1_000, Map.of(), List.of(envelope("altered", ROW), envelope("altered", ALTERED)));
    Schema decimal = SchemaBuilder.struct().name("x.Stock").field("n", Decimal.schema(2)).build();
    check.compare("stock", 100, Map.of(), List.of(decimal));
    Map<String, String> untrusting = Map.of("apicurio.registry.check-period-ms", "0");
    check.compare("expired", 100, untrusting, List.of(envelope("expired", ROW)));
    check.refuses();
  }

  /** Asks Apicurio's converter and counts how often. */
  private static final class Counting implements Converter {
    private final Converter stock = new AvroConverter<>();
    private int asked;

    @Override
    public void configure(Map<String, ?> configs, boolean isKey) {
      stock.configure(configs, isKey);
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
      return fromConnectData(topic, null, schema, value);
    }

    @Override
    public byte[] fromConnectData(String topic, Headers headers, Schema schema, Object value) {
      asked += 1;
      return stock.fromConnectData(topic, headers, schema, value);
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] value) {
      return stock.toConnectData(topic, value);
    }
  }

  /** Every record of every schema in turn: the bytes of both, how often the stock converter was asked, the ids seen. */
  private void compare(String topic, int records, Map<String, String> more, List<Schema> schemas) {
    Map<String, Object> all = new HashMap<>(configs);
    all.putAll(more);
    Converter stock = new AvroConverter<>();
    stock.configure(all, false);
    Counting counting = new Counting();
    Converter ours = new CachingAvroConverter(counting);
    ours.configure(all, false);
    int different = 0;
    List<Integer> ids = new ArrayList<>();
    for (Schema schema : schemas) {
      for (int index = 0; index < records; index++) {
        Object value = value(schema);
        byte[] expected = stock.fromConnectData(topic, null, schema, value);
        byte[] written = ours.fromConnectData(topic, null, schema, value);
        if (!Arrays.equals(expected, written)) different += 1;
        int id = ByteBuffer.wrap(written, 1, 4).getInt();
        if (!ids.contains(id)) ids.add(id);
      }
    }
    print(topic, "{\"records\":%d,\"different\":%d,\"asked\":%d,\"schemas\":%d}",
        schemas.size() * records, different, counting.asked, ids.size());
  }

  /** What must fail instead of writing something else than the stock converter. */
  private void refuses() {
    Schema schema = SchemaBuilder.struct().name("x.Refused").field("n", Schema.INT32_SCHEMA).build();
    Converter ours = new CachingAvroConverter();
    ours.configure(configs, false);
    ours.fromConnectData("refused", null, schema, new Struct(schema).put("n", 1));
    boolean missing = fails(() -> ours.fromConnectData("refused", null, schema, new Struct(schema)));
    Schema other = SchemaBuilder.struct().name("x.Other").field("n", Schema.INT32_SCHEMA).build();
    boolean mismatched = fails(() -> ours.fromConnectData("refused", null, schema, new Struct(other).put("n", 1)));
    Converter lying =
        new CachingAvroConverter(
            new Converter() {
              @Override
              public void configure(Map<String, ?> ignored, boolean isKey) {}

              @Override
              public byte[] fromConnectData(String topic, Schema of, Object value) {
                return new byte[] {0, 0, 0, 0, 1, 42};
              }

              @Override
              public SchemaAndValue toConnectData(String topic, byte[] value) {
                throw new UnsupportedOperationException();
              }
            });
    lying.configure(configs, false);
    boolean different = fails(() -> lying.fromConnectData("lying", null, schema, new Struct(schema).put("n", 1)));
    print("refuses", "{\"missing\":%b,\"mismatched\":%b,\"different\":%b}", missing, mismatched, different);
  }

  private static boolean fails(Runnable work) {
    try {
      work.run();
      return false;
    } catch (DataException expected) {
      return true;
    }
  }

  private static void print(String name, String format, Object... values) {
    System.out.println(name + " " + String.format(format, values));
  }

  /** As Debezium builds it: one row schema, twice, and a source block with defaults. */
  private static Schema envelope(String name, Schema row) {
    Schema source =
        SchemaBuilder.struct()
            .name("io.debezium.connector.postgresql.Source")
            .field("version", Schema.STRING_SCHEMA)
            .field("snapshot", SchemaBuilder.string().name("io.debezium.data.Enum").version(1)
                .parameter("allowed", "true,last,false,incremental").optional().defaultValue("false").build())
            .field("sequence", Schema.OPTIONAL_STRING_SCHEMA)
            .field("lsn", Schema.OPTIONAL_INT64_SCHEMA)
            .build();
    return SchemaBuilder.struct()
        .name("cdc." + name + ".Envelope")
        .version(2)
        .field("before", row)
        .field("after", row)
        .field("source", source)
        .field("op", Schema.STRING_SCHEMA)
        .field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA)
        .build();
  }

  /** Every type that is written without the stock converter, required, optional, and with a default. */
  private static Schema row(boolean altered) {
    SchemaBuilder row = SchemaBuilder.struct().name("cdc.table.Value").optional();
    for (Schema.Type type : List.of(
        Schema.Type.INT8, Schema.Type.INT16, Schema.Type.INT32, Schema.Type.INT64, Schema.Type.FLOAT32,
        Schema.Type.FLOAT64, Schema.Type.BOOLEAN, Schema.Type.STRING, Schema.Type.BYTES)) {
      row.field(type.getName(), SchemaBuilder.type(type).build());
      row.field(type.getName() + "_optional", SchemaBuilder.type(type).optional().build());
    }
    row.field("uuid", SchemaBuilder.string().name("io.debezium.data.Uuid").version(1).build());
    row.field("defaulted", SchemaBuilder.string().defaultValue("none").build());
    row.field("defaulted_optional", SchemaBuilder.int32().optional().defaultValue(7).build());
    row.field("numbers", SchemaBuilder.array(Schema.OPTIONAL_INT32_SCHEMA).build());
    row.field("texts", SchemaBuilder.array(Schema.STRING_SCHEMA).optional().build());
    if (altered) row.field("added", Schema.OPTIONAL_STRING_SCHEMA);
    return row.build();
  }

  private Object value(Schema schema) {
    // Also where there is a default, which then is what is written.
    if ((schema.isOptional() || schema.defaultValue() != null) && random.nextInt(3) == 0) return null;
    return switch (schema.type()) {
      case INT8 -> (byte) random.nextInt();
      case INT16 -> (short) random.nextInt();
      case INT32 -> random.nextInt() >> random.nextInt(32);
      case INT64 -> random.nextLong() >> random.nextInt(64);
      case FLOAT32 -> random.nextInt(8) == 0 ? Float.NaN : Float.intBitsToFloat(random.nextInt());
      case FLOAT64 -> random.nextInt(8) == 0 ? -0.0 : Double.longBitsToDouble(random.nextLong());
      case BOOLEAN -> random.nextBoolean();
      case STRING -> text();
      case BYTES -> Decimal.LOGICAL_NAME.equals(schema.name())
          ? new BigDecimal(random.nextInt()).movePointLeft(2)
          : bytes();
      case ARRAY -> list(schema.valueSchema());
      case STRUCT -> struct(schema);
      case MAP -> Map.of();
    };
  }

  private Struct struct(Schema schema) {
    Struct struct = new Struct(schema);
    for (Field field : schema.fields()) {
      Object value = value(field.schema());
      if (value != null) struct.put(field, value);
    }
    return struct;
  }

  private List<Object> list(Schema of) {
    List<Object> items = new ArrayList<>();
    for (int left = random.nextInt(4); left > 0; left--) items.add(value(of));
    return items;
  }

  /** Of one to four bytes a character, and sometimes longer than the writer's first buffer. */
  private String text() {
    int length = random.nextInt(40) == 0 ? 3_000 : random.nextInt(12);
    StringBuilder text = new StringBuilder();
    for (int left = length; left > 0; left--) text.appendCodePoint("aé€\uD83D\uDE00".codePointAt(random.nextInt(4)));
    return text.toString();
  }

  private Object bytes() {
    byte[] bytes = new byte[random.nextInt(9)];
    random.nextBytes(bytes);
    return random.nextBoolean() ? bytes : ByteBuffer.wrap(bytes);
  }
}
