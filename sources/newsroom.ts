/** What the simulated readers read, where and on what: invented news sites with some hundreds of articles each. */
import { Random, Weighted } from "./random.ts";

export interface Article {
  readonly id: string;
  readonly title: string;
  readonly category: string;
  readonly url: string;
}

export interface Brand {
  readonly name: string;
  readonly host: string;
  /** Few articles get most of the views: the weight of the n-th is 1/n (Zipf's law). */
  readonly articles: Weighted<Article>;
}

export interface Place {
  readonly country: string;
  readonly city: string;
}

export interface Device {
  readonly type: string;
  readonly os: string;
  readonly browser: string;
}

const ARTICLES_PER_BRAND = 400;
/** The catalogue is the same for every seed: two runs read the same papers. */
const CATALOGUE_SEED = 20_150_517;

export const CATEGORIES = [
  "politics",
  "world",
  "business",
  "sport",
  "culture",
  "science",
  "technology",
  "health",
  "travel",
  "opinion",
  "local",
  "weather",
] as const;

const SUBJECTS = [
  "City council",
  "Central bank",
  "Young researchers",
  "Rail workers",
  "The home side",
  "Coastal towns",
  "Hospital staff",
  "Small publishers",
  "Start-up founders",
  "The ministry",
  "Farmers in the north",
  "A retired teacher",
  "Museum curators",
  "Grid operators",
  "The school board",
  "Market traders",
] as const;
const VERBS = [
  "weigh a new plan for",
  "win the long fight over",
  "warn of delays to",
  "find an answer to",
  "reopen the debate on",
  "celebrate a record year of",
  "count the cost of",
  "say goodbye to",
  "bet on",
  "rethink",
] as const;
const OBJECTS = [
  "the harbour bridge",
  "night trains",
  "rising rents",
  "cleaner batteries",
  "the winter season",
  "free museum days",
  "the water supply",
  "public broadcasting",
  "the regional budget",
  "open data",
  "a shorter working week",
  "the old stadium",
] as const;

/** The news sites, the first ones read most. */
export const BRANDS: Weighted<Brand> = newsstand();

export const PLACES: Weighted<Place> = new Weighted([
  [{ country: "Germany", city: "Berlin" }, 14],
  [{ country: "Germany", city: "Hamburg" }, 9],
  [{ country: "Germany", city: "Köln" }, 6],
  [{ country: "Austria", city: "Wien" }, 6],
  [{ country: "Switzerland", city: "Zürich" }, 5],
  [{ country: "France", city: "Paris" }, 8],
  [{ country: "France", city: "Lyon" }, 3],
  [{ country: "United Kingdom", city: "London" }, 10],
  [{ country: "United Kingdom", city: "Leeds" }, 3],
  [{ country: "Netherlands", city: "Utrecht" }, 4],
  [{ country: "Spain", city: "Málaga" }, 4],
  [{ country: "Poland", city: "Kraków" }, 4],
  [{ country: "United States", city: "New York" }, 9],
  [{ country: "United States", city: "Chicago" }, 5],
  [{ country: "Canada", city: "Montréal" }, 3],
  [{ country: "Japan", city: "Tokyo" }, 4],
  [{ country: "Brazil", city: "São Paulo" }, 3],
]);

export const DEVICES: Weighted<Device> = new Weighted([
  [{ type: "mobile", os: "Android", browser: "Chrome" }, 30],
  [{ type: "mobile", os: "iOS", browser: "Safari" }, 25],
  [{ type: "desktop", os: "Windows", browser: "Chrome" }, 15],
  [{ type: "desktop", os: "Windows", browser: "Edge" }, 7],
  [{ type: "desktop", os: "macOS", browser: "Safari" }, 8],
  [{ type: "desktop", os: "Linux", browser: "Firefox" }, 4],
  [{ type: "tablet", os: "iPadOS", browser: "Safari" }, 8],
  [{ type: "tablet", os: "Android", browser: "Firefox" }, 3],
]);

export const TIERS: Weighted<string> = new Weighted([["free", 70], ["basic", 18], ["premium", 12]]);

export const SEGMENTS: Weighted<string> = new Weighted([
  ["casual", 50],
  ["regular", 30],
  ["loyal", 14],
  ["at_risk", 6],
]);

function newsstand(): Weighted<Brand> {
  const random = new Random(CATALOGUE_SEED);
  const names = [
    "Daily Courier",
    "Morning Ledger",
    "The Harbour Post",
    "Evening Gazette",
    "Northern Echoes",
    "Metro Observer",
    "The Valley Times",
    "Sunday Review",
  ];
  return new Weighted(names.map((name, index) => {
    const host = `${name.toLowerCase().replace(/^the /, "").replaceAll(" ", "-")}.example`;
    const articles = Array.from(
      { length: ARTICLES_PER_BRAND },
      (_, n) => [article(random, host, index * ARTICLES_PER_BRAND + n), 1 / (n + 1)] as const,
    );
    return [{ name, host, articles: new Weighted(articles) }, 1 / (index + 1)] as const;
  }));
}

function article(random: Random, host: string, number: number): Article {
  const id = `art-${String(number + 10_000)}`;
  const category = random.pick(CATEGORIES);
  const title = `${random.pick(SUBJECTS)} ${random.pick(VERBS)} ${random.pick(OBJECTS)}`;
  const slug = title.split(" ", 3).join(" ").toLowerCase().replace(/[^a-z]+/g, "-");
  return { id, title, category, url: `https://${host}/${category}/${slug}-${id}` };
}
