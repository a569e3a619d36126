/** See file-system.mjs. */
export function failAt(options: {
  readonly folder: string;
  readonly at: number;
  readonly halt: (what: string) => never;
  readonly matching?: RegExp;
}): { readonly seen: readonly string[]; readonly restore: () => void };
