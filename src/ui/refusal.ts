// Requests that are refused: with a status and words for the user.

import { UserError } from "../errors.ts";

/** Statuses of refusals. 422: what was asked for is there and cannot be read. */
export type RefusalStatus = 400 | 403 | 404 | 405 | 422 | 500 | 503;

/** A request that is refused. */
export class Refusal extends UserError {
  override name = "Refusal";
  readonly status: RefusalStatus;
  constructor(status: RefusalStatus, message: string) {
    super(message);
    this.status = status;
  }
}
