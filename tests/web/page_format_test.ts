import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  bytes,
  decimal,
  duration,
  fromBase64,
  hexDump,
  instant,
  percent,
  plural,
  seconds,
  timeOfDay,
  visible,
} from "../../web/page/format.ts";

Deno.test("Numbers come with units", () => {
  assertEquals([decimal(9.94), decimal(99.95), decimal(1234.5)], ["9.9", "100", "1,235"]);
  assertEquals([bytes(0), bytes(1_023), bytes(1_536), bytes(5 * 1024 ** 3)], [
    "0 B",
    "1,023 B",
    "1.5 KiB",
    "5 GiB",
  ]);
  assertEquals([plural(1, "epoch"), plural(0, "epoch"), plural(1_000, "event")], [
    "1 epoch",
    "0 epochs",
    "1,000 events",
  ]);
  assertEquals(
    [0, 41.4, 1_300, 60_000, 302_000, 7_500_000, 86_400_000, 273_600_000, -5].map(duration),
    ["0 ms", "41 ms", "1.3 s", "1 min", "5 min 2 s", "2 h 5 min", "1 d", "3 d 4 h", "−5 ms"],
  );
  assertEquals([seconds(null), seconds(0.25)], ["–", "250 ms"]);
});

Deno.test("100 % is said only of all", () => {
  assertEquals([percent(1), percent(0.999_99), percent(0.5), percent(0)], ["100 %", "99.9 %", "50 %", "0 %"]);
});

Deno.test("Times have their zone", () => {
  assertEquals(instant(1_700_000_000_000), "2023-11-14 22:13:20 UTC");
  assertEquals(timeOfDay(1_700_000_000_999), "22:13:20 UTC");
});

Deno.test("What can't be seen is spelled out, and what can is left alone", () => {
  assertEquals(visible("a\u202eb\u0000c\u200d\ud800"), "a\\u202eb\\u0000c\\u200d\\ud800");
  assertEquals(visible("Zürich 😀 <b> \u00a0日本"), "Zürich 😀 <b> \u00a0日本");
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert(!/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u.test(visible(text)));
  }));
});

Deno.test("A dump has every byte, sixteen a row, and nothing but letters and digits of ASCII", () => {
  assertEquals(
    hexDump(new TextEncoder().encode("<script>\u0000é and more")),
    "0000  3c 73 63 72 69 70 74 3e 00 c3 a9 20 61 6e 64 20  <script>... and \n" +
      "0010  6d 6f 72 65                                      more",
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (data) => {
    const dump = hexDump(data);
    assert(/^[\x20-\x7e\n]*$/.test(dump));
    const hex = dump.split("\n").map((row) => row.slice(6, 53)).join(" ").trim();
    assertEquals(hex === "" ? [] : hex.split(/ +/).map((byte) => parseInt(byte, 16)), [...data]);
  }));
  assertEquals([...fromBase64("AP8=")], [0, 255]);
});
