// Vega's pictures as PDF, for LaTeX: lines stay lines and text stays text, in DejaVu Sans, of which the glyphs that occur are
// embedded. Vega draws with few kinds of elements, and these are what is understood here; another is an error.

import { deflateSync } from "node:zlib";
import { decode, type DecodedPng } from "fast-png";
import { SaxesParser, type SaxesTagPlain } from "saxes";
import { fontFace, textWidth } from "./picture.ts";
import { subsetFont } from "./true-type.ts";

type Matrix = readonly [number, number, number, number, number, number];
type Attributes = Readonly<Record<string, string>>;

/** Colours from 0 to 1. */
type Colour = readonly [number, number, number];

/** What an element hands on to those within it. */
interface Pen {
  readonly fill: string;
  readonly stroke: string;
  readonly width: number;
  readonly dash: string;
  readonly opacity: number;
  readonly fillOpacity: number;
  readonly strokeOpacity: number;
}

const startPen: Pen = {
  fill: "black",
  stroke: "none",
  width: 1,
  dash: "",
  opacity: 1,
  fillOpacity: 1,
  strokeOpacity: 1,
};

interface Text {
  readonly attributes: Attributes;
  readonly pen: Pen;
  /** Lines, each with where it begins below the first. */
  readonly lines: { text: string; below: number }[];
}

interface Gradient {
  readonly ends: readonly [number, number, number, number];
  readonly stops: { readonly at: number; readonly colour: Colour }[];
}

/** A PDF of one page as large as the picture, a point a pixel. Same picture, same bytes. */
export function pdfOf(svg: string): Uint8Array {
  const page = drawn(svg);
  const file = pdfFile();
  const fonts = [false, true].flatMap((bold) => {
    const used = page.glyphs.get(bold)!;
    return used.size === 0 ? [] : [`/${bold ? "FB" : "FR"} ${fontObject(file, bold, used)} 0 R`];
  });
  const states = [...page.states].map(([key, name]) => {
    const [fill, stroke] = key.split(" ");
    return `/${name} << /ca ${fill} /CA ${stroke} >>`;
  });
  const images = page.images.map((image, i) => `/I${i} ${imageObject(file, image)} 0 R`);
  const shadings = page.shadings.map((shading, i) => `/S${i} ${file.add(shading)} 0 R`);
  const content = file.stream("", Buffer.from(page.content, "latin1"));
  const pages = file.next() + 1;
  const leaf = file.add(
    `<< /Type /Page /Parent ${pages} 0 R /MediaBox [0 0 ${page.width} ${page.height}] /Contents ${content} 0 R /Resources << ` +
      `/Font << ${fonts.join(" ")} >> /ExtGState << ${states.join(" ")} >> /XObject << ${images.join(" ")} >> ` +
      `/Shading << ${shadings.join(" ")} >> >> >>`,
  );
  file.add(`<< /Type /Pages /Kids [${leaf} 0 R] /Count 1 >>`);
  return file.end(file.add(`<< /Type /Catalog /Pages ${pages} 0 R >>`));
}

