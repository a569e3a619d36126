// Writes schema/experiment.schema.json, which editors complete configurations from. Run it (after `npm run build`) when
// the configuration or a registry changes: node scripts/write-schema.js

import { writeFileSync } from "node:fs";
import { jsonSchema } from "../dist/config/json-schema.js";
import { loadRegistries } from "../dist/config/registries.js";

const file = new URL("../schema/experiment.schema.json", import.meta.url);
writeFileSync(file, `${JSON.stringify(jsonSchema(await loadRegistries()), null, 2)}\n`);
console.log("wrote schema/experiment.schema.json");
