/**
 * Memory for many small arrays of 32-bit words that live for long: blocks in large pages, freed ones kept by size for the
 * next. An object an array would cost more than what is in it, and the garbage collector's time.
 */
import { invariant } from "../schema/errors.ts";

const PAGE_BITS = 16;
const PAGE_WORDS = 1 << PAGE_BITS;
/** The offset of a block in its page is `ref & OFFSET_MASK`, its page `pages[ref >>> PAGE_SHIFT]`. */
export const OFFSET_MASK = PAGE_WORDS - 1;
export const PAGE_SHIFT = PAGE_BITS;
const PAGES_MAX = 1 << 32 - PAGE_BITS;
/** A larger block has a page to itself. */
const SHARED_WORDS_MAX = PAGE_WORDS / 8;
/** Sizes up to this are exact; above there are eight a doubling. */
const EXACT_MAX = 16;
/** How many times the bytes in use the pages may be, and how many bytes beside. */
const SPARSE_RATIO = 1.5;
const SPARSE_BYTES_MIN = 2 * 1024 * 1024;

/** Blocks by reference; 0 is none. */
export class WordArena {
  pages: Uint32Array[] = [];
  /** The first free block of each size class; each names the next in its first word. */
  readonly #free = new Uint32Array(sizeClass(SHARED_WORDS_MAX) + 1);
  #freePages: number[] = [];
  /** In blocks that are in use. */
  #liveWords = 0;
  #page = 0;
  /** Of the current page; its first word is never a block's, so that 0 is no reference. */
  #used = PAGE_WORDS;

  /** Bytes of all pages. */
  get byteLength(): number {
    return this.pages.reduce((sum, page) => sum + page.byteLength, 0);
  }

  /** A block of at least `words` words, whatever they hold. */
  allocate(words: number): number {
    this.#liveWords += words;
    if (words > SHARED_WORDS_MAX) return this.#addPage(new Uint32Array(words)) * PAGE_WORDS;
    const size = sizeClass(words);
    const ref = this.#free[size]!;
    if (ref !== 0) {
      this.#free[size] = this.pages[ref >>> PAGE_SHIFT]![ref & OFFSET_MASK]!;
      return ref;
    }
    const rounded = classSize(size);
    if (this.#used + rounded > PAGE_WORDS) {
      this.#page = this.#addPage(new Uint32Array(PAGE_WORDS));
      this.#used = 1;
    }
    this.#used += rounded;
    return this.#page * PAGE_WORDS + this.#used - rounded;
  }

  /** Takes a block of `words` words back. */
  free(ref: number, words: number): void {
    this.#liveWords -= words;
    const page = ref >>> PAGE_SHIFT;
    if (words > SHARED_WORDS_MAX) {
      this.pages[page] = new Uint32Array(0);
      this.#freePages.push(page);
      return;
    }
    const size = sizeClass(words);
    this.pages[page]![ref & OFFSET_MASK] = this.#free[size]!;
    this.#free[size] = ref;
  }

  /** Whether so much lies free, in sizes that nobody asks for, that moving the rest is worth it. */
  get isSparse(): boolean {
    return this.byteLength > SPARSE_BYTES_MIN + 4 * this.#liveWords * SPARSE_RATIO;
  }

  /**
   * Moves all blocks into new pages.
   *
   * @param each is given how to move a block of so many words, which returns its new reference, and must move every block
   */
  compact(each: (move: (ref: number, words: number) => number) => void): void {
    const { pages } = this;
    this.pages = [];
    this.#free.fill(0);
    this.#freePages = [];
    this.#liveWords = 0;
    this.#used = PAGE_WORDS;
    each((ref, words) => {
      const to = this.allocate(words);
      const from = ref & OFFSET_MASK;
      const block = pages[ref >>> PAGE_SHIFT]!.subarray(from, from + words);
      this.pages[to >>> PAGE_SHIFT]!.set(block, to & OFFSET_MASK);
      return to;
    });
  }

  #addPage(words: Uint32Array): number {
    // Page 0 holds no large block: its reference would be 0.
    if (this.pages.length === 0 && words.length !== PAGE_WORDS) this.pages.push(new Uint32Array(0));
    const page = this.#freePages.pop() ?? this.pages.length;
    invariant(page < PAGES_MAX, `a shard holds ${PAGES_MAX} pages of ${PAGE_WORDS} words at most`);
    this.pages[page] = words;
    return page;
  }
}

function sizeClass(words: number): number {
  if (words <= EXACT_MAX) return Math.max(words, 1);
  const exponent = 31 - Math.clz32(words);
  const step = exponent - 3;
  return EXACT_MAX + (exponent - 4) * 8 + (words - (1 << exponent) + (1 << step) - 1 >> step);
}

function classSize(size: number): number {
  if (size <= EXACT_MAX) return size;
  const exponent = 4 + (size - EXACT_MAX >> 3);
  return (1 << exponent) + ((size - EXACT_MAX & 7) << exponent - 3);
}
