import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import { s3Code, s3Error } from "../../../sinks/lake/s3_errors.ts";
import { S3AnswerCut, S3Timeout, S3Unavailable } from "../../../sinks/lake/s3_transport.ts";

const PLACE = { endpoint: "https://minio:9000", bucket: "clicks", region: "us-east-1" };

/** An error as minio's client or the system makes it. */
function coded(code: string, message = `the server said ${code}`): Error {
  return Object.assign(new Error(message), { code });
}

Deno.test("S3's refusals name the setting to mend, and no retry is told to help", () => {
  const cases: readonly (readonly [code: string, setting: RegExp])[] = [
    ["InvalidAccessKeyId", /S3_ACCESS_KEY is not known to the server at S3_ENDPOINT https:\/\/minio:9000/],
    ["SignatureDoesNotMatch", /S3_SECRET_KEY does not belong to S3_ACCESS_KEY/],
    ["AccessDenied", /S3_ACCESS_KEY does not have the right .* S3_BUCKET clicks/],
    ["NoSuchBucket", /S3_BUCKET clicks does not exist at S3_ENDPOINT https:\/\/minio:9000: create it/],
    ["BucketAlreadyExists", /S3_BUCKET clicks belongs to another account/],
    ["AuthorizationHeaderMalformed", /S3_REGION is us-east-1, and S3_BUCKET clicks is in another region/],
    ["RequestTimeTooSkewed", /clock .* too far apart/],
    ["XMinioStorageFull", /storage behind S3_BUCKET clicks is full/],
    ["NotImplemented", /does not know conditional puts/],
    ["SomethingNew", /Check what S3_ENDPOINT https:\/\/minio:9000 is/],
  ];
  for (const [code, setting] of cases) {
    const error = s3Error("write 'x'", coded(code), PLACE);
    assertMatch(error.message, /^Cannot write 'x': the server said/);
    assertMatch(error.message, setting);
    assertFalse(error.retryable, code);
  }
});

Deno.test("What passes by itself may be tried again, with the endpoint in the sentence", () => {
  const passing = [
    new S3Timeout(500),
    new S3Unavailable(503, "SlowDown"),
    new S3AnswerCut(),
    coded("SlowDown"),
    coded("ConditionalRequestConflict"),
    coded("ECONNREFUSED"),
    coded("ECONNRESET"),
    coded("ENOTFOUND"),
  ];
  for (const failure of passing) {
    const error = s3Error("read 'x'", failure, PLACE);
    assert(error instanceof SinkError && error.retryable, error.message);
    assertMatch(error.message, /S3_ENDPOINT https:\/\/minio:9000/);
    assertEquals(error.cause, failure);
  }
});

Deno.test("A certificate that is not trusted, and a server without TLS, are told apart from an outage", () => {
  const untrusted = s3Error(
    "list 'x'",
    coded("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the certificate"),
    PLACE,
  );
  assertMatch(
    untrusted.message,
    /has a certificate that this machine does not trust: set S3_TLS_CA/,
  );
  const plain = s3Error("list 'x'", new Error("received corrupt message of type InvalidContentType"), PLACE);
  assertMatch(plain.message, /does not speak this protocol: check the scheme/);
  assertEquals([untrusted.retryable, plain.retryable], [false, false]);
});

Deno.test("An error without a code has none", () => {
  assertEquals([s3Code(new Error("x")), s3Code("x"), s3Code(coded(""))], [undefined, undefined, undefined]);
  assertEquals(s3Code(coded("NoSuchKey")), "NoSuchKey");
});
