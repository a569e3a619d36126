// Run by `npm ci` in this repository after the build.

import { softwareMessagesPackages } from "../dist/data/corpora/software-messages.js";
import { packageDirectories } from "../dist/data/packages.js";

// Fetches the one corpus package that is not a dependency (Lighthouse would bring 27 of its own) into the cache folder, so
// that afterwards nothing needs the network. Where that fails, the corpus is fetched when it is first used, and that is no
// reason for an installation to fail.
try {
  await packageDirectories(softwareMessagesPackages);
} catch (error) {
  console.error(`software-messages is left to be fetched when it is first used: ${error.message}`);
}