/** What stands on the page, and what it needs. */
function drawn(svg: string) {
  const lines: string[] = [];
  const glyphs = new Map([false, true].map((bold) => [bold, new Map<number, string>()]));
  const states = new Map<string, string>();
  const images: DecodedPng[] = [];
  const shadings: string[] = [];
  const clips = new Map<string, string>();
  const gradients = new Map<string, Gradient>();
  const size = { width: 0, height: 0 };
  const pens: Pen[] = [startPen];
  /** For every open element, how many states it has put on the page's stack. */
  const saved: number[] = [];
  let clip: string | undefined;
  let gradient: Gradient | undefined;
  let text: Text | undefined;

  const opened = (attributes: Attributes): number => {
    const moved = attributes["transform"] !== undefined;
    const clipped = /^url\(#(.+)\)$/.exec(attributes["clip-path"] ?? "")?.[1];
    if (!moved && clipped === undefined) return 0;
    lines.push("q");
    // A clip path stands in the coordinates of the element that it clips.
    if (moved) lines.push(`${matrixOf(attributes["transform"]!).map(short).join(" ")} cm`);
    if (clipped !== undefined) lines.push(`${clips.get(clipped) ?? ""}W n`);
    return 1;
  };
  const paint = (path: string, pen: Pen, box?: readonly [number, number, number, number]): void => {
    const shaded = /^url\(#(.+)\)$/.exec(pen.fill)?.[1];
    const isFilled = shaded === undefined && isInk(pen.fill);
    const isStroked = isInk(pen.stroke) && pen.width > 0;
    if (shaded !== undefined) {
      const found = gradients.get(shaded);
      if (!found || !box) throw new Error(`internal error: the picture's colours "${pen.fill}" are not understood`);
      shadings.push(shadingOf(found, box));
      lines.push(`q ${path}W n /S${shadings.length - 1} sh Q`);
    }
    if (!isFilled && !isStroked) return;
    lines.push(
      `q ${stateOf(pen)}${isFilled ? `${colourOf(pen.fill).map(short).join(" ")} rg ` : ""}` +
        `${isStroked ? `${colourOf(pen.stroke).map(short).join(" ")} RG ${short(pen.width)} w ${dashOf(pen.dash)}` : ""}` +
        `${path}${isFilled && isStroked ? "B" : isFilled ? "f" : "S"} Q`,
    );
  };
  const stateOf = ({ opacity, fillOpacity, strokeOpacity }: Pen): string => {
    const [fill, stroke] = [opacity * fillOpacity, opacity * strokeOpacity];
    if (fill === 1 && stroke === 1) return "";
    const key = `${short(fill)} ${short(stroke)}`;
    if (!states.has(key)) states.set(key, `G${states.size}`);
    return `/${states.get(key)!} gs `;
  };
  const write = ({ attributes, pen, lines: all }: Text): void => {
    if (!isInk(pen.fill) && !isInk(pen.stroke)) return;
    const bold = attributes["font-weight"] === "bold" || Number(attributes["font-weight"]) >= 600;
    const fontSize = Number.parseFloat(attributes["font-size"] ?? "11");
    const face = fontFace(bold);
    const share = { start: 0, middle: 0.5, end: 1 }[attributes["text-anchor"] ?? "start"] ?? 0;
    const isOutlined = isInk(pen.stroke);
    const ink = isInk(pen.fill) ? `${colourOf(pen.fill).map(short).join(" ")} rg ` : "";
    const outline = isOutlined ? `${colourOf(pen.stroke).map(short).join(" ")} RG ${short(pen.width)} w 1 j ` : "";
    for (const { text: line, below } of all) {
      if (line === "") continue;
      const codes = [...line].map((character) => {
        const { index } = face.glyph(character);
        glyphs.get(bold)!.set(index, character);
        return index.toString(16).padStart(4, "0");
      });
      const left = -share * textWidth(line, fontSize, bold);
      lines.push(
        `q ${stateOf(pen)}${ink}${outline}BT ${isOutlined ? (ink === "" ? 1 : 2) : 0} Tr /${bold ? "FB" : "FR"} ${short(fontSize)} Tf ` +
          `1 0 0 -1 ${short(left)} ${short(below)} Tm <${codes.join("")}> Tj ET Q`,
      );
    }
  };

  const parser = new SaxesParser();
  parser.on("opentag", (tag: SaxesTagPlain) => {
    const attributes = tag.attributes as Attributes;
    const pen = penOf(attributes, pens.at(-1)!);
    pens.push(pen);
    saved.push(clip === undefined && !["svg", "defs", "tspan", "stop"].includes(tag.name) ? opened(attributes) : 0);
    const number = (name: string, otherwise = 0): number => Number(attributes[name] ?? otherwise);
    const rectangle = (): string => ["x", "y", "width", "height"].map((name) => short(number(name))).join(" ") + " re ";
    switch (tag.name) {
      case "svg":
        Object.assign(size, { width: number("width"), height: number("height") });
        // From the picture's axes, of which the vertical goes down, to the page's.
        lines.push(`1 0 0 -1 0 ${size.height} cm`);
        break;
      case "g":
      case "defs":
        break;
      case "clipPath":
        clip = attributes["id"]!;
        break;
      case "linearGradient":
        gradient = { ends: [number("x1"), number("y1"), number("x2", 1), number("y2")], stops: [] };
        gradients.set(attributes["id"]!, gradient);
        break;
      case "stop":
        gradient?.stops.push({ at: number("offset"), colour: colourOf(attributes["stop-color"]!) });
        break;
      case "rect":
        if (clip !== undefined) clips.set(clip, rectangle());
        else paint(rectangle(), pen, [number("x"), number("y"), number("width"), number("height")]);
        break;
      case "path": {
        const path = pathOf(attributes["d"] ?? "");
        if (clip !== undefined) clips.set(clip, path.operators);
        else if (path.operators !== "") paint(path.operators, pen, path.box);
        break;
      }
      case "line": {
        const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => short(number(name)));
        paint(`${x1} ${y1} m ${x2} ${y2} l `, { ...pen, fill: "none" });
        break;
      }
      case "image": {
        const [width, height] = [number("width"), number("height")];
        images.push(decode(Buffer.from((attributes["xlink:href"] ?? "").split("base64,")[1] ?? "", "base64")));
        const place = [width, 0, 0, -height, number("x"), number("y") + height].map(short).join(" ");
        lines.push(`q ${place} cm /I${images.length - 1} Do Q`);
        break;
      }
      case "text":
        text = { attributes, pen, lines: [] };
        break;
      case "tspan":
        text?.lines.push({ text: "", below: (text.lines.at(-1)?.below ?? 0) + number("dy") });
        break;
      default:
        throw new Error(`internal error: the picture has an element "${tag.name}", which is not understood`);
    }
  });
  parser.on("text", (characters) => {
    if (!text) return;
    if (text.lines.length === 0) text.lines.push({ text: "", below: 0 });
    text.lines.at(-1)!.text += characters;
  });
  parser.on("closetag", ({ name }) => {
    if (name === "text" && text) {
      write(text);
      text = undefined;
    }
    if (name === "clipPath") clip = undefined;
    if (name === "linearGradient") gradient = undefined;
    pens.pop();
    if (saved.pop() === 1) lines.push("Q");
  });
  parser.on("error", (error) => {
    throw error;
  });
  // Definitions stand at the end of Vega's pictures, and are used before.
  const definitions = svg.match(/<defs>[^]*?<\/defs>/g) ?? [];
  const body = svg.replace(/<defs>[^]*?<\/defs>/g, "");
  parser.write(body.replace(/(<svg [^>]*>)/, (open) => `${open}${definitions.join("")}`)).close();
  return { ...size, content: lines.join("\n"), glyphs, states, images, shadings };
}

function penOf(attributes: Attributes, around: Pen): Pen {
  const number = (name: string, otherwise: number): number => Number(attributes[name] ?? otherwise);
  return {
    fill: attributes["fill"] ?? around.fill,
    stroke: attributes["stroke"] ?? around.stroke,
    width: number("stroke-width", around.width),
    dash: attributes["stroke-dasharray"] ?? around.dash,
    // Vega gives opacity to single marks: as that of their colours it looks the same.
    opacity: around.opacity * number("opacity", 1),
    fillOpacity: number("fill-opacity", around.fillOpacity),
    strokeOpacity: number("stroke-opacity", around.strokeOpacity),
  };
}

const isInk = (colour: string): boolean => colour !== "none" && colour !== "transparent";

/** A number in a file: four digits behind the point are a 20,000th of an inch. */
const short = (value: number): string => String(Number(value.toFixed(4)));

const named: Readonly<Record<string, Colour>> = { black: [0, 0, 0], white: [1, 1, 1] };

function colourOf(text: string): Colour {
  const known = named[text];
  if (known) return known;
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(text)?.[1];
  if (hex !== undefined) {
    const parts = hex.length === 3 ? [...hex].map((digit) => digit + digit) : hex.match(/../g)!;
    return parts.map((part) => Number.parseInt(part, 16) / 255) as unknown as Colour;
  }
  const parts = /^rgb\(([^)]+)\)$/.exec(text)?.[1]?.split(",").map(Number);
  if (parts?.length === 3) return parts.map((part) => part / 255) as unknown as Colour;
  throw new Error(`internal error: the picture has a colour "${text}", which is not understood`);
}

