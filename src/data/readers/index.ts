// The registry of readers of parallel text: one line a member, one member a format.
export { jsonl } from "./jsonl.ts";
export { manythings } from "./manythings.ts";
export { mo } from "./mo.ts";
export { moses } from "./moses.ts";
export { po } from "./po.ts";
export { tatoeba } from "./tatoeba.ts";
export { tmx } from "./tmx.ts";
