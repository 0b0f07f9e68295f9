package sluice.connect;

import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.DataException;

/** Writes values of one Connect schema as the Avro bytes that Apicurio's converter makes of them, without objects in between. */
@FunctionalInterface
interface ValueWriter {
  void write(AvroBuffer out, Object value);

  /** Converted by the stock converter from classes of their own. */
  Set<String> LOGICAL = Set.of(Date.LOGICAL_NAME, Decimal.LOGICAL_NAME, Time.LOGICAL_NAME, Timestamp.LOGICAL_NAME);

  /** Null where the schema holds something that is left to the stock converter: maps, unions, enums, fixed, logical types. */
  static ValueWriter compile(Schema schema) {
    if (schema.name() != null && LOGICAL.contains(schema.name())) return null;
    ValueWriter plain = plain(schema);
    if (plain == null) return null;
    // An optional value is a union, whose first branch is that of the default.
    boolean nullFirst = schema.defaultValue() == null || schema.type() == Schema.Type.STRUCT;
    if (schema.isOptional()) return optional(plain, nullFirst ? 0 : 1);
    return (out, value) -> {
      if (value == null) throw new DataException("NULL where " + describe(schema) + " does not allow it");
      plain.write(out, value);
    };
  }

  private static ValueWriter plain(Schema schema) {
    return switch (schema.type()) {
      case INT8, INT16, INT32, INT64 -> (out, value) -> out.varint(((Number) value).longValue());
      case FLOAT32 -> (out, value) -> out.float32((Float) value);
      case FLOAT64 -> (out, value) -> out.float64((Double) value);
      case BOOLEAN -> (out, value) -> out.bool((Boolean) value);
      case STRING -> hasAvroParameters(schema) ? null : (out, value) -> out.text((String) value);
      case BYTES -> hasAvroParameters(schema) ? null : (out, value) -> out.block(bytesOf(value));
      case ARRAY -> array(schema);
      case STRUCT -> struct(schema);
      case MAP -> null;
    };
  }

  private static ValueWriter optional(ValueWriter plain, int nullBranch) {
    return (out, value) -> {
      out.varint(value == null ? nullBranch : 1 - nullBranch);
      if (value != null) plain.write(out, value);
    };
  }

  private static ValueWriter array(Schema schema) {
    ValueWriter item = compile(schema.valueSchema());
    if (item == null) return null;
    return (out, value) -> {
      Collection<?> items = (Collection<?>) value;
      if (!items.isEmpty()) out.varint(items.size());
      for (Object each : items) item.write(out, each);
      out.varint(0);
    };
  }

  private static ValueWriter struct(Schema schema) {
    if (schema.name() != null && schema.name().endsWith("Union")) return null;
    List<Field> list = schema.fields();
    Field[] fields = list.toArray(Field[]::new);
    ValueWriter[] writers = new ValueWriter[fields.length];
    for (int index = 0; index < fields.length; index++) {
      writers[index] = compile(fields[index].schema());
      if (writers[index] == null) return null;
    }
    return (out, value) -> {
      Struct struct = (Struct) value;
      if (struct.schema() != schema && !struct.schema().equals(schema)) {
        throw new DataException("A struct of another schema than " + describe(schema));
      }
      for (int index = 0; index < fields.length; index++) writers[index].write(out, struct.get(fields[index]));
    };
  }

  /** Enums and fixed types are said in parameters. */
  private static boolean hasAvroParameters(Schema schema) {
    if (schema.parameters() == null) return false;
    return schema.parameters().keySet().stream().anyMatch(name -> name.contains("avro") || name.contains("fixed"));
  }

  private static byte[] bytesOf(Object value) {
    if (value instanceof byte[] array) return array;
    ByteBuffer view = ((ByteBuffer) value).duplicate();
    byte[] copy = new byte[view.remaining()];
    view.get(copy);
    return copy;
  }

  private static String describe(Schema schema) {
    return schema.name() == null ? schema.type().getName() : schema.name();
  }
}