const dashOf = (dash: string): string =>
  dash === "" || dash === "none" ? "" : `[${dash.split(/[ ,]+/).map(Number).map(short).join(" ")}] 0 d `;

/** The product of `translate(...)`, `rotate(...)` and `scale(...)`, in order. */
function matrixOf(transform: string): Matrix {
  let whole: Matrix = [1, 0, 0, 1, 0, 0];
  for (const [, kind, list] of transform.matchAll(/([a-z]+)\(([^)]*)\)/gi)) {
    const [a = 0, b] = list!.split(/[ ,]+/).map(Number);
    const angle = (a * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const own: Matrix | undefined =
      kind === "translate"
        ? [1, 0, 0, 1, a, b ?? 0]
        : kind === "rotate"
          ? [cos, sin, -sin, cos, 0, 0]
          : kind === "scale"
            ? [a, 0, 0, b ?? a, 0, 0]
            : undefined;
    if (!own) throw new Error(`internal error: the picture has a transform "${kind}", which is not understood`);
    whole = product(whole, own);
  }
  return whole;
}

/** First `inner`, then `outer`. */
const product = (outer: Matrix, inner: Matrix): Matrix => [
  outer[0] * inner[0] + outer[2] * inner[1],
  outer[1] * inner[0] + outer[3] * inner[1],
  outer[0] * inner[2] + outer[2] * inner[3],
  outer[1] * inner[2] + outer[3] * inner[3],
  outer[0] * inner[4] + outer[2] * inner[5] + outer[4],
  outer[1] * inner[4] + outer[3] * inner[5] + outer[5],
];

