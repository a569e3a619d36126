// The registry of corpora: one line a member.
export { softwareMessages } from "./software-messages.ts";
export { typescriptDiagnostics } from "./typescript-diagnostics.ts";
