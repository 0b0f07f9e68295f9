package sluice.connect;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Avro's binary encoding of plain values, into one buffer that is used again for every record. */
final class AvroBuffer {
  private static final int FIRST_SIZE = 1_024;
  /** A larger buffer is let go after its record, so that one huge row does not stay in memory. */
  private static final int LARGEST_KEPT = 1 << 20;

  private byte[] bytes = new byte[FIRST_SIZE];
  private int size;

  void restart() {
    size = 0;
    if (bytes.length > LARGEST_KEPT) bytes = new byte[FIRST_SIZE];
  }

  byte[] toBytes() {
    return Arrays.copyOf(bytes, size);
  }

  void raw(byte[] value) {
    room(value.length);
    System.arraycopy(value, 0, bytes, size, value.length);
    size += value.length;
  }

  void bool(boolean value) {
    room(1);
    bytes[size++] = (byte) (value ? 1 : 0);
  }

  /** Both int and long: zig-zag, seven bits a byte, low bits first. */
  void varint(long value) {
    room(10);
    long rest = (value << 1) ^ (value >> 63);
    while ((rest & ~0x7FL) != 0) {
      bytes[size++] = (byte) (rest & 0x7F | 0x80);
      rest >>>= 7;
    }
    bytes[size++] = (byte) rest;
  }

  void float32(float value) {
    littleEndian(Float.floatToRawIntBits(value), 4);
  }

  void float64(double value) {
    littleEndian(Double.doubleToRawLongBits(value), 8);
  }

  void text(String value) {
    block(value.getBytes(StandardCharsets.UTF_8));
  }

  void block(byte[] value) {
    varint(value.length);
    raw(value);
  }

  private void littleEndian(long bits, int length) {
    room(length);
    for (int index = 0; index < length; index++) bytes[size++] = (byte) (bits >>> (8 * index));
  }

  private void room(int more) {
    if (bytes.length - size < more) bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, size + more));
  }
}
