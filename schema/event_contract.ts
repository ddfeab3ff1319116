/**
 * The event contract, written once: from it come the TypeScript type, the JSON Schema that producers get
 * (`sessionary schema event`) and the compiled validator.
 */
import Type, { type Static } from "typebox";
import { Compile } from "typebox/compile";
import { EVENT_VALUE_BYTES_MAX } from "./limits.ts";
import { EVENT_TYPES, TEXT_LENGTHS_MAX } from "./user_event.ts";

const optionalText = (field: keyof typeof TEXT_LENGTHS_MAX, description: string) => {
  const text = Type.String({ maxLength: TEXT_LENGTHS_MAX[field] });
  return Type.Optional(Type.Union([text, Type.Null()], { description }));
};

/** The contract as a JSON Schema (2020-12). Lengths count Unicode code points; unknown fields are ignored. */
export const UserEventSchema = Type.Object({
  event_id: Type.String({ minLength: 1, maxLength: 64, description: "Unique within its session." }),
  session_id: Type.String({ minLength: 1, maxLength: 128, description: "Also the record's key." }),
  user_id: Type.Integer({ minimum: 0, maximum: 4294967295, description: "0 to 2^32 - 1." }),
  event_type: Type.Enum([...EVENT_TYPES], { description: "session_end closes the session." }),
  timestamp: Type.Union([Type.String(), Type.Integer()], {
    description: "RFC 3339 with an offset, or integer milliseconds since 1970-01-01T00:00:00Z.",
  }),
  brand: optionalText("brand", "The news site."),
  country: optionalText("country", "The reader's country."),
  city: optionalText("city", "The reader's city."),
  device_type: optionalText("device_type", "desktop, mobile, tablet …"),
  device_os: optionalText("device_os", "The operating system."),
  browser: optionalText("browser", "The browser."),
  subscription_tier: optionalText("subscription_tier", "free, premium …"),
  user_segment: optionalText("user_segment", "The reader's segment."),
  page_title: optionalText("page_title", "The title of the page or article."),
  page_url: optionalText("page_url", "The URL of the page."),
  article_id: optionalText("article_id", "The article's id."),
  category: optionalText("category", "The article's category."),
}, {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "urn:sessionary:user-event",
  title: "UserEvent",
  description: `One click of a reader, as JSON in UTF-8, at most ${EVENT_VALUE_BYTES_MAX} bytes.`,
});

/** An event as producers write it. */
export type UserEvent = Static<typeof UserEventSchema>;

const validator = Compile(UserEventSchema);

/** Whether an object keeps the contract. */
export function isUserEvent(fields: Record<string, unknown>): fields is UserEvent {
  return validator.Check(fields);
}

/** The field that first breaks the contract ("" for the object itself), and how, as the end of a sentence. */
export function firstViolation(fields: Record<string, unknown>): { name: string; message: string } {
  const violation = validator.Errors(fields)[0];
  return {
    name: violation?.instancePath.split("/")[1] ?? "",
    message: violation?.message ?? "breaks the contract",
  };
}
