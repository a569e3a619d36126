#!/usr/bin/env node
import { serve } from "../dist/cli/serve.js";

process.exitCode = await serve(process.argv.slice(2));