/** Numbers that each command of a path takes at a time. */
const argumentsOf: Readonly<Record<string, number>> = { m: 2, l: 2, h: 1, v: 1, c: 6, a: 7, z: 0 };

/** An SVG path in the operators of PDF, with the box around its ends. */
function pathOf(d: string): { operators: string; box: readonly [number, number, number, number] } {
  let operators = "";
  let [x, y, startX, startY] = [0, 0, 0, 0];
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  const curve = (...points: readonly number[]): void => void (operators += `${points.map(short).join(" ")} c `);
  const commands = d.matchAll(/([a-z])([^a-df-z]*)/gi);
  for (const [, letter, list] of commands) {
    const kind = letter!.toLowerCase();
    const numbers = (list!.match(/-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi) ?? []).map(Number);
    const taken = argumentsOf[kind];
    if (taken === undefined) throw new Error(`internal error: the path command "${letter}" is not understood`);
    for (let at = 0, first = true; first || at < numbers.length; at += Math.max(1, taken), first = false) {
      const isRelative = letter === kind;
      const own = numbers.slice(at, at + taken);
      const [fromX, fromY] = isRelative ? [x, y] : [0, 0];
      if (kind === "z") {
        operators += "h ";
        [x, y] = [startX, startY];
        break;
      }
      if (kind === "c") {
        const points = own.map((value, i) => value + (i % 2 === 0 ? fromX : fromY));
        curve(...points);
        [x, y] = [points[4]!, points[5]!];
      } else if (kind === "a") {
        const end = [own[5]! + fromX, own[6]! + fromY] as const;
        for (const points of arcCurves([x, y], own, end)) curve(...points);
        [x, y] = end;
      } else {
        x = kind === "v" ? x : own[0]! + fromX;
        y = kind === "h" ? y : own[kind === "v" ? 0 : 1]! + fromY;
        const isStart = kind === "m" && first;
        if (isStart) [startX, startY] = [x, y];
        operators += `${short(x)} ${short(y)} ${isStart ? "m" : "l"} `;
      }
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x), Math.max(bottom, y)];
    }
  }
  return { operators, box: [left, top, right - left, bottom - top] };
}

