/**
 * Records of one size, outside of the heap that is collected as garbage. Memory is added page by page
 * and never moved, so that growing costs the same whether a hundred records are held or ten million.
 */
const PAGE_BITS = 12;
const PAGE_RECORDS = 1 << PAGE_BITS;

export class PagedRecords {
  readonly #recordBytes: number;
  readonly #pages: DataView[] = [];

  constructor(recordBytes: number) {
    this.#recordBytes = recordBytes;
  }

  /** Provides the memory of this record, filled with zeros; the one before it was provided. */
  provide(record: number): void {
    if (record < this.#pages.length * PAGE_RECORDS) return;
    this.#pages.push(new DataView(new ArrayBuffer(PAGE_RECORDS * this.#recordBytes)));
  }

  /** An integer of 32 bits, `offset` bytes into the record. */
  int(record: number, offset: number): number {
    return this.#pageOf(record).getInt32(this.#placeOf(record) + offset, true);
  }

  setInt(record: number, offset: number, value: number): void {
    this.#pageOf(record).setInt32(this.#placeOf(record) + offset, value, true);
  }

  double(record: number, offset: number): number {
    return this.#pageOf(record).getFloat64(this.#placeOf(record) + offset, true);
  }

  setDouble(record: number, offset: number, value: number): void {
    this.#pageOf(record).setFloat64(this.#placeOf(record) + offset, value, true);
  }

  #pageOf(record: number): DataView {
    const page = this.#pages[record >>> PAGE_BITS];
    if (page === undefined) throw new RangeError(`there is no record ${record}`);
    return page;
  }

  #placeOf(record: number): number {
    return (record & (PAGE_RECORDS - 1)) * this.#recordBytes;
  }
}
