import { inflateRawSync } from "node:zlib";

/** Signatures and fixed sizes of APPNOTE.TXT 6.3: end of central directory, its header, local header. */
const END = { signature: 0x06054b50, size: 22 };
const CENTRAL = { signature: 0x02014b50, size: 46 };
const LOCAL = { signature: 0x04034b50, size: 30 };
const STORED = 0;
const DEFLATED = 8;

/**
 * Reads one file out of a zip archive whose digest has been checked, so that only its form as it was
 * pinned has to be understood: no ZIP64, no encryption, no comment behind the directory.
 * @param {Buffer} zip
 * @param {string} name
 * @returns {Buffer}
 * @throws {Error} if the archive has another form, or no such file
 */
export function readZipEntry(zip, name) {
  const end = zip.length - END.size;
  expect(end >= 0 && zip.readUInt32LE(end) === END.signature, "no central directory");
  let header = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    expect(zip.readUInt32LE(header) === CENTRAL.signature, "a broken central directory");
    const nameLength = zip.readUInt16LE(header + 28);
    const nameStart = header + CENTRAL.size;
    if (zip.toString("utf8", nameStart, nameStart + nameLength) === name) {
      return contentOf(zip, header);
    }
    header = nameStart + nameLength + zip.readUInt16LE(header + 30) + zip.readUInt16LE(header + 32);
  }
  throw new Error(`the archive holds no ${name}`);
}

function contentOf(zip, header) {
  const method = zip.readUInt16LE(header + 10);
  const packedSize = zip.readUInt32LE(header + 20);
  const local = zip.readUInt32LE(header + 42);
  expect(zip.readUInt32LE(local) === LOCAL.signature, "a broken local header");
  const start = local + LOCAL.size + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(start, start + packedSize);
  expect(method === STORED || method === DEFLATED, `compression method ${method}`);
  return method === STORED ? packed : inflateRawSync(packed);
}

function expect(condition, what) {
  if (!condition) throw new Error(`the archive has ${what}`);
}
