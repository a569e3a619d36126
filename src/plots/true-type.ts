// A TrueType font with the outlines of a few glyphs alone, to be embedded in a file: numbers of glyphs stay what they are.

/** Tables that a PDF's reader needs: measures, outlines and the programs that fit them to pixels. */
const kept = ["cvt ", "fpgm", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "prep"];

/** Bits of a composite glyph's parts (OpenType, table glyf). */
const wordArguments = 0x1;
const aScale = 0x8;
const moreParts = 0x20;
const xyScale = 0x40;
const twoByTwo = 0x80;

/** `font`, a TrueType file, without the outlines of glyphs that are neither in `glyphs` nor a part of one that is. */
export function subsetFont(font: Buffer, glyphs: Iterable<number>): Buffer {
  const tables = tablesOf(font);
  const table = (name: string): Buffer => {
    const found = tables.get(name);
    if (!found) throw new Error(`internal error: the font has no table "${name}"`);
    return found;
  };
  const [glyf, loca, head] = [table("glyf"), table("loca"), Buffer.from(table("head"))];
  const isLong = head.readInt16BE(50) === 1;
  const count = table("maxp").readUInt16BE(4);
  const offset = (i: number): number => (isLong ? loca.readUInt32BE(4 * i) : 2 * loca.readUInt16BE(2 * i));
  const outline = (i: number): Buffer => glyf.subarray(offset(i), offset(i + 1));
  const wanted = withParts(new Set([0, ...glyphs]), outline);
  const places = Buffer.alloc(4 * (count + 1));
  const outlines: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    places.writeUInt32BE(at, 4 * i);
    if (!wanted.has(i)) continue;
    const own = padded(outline(i));
    outlines.push(own);
    at += own.length;
  }
  places.writeUInt32BE(at, 4 * count);
  head.writeInt16BE(1, 50); // places are of four bytes now
  head.writeUInt32BE(0, 8); // the sum over the whole file, which no reader of PDF looks at
  const own: Record<string, Buffer> = { glyf: Buffer.concat(outlines), loca: places, head };
  return fontFile(kept.flatMap((name) => (tables.has(name) ? [[name, own[name] ?? table(name)] as const] : [])));
}

function tablesOf(font: Buffer): Map<string, Buffer> {
  const count = font.readUInt16BE(4);
  return new Map(
    Array.from({ length: count }, (_, i) => {
      const record = 12 + 16 * i;
      const [from, length] = [font.readUInt32BE(record + 8), font.readUInt32BE(record + 12)];
      return [font.toString("latin1", record, record + 4), font.subarray(from, from + length)];
    }),
  );
}

/** Glyphs with those they are put together from, an accent and its letter. */
function withParts(glyphs: Set<number>, outline: (glyph: number) => Buffer): Set<number> {
  const open = [...glyphs];
  for (let glyph = open.pop(); glyph !== undefined; glyph = open.pop()) {
    const data = outline(glyph);
    if (data.length === 0 || data.readInt16BE(0) >= 0) continue;
    for (let at = 10, flags = moreParts; (flags & moreParts) !== 0;) {
      flags = data.readUInt16BE(at);
      const part = data.readUInt16BE(at + 2);
      if (!glyphs.has(part)) open.push(part);
      glyphs.add(part);
      at += 4 + ((flags & wordArguments) !== 0 ? 4 : 2);
      at += (flags & aScale) !== 0 ? 2 : (flags & xyScale) !== 0 ? 4 : (flags & twoByTwo) !== 0 ? 8 : 0;
    }
  }
  return glyphs;
}

const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc(-data.length & 3)]);

function fontFile(tables: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const head = Buffer.alloc(12 + 16 * tables.length);
  const power = Math.floor(Math.log2(tables.length));
  head.writeUInt32BE(0x00010000, 0);
  head.writeUInt16BE(tables.length, 4);
  head.writeUInt16BE(16 * 2 ** power, 6);
  head.writeUInt16BE(power, 8);
  head.writeUInt16BE(16 * (tables.length - 2 ** power), 10);
  let at = head.length;
  for (const [i, [name, data]] of tables.entries()) {
    head.write(name, 12 + 16 * i, "latin1");
    head.writeUInt32BE(sumOf(padded(data)), 16 + 16 * i);
    head.writeUInt32BE(at, 20 + 16 * i);
    head.writeUInt32BE(data.length, 24 + 16 * i);
    at += padded(data).length;
  }
  return Buffer.concat([head, ...tables.map(([, data]) => padded(data))]);
}

function sumOf(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum + data.readUInt32BE(i)) >>> 0;
  return sum;
}
