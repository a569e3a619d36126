// The formats of `fathom export`, one line each.

export { parquet } from "./parquet.ts";
export { tensorboard } from "./tensorboard.ts";
export { wandb } from "./wandb.ts";
