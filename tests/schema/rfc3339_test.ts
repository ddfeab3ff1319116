import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseRfc3339 } from "../../schema/rfc3339.ts";

const YEAR_0 = Date.parse("0000-01-01T00:00:00.000Z");
const YEAR_9999_END = Date.parse("9999-12-31T23:59:59.999Z");
const anyTime = fc.integer({ min: YEAR_0, max: YEAR_9999_END });

Deno.test("a canonical ISO time of the years 0000 to 9999 is read as Date reads it", () => {
  fc.assert(fc.property(anyTime, (time) => {
    assertEquals(parseRfc3339(new Date(time).toISOString()), time);
  }));
  assertEquals(parseRfc3339("0000-01-01T00:00:00.000Z"), YEAR_0);
  assertEquals(parseRfc3339("0099-12-31T23:59:59.999Z"), Date.parse("0099-12-31T23:59:59.999Z"));
  assertEquals(parseRfc3339("9999-12-31T23:59:59.999Z"), YEAR_9999_END);
});

Deno.test("an offset is subtracted: a local time means the same instant as its UTC time", () => {
  fc.assert(
    fc.property(anyTime, fc.integer({ min: -1439, max: 1439 }), (time, minutes) => {
      const local = time + minutes * 60_000;
      fc.pre(local >= YEAR_0 && local <= YEAR_9999_END);
      const [hour, minute] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
      const two = (value: number) => String(value).padStart(2, "0");
      const offset = `${minutes < 0 ? "-" : "+"}${two(hour)}:${two(minute)}`;
      assertEquals(parseRfc3339(new Date(local).toISOString().replace("Z", offset)), time);
    }),
  );
  assertEquals(parseRfc3339("2000-01-01T00:00:00-00:00"), Date.UTC(2000, 0, 1));
});

Deno.test("every month has its own number of days, and leap years are the Gregorian ones", () => {
  for (const year of [1900, 1996, 1999, 2000, 2023, 2024, 2100, 2400]) {
    for (let month = 1; month <= 12; month++) {
      const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
      for (let day = 0; day <= 32; day++) {
        const [mm, dd] = [month, day].map((value) => String(value).padStart(2, "0"));
        const expected = day >= 1 && day <= days ? Date.UTC(year, month - 1, day) : null;
        assertEquals(parseRfc3339(`${year}-${mm}-${dd}T00:00:00Z`), expected);
      }
    }
  }
});

Deno.test("fractions are cut off after milliseconds", () => {
  const second = Date.UTC(2024, 0, 2, 3, 4, 5);
  for (
    const [fraction, milliseconds] of [
      ["", 0],
      [".5", 500],
      [".05", 50],
      [".123", 123],
      [".123999999999", 123],
      [".9999", 999],
    ] as const
  ) {
    assertEquals(parseRfc3339(`2024-01-02T03:04:05${fraction}Z`), second + milliseconds);
  }
});

Deno.test("T and Z may be written small", () => {
  assertEquals(parseRfc3339("2024-01-02t03:04:05z"), Date.UTC(2024, 0, 2, 3, 4, 5));
});

Deno.test("a leap second is the second after it, at the end of a UTC day only", () => {
  const newYear = Date.UTC(1991, 0, 1);
  assertEquals(parseRfc3339("1990-12-31T23:59:60Z"), newYear);
  assertEquals(parseRfc3339("1990-12-31T23:59:60.25Z"), newYear + 250);
  assertEquals(parseRfc3339("1990-12-31T15:59:60-08:00"), newYear);
  assertEquals(parseRfc3339("1991-01-01T05:29:60+05:30"), newYear);
  assertEquals(parseRfc3339("1969-06-30T23:59:60.25Z"), Date.UTC(1969, 6, 1) + 250);
  assertEquals(parseRfc3339("1990-12-31T23:58:60Z"), null);
  assertEquals(parseRfc3339("1990-12-31T22:59:60Z"), null);
  assertEquals(parseRfc3339("1990-12-31T23:59:60-08:00"), null);
  assertEquals(parseRfc3339("1990-12-31T23:59:61Z"), null);
});

for (
  const text of [
    "",
    "yesterday",
    "2024-01-02",
    "2024-01-02T03:04:05",
    "2024-01-02T03:04Z",
    "2024-01-02 03:04:05Z",
    " 2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05Z\n",
    "2024-01-02T03:04:05.Z",
    "2024-01-02T03:04:05,5Z",
    "2024-01-02T24:00:00Z",
    "2024-01-02T03:60:00Z",
    "2024-13-01T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-01-02T03:04:05+0100",
    "2024-01-02T03:04:05+01",
    "2024-01-02T03:04:05+24:00",
    "2024-01-02T03:04:05+01:60",
    "+002024-01-02T03:04:05Z",
    "-2024-01-02T03:04:05Z",
    "10000-01-01T00:00:00Z",
    "2024-1-2T3:4:5Z",
    "\u0662\u0660\u0662\u0664-01-02T03:04:05Z",
  ]
) {
  Deno.test(`${JSON.stringify(text)} is no RFC 3339 date-time`, () => {
    assertEquals(parseRfc3339(text), null);
  });
}