/** A circle's arc as Bézier curves of at most a quarter each (SVG 1.1, appendix F.6.5). Vega's arcs are of circles. */
function arcCurves(
  [x1, y1]: readonly [number, number],
  [size, , , large, sweep]: readonly number[],
  [x2, y2]: readonly [number, number],
): number[][] {
  const [dx, dy] = [(x1 - x2) / 2, (y1 - y2) / 2];
  const half = Math.hypot(dx, dy);
  if (half === 0) return [];
  const radius = Math.max(Math.abs(size!), half);
  const away = Math.sqrt(Math.max(0, radius ** 2 - half ** 2)) / half;
  const side = (large === 1) === (sweep === 1) ? -1 : 1;
  const centre = [(x1 + x2) / 2 + side * away * dy, (y1 + y2) / 2 - side * away * dx] as const;
  const from = Math.atan2(y1 - centre[1], x1 - centre[0]);
  let turn = Math.atan2(y2 - centre[1], x2 - centre[0]) - from;
  if (sweep === 1 && turn <= 0) turn += 2 * Math.PI;
  if (sweep !== 1 && turn >= 0) turn -= 2 * Math.PI;
  const count = Math.ceil(Math.abs(turn) / (Math.PI / 2) - 1e-9);
  const step = turn / count;
  const handle = (4 / 3) * Math.tan(step / 4) * radius;
  return Array.from({ length: count }, (_, i) => {
    const [a, b] = [from + i * step, from + (i + 1) * step];
    const start = [centre[0] + radius * Math.cos(a), centre[1] + radius * Math.sin(a)] as const;
    const end = i === count - 1 ? [x2, y2] : [centre[0] + radius * Math.cos(b), centre[1] + radius * Math.sin(b)];
    return [
      start[0] - handle * Math.sin(a),
      start[1] + handle * Math.cos(a),
      end[0]! + handle * Math.sin(b),
      end[1]! - handle * Math.cos(b),
      end[0]!,
      end[1]!,
    ];
  });
}

/** Colours along a line, linear between stops, in the part of the page that `box` covers. */
function shadingOf(
  { ends, stops }: Gradient,
  [left, top, width, height]: readonly [number, number, number, number],
): string {
  const [x1, y1, x2, y2] = ends;
  const coordinates = [left + x1 * width, top + y1 * height, left + x2 * width, top + y2 * height].map(short).join(" ");
  const pairs = stops.slice(1).map((stop, i) => [stops[i]!, stop] as const);
  const functions = pairs.map(
    ([a, b]) =>
      `<< /FunctionType 2 /Domain [0 1] /C0 [${a.colour.map(short).join(" ")}] /C1 [${b.colour.map(short).join(" ")}] /N 1 >>`,
  );
  const bounds = pairs.slice(0, -1).map(([, { at }]) => short(at));
  return (
    `<< /ShadingType 2 /ColorSpace /DeviceRGB /Coords [${coordinates}] /Extend [true true] /Function << /FunctionType 3 /Domain [0 1] ` +
    `/Functions [${functions.join(" ")}] /Bounds [${bounds.join(" ")}] /Encode [${pairs.map(() => "0 1").join(" ")}] >> >>`
  );
}

type PdfFile = ReturnType<typeof pdfFile>;

