/** What went wrong with S3, as a sentence that names the setting to mend, and whether trying again can help by itself. */
import { messageOf, SinkError } from "../../schema/errors.ts";
import { S3AnswerCut, S3Timeout, S3Unavailable } from "./s3_transport.ts";

/** What the sentences name. */
export interface S3Place {
  /** As S3_ENDPOINT has it. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
}

interface Advice {
  readonly text: string;
  readonly retryable: boolean;
}

type AdviceFor = (place: S3Place) => string;

const CREDENTIALS = "Set S3_ACCESS_KEY and S3_SECRET_KEY to a key that the server knows.";
const wrongRegion: AdviceFor = ({ bucket, region }) =>
  `S3_REGION is ${region}, and S3_BUCKET ${bucket} is in another region: set S3_REGION to that one.`;
const full: AdviceFor = ({ bucket }) => `The storage behind S3_BUCKET ${bucket} is full: free some space.`;
const noConditions: AdviceFor = ({ endpoint }) =>
  `The server at S3_ENDPOINT ${endpoint} does not know conditional puts (If-None-Match), and commits need them: ` +
  "use MinIO or an S3 that has them.";

/** Codes of S3's answers that no retry mends. */
const REFUSALS: Readonly<Record<string, AdviceFor>> = {
  InvalidAccessKeyId: ({ endpoint }) =>
    `S3_ACCESS_KEY is not known to the server at S3_ENDPOINT ${endpoint}: ${CREDENTIALS}`,
  SignatureDoesNotMatch: () => `S3_SECRET_KEY does not belong to S3_ACCESS_KEY: ${CREDENTIALS}`,
  AccessDenied: ({ bucket }) =>
    `S3_ACCESS_KEY does not have the right to do this in S3_BUCKET ${bucket}: it must list the bucket, and ` +
    "get, put and delete objects.",
  ExpiredToken: () => `S3_ACCESS_KEY has expired: ${CREDENTIALS}`,
  RequestTimeTooSkewed: () => "This machine's clock and the server's are too far apart: set the clock.",
  NoSuchBucket: ({ bucket, endpoint }) =>
    `S3_BUCKET ${bucket} does not exist at S3_ENDPOINT ${endpoint}: create it, or name another. (It is created at ` +
    "start where S3_ACCESS_KEY may do so.)",
  InvalidBucketName: ({ bucket }) => `S3_BUCKET ${bucket} is not a name that the server takes: name another.`,
  BucketAlreadyExists: ({ bucket }) => `S3_BUCKET ${bucket} belongs to another account: name another.`,
  PermanentRedirect: wrongRegion,
  MovedPermanently: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  InvalidRegion: wrongRegion,
  NotImplemented: noConditions,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  QuotaExceeded: full,
};

/** Codes of answers to requests that were right and came at the wrong time; those with a 5xx status are in any case. */
const TRANSIENT = new Set([
  "SlowDown",
  "RequestTimeout",
  "OperationAborted",
  "ConditionalRequestConflict",
  "InternalError",
  "ServiceUnavailable",
  "XMinioServerNotInitialized",
]);

const CERTIFICATE = /certificate|UnknownIssuer|self.signed|NotValidForName|CERT_/i;
const WRONG_PROTOCOL = /InvalidContentType|wrong version number|corrupt message|Parse Error|HPE_|EPROTO/i;

/** S3's code of an error of the client; undefined where the answer had none, or there was no answer. */
export function s3Code(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // The client looks at the name before it asks the server.
  if (error.name === "InvalidBucketNameError") return "InvalidBucketName";
  const { code } = error as Error & { code?: unknown };
  return typeof code === "string" && code !== "" ? code : undefined;
}

function adviceOn(error: unknown, place: S3Place): Advice {
  const code = s3Code(error) ?? "";
  const refusal = REFUSALS[code];
  if (refusal !== undefined) return { text: refusal(place), retryable: false };
  const server = `The server at S3_ENDPOINT ${place.endpoint}`;
  if (error instanceof S3Timeout) {
    const text = `${server} does not answer: start it, mend the network, or raise S3_TIMEOUT.`;
    return { text, retryable: true };
  }
  if (error instanceof S3Unavailable || TRANSIENT.has(code)) {
    return { text: `${server} cannot serve at the moment.`, retryable: true };
  }
  if (error instanceof S3AnswerCut || code === "ECONNRESET" || code === "EPIPE") {
    return { text: `${server} has closed the connection: it may have stopped.`, retryable: true };
  }
  const message = messageOf(error);
  if (error instanceof Deno.errors.NotCapable) {
    const text =
      `This task may not reach S3_ENDPOINT ${place.endpoint}: start it as \`deno task sessionary\`.`;
    return { text, retryable: false };
  }
  if (CERTIFICATE.test(`${code} ${message}`)) {
    const text =
      `${server} has a certificate that this machine does not trust: set S3_TLS_CA to a file with its authority's ` +
      "certificate.";
    return { text, retryable: false };
  }
  const isForeignAnswer = error instanceof Error && error.name === "S3Error" && code === "";
  if (isForeignAnswer || WRONG_PROTOCOL.test(`${code} ${message}`)) {
    const text = `${server} does not speak this protocol: check the scheme (http or https) and the port.`;
    return { text, retryable: false };
  }
  // The system's own codes, such as ECONNREFUSED: the request or its answer did not get through.
  if (/^E[A-Z_]+$/.test(code) || code === "") {
    return { text: `${server} cannot be reached: start it, or mend S3_ENDPOINT.`, retryable: true };
  }
  return { text: `Check what S3_ENDPOINT ${place.endpoint} is and what it supports.`, retryable: false };
}

/**
 * The one place where failures of S3 become {@linkcode SinkError}s.
 *
 * @param action completes "Cannot …"
 */
export function s3Error(action: string, error: unknown, place: S3Place): SinkError {
  const { text, retryable } = adviceOn(error, place);
  const reason = messageOf(error).replace(/\.$/, "") || "the answer says nothing that S3 says";
  const message = `Cannot ${action}: ${reason}. ${text}`;
  return new SinkError(message, retryable, { cause: error });
}
