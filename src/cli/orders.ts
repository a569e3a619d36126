// What a process that a launcher has started hears from it.

import type { Order } from "../launchers/launcher.ts";

/** The next order of a type; undefined where the launcher goes before it gives one, or `signal` is aborted. */
export function nextOrder<T extends Order["type"]>(
  type: T,
  signal?: AbortSignal,
): Promise<Extract<Order, { type: T }> | undefined> {
  return new Promise((resolve) => {
    const settle = (order?: Order): void => {
      process.off("message", hear).off("disconnect", leave);
      signal?.removeEventListener("abort", leave);
      resolve(order as Extract<Order, { type: T }> | undefined);
    };
    const hear = (order: Order): void => {
      if (order.type === type) settle(order);
    };
    const leave = (): void => settle();
    process.on("message", hear).on("disconnect", leave);
    signal?.addEventListener("abort", leave);
  });
}