/** A file as it grows: objects one after the other, then where each begins. */
function pdfFile() {
  // The second line's bytes say that the file is binary.
  const parts: Buffer[] = [Buffer.from("%PDF-1.7\n%\xb5\xb6\xb7\xb8\n", "latin1")];
  const places: number[] = [];
  let length = parts[0]!.length;
  const push = (data: Buffer): void => {
    parts.push(data);
    length += data.length;
  };
  /** The number of the object that comes next. */
  const next = (): number => places.length + 1;
  const add = (body: string | Buffer): number => {
    const number = next();
    places.push(length);
    push(Buffer.concat([Buffer.from(`${number} 0 obj\n`), Buffer.from(body as string), Buffer.from("\nendobj\n")]));
    return number;
  };
  const stream = (dictionary: string, data: Uint8Array): number => {
    const packed = deflateSync(data, { level: 9 });
    const head = `<< ${dictionary} /Filter /FlateDecode /Length ${packed.length} >>\nstream\n`;
    return add(Buffer.concat([Buffer.from(head), packed, Buffer.from("\nendstream")]));
  };
  const end = (root: number): Uint8Array => {
    const table = places.map((place) => `${String(place).padStart(10, "0")} 00000 n \n`).join("");
    const count = places.length + 1;
    const at = length;
    push(
      Buffer.from(
        `xref\n0 ${count}\n0000000000 65535 f \n${table}trailer\n<< /Size ${count} /Root ${root} 0 R >>\nstartxref\n${at}\n%%EOF\n`,
      ),
    );
    return Buffer.concat(parts);
  };
  return { next, add, stream, end };
}

function imageObject(file: PdfFile, { width, height, channels, depth, data, palette }: DecodedPng): number {
  const isSound = (depth === 8 || depth === 1) && !palette && (channels === 1 || channels === 3);
  if (!isSound) throw new Error(`internal error: an image of ${channels} channels of ${depth} bits is not understood`);
  return file.stream(
    `/Type /XObject /Subtype /Image /Width ${width} /Height ${height} /BitsPerComponent ${depth} ` +
      `/ColorSpace ${channels === 1 ? "/DeviceGray" : "/DeviceRGB"}`,
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
}

/** A font with the glyphs that are used, their widths, and which characters they are, for who searches or copies. */
function fontObject(file: PdfFile, bold: boolean, used: ReadonlyMap<number, string>): number {
  const { bytes, unitsPerEm, glyph, ascender, descender } = fontFace(bold);
  const thousandths = (units: number): number => Math.round((units * 1000) / unitsPerEm);
  const subset = subsetFont(bytes, used.keys());
  const data = file.stream(`/Length1 ${subset.length}`, subset);
  const name = `/FATHOM+DejaVuSans${bold ? "-Bold" : ""}`;
  const [up, down] = [thousandths(ascender), thousandths(descender)];
  const descriptor = file.add(
    `<< /Type /FontDescriptor /FontName ${name} /Flags 4 /FontBBox [-1200 ${down} 2000 ${up}] /ItalicAngle 0 ` +
      `/Ascent ${up} /Descent ${down} /CapHeight 729 /StemV ${bold ? 140 : 80} /FontFile2 ${data} 0 R >>`,
  );
  const order = [...used].sort(([a], [b]) => a - b);
  const widths = order.map(([index, character]) => `${index} [${thousandths(glyph(character).advance)}]`).join(" ");
  const inner = file.add(
    `<< /Type /Font /Subtype /CIDFontType2 /BaseFont ${name} /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> ` +
      `/FontDescriptor ${descriptor} 0 R /CIDToGIDMap /Identity /DW 600 /W [${widths}] >>`,
  );
  const utf16 = (text: string): string =>
    Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, "0")).join("");
  // A list of such a map holds a hundred entries at most.
  const lists = Array.from({ length: Math.ceil(order.length / 100) }, (_, i) => {
    const some = order.slice(100 * i, 100 * (i + 1));
    const entries = some.map(([index, text]) => `<${index.toString(16).padStart(4, "0")}> <${utf16(text)}>`);
    return `${some.length} beginbfchar\n${entries.join("\n")}\nendbfchar\n`;
  });
  const map = file.stream(
    "",
    Buffer.from(
      "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n" +
        `1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n${lists.join("")}endcmap\nend\nend\n`,
    ),
  );
  return file.add(
    `<< /Type /Font /Subtype /Type0 /BaseFont ${name} /Encoding /Identity-H /DescendantFonts [${inner} 0 R] /ToUnicode ${map} 0 R >>`,
  );
}
