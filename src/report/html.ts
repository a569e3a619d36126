// HTML that escapes by construction: whatever is put into the `html` template as text is text, never markup.

/** A piece of markup that is known to be sound. */
export interface Html {
  readonly html: string;
}

/** What may stand in a template: markup, lists of it, or text, which is escaped. */
export type Content = Html | readonly Html[] | string | number;

/** `html\`<b>${text}</b>\``: markup with every interpolated text escaped, in contents and in quoted attributes. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  let text = strings[0]!;
  for (const [i, content] of contents.entries()) text += markup(content) + strings[i + 1]!;
  return { html: text };
}

/** Markup from elsewhere that is trusted to be sound: our own style sheet, a drawn picture. */
export const raw = (markup: string): Html => ({ html: markup });

/** Text with the characters that mean something in HTML replaced. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Data for a `<script type="application/json">`: no `<` can end the element or open a comment. */
export const jsonForScript = (value: unknown): Html => raw(JSON.stringify(value).replace(/</g, "\\u003c"));

/** A program for an inline `<script>`: what would end the element is written so that it does not. */
export const programForScript = (program: string): Html =>
  raw(program.replace(/<\/(script)/gi, "<\\/$1").replace(/<!--/g, "<\\!--"));

function markup(content: Content): string {
  if (typeof content === "string" || typeof content === "number") return escapeHtml(String(content));
  return "html" in content ? content.html : content.map((one) => one.html).join("\n");
}
